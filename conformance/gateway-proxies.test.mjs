// Forward-auth with the proxies that people have: each is started with its example of docs/guides/gateway.md, before an application and a Gatehouse.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import { browser, page as open, picture, signIn } from "./kit/browser.mjs";
import { ask, bearer, Service, tlsFront } from "./kit/gateway.mjs";
import { host, names, proxy } from "./kit/proxies.mjs";
import { basic, eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const shop = "/shop/v1";
let home, server, front, service, chrome, ports, machine, token;

before(async () => {
  const [inner, outer] = [await freePort(), await freePort()];
  ports = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await freePort()])));
  home = new Installation({ PORT: inner, BASE_URL: `https://id.example.com:${outer}`, TRUSTED_PROXIES: "127.0.0.1" });
  service = await Service.listen({
    "/wiki/page": (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Wiki</title><h1>Behind the proxy</h1>"),
  });
  for (const fields of [
    { domain: "shop", version: "v1", scope: "shop:read" },
    { prefix: "/wiki", browser: true },
    { prefix: "/open", allowUnidentified: true, rate: "-1" },
    { prefix: "/inside", allowUnidentified: true, fromNetwork: "10.0.0.0/8" },
    { prefix: "/readable", allowUnidentified: true, rate: "-1", method: ["GET", "POST"] },
    { prefix: "/ready" },
    ...names.map((name) => ({ prefix: `/rare-${name}`, rate: "2", ratePer: "10m" })),
  ]) home.route({ host, upstream: service.origin, ...fields });
  machine = home.client({ grant: "client_credentials", scope: "shop:read other", role: "robot" });
  const sessions = names.map((name) => `https://${host}:${ports[name]}/session/callback`);
  home.client({ name: "Wiki", public: true, firstParty: true, grant: ["code", "refresh"], redirectUri: sessions, scope: "openid profile" });
  [server, front, chrome] = await Promise.all([
    home.serve(), tlsFront(outer, Number(inner)), browser("--host-resolver-rules=MAP *.example.com 127.0.0.1"),
  ]);
  token = await bearer(server, machine, "shop:read");
});

after(async () => {
  await Promise.all([chrome?.close(), service?.close(), front?.close()]);
  await server?.stop();
});

/** What X-Auth-Info says, once it is verified as the guide says. */
async function info(headers) {
  const keys = createRemoteJWKSet(server.at("/.well-known/jwks.json"));
  const expected = { issuer: server.issuer, audience: `https://${host}${shop}`, typ: "auth-info+jwt", algorithms: ["ES256"] };
  return (await jwtVerify(headers["x-auth-info"], keys, expected)).payload;
}

/** A key that makes proofs (RFC 9449 §4.2). */
async function dpop() {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwk = await exportJWK(publicKey);
  return (htu, htm, token) => {
    const ath = token && createHash("sha256").update(token).digest("base64url");
    return new SignJWT({ htu, htm, ath, jti: randomUUID() }).setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk }).setIssuedAt().sign(privateKey);
  };
}

for (const name of names) {
  describe(name, () => {
    let at;

    before(async () => {
      at = await proxy(name, ports[name], server.origin, service.origin);
    });

    after(() => at?.stop());

    const get = (path, headers = {}, more = {}) => ask(at.origin, path, { headers, ...more });

    it("forwards a request with a valid token, and names its user", async () => {
      const { status, json, text } = await get(`${shop}/items`, token);
      assert.equal(status, 200, text);
      const { headers } = json;
      assert.equal(headers.authorization, undefined, "the credential stays at the door");
      assert.equal(headers["x-auth-client"], machine.client_id);
      assert.equal(headers["x-auth-roles"], "robot");
      assert.equal(headers["x-auth-scopes"], "shop:read");
      assert.deepEqual((await info(headers)).client, { id: machine.client_id, roles: ["robot"], authenticated: true });
    });

    it("passes bodies on", async () => {
      const body = "x".repeat(300_000);
      const { status, json, text } = await get(`${shop}/items`, token, { method: "POST", body });
      assert.equal(status, 200, text);
      assert.equal(json.method, "POST");
      assert.ok(json.body === body);
    });

    it("rejects a request without a token, and says where to get one", async () => {
      const { status, headers } = await get(`${shop}/items`);
      assert.equal(status, 401);
      const where = /^Bearer .*resource_metadata="([^"]+)".*scope="shop:read"/.exec(headers["www-authenticate"]);
      assert.ok(where, headers["www-authenticate"]);
      const { json } = await get(new URL(where[1]).pathname);
      assert.deepEqual(json.authorization_servers, [server.issuer]);
    });

    it("rejects a token without the scope", async () => {
      const { status } = await get(`${shop}/items`, await bearer(server, machine, "other"));
      assert.equal(status, 403);
    });

    it("rejects a revoked token within a second", async () => {
      const short = await bearer(server, machine, "shop:read");
      assert.equal((await get(`${shop}/items`, short)).status, 200);
      await server.post("/oauth/revoke", { token: short.authorization.slice(7) }, basic(machine));
      await eventually(async () => assert.equal((await get(`${shop}/items`, short)).status, 401));
    });

    it("accepts a token that is bound to a key only with a proof of the key (RFC 9449)", async () => {
      const key = await dpop();
      const proven = { ...basic(machine), dpop: await key(`${server.issuer}/oauth/token`, "POST") };
      const { status, text, body } = await server.post("/oauth/token", { grant_type: "client_credentials", scope: "shop:read" }, proven);
      assert.equal(status, 200, text);
      const bound = { authorization: `DPoP ${body.access_token}` };
      const here = `${at.origin}${shop}/caf%C3%A9`;
      const proof = await key(here, "GET", body.access_token);
      const statuses = [];
      for (const headers of [
        { ...bound, dpop: proof }, { ...bound, dpop: proof }, bound, { authorization: `Bearer ${body.access_token}` },
        { ...bound, dpop: await key(`${at.origin}/open/x`, "GET", body.access_token) },
        { ...bound, dpop: await (await dpop())(here, "GET", body.access_token) },
      ]) statuses.push((await get(`${shop}/caf%C3%A9?x=1`, headers)).status);
      assert.deepEqual(statuses, [200, 401, 401, 401, 401, 401], "once with the proof; never again, without, for another address, or with another key");
    });

    it("tells callers to wait", async () => {
      const answers = [];
      for (let i = 0; i < 3; i++) answers.push(await get(`/rare-${name}`, basic(machine)));
      assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 429]);
      assert.match(answers[2].headers["retry-after"], /^\d+$/);
    });

    it("ignores callers' own headers about the user and the request", async () => {
      const lies = ["Info", "User", "User-Name", "Client", "Roles", "Scopes"].map((what) => `X-Auth-${what}`).concat(
        ["For", "Host", "Proto", "Prefix", "Uri", "Method"].map((what) => `X-Forwarded-${what}`),
        ["X-Original-Uri", "X-Original-Url", "X-Original-Method", "X-Original-Host", "X-Rewrite-Url", "X-Real-Ip", "Forwarded"],
        ["X_Auth_User", "X_Auth-Roles", "X_Forwarded_For"], // which are the same to servers that follow CGI (RFC 3875 §4.1.18)
      );
      const through = [];
      for (const lie of lies) {
        for (const [path, credential] of [["/open/x", {}], [`${shop}/items`, token]]) {
          const { status, json, text } = await get(path, { ...credential, [lie]: "forged" });
          if (status === 400 || status === 403) continue; // what contradicts itself may be refused
          assert.equal(status, 200, `${lie}: ${text}`);
          through.push(...Object.entries(json.headers).filter(([, value]) => value.includes("forged")).map(([header]) => `${header} at ${path}`));
        }
      }
      assert.deepEqual(through, []);
    });

    it("decides by the requested path and the real client address only", async () => {
      for (const way of [
        { "X-Forwarded-Uri": "/open/x" }, { "X-Original-Uri": "/open/x" }, { "X-Original-Url": `https://${host}/open/x`, "X-Original-Method": "GET" },
        { "X-Forwarded-Host": "other.example.com" }, { "X-Forwarded-Method": "OPTIONS" }, { "X-Forwarded-Prefix": "/open" },
      ]) {
        const seen = await service.during(async () => assert.ok([400, 401, 403].includes((await get(`${shop}/items`, way)).status), JSON.stringify(way)));
        assert.deepEqual(seen, [], JSON.stringify(way));
      }
      for (const header of ["X-Forwarded-For", "X-Real-Ip", "Forwarded"]) {
        const { status } = await get("/inside", { [header]: header === "Forwarded" ? "for=10.1.2.3" : "10.1.2.3" });
        assert.equal(status, 403, header);
      }
      for (const header of ["X-Http-Method-Override", "X-Http-Method", "X-Method-Override"]) {
        assert.ok([403, 405].includes((await get("/readable", { [header]: "DELETE" }, { method: "POST" })).status), header);
      }
      for (const path of [
        `https://other.example.com${shop}/items`, "/open/../shop/v1/items", "/open/%2e%2e/shop/v1/items", "/open/..%2fshop/v1/items", "/open/.%2e/shop/v1/items",
        "//shop/v1/items", "/open//../shop/v1/items", "/shop%2fv1/items", "/open/..;/shop/v1/items", "/open/..%5cshop/v1/items",
      ]) {
        const seen = await service.during(() => get(path));
        assert.deepEqual(seen.map((s) => s.url), [], path);
      }
    });

    it("decides by the host that the proxy routes by (RFC 9112 §3.2.2)", async () => {
      const elsewhere = at.origin.replace(host, "elsewhere.example.com");
      const seen = await service.during(() => get(`${elsewhere}/open/x`));
      assert.deepEqual(seen.map((s) => [s.url, s.headers.host]), []);
    });

    it("drops headers that a service may confuse with the gateway's", async () => {
      for (const lie of ["X_Auth_User", "X-Auth_Roles", "X.Auth.Info"]) {
        const seen = await service.during(() => get("/open/x", { [lie]: "forged" }));
        for (const { headers } of seen) assert.doesNotMatch(JSON.stringify(headers), /forged/, lie);
      }
    });

    it("passes other headers on, whatever their names", async () => {
      const { status, text } = await get("/open/x", { "X-Color": "red", "X.Color": "red" });
      assert.equal(status, 200, text);
    });

    it("leaves addresses as they are", async () => {
      for (const path of [
        "/shop/v1/caf%C3%A9/a%20b?q=caf%C3%A9&x=%2F%3F&y=a+b&empty=&z", "/shop/v1/a:b@c!$&'()*+,=d~e?a=1&u=https://x.example/%20?y", "/shop/v1/%25/%7Bx%7D?%5B%5D=1",
      ]) {
        const { status, json, text } = await get(path, token);
        assert.equal(status, 200, `${path}: ${text}`);
        assert.equal(json.url, path);
      }
    });

    it("sends people to sign in, and back to the page that they wanted", async () => {
      const ada = home.user({ name: `Ada of ${name}` });
      const page = await open(chrome, { ignoreHTTPSErrors: true });
      const short = "/wiki/page?chapter=1%2F2&note=caf%C3%A9&more=";
      const wanted = at.origin + short + "%20x".repeat((2048 - short.length) / 4); // a deep link of 2 KB
      await page.goto(wanted);
      assert.equal(new URL(page.url()).origin, server.issuer);
      await signIn(page, ada);
      await page.waitForURL(wanted);
      assert.equal(await page.locator("h1").innerText(), "Behind the proxy");
      await picture(page, `gateway-${name}`);
      const { headers } = service.received.findLast((seen) => seen.url.startsWith("/wiki/page"));
      assert.equal(headers["x-auth-user-name"], `Ada of ${name}`);
      await page.context().close();
    });
  });
}
