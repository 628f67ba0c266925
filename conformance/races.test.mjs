// What works once works once: fifty programs at the same moment, on both databases, and on two servers that share one.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Person } from "./kit/person.mjs";
import { postgres } from "./kit/postgres.mjs";
import { basic, eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const redirect = "http://127.0.0.1:4999/cb";
const crowd = 50;
const verifier = "w".repeat(64);
const challenge = createHash("sha256").update(verifier).digest("base64url");
let cluster;

before(async () => (cluster = await postgres()));
after(() => cluster?.stop());

/** An authorization code, fresh from the pages. */
async function code(server, person, client, scope = "openid offline_access") {
  const query = { response_type: "code", client_id: client.client_id, redirect_uri: redirect, scope, code_challenge: challenge, code_challenge_method: "S256" };
  return (await person.authorize(server.at("/oauth/authorize", query))).searchParams.get("code");
}

const redeem = (server, client, code) =>
  server.post("/oauth/token", { grant_type: "authorization_code", code, redirect_uri: redirect, code_verifier: verifier }, basic(client));
const refresh = (server, client, refresh_token) => server.post("/oauth/token", { grant_type: "refresh_token", refresh_token }, basic(client));
const active = async (server, client, token) => (await server.post("/oauth/introspect", { token }, basic(client))).body.active;

/**
 * Sends the same request many times at once, to the servers in turn, and gives the one answer that succeeded.
 * Where it may be undecided for a moment whether the first was answered, others are told to try again.
 */
async function onlyOne(servers, request, undecided = false) {
  const answers = await Promise.all(Array.from({ length: crowd }, (_, i) => request(servers[i % servers.length])));
  const won = answers.filter((a) => a.status === 200);
  assert.equal(won.length, 1, `${won.length} of ${crowd} succeeded`);
  for (const lost of answers.filter((a) => a.status !== 200 && !(undecided && a.status === 503))) {
    assert.equal(lost.status, 400, lost.text);
    assert.equal(lost.body.error, "invalid_grant", lost.text);
  }
  return won[0].body;
}

for (const [what, settings, count] of [
  ["one server on SQLite", () => ({}), 1],
  ["one server on PostgreSQL", () => ({ DATABASE_URL: cluster.database("one") }), 1],
  ["two servers on one PostgreSQL", () => ({ DATABASE_URL: cluster.database("two") }), 2],
]) {
  describe(what, () => {
    let home, servers, people, client;

    before(async () => {
      const made = settings();
      // Away from SQLite's directory the key must be given. Servers that share a database share their address, too.
      if (made.DATABASE_URL) made.SECRET_KEY = randomBytes(32).toString("hex");
      const ports = await Promise.all(Array.from({ length: count }, freePort));
      made.BASE_URL = `http://localhost:${ports[0]}`;
      home = new Installation(made);
      const user = home.user();
      client = home.client({ grant: ["code", "refresh"], redirectUri: redirect, scope: "openid offline_access", firstParty: true });
      servers = [];
      for (const PORT of ports) servers.push(await home.serve({ PORT }));
      people = servers.map((server) => new Person(server, user));
    });

    after(() => Promise.all(servers.map((server) => server.stop())));

    it("gives tokens for one of fifty redemptions of a code, and takes them back for the others", async () => {
      const one = await code(servers[0], people[0], client);
      const tokens = await onlyOne(servers, (server) => redeem(server, client, one));
      await eventually(async () => assert.equal(await active(servers.at(-1), client, tokens.access_token), false));
    });

    it("turns a refresh token for one of fifty, and ends the family for the others", async () => {
      const given = await redeem(servers[0], client, await code(servers[0], people[0], client));
      const tokens = await onlyOne(servers, (server) => refresh(server, client, given.body.refresh_token), true);
      await eventually(async () => assert.equal((await refresh(servers[0], client, given.body.refresh_token)).body.error, "invalid_grant"));
      assert.equal((await refresh(servers[0], client, tokens.refresh_token)).body.error, "invalid_grant");
      await eventually(async () => assert.equal(await active(servers.at(-1), client, tokens.access_token), false));
    });

    if (count > 1) {
      const [here, there] = [() => servers[0], () => servers[1]];

      it("both see a client that is made, a secret that is rotated and a client that is deleted", async () => {
        const made = home.client({ grant: "client_credentials", scope: "read" });
        const get = (server, secret = made.client_secret) => server.post("/oauth/token", { grant_type: "client_credentials" }, basic({ ...made, client_secret: secret }));
        const all = (check) => eventually(() => Promise.all(servers.map(check)));
        await all(async (server) => assert.equal((await get(server)).status, 200));
        const { client_secret } = home.command("client", "rotate-secret", made.client_id, "--grace", "0");
        await all(async (server) => assert.equal((await get(server, client_secret)).status, 200));
        await all(async (server) => assert.equal((await get(server)).status, 401));
        home.command("client", "delete", made.client_id, "--yes");
        await all(async (server) => assert.equal((await get(server, client_secret)).status, 401));
      });

      it("the other refuses within a second what one has revoked", async () => {
        const { body } = await redeem(here(), client, await code(here(), people[0], client));
        assert.equal(await active(there(), client, body.access_token), true);
        await here().post("/oauth/revoke", { token: body.access_token }, basic(client));
        assert.equal(await active(here(), client, body.access_token), false);
        await eventually(async () => assert.equal(await active(there(), client, body.access_token), false));
        await there().post("/oauth/revoke", { token: body.refresh_token }, basic(client));
        await eventually(async () => assert.equal((await refresh(here(), client, body.refresh_token)).status, 400));
      });

      it("the other publishes a rotated key, and both sign with it", async () => {
        const { kid } = home.command("key", "rotate", "--now");
        for (const server of servers) {
          await eventually(async () => {
            const { keys } = await fetch(server.at("/.well-known/jwks.json")).then((r) => r.json());
            assert.ok(keys.some((k) => k.kid === kid));
          });
          const { body } = await redeem(server, client, await code(servers[0], people[0], client));
          assert.equal(JSON.parse(Buffer.from(body.access_token.split(".")[0], "base64url")).kid, kid);
        }
      });

      it("a code of one is redeemed at the other", async () => {
        assert.equal((await redeem(there(), client, await code(here(), people[0], client))).status, 200);
      });
    }
  });
}
