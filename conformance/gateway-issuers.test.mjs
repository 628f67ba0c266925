// Tokens of another issuer at the gateway: node-oidc-provider makes them, and ROUTES_FILE says what they are good for.
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from "jose";
import { Provider } from "oidc-provider";
import { ask, Service } from "./kit/gateway.mjs";
import { basic, eventually, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const api = "https://api.example.com";
const elsewhere = "https://elsewhere.example.com";
const opaque = "https://opaque.example.com";
const robot = { client_id: "robot", client_secret: "a robot's secret" };
const asker = { client_id: "gatehouse", client_secret: "what the gateway asks with" };
let home, server, service, theirs, strangers;

/** Another issuer with one program as its client, and keys of its own. */
async function issuer() {
  const key = { ...(await exportJWK((await generateKeyPair("ES256", { extractable: true })).privateKey)), kid: "k1", alg: "ES256", use: "sig" };
  const http = createServer();
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  http.unref();
  const origin = `http://localhost:${http.address().port}`;
  const scopes = ["read", "write"];
  const format = { scope: scopes.join(" "), accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } };
  const provider = new Provider(origin, {
    jwks: { keys: [key] },
    scopes,
    clients: [robot, asker].map((client) => ({ ...client, grant_types: ["client_credentials"], redirect_uris: [], response_types: [], scope: scopes.join(" ") })),
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    extraTokenClaims: (_, { accountId }) => ({ groups: [accountId ? "editors" : "staff"] }),
    ttl: { AccessToken: 600, ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false }, clientCredentials: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({ ...format, audience: resource, accessTokenFormat: resource === opaque ? "opaque" : "jwt" }),
      },
    },
  });
  const errors = [];
  provider.on("server_error", (_, e) => errors.push(e));
  http.on("request", provider.callback());
  const post = async (path, form) => {
    const answer = await fetch(origin + path, { method: "POST", headers: basic(robot), body: new URLSearchParams(form) });
    const text = await answer.text();
    assert.equal(answer.status, 200, `${text} ${errors}`);
    return text && JSON.parse(text);
  };
  const token = async (resource, scope = "read") => (await post("/token", { grant_type: "client_credentials", scope, resource })).access_token;
  /** The token of a person: how they sign in there is not what is tested here. */
  const personal = async (accountId) => {
    const made = new provider.AccessToken({ accountId, client: await provider.Client.find("robot"), scope: "read", gty: "authorization_code" });
    made.resourceServer = new provider.ResourceServer(api, { ...format, audience: api });
    return made.save();
  };
  const revoke = (value) => post("/token/revocation", { token: value });
  const close = () => (http.closeAllConnections(), new Promise((resolve) => http.close(resolve)));
  return { origin, key, token, personal, revoke, close };
}

before(async () => {
  [service, theirs, strangers] = await Promise.all([Service.listen(), issuer(), issuer()]);
  home = new Installation();
  const at = (file) => join(home.dir, file);
  writeFileSync(at("secret"), `${asker.client_secret}\n`);
  writeFileSync(
    at("routes.yaml"),
    `issuers:
  - name: partner
    issuer: ${theirs.origin}
    audiences: [${api}, ${opaque}]
    algs: [ES256]
    roles_claim: groups
    introspection:
      url: ${theirs.origin}/token/introspection
      client_id: ${asker.client_id}
      client_secret_file: ${at("secret")}
routes:
  - {name: both, prefix: /both, upstreams: ["${service.origin}"], issuers: [partner], scopes: [read], audiences: [${api}, ${opaque}]}
  - {name: own, prefix: /own, upstreams: ["${service.origin}"]}
  - {name: staff, prefix: /staff, upstreams: ["${service.origin}"], issuers: [partner], roles: [staff], audiences: [${api}]}
  - {name: editors, prefix: /editors, upstreams: ["${service.origin}"], issuers: [partner], roles: [editors], audiences: [${api}]}
`,
  );
  server = await home.serve({ ROUTES_FILE: at("routes.yaml") });
});

after(async () => {
  await Promise.all([service?.close(), theirs?.close(), strangers?.close()]);
  await server?.stop();
});

const get = (path, token) => ask(server.origin, path, { headers: { authorization: `Bearer ${token}` } });

/** What the service learns of who calls. */
async function told(path, token) {
  const { status, json, text } = await get(path, token);
  assert.equal(status, 200, text);
  assert.equal(json.headers.authorization, undefined);
  return decodeJwt(json.headers["x-auth-info"]);
}

describe("JWT access tokens (RFC 9068) for a resource (RFC 8707)", () => {
  it("pass, and the service is told whose they are", async () => {
    const info = await told("/both", await theirs.token(api));
    assert.equal(info.issuer, "partner");
    assert.equal(info.iss, server.issuer);
    assert.equal(info.client.id, "robot");
    assert.deepEqual(info.scopes, ["read"]);
    assert.equal(info.user, undefined);
  });

  it("carry roles, of programs and of people", async () => {
    await told("/staff", await theirs.token(api));
    assert.equal((await get("/editors", await theirs.token(api))).status, 403);
    const ada = await theirs.personal("ada");
    const info = await told("/editors", ada);
    assert.deepEqual(info.user, { id: "ada", roles: ["editors"] });
    assert.equal((await get("/staff", ada)).status, 403);
  });

  it("are rejected without the scope, with a challenge that names it", async () => {
    const { status, headers } = await get("/both", await theirs.token(api, "write"));
    assert.equal(status, 403);
    assert.match(headers["www-authenticate"], /error="insufficient_scope"/);
  });

  it("are rejected if they have another audience", async () => {
    const { status, headers } = await get("/both", await theirs.token(elsewhere));
    assert.equal(status, 401);
    assert.match(headers["www-authenticate"], /error="invalid_token"/);
  });

  it("are rejected at routes that do not name their issuer", async () => {
    assert.ok([401, 403].includes((await get("/own", await theirs.token(api))).status));
  });

  it("of an issuer that no route names are rejected", async () => {
    assert.equal((await get("/both", await strangers.token(api))).status, 401);
  });

  it("with a signature of another key, none, or one made with the public key are rejected", async () => {
    const genuine = await theirs.token(api);
    const claims = decodeJwt(genuine);
    const header = { typ: "at+jwt", kid: "k1" };
    const half = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const body = half(claims);
    const hmac = `${half({ ...header, alg: "HS256" })}.${body}`;
    const { x, y } = theirs.key;
    const sign = (more) => new SignJWT(claims).setProtectedHeader({ ...header, alg: "ES256", ...more }).sign(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    for (const [how, token] of Object.entries({
      "another's": await sign({}),
      none: `${half({ ...header, alg: "none" })}.${body}.`,
      "the public key": `${hmac}.${createHmac("sha256", JSON.stringify({ kty: "EC", crv: "P-256", x, y })).update(hmac).digest("base64url")}`,
      "its own, over other claims": genuine.replace(/\.[^.]+\./, `.${half({ ...claims, scope: "read write" })}.`),
      "a key that it brings": await sign({ kid: "k2", jku: `${strangers.origin}/jwks` }),
    })) assert.equal((await get("/both", token)).status, 401, how);
  });
});

describe("opaque access tokens, by introspection (RFC 7662)", () => {
  it("pass, and the service is told whose they are", async () => {
    const token = await theirs.token(opaque);
    assert.doesNotMatch(token, /\./);
    const info = await told("/both", token);
    assert.deepEqual([info.issuer, info.client.id, info.scopes], ["partner", "robot", ["read"]]);
  });

  it("are rejected if they are revoked or unknown", async () => {
    const token = await theirs.token(opaque);
    await theirs.revoke(token);
    assert.equal((await get("/both", token)).status, 401);
    assert.equal((await get("/both", "never-was")).status, 401);
    assert.equal((await get("/both", await strangers.token(opaque))).status, 401);
  });
});

describe("the metadata of a route (RFC 9728)", () => {
  it("names both issuers", async () => {
    const { json } = await ask(server.origin, "/.well-known/oauth-protected-resource/both");
    assert.deepEqual(json.authorization_servers, [server.issuer, theirs.origin]);
  });
});

describe("ROUTES_FILE", () => {
  it("is reloaded when it changes, and a version with errors is ignored", async () => {
    const file = join(home.dir, "routes.yaml");
    writeFileSync(file, "routes: [{name: new, prefix: /new, upstreem: x}]\n");
    await eventually(() => assert.match(server.errors, /upstream/));
    const token = await theirs.token(api);
    assert.equal((await get("/both", token)).status, 200);
    writeFileSync(file, `routes: [{name: new, prefix: /new, upstreams: ["${service.origin}"], allow_unidentified: true}]\n`);
    await eventually(async () => assert.equal((await ask(server.origin, "/new")).status, 200));
    assert.equal((await get("/both", token)).status, 404);
    assert.equal((await get("/new", token)).status, 401, "its issuer is no longer known");
  });
});
