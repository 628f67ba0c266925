// An API that knows Gatehouse by its published keys alone and checks tokens with jose, for every algorithm that tokens can be signed with.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as jose from "jose";
import { Person } from "./kit/person.mjs";
import { basic, eventually, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const redirect = "http://127.0.0.1:4999/cb";
const verifier = "a-verifier-of-more-than-forty-three-characters-01";
const challenge = createHash("sha256").update(verifier).digest("base64url");

/** Logs in and gives the tokens. */
async function login(server, person, client, nonce = "n-1") {
  const back = await person.authorize(
    server.at("/oauth/authorize", {
      client_id: client.client_id, response_type: "code", redirect_uri: redirect, scope: "openid email", nonce,
      code_challenge: challenge, code_challenge_method: "S256",
    }),
  );
  const form = { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri: redirect, code_verifier: verifier };
  const { status, body } = await server.post("/oauth/token", form, basic(client));
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

const web = { grant: "code", redirectUri: redirect, scope: "openid email", firstParty: true };
const keysOf = (server) => jose.createRemoteJWKSet(server.at("/.well-known/jwks.json"), { cooldownDuration: 0 });

for (const own of ["RS256", "ES256", "PS256", "EdDSA"]) {
  describe(`a server that signs with ${own}`, () => {
    let home, server, person, keys, clients;

    before(async () => {
      home = new Installation({ JWT_ALGORITHM: own });
      const user = home.user();
      clients = { default: home.client(web) };
      // Every client may have its own algorithm; it is enough to see that beside one default.
      if (own === "RS256") for (const alg of ["ES256", "PS256", "EdDSA"]) clients[alg] = home.client({ ...web, alg });
      if (own === "EdDSA") clients.RS256 = home.client({ ...web, alg: "RS256" });
      server = await home.serve();
      person = new Person(server, user);
      keys = keysOf(server);
    });

    after(() => server?.stop());

    it("publishes public keys only, each with what it is for", async () => {
      const { keys: all } = await fetch(server.at("/.well-known/jwks.json")).then((r) => r.json());
      assert.ok(all.length > 0);
      for (const key of all) {
        assert.equal(key.use, "sig");
        assert.ok(key.kid && key.alg);
        for (const secret of ["d", "p", "q", "dp", "dq", "qi", "k"]) assert.equal(key[secret], undefined, secret);
      }
      assert.equal(new Set(all.map((k) => k.kid)).size, all.length);
    });

    it("gives every client tokens that verify", async () => {
      for (const [name, client] of Object.entries(clients)) {
        const alg = name === "default" ? own : name;
        const tokens = await login(server, person, client);
        const access = await jose.jwtVerify(tokens.access_token, keys, { issuer: server.issuer, audience: server.issuer, typ: "at+jwt", algorithms: [alg] });
        assert.equal(access.protectedHeader.alg, alg);
        assert.equal(access.payload.sub, person.user.id);
        const id = await jose.jwtVerify(tokens.id_token, keys, { issuer: server.issuer, audience: client.client_id, algorithms: [alg] });
        assert.equal(id.payload.nonce, "n-1");
        assert.equal(id.payload.email, person.user.email);
        // at_hash is the left half of the hash that the algorithm uses; of Ed25519 that is SHA-512.
        const hash = createHash(alg === "EdDSA" ? "sha512" : "sha256").update(tokens.access_token).digest();
        assert.equal(id.payload.at_hash, hash.subarray(0, hash.length / 2).toString("base64url"));
      }
    });

    it("publishes the next key before it signs with it, and keeps the old one published", async () => {
      const kidOf = async () => jose.decodeProtectedHeader((await login(server, person, clients.default)).access_token).kid;
      const published = async () => (await fetch(server.at("/.well-known/jwks.json")).then((r) => r.json())).keys.map((k) => k.kid);
      const old = await login(server, person, clients.default);
      const { kid: first } = jose.decodeProtectedHeader(old.access_token);
      const rotated = Date.now();
      const next = home.command("key", "rotate", "--publish-ahead", "2s");
      await eventually(async () => assert.ok((await published()).includes(next.kid)));
      const early = await kidOf();
      if (Date.now() < rotated + 2_000) assert.equal(early, first, "the new key does not sign yet");
      await eventually(async () => assert.equal(await kidOf(), next.kid));
      assert.ok((await published()).includes(first));
      await jose.jwtVerify(old.access_token, keysOf(server), { issuer: server.issuer });
      const { kid: urgent } = home.command("key", "rotate", "--now");
      await eventually(async () => assert.equal(await kidOf(), urgent));
    });
  });
}
