// The protocol as oauth4webapi reads it: every answer is held against its RFC, and RFC 9068 access tokens against a resource server's checks.
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import { Person } from "./kit/person.mjs";
import { Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const http = { [oauth.allowInsecureRequests]: true };
const redirect = "http://127.0.0.1:4999/cb";
let home, server, as, user, confidential, open, machine, tv;

before(async () => {
  home = new Installation();
  user = home.user({ email: "ada@example.com", name: "Ada Lovelace", emailVerified: true });
  confidential = home.client({ grant: ["code", "refresh"], redirectUri: redirect, scope: "openid profile email offline_access orders" });
  open = home.client({ public: true, grant: ["code", "refresh"], redirectUri: redirect, scope: "openid email" });
  machine = home.client({ grant: "client_credentials", scope: "read write", resource: "https://api.example.com" });
  tv = home.client({ public: true, grant: ["device", "refresh"], scope: "openid" });
  server = await home.serve();
  const issuer = new URL(server.issuer);
  as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
});

after(() => server?.stop());

const basic = (client) => oauth.ClientSecretBasic(client.client_secret);

/** What a rejected answer said. */
const refused = (error, status) => (e) => {
  const told = e.error ?? e.cause?.[0]?.parameters?.error;
  const code = told ?? (e.status === 401 && e.cause?.[0]?.scheme === "basic" ? "invalid_client" : undefined);
  assert.equal(code, error, `${e}: ${JSON.stringify(e.cause)}`);
  if (status) assert.equal(e.status, status);
  return true;
};

/** An authorization request in the person's browser; gives the parameters that come back and what must be remembered. */
async function ask(client, extra = {}, person = new Person(server, user)) {
  const kept = { verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce() };
  const url = new URL(as.authorization_endpoint);
  const query = {
    client_id: client.client_id,
    response_type: "code",
    redirect_uri: redirect,
    scope: "openid",
    state: kept.state,
    nonce: kept.nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(kept.verifier),
    code_challenge_method: "S256",
    ...extra,
  };
  for (const [k, v] of Object.entries(query)) if (v !== undefined) url.searchParams.set(k, v);
  return { back: await person.authorize(url), ...kept };
}

/** The whole code flow. */
async function login(client, auth, extra, person) {
  const { back, ...kept } = await ask(client, extra, person);
  return redeem(client, auth, oauth.validateAuthResponse(as, client, back, kept.state), kept);
}

async function redeem(client, auth, parameters, kept) {
  const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, parameters, redirect, kept.verifier, http);
  assert.match(answer.headers.get("cache-control"), /no-store/);
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, answer, { expectedNonce: kept.nonce, requireIdToken: true });
  await oauth.validateApplicationLevelSignature(as, answer, http);
  return tokens;
}

/** A request to an API that carries an access token. */
const call = (token) => new Request("https://api.example.com/orders", { headers: { authorization: `Bearer ${token}` } });

describe("authorization code", () => {
  it("with a secret: tokens, an ID token with a valid signature, userinfo", async () => {
    const tokens = await login(confidential, basic(confidential), { scope: "openid email" });
    const claims = oauth.getValidatedIdTokenClaims(tokens);
    assert.equal(claims.sub, user.id);
    const answer = await oauth.userInfoRequest(as, confidential, tokens.access_token, http);
    const info = await oauth.processUserInfoResponse(as, confidential, claims.sub, answer);
    assert.equal(info.email, "ada@example.com");
  });

  it("without a secret", async () => {
    const tokens = await login(open, oauth.None());
    assert.ok(tokens.refresh_token);
    const answer = await oauth.refreshTokenGrantRequest(as, open, oauth.None(), tokens.refresh_token, http);
    const next = await oauth.processRefreshTokenResponse(as, open, answer);
    await oauth.validateApplicationLevelSignature(as, answer, http);
    assert.notEqual(next.refresh_token, tokens.refresh_token);
    assert.equal(oauth.getValidatedIdTokenClaims(next).sub, user.id);
  });

  it("answers with iss, and state as it was sent", async () => {
    const state = "a b+c&d=ü/?#%";
    const { back } = await ask(confidential, { state });
    const parameters = oauth.validateAuthResponse(as, confidential, back, state);
    assert.equal(parameters.get("iss"), server.issuer);
  });

  for (const [what, extra, error] of [
    ["a response_type that is not served", { response_type: "token" }, "unsupported_response_type"],
    ["no response_type", { response_type: undefined }, "invalid_request"],
    ["a scope that the client may not have", { scope: "openid phone" }, "invalid_scope"],
    ["no PKCE", { code_challenge: undefined, code_challenge_method: undefined }, "invalid_request"],
    ["plain PKCE", { code_challenge_method: "plain" }, "invalid_request"],
    ["an unknown prompt", { prompt: "dance" }, "invalid_request"],
    ["prompt=none with another prompt", { prompt: "none login" }, "invalid_request"],
    ["max_age that is no number", { max_age: "soon" }, "invalid_request"],
    ["an unknown response_mode", { response_mode: "pigeon" }, "invalid_request"],
    ["claims that are not JSON", { claims: "{" }, "invalid_request"],
    ["an id_token_hint of nobody", { id_token_hint: "abc" }, "invalid_request"],
    ["nobody signed in with prompt=none", { prompt: "none" }, "login_required"],
    ["a resource that the client may not have", { resource: "https://elsewhere.example" }, "invalid_target"],
  ]) {
    it(`tells the client about ${what}: ${error}`, async () => {
      const { back, state } = await ask(open, extra);
      assert.equal(back.origin + back.pathname, redirect);
      assert.throws(() => oauth.validateAuthResponse(as, open, back, state), (e) => e.error === error || assert.fail(`${e.error}: ${e.message}`));
    });
  }

  it("is bound to the client, the redirect address and the verifier", async () => {
    for (const [what, spoil] of Object.entries({
      "another client": (r) => [{ client_id: machine.client_id }, basic(machine), r.back.searchParams.get("code"), redirect, r.verifier],
      "another address": (r) => [confidential, basic(confidential), r.back.searchParams.get("code"), `${redirect}2`, r.verifier],
      "another verifier": (r) => [confidential, basic(confidential), r.back.searchParams.get("code"), redirect, oauth.generateRandomCodeVerifier()],
      "a made-up code": (r) => [confidential, basic(confidential), "gth_ac_made-up", redirect, r.verifier],
    })) {
      const sent = await ask(confidential);
      const [client, auth, code, uri, verifier] = spoil(sent);
      const answer = await oauth.genericTokenEndpointRequest(as, client, auth, "authorization_code", { code, redirect_uri: uri, code_verifier: verifier }, http);
      const error = what === "another client" ? "unauthorized_client" : "invalid_grant";
      await assert.rejects(oauth.processGenericTokenEndpointResponse(as, client, answer), refused(error, 400), what);
    }
  });
});

describe("client credentials", () => {
  const grant = (client, auth, parameters = {}) => oauth.clientCredentialsGrantRequest(as, client, auth, parameters, http);

  it("by either way to send a secret", async () => {
    for (const auth of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
      const tokens = await oauth.processClientCredentialsResponse(as, machine, await grant(machine, auth(machine.client_secret)));
      assert.equal(tokens.scope, "read write");
    }
  });

  it("rejects wrong secrets, unknown clients and scopes that are not allowed", async () => {
    const said = async (client, auth, parameters) => oauth.processClientCredentialsResponse(as, client, await grant(client, auth, parameters));
    await assert.rejects(said(machine, oauth.ClientSecretBasic("wrong")), refused("invalid_client", 401));
    await assert.rejects(said(machine, oauth.ClientSecretPost("wrong")), refused("invalid_client", 401));
    await assert.rejects(said({ client_id: "nobody" }, oauth.ClientSecretPost("wrong")), refused("invalid_client", 401));
    assert.equal((await said(machine, basic(machine), { scope: "read unknown openid" })).scope, "read");
    await assert.rejects(said(open, oauth.None()), refused("unauthorized_client", 400));
    await assert.rejects(said(confidential, basic(confidential)), refused("unauthorized_client", 400));
    await assert.rejects(said(machine, oauth.None()), refused("invalid_client", 401));
  });
});

describe("JWT access tokens (RFC 9068)", () => {
  it("of a person pass a resource server's checks", async () => {
    const { access_token } = await login(confidential, basic(confidential), { scope: "openid orders" });
    const claims = await oauth.validateJwtAccessToken(as, call(access_token), server.issuer, http);
    assert.equal(claims.sub, user.id);
    assert.equal(claims.client_id, confidential.client_id);
    assert.equal(claims.scope, "openid orders");
    assert.ok(claims.jti && claims.gid);
    assert.ok(claims.auth_time <= claims.iat);
  });

  it("of a client pass them for the API that they are meant for, and no other", async () => {
    const answer = await oauth.clientCredentialsGrantRequest(as, machine, basic(machine), { resource: "https://api.example.com" }, http);
    const { access_token } = await oauth.processClientCredentialsResponse(as, machine, answer);
    const claims = await oauth.validateJwtAccessToken(as, call(access_token), "https://api.example.com", http);
    assert.equal(claims.sub, machine.client_id);
    await assert.rejects(oauth.validateJwtAccessToken(as, call(access_token), "https://other.example.com", http), /aud/);
  });

  it("cannot be forged, and an ID token is not accepted as one", async () => {
    const { access_token, id_token } = await login(confidential, basic(confidential));
    const [head, body, mark] = access_token.split(".");
    const forged = JSON.parse(Buffer.from(body, "base64url"));
    forged.sub = "somebody-else";
    const other = [head, Buffer.from(JSON.stringify(forged)).toString("base64url"), mark].join(".");
    await assert.rejects(oauth.validateJwtAccessToken(as, call(other), server.issuer, http), /signature/);
    await assert.rejects(oauth.validateJwtAccessToken(as, call(id_token), confidential.client_id, http), /typ/);
    for (const token of [other, id_token]) {
      const answer = await oauth.introspectionRequest(as, machine, basic(machine), token, http);
      assert.deepEqual({ ...(await oauth.processIntrospectionResponse(as, machine, answer)) }, { active: false });
      const info = await oauth.userInfoRequest(as, confidential, token, http);
      await assert.rejects(oauth.processUserInfoResponse(as, confidential, user.id, info), refused("invalid_token", 401));
    }
  });
});

describe("userinfo, introspection, revocation", () => {
  it("userinfo accepts a POST with the token in the form, and rejects one in the query", async () => {
    const { access_token } = await login(confidential, basic(confidential), { scope: "openid email" });
    const posted = await server.post("/oauth/userinfo", { access_token });
    assert.equal(posted.body.sub, user.id);
    const inAddress = await fetch(server.at("/oauth/userinfo", { access_token }));
    assert.equal(inAddress.status, 400);
    assert.equal((await inAddress.json()).error, "invalid_request");
  });

  it("userinfo without a token asks for one and says no more", async () => {
    const answer = await fetch(as.userinfo_endpoint);
    assert.equal(answer.status, 401);
    assert.match(answer.headers.get("www-authenticate"), /^Bearer realm=/);
    assert.doesNotMatch(answer.headers.get("www-authenticate"), /error=/);
  });

  it("userinfo requires the token of a person with the scope openid", async () => {
    const granted = await oauth.clientCredentialsGrantRequest(as, machine, basic(machine), {}, http);
    const { access_token } = await oauth.processClientCredentialsResponse(as, machine, granted);
    const info = await oauth.userInfoRequest(as, machine, access_token, http);
    await assert.rejects(oauth.processUserInfoResponse(as, machine, oauth.skipSubjectCheck, info), refused("insufficient_scope", 403));
  });

  it("tokeninfo tells a bearer about their token", async () => {
    const { access_token } = await login(open, oauth.None());
    const told = await fetch(server.at("/oauth/tokeninfo"), { headers: { authorization: `Bearer ${access_token}` } }).then((r) => r.json());
    assert.deepEqual(Object.keys(told).sort(), ["active", "aud", "client_id", "exp", "iss", "scope", "sub", "subject_type", "user_id"]);
    assert.equal(told.sub, user.id);
  });

  it("introspection requires client authentication", async () => {
    const { access_token } = await login(confidential, basic(confidential));
    const answer = await oauth.introspectionRequest(as, machine, basic(machine), access_token, http);
    const seen = await oauth.processIntrospectionResponse(as, machine, answer);
    assert.equal(seen.username, "ada@example.com");
    const byPublic = await oauth.introspectionRequest(as, open, oauth.None(), access_token, http);
    await assert.rejects(oauth.processIntrospectionResponse(as, open, byPublic), refused("invalid_client", 401));
    assert.equal((await server.post("/oauth/introspect", { token: access_token })).status, 401);
  });

  it("revocation succeeds for an unknown token, and fails for another client's token", async () => {
    const end = async (client, auth, token) => oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, http));
    await end(open, oauth.None(), "who knows");
    const { access_token, refresh_token } = await login(confidential, basic(confidential));
    for (const token of [access_token, refresh_token]) {
      await assert.rejects(end(machine, basic(machine), token), refused("unauthorized_client", 400));
    }
    const still = await oauth.introspectionRequest(as, machine, basic(machine), access_token, http);
    assert.equal((await oauth.processIntrospectionResponse(as, machine, still)).active, true);
  });
});

describe("device authorization (RFC 8628)", () => {
  const poll = (code) => oauth.deviceCodeGrantRequest(as, tv, oauth.None(), code, http);
  const start = async () => oauth.processDeviceAuthorizationResponse(as, tv, await oauth.deviceAuthorizationRequest(as, tv, oauth.None(), {}, http));

  it("waits, is slowed down, and gets its tokens", async () => {
    const device = await start();
    assert.match(device.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    await assert.rejects(oauth.processDeviceCodeResponse(as, tv, await poll(device.device_code)), refused("authorization_pending", 400));
    await assert.rejects(oauth.processDeviceCodeResponse(as, tv, await poll(device.device_code)), refused("slow_down", 400));
    await new Person(server, user).answerDevice(device.user_code);
    const tokens = await oauth.processDeviceCodeResponse(as, tv, await poll(device.device_code));
    assert.equal(oauth.getValidatedIdTokenClaims(tokens).sub, user.id);
  });

  it("belongs to the client that asked", async () => {
    const device = await start();
    const thief = await oauth.deviceCodeGrantRequest(as, open, oauth.None(), device.device_code, http);
    await assert.rejects(oauth.processDeviceCodeResponse(as, open, thief), refused("unauthorized_client", 400));
    await assert.rejects(oauth.processDeviceCodeResponse(as, tv, await poll("gth_dc_made-up")), refused("invalid_grant", 400));
  });

  it("is not for clients without that grant", async () => {
    const answer = await oauth.deviceAuthorizationRequest(as, open, oauth.None(), {}, http);
    await assert.rejects(oauth.processDeviceAuthorizationResponse(as, open, answer), refused("unauthorized_client", 400));
  });
});
