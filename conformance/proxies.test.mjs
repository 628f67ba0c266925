// Proxies in front of Gatehouse itself: each is started with its file in deploy/proxies, where only names of hosts, ports and certificates
// are those of a test. A person signs in through it, the largest header passes, and revocations arrive at once.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { certificate } from "./kit/gateway.mjs";
import { Person } from "./kit/person.mjs";
import { basic, eventually, freePort, Installation, scratch } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";

const installed = new URL("../.cache/proxies/", import.meta.url).pathname;
const redirect = "https://app.example.com/cb";
const verifier = "v".repeat(50);
let home, server, port, inner, user, web, machine;

/** A file of deploy/proxies with changes, all of which must apply. */
function file(name, changes) {
  let text = readFileSync(new URL(`../deploy/proxies/${name}`, import.meta.url), "utf8");
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `${name} does not say ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const proxies = {
  nginx: (dir) => {
    const { cert, key } = certificate().files;
    const site = file("nginx.conf", [
      ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`], ["/etc/ssl/id.crt", cert], ["/etc/ssl/id.key", key], ["127.0.0.1:8080", `127.0.0.1:${inner}`],
    ]);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((t) => `${t}_temp_path ${dir}/${t};`).join(" ");
    const user = process.getuid() === 0 ? "user root;" : "";
    const conf = `${user} daemon off; pid ${dir}/pid; error_log stderr; events {}\nhttp { access_log off; ${temporary}\n${site}}\n`;
    return ["/usr/sbin/nginx", ["-p", dir, "-e", "stderr", "-c", join(dir, "nginx.conf")], { "nginx.conf": conf }];
  },
  Caddy: (dir, other) => {
    const { cert, key } = certificate().files;
    const site = file("Caddyfile", [["id.example.com {", `localhost {\n\ttls ${cert} ${key}`], ["127.0.0.1:8080", `127.0.0.1:${inner}`]]);
    const own = `{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n\thttps_port ${port}\n\thttp_port ${other}\n}\n`;
    return [join(installed, "bin/caddy"), ["run", "--config", "Caddyfile"], { Caddyfile: own + site }];
  },
  Traefik: (dir) => {
    const { cert, key } = certificate().files;
    const site = file("traefik.yaml", [["id.example.com", "localhost"], ["http://127.0.0.1:8080", `http://127.0.0.1:${inner}`], ["\n        certResolver: letsencrypt", " {}"]]);
    const tls = `tls:\n  stores:\n    default:\n      defaultCertificate:\n        certFile: ${cert}\n        keyFile: ${key}\n`;
    return [join(installed, "bin/traefik"), [
      `--entrypoints.websecure.address=127.0.0.1:${port}`, `--providers.file.filename=${dir}/dynamic.yaml`, "--log.level=ERROR",
      "--global.checknewversion=false", "--global.sendanonymoususage=false",
    ], { "dynamic.yaml": site + tls }];
  },
  HAProxy: (dir, other) => {
    const { cert, key } = certificate();
    const site = file("haproxy.cfg", [[":443", `127.0.0.1:${port}`], ["/etc/haproxy/id.pem", `${dir}/id.pem`], ["127.0.0.1:8080", `127.0.0.1:${inner}`], ["127.0.0.1:8081", `127.0.0.1:${other}`]]);
    return ["/usr/sbin/haproxy", ["-db", "-f", join(dir, "haproxy.cfg")], { "id.pem": `${cert}${key}`, "haproxy.cfg": `global\n    ssl-default-bind-options ssl-min-ver TLSv1.2\n${site}` }];
  },
  Apache: (dir) => {
    const { cert, key } = certificate().files;
    const site = file("apache.conf", [["*:443", `127.0.0.1:${port}`], ["id.example.com\n    SSL", "localhost\n    SSL"], ["/etc/ssl/id.crt", cert], ["/etc/ssl/id.key", key], ["http://127.0.0.1:8080/", `http://127.0.0.1:${inner}/`]]);
    const modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http", "headers"].map((m) => `LoadModule ${m}_module /usr/lib/apache2/modules/mod_${m}.so\n`).join("");
    const own = `ServerRoot ${dir}\nServerName localhost\nPidFile ${dir}/pid\nErrorLog ${dir}/errors\nListen 127.0.0.1:${port}\nMutex file:${dir}\n${process.getuid() === 0 ? "User www-data\nGroup www-data\n" : ""}`;
    return ["/usr/sbin/apache2", ["-D", "FOREGROUND", "-f", join(dir, "apache.conf")], { "apache.conf": `${modules}${own}${site}` }];
  },
};

before(async () => {
  [port, inner] = [await freePort(), await freePort()];
  home = new Installation({ PORT: inner, HOST: "127.0.0.1", BASE_URL: `https://localhost:${port}`, TRUSTED_PROXIES: "127.0.0.1" });
  user = home.user({ email: "ada@example.com" });
  web = home.client({ grant: ["code", "refresh"], redirectUri: redirect, scope: "openid profile email offline_access" });
  machine = home.client({ grant: "client_credentials", scope: "read" });
  server = await home.serve();
});

after(() => server?.stop());

/** One request through the proxy: status, header, and a way to read the body as it comes. */
function ask(path, headers = {}, method = "GET", body) {
  return new Promise((resolve, reject) => {
    const q = request({ host: "127.0.0.1", servername: "localhost", port, path, method, headers: { host: `localhost:${port}`, ...headers }, agent: false }, resolve);
    q.on("error", reject).end(body);
  });
}

async function text(response) {
  let all = "";
  for await (const chunk of response.setEncoding("utf8")) all += chunk;
  return all;
}

/** How many bytes the header of an answer has. */
const size = (response) => response.rawHeaders.reduce((sum, part) => sum + Buffer.byteLength(part) + 2, 20);

for (const [name, configure] of Object.entries(proxies)) {
  describe(name, () => {
    let running, ended, said = "";

    before(async () => {
      const dir = scratch(name.toLowerCase());
      const [program, args, files] = configure(dir, await freePort());
      if (!existsSync(program)) throw new Error(`${program} is missing; make install-deps installs it`);
      for (const [file, content] of Object.entries(files)) writeFileSync(join(dir, file), content, { mode: 0o644 });
      running = spawn(program, args, { cwd: dir, env: { PATH: process.env.PATH, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir }, stdio: ["ignore", "pipe", "pipe"] });
      for (const stream of [running.stdout, running.stderr]) stream.setEncoding("utf8").on("data", (t) => (said += t));
      ended = new Promise((resolve) => running.on("exit", resolve));
      process.on("exit", () => running.kill("SIGKILL"));
      await eventually(async () => {
        if (running.exitCode !== null) throw new Error(`${name} ended: ${said}`);
        const answer = await ask("/readyz").catch((e) => ({ statusCode: e.message, resume() {} }));
        answer.resume();
        if (answer.statusCode !== 200) throw new Error(`${name} is not ready: ${answer.statusCode}\n${said}`);
      });
    });

    after(async () => {
      running?.kill("SIGTERM");
      await ended;
    });

    it("lets a person sign in, and knows the address and the scheme", async () => {
      const person = new Person({ origin: `https://localhost:${port}` }, user);
      const query = new URLSearchParams({
        response_type: "code", client_id: web.client_id, redirect_uri: redirect, scope: "openid offline_access", state: "s".repeat(500),
        code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
      });
      const away = await person.authorize(`/oauth/authorize?${query}`);
      assert.equal(away.origin, "https://app.example.com");
      assert.ok([...person.cookies.keys()].every((cookie) => cookie.startsWith("__Host-")), "the scheme is https");
      const body = new URLSearchParams({ grant_type: "authorization_code", code: away.searchParams.get("code"), redirect_uri: redirect, code_verifier: verifier }).toString();
      const answer = await ask("/oauth/token", { ...basic(web), "content-type": "application/x-www-form-urlencoded", "content-length": body.length }, "POST", body);
      const all = await text(answer);
      assert.equal(answer.statusCode, 200, all);
      assert.ok(JSON.parse(all).refresh_token);
    });

    it("does not believe what a caller says about the address", async () => {
      const before = server.errors.length;
      const answer = await ask("/login?who=forged", { "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http", forwarded: "for=203.0.113.9;proto=http" });
      await text(answer);
      assert.ok(answer.statusCode < 400, String(answer.statusCode));
      await eventually(() => assert.match(server.errors.slice(before), /"ip":"127\.0\.0\.1"/));
      assert.doesNotMatch(server.errors.slice(before), /203\.0\.113\.9/);
    });

    it("passes the largest header on", async () => {
      const state = "s".repeat(1000);
      const query = new URLSearchParams({ response_type: "code", client_id: web.client_id, redirect_uri: redirect, scope: "openid profile email offline_access", state, nonce: "n".repeat(200), code_challenge: "c".repeat(43), code_challenge_method: "S256" });
      const answer = await ask(`/oauth/authorize?${query}`);
      await text(answer);
      assert.equal(answer.statusCode, 303);
      assert.ok(size(answer) > 1500, `the header has ${size(answer)} bytes only`);
    });

    it("passes revocations on at once, while nothing else happens", async () => {
      const token = await ask("/oauth/token", { ...basic(machine), "content-type": "application/x-www-form-urlencoded", "content-length": 29 }, "POST", "grant_type=client_credentials");
      const { access_token: access } = JSON.parse(await text(token));
      const feed = await ask("/oauth/revocations", { ...basic(machine), accept: "text/event-stream" });
      assert.equal(feed.statusCode, 200, feed.statusCode === 200 ? "" : await text(feed));
      let seen = "";
      feed.setEncoding("utf8").on("data", (chunk) => (seen += chunk));
      await eventually(() => assert.ok(seen.length > 0, "the first bytes arrive"), 20_000);
      const before = seen.length;
      await server.post("/oauth/revoke", { token: access }, basic(machine));
      await eventually(() => assert.ok(/\bjti\b|revo|data:/.test(seen.slice(before)), `nothing arrived: ${seen}`), 20_000);
      feed.destroy();
    });
  });
}
