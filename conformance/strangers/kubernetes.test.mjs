// Tokens of people at a Kubernetes API server, by its own code and the configuration of the guide.
// kubelogin itself is not run: its request is made here.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { certificate } from "../kit/gateway.mjs";
import { arrive } from "../kit/guide.mjs";
import { Person } from "../kit/person.mjs";
import { freePort, scratch } from "../kit/server.mjs";
import { after, before, describe, it } from "../kit/story.mjs";

// The API server takes an https issuer only. Its certificate here is our own.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";

describe("a Kubernetes API server", () => {
  const { files } = certificate();
  const program = join(scratch("kubernetes"), "kubernetes");
  let setting, config, bob;

  before(async () => {
    execFileSync("go", ["build", "-o", program, "."], { cwd: new URL("kubernetes", import.meta.url), stdio: "inherit" });
    const PORT = await freePort();
    const settings = { PORT, BASE_URL: `https://localhost:${PORT}`, SSL_CERT: files.cert, SSL_KEY: files.key };
    setting = await arrive("kubernetes", { settings });
    bob = setting.home.user({ email: "bob@example.com" });
    await setting.reader.register();
    config = join(setting.reader.write(), "authentication.yaml");
  });

  after(() => setting?.server.stop());

  /** Gets a person's tokens as kubelogin does. */
  async function tokens(user, client = "kubernetes", callback = "http://localhost:8000") {
    const { server } = setting;
    const verifier = randomBytes(32).toString("base64url");
    const request = {
      response_type: "code", client_id: client, redirect_uri: callback, scope: "openid email groups offline_access", state: "s", nonce: "n",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
    };
    const back = await new Person(server, user).authorize(server.at("/oauth/authorize", request));
    const form = { grant_type: "authorization_code", client_id: client, redirect_uri: callback, code: back.searchParams.get("code"), code_verifier: verifier };
    const { status, body, text } = await server.post("/oauth/token", form);
    assert.equal(status, 200, text);
    return body;
  }

  /** What the API server makes of a token. */
  function authenticate(token) {
    const { status, stdout, stderr } = spawnSync(program, [config], { input: token, env: { SSL_CERT_FILE: files.cert }, encoding: "utf8" });
    return status === 0 ? JSON.parse(stdout) : { error: stderr };
  }

  it("knows a person and the groups by the ID token", async () => {
    const { id_token } = await tokens(bob);
    assert.deepEqual(authenticate(id_token), { name: "gatehouse:bob@example.com", groups: ["gatehouse:developers"] });
  });

  it("knows the person by the ID token of a refresh", async () => {
    const { refresh_token } = await tokens(bob);
    const { body } = await setting.server.post("/oauth/token", { grant_type: "refresh_token", client_id: "kubernetes", refresh_token });
    assert.deepEqual(authenticate(body.id_token), { name: "gatehouse:bob@example.com", groups: ["gatehouse:developers"] });
  });

  it("rejects a person whose address is not confirmed", async () => {
    const { id_token } = await tokens(setting.home.user({ email: "carol@example.com" }));
    assert.match(authenticate(id_token).error, /email not verified/);
  });

  it("rejects an access token, and an ID token for another client", async () => {
    const { access_token } = await tokens(bob);
    assert.ok(authenticate(access_token).error);
    const other = await setting.server.client({
      name: "Other", public: true, grant: "authorization_code", redirectUri: "http://localhost:8000", scope: "openid email groups offline_access",
    });
    const { id_token } = await tokens(bob, other.client_id);
    assert.match(authenticate(id_token).error, /expected audience/);
  });
});
