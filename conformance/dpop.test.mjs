// DPoP (RFC 9449) as oauth4webapi speaks it: the client's half makes proofs, the resource server's half checks our tokens.
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import { Person } from "./kit/person.mjs";
import { Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const http = { [oauth.allowInsecureRequests]: true };
const redirect = "http://127.0.0.1:4999/cb";
let home, plain, strict, user, spa, machine;

before(async () => {
  home = new Installation();
  user = home.user({ email: "ada@example.com", emailVerified: true });
  spa = home.client({ public: true, grant: ["code", "refresh"], redirectUri: redirect, scope: "openid email", dpopBound: true });
  machine = home.client({ grant: "client_credentials", scope: "read", resource: "https://api.example.com" });
  plain = await open({});
  strict = await open({ DPOP_NONCE: "required" });
});

after(async () => {
  await plain?.server.stop();
  await strict?.server.stop();
});

/** A server under some settings, and what it says of itself. */
async function open(settings) {
  const server = await home.serve(settings);
  const issuer = new URL(server.issuer);
  return { server, as: await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http)) };
}

/** A client's key, as a handle that makes proofs and keeps the newest nonce. */
async function key(client, alg = "ES256") {
  return oauth.DPoP(client, await oauth.generateKeyPair(alg));
}

/** What clients do: once more, with the nonce, where one is asked for. */
async function patiently(DPoP, request) {
  try {
    return await request({ DPoP, ...http });
  } catch (e) {
    if (!oauth.isDPoPNonceError(e)) throw e;
    return request({ DPoP, ...http });
  }
}

/** The code flow with a key; gives the tokens. */
async function login({ server, as }, DPoP, redeemer = DPoP) {
  const verifier = oauth.generateRandomCodeVerifier();
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: spa.client_id,
    response_type: "code",
    redirect_uri: redirect,
    scope: "openid email",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    dpop_jkt: await DPoP.calculateThumbprint(),
  });
  const back = oauth.validateAuthResponse(as, spa, await new Person(server, user).authorize(url), oauth.expectNoState);
  return patiently(redeemer, async (options) =>
    oauth.processAuthorizationCodeResponse(as, spa, await oauth.authorizationCodeGrantRequest(as, spa, oauth.None(), back, redirect, verifier, options)),
  );
}

const refused = (error) => (e) => {
  assert.equal(e.error ?? e.cause?.[0]?.parameters?.error, error, `${e}: ${JSON.stringify(e.cause)}`);
  return true;
};

for (const [name, at] of [
  ["without nonces", () => plain],
  ["with nonces", () => strict],
]) {
  describe(name, () => {
    for (const alg of ["ES256", "Ed25519", "RS256", "PS256"]) {
      it(`a public client signs in, refreshes and revokes with a key for ${alg}`, async () => {
        const { as } = at();
        const DPoP = await key(spa, alg);
        const first = await login(at(), DPoP);
        assert.equal(first.token_type, "dpop");
        const { sub } = oauth.getValidatedIdTokenClaims(first);
        const info = await patiently(DPoP, async (options) =>
          oauth.processUserInfoResponse(as, spa, sub, await oauth.userInfoRequest(as, spa, first.access_token, options)),
        );
        assert.equal(info.email, user.email);
        const next = await patiently(DPoP, async (options) =>
          oauth.processRefreshTokenResponse(as, spa, await oauth.refreshTokenGrantRequest(as, spa, oauth.None(), first.refresh_token, options)),
        );
        assert.equal(next.token_type, "dpop");
      });
    }

    it("another key neither redeems the code nor refreshes", async () => {
      const { as } = at();
      const [mine, theirs] = [await key(spa), await key(spa)];
      await assert.rejects(login(at(), mine, theirs), refused("invalid_grant"));
      const { refresh_token } = await login(at(), mine);
      const refresh = (DPoP) =>
        patiently(DPoP, async (options) =>
          oauth.processRefreshTokenResponse(as, spa, await oauth.refreshTokenGrantRequest(as, spa, oauth.None(), refresh_token, options)),
        );
      await assert.rejects(refresh(theirs), refused("invalid_grant"));
      assert.ok((await refresh(mine)).access_token);
    });
  });
}

describe("resource server", () => {
  it("finds the key in the token", async () => {
    const { as } = plain;
    const DPoP = await key(machine);
    const answer = await oauth.clientCredentialsGrantRequest(as, machine, oauth.ClientSecretBasic(machine.client_secret), { resource: "https://api.example.com" }, { DPoP, ...http });
    const { access_token } = await oauth.processClientCredentialsResponse(as, machine, answer);
    let sent;
    await oauth.protectedResourceRequest(access_token, "GET", new URL("https://api.example.com/orders"), undefined, undefined, {
      DPoP,
      [oauth.customFetch]: async (url, init) => {
        sent = new Request(url, init);
        return new Response("{}");
      },
    });
    const claims = await oauth.validateJwtAccessToken(as, sent, "https://api.example.com", { requireDPoP: true, ...http });
    assert.equal(claims.cnf.jkt, await DPoP.calculateThumbprint());
    const bare = new Request("https://api.example.com/orders", { headers: { authorization: `Bearer ${access_token}` } });
    await assert.rejects(oauth.validateJwtAccessToken(as, bare, "https://api.example.com", http));
  });

  it("is rejected at the userinfo endpoint without the key", async () => {
    const { access_token } = await login(plain, await key(spa));
    const answer = await fetch(plain.as.userinfo_endpoint, { headers: { authorization: `Bearer ${access_token}` } });
    assert.equal(answer.status, 401);
    assert.match(answer.headers.get("www-authenticate"), /^DPoP .*error="invalid_token"/);
  });
});
