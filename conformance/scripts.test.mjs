// People's own scripts: shell with curl and jq, Python without a library, and programs that post JSON or use the older addresses.
// They know the host name, their client id and nothing else about the server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Person } from "./kit/person.mjs";
import { basic, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const redirect = "http://localhost:3000/callback";
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code";
const everything = "openid profile email offline_access";
let home, server, api, person, machine, camera, pipeline, web, spa;

before(async () => {
  // The older web applications come without PKCE.
  home = new Installation({});
  const user = home.user({ email: "ada@example.com", name: "Ada Lovelace" });
  machine = home.client({ grant: "client_credentials", scope: "metrics:read read write" });
  camera = home.client({ name: "Camera", public: true, grant: ["device", "refresh"], scope: everything });
  // A pipeline keeps one token in its settings and cannot write a new one there.
  pipeline = home.client({ name: "Pipeline", public: true, grant: ["device", "refresh"], scope: everything, refreshRotation: "off" });
  web = home.client({ name: "Old shop", grant: ["code", "refresh"], redirectUri: redirect, scope: everything });
  spa = home.client({
    name: "Page", public: true, grant: ["code", "refresh"], redirectUri: redirect, scope: everything, postLogoutRedirectUri: "http://localhost:3000",
  });
  [server, api] = await Promise.all([home.serve(), protectedApi()]);
  person = new Person(server, user);
});

after(async () => {
  api?.close();
  await server?.stop();
});

/** An API that asks the server about the tokens that it is sent. */
async function protectedApi() {
  const it = createServer(async (request, response) => {
    const token = request.headers.authorization?.replace(/^Bearer /, "") ?? "";
    const { body } = await server.post("/oauth/introspect", { token }, basic(machine));
    response.writeHead(body.active ? 200 : 401, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise((resolve) => it.listen(0, "127.0.0.1", resolve));
  it.address_ = `http://127.0.0.1:${it.address().port}/`;
  return it;
}

/** Runs a script; when it shows a user code the person answers it. Gives what it printed, by first word. */
async function run(file, env, args = [], action = "approve") {
  const path = fileURLToPath(new URL(`scripts/${file}`, import.meta.url));
  const [program, ...first] = file.endsWith(".py") ? ["python3", path] : ["bash", path];
  const { PATH, HOME } = process.env;
  const child = spawn(program, [...first, ...args], { env: { PATH, HOME, AUTH_SERVER: server.issuer, API: api.address_, PAUSE: "0.3", ...env } });
  const said = {};
  let all = "";
  let errors = "";
  child.stderr.on("data", (text) => (errors += text));
  const answered = [];
  const lines = createInterface({ input: child.stdout }).on("line", (line) => {
    const [word, ...rest] = line.split(" ");
    said[word] = rest.join(" ");
    all += line;
    if (word === "code") answered.push(person.answerDevice(said.code, action));
  });
  const status = await new Promise((resolve) => child.on("close", resolve));
  lines.close();
  await Promise.all(answered);
  return { said, all, errors, status };
}

const credentials = (client) => ({ CLIENT_ID: client.client_id, CLIENT_SECRET: client.client_secret });

describe("machines", () => {
  it("by curl and jq", async () => {
    const { all, status, errors } = await run("machine.sh", credentials(machine));
    assert.equal(status, 0, errors);
    assert.equal(JSON.parse(all).sub, machine.client_id);
    assert.equal(JSON.parse(all).scope, "metrics:read");
  });

  for (const [path, scope] of [["/oauth/token", "metrics:read"], ["/token", "read write"]]) {
    it(`by Python at ${path}`, async () => {
      const { all, status, errors } = await run("camera.py", credentials(machine), ["machine", path, scope]);
      assert.equal(status, 0, errors);
      const { token, kept } = JSON.parse(all);
      assert.ok(kept);
      assert.equal((await server.post("/token/introspect", { token }, basic(machine))).body.scope, scope);
    });
  }

  it("with the secret in the form, at every address of the token endpoint", async () => {
    const form = { grant_type: "client_credentials", client_id: machine.client_id, client_secret: machine.client_secret };
    for (const path of ["/oauth/token", "/token", "/api/v1/token"]) {
      const { status, body } = await server.post(path, form);
      assert.equal(status, 200, path);
      assert.equal(body.token_type, "Bearer");
      assert.equal(body.scope, "metrics:read read write", "without a scope, all that the client may have");
    }
  });
});

describe("pipelines", () => {
  let refresh;

  it("are set up once by a developer with the device flow", async () => {
    const { said, status, errors } = await run("pipeline-setup.sh", { CLIENT_ID: pipeline.client_id });
    assert.equal(status, 0, errors);
    assert.equal(said.open, `${server.issuer}/activate`);
    refresh = said.refresh;
    assert.match(refresh, /^gth_rt_/);
  });

  it("run again and again with the same refresh token", async () => {
    for (let i = 0; i < 2; i++) {
      const { all, status, errors } = await run("pipeline-run.sh", { CLIENT_ID: pipeline.client_id, REFRESH_TOKEN: refresh });
      assert.equal(status, 0, errors);
      assert.equal(JSON.parse(all).sub, person.user.id);
    }
  });

  it("stop when the developer revokes everything", async () => {
    const sessions = await person.go("/account/sessions");
    const form = /<form[^>]*action="(\/account\/sessions\/revoke-all)"/.exec(sessions.text);
    await person.go(form[1], { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" } });
    const { status, body } = await server.post("/oauth/token", { grant_type: "refresh_token", refresh_token: refresh, client_id: pipeline.client_id });
    assert.equal(status, 400);
    assert.equal(body.error, "invalid_grant");
  });

  it("stop when the developer refuses", async () => {
    const { status, errors } = await run("pipeline-setup.sh", { CLIENT_ID: pipeline.client_id }, [], "deny");
    assert.equal(status, 1);
    assert.match(errors, /access_denied/);
  });
});

describe("devices", () => {
  for (const [start, token, scope] of [["/oauth/device/code", "/oauth/token"], ["/device", "/token", "openid profile email offline_access"]]) {
    it(`log in by Python at ${start} and ${token}`, async () => {
      const { said, status, errors } = await run("camera.py", { CLIENT_ID: camera.client_id }, ["device", start, token, ...(scope ? [scope] : [])]);
      assert.equal(status, 0, errors);
      const { first, again } = JSON.parse(said.tokens);
      assert.equal(first.token_type, "Bearer");
      assert.equal(first.expires_in, 3600);
      assert.equal(first.scope, scope ?? "openid");
      assert.notEqual(again.refresh_token, first.refresh_token);
    });
  }

  it("log in with JSON bodies, as a television's fetch sends them", async () => {
    const json = async (path, body) => {
      const answer = await fetch(server.at(path), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      return answer.json();
    };
    for (const path of ["/oauth/device/code", "/device/code"]) {
      const device = await json(path, { client_id: camera.client_id });
      const poll = () => json("/oauth/token", { grant_type: deviceGrant, device_code: device.device_code, client_id: camera.client_id });
      assert.equal((await poll()).error, "authorization_pending");
      for (const link of [`/activate?code=${device.user_code}`, `/device?user_code=${device.user_code}`]) {
        const page = await person.go(link);
        assert.ok(page.text.includes(`value="${device.user_code}"`), link);
      }
      await person.answerDevice(device.user_code);
      const tokens = await poll();
      assert.ok(tokens.access_token, JSON.stringify(tokens));
    }
  });

  it("are told when the code is too old or nobody knows it", async () => {
    const { body } = await server.post("/token", { grant_type: deviceGrant, device_code: "e2623df1-8594-47b4-b528-41ed3daecc1a", client_id: camera.client_id });
    assert.equal(body.error, "invalid_grant");
  });
});

describe("web applications at the older addresses", () => {
  it("a server with a secret and no PKCE", async () => {
    const query = { response_type: "code", client_id: web.client_id, redirect_uri: redirect, scope: "openid profile email", state: "xyz789" };
    const back = await person.authorize(server.at("/authorize", query));
    assert.equal(back.searchParams.get("state"), "xyz789");
    const form = { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri: redirect };
    const { body } = await server.post("/token", form, basic(web));
    assert.deepEqual(Object.keys(body).sort(), ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"]);
    const info = await fetch(server.at("/userinfo"), { headers: { authorization: `Bearer ${body.access_token}` } }).then((r) => r.json());
    assert.equal(info.name, "Ada Lovelace");
    const alias = await fetch(server.at("/oauth2/userinfo"), { headers: { authorization: `Bearer ${body.access_token}` } }).then((r) => r.json());
    assert.deepEqual(alias, info);
    assert.equal((await server.post("/token/introspect", { token: body.access_token }, basic(web))).body.username, "ada@example.com");
    assert.equal((await server.post("/token/revoke", { token: body.refresh_token, token_type_hint: "refresh_token" }, basic(web))).status, 200);
    assert.deepEqual((await server.post("/token/introspect", { token: body.access_token }, basic(web))).body, { active: false });
  });

  it("a page without a secret, and its way out", async () => {
    const verifier = "v".repeat(43);
    const query = {
      response_type: "code", client_id: spa.client_id, redirect_uri: redirect, scope: "openid profile email", state: "s",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
    };
    const back = await person.authorize(server.at("/authorize", query));
    const form = { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri: redirect, client_id: spa.client_id, code_verifier: verifier };
    assert.equal((await server.post("/token", form)).status, 200);
    const question = await person.go(server.at("/logout", { post_logout_redirect_uri: "http://localhost:3000", client_id: spa.client_id }));
    const { away } = await person.submit(question, { choice: "logout" });
    assert.equal(away.href, "http://localhost:3000/");
  });

  it("the keys and the discovery document", async () => {
    const [a, b] = await Promise.all(["/.well-known/jwks.json", "/oauth/jwks"].map((p) => fetch(server.at(p)).then((r) => r.json())));
    assert.deepEqual(a, b);
    const document = await fetch(server.at("/.well-known/openid-configuration")).then((r) => r.json());
    assert.ok(document.scopes_supported.includes("openid"));
    assert.ok(document.authorization_endpoint);
  });
});
