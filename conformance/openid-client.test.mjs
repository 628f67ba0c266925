// A web application that uses openid-client, and the person in front of it with a real browser.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as jose from "jose";
import * as oidc from "openid-client";
import { browser, consent, page as open, Party, signIn } from "./kit/browser.mjs";
import { eventually, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const execute = [oidc.allowInsecureRequests]; // http, as loopback allows
const everything = "openid profile email offline_access";
let home, server, chrome, party, ada, web, config;

before(async () => {
  home = new Installation();
  ada = home.user({ email: "ada@example.com", name: "Ada Lovelace", username: "ada", emailVerified: true });
  [server, chrome, party] = await Promise.all([home.serve(), browser(), Party.listen()]);
  web = await register({});
  config = await discover(web);
});

after(async () => {
  await Promise.all([chrome?.close(), party?.close()]);
  await server?.stop();
});

/** A confidential web application, unless the fields say otherwise. */
function register(fields) {
  return server.client({
    name: "Web shop",
    grant: ["code", "refresh"],
    redirectUri: party.redirect,
    postLogoutRedirectUri: `${party.origin}/bye`,
    scope: everything,
    ...fields,
  });
}

/** A person's browser with nothing in it. */
const fresh = () => open(chrome);

function discover(client, auth) {
  return oidc.discovery(new URL(server.issuer), client.client_id, client.client_secret, auth, { execute });
}

/** One authorization request, with all that a careful application checks afterwards. */
async function request(parameters = {}, as = config) {
  const verifier = oidc.randomPKCECodeVerifier();
  const checks = { pkceCodeVerifier: verifier, expectedState: oidc.randomState(), expectedNonce: oidc.randomNonce(), idTokenExpected: true };
  const url = oidc.buildAuthorizationUrl(as, {
    redirect_uri: party.redirect,
    scope: everything,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...parameters,
  });
  return { url: url.href, checks };
}

/** Logs a person in from scratch, with consent if the page comes up. */
async function login(page, parameters, as = config, user = ada) {
  const { url, checks } = await request(parameters, as);
  await page.goto(url);
  await signIn(page, user);
  await page.waitForURL((u) => u.origin === party.origin || u.pathname === "/consent");
  if (new URL(page.url()).pathname === "/consent") await consent(page);
  return oidc.authorizationCodeGrant(as, await party.arrival(page), checks);
}

/** Where a request ends that needs no person. */
async function silently(page, parameters, as = config) {
  const { url, checks } = await request(parameters, as);
  await page.goto(url);
  return { back: await party.arrival(page), checks };
}

const failsWith = (error) => (e) => (e.error ?? e.cause?.error) === error || assert.fail(`${e.error ?? e}: wanted ${error}`);

describe("discovery", () => {
  it("gives the library all that it needs", () => {
    const metadata = config.serverMetadata();
    assert.equal(metadata.issuer, server.issuer);
    assert.ok(metadata.supportsPKCE());
    assert.ok(metadata.authorization_response_iss_parameter_supported);
    for (const name of ["authorization", "token", "userinfo", "introspection", "revocation", "device_authorization", "end_session"]) {
      assert.ok(metadata[`${name}_endpoint`].startsWith(`${server.issuer}/oauth/`), name);
    }
  });

  it("is the same document for OAuth clients", async () => {
    const as = await oidc.discovery(new URL(server.issuer), web.client_id, undefined, undefined, { execute, algorithm: "oauth2" });
    assert.deepEqual({ ...as.serverMetadata() }, { ...config.serverMetadata() });
  });
});

describe("a person logs in to a web application", () => {
  let page, tokens;

  before(async () => (page = await fresh()));

  it("by login page, consent page and callback", async () => {
    const { url, checks } = await request();
    await page.goto(url);
    assert.equal(new URL(page.url()).pathname, "/login");
    assert.match(await page.locator("main").innerText(), /Web shop/);
    await signIn(page, ada);
    await page.waitForURL("**/consent?*");
    const asked = await page.locator("main").innerText();
    assert.match(asked, /Web shop/);
    assert.ok(asked.includes(new URL(party.origin).host), "the page names the host that the person goes back to");
    await consent(page);
    const back = await party.arrival(page);
    assert.equal(back.searchParams.get("iss"), server.issuer); // RFC 9207
    tokens = await oidc.authorizationCodeGrant(config, back, checks);
    assert.equal(tokens.token_type, "bearer");
    assert.equal(tokens.expires_in, 3600);
    assert.deepEqual(tokens.scope.split(" ").sort(), everything.split(" ").sort());
  });

  it("and the ID token says who, when and how", () => {
    const claims = tokens.claims();
    assert.equal(claims.sub, ada.id);
    assert.equal(claims.aud, web.client_id);
    assert.ok(Math.abs(claims.auth_time - Date.now() / 1000) < 60);
    assert.deepEqual(claims.amr, ["pwd"]);
    const half = createHash("sha256").update(tokens.access_token).digest().subarray(0, 16);
    assert.equal(claims.at_hash, half.toString("base64url"));
  });

  it("and userinfo tells what the scopes allow", async () => {
    const info = await oidc.fetchUserInfo(config, tokens.access_token, ada.id);
    assert.equal(info.name, "Ada Lovelace");
    assert.equal(info.email, "ada@example.com");
    assert.equal(info.email_verified, true);
    assert.equal(info.preferred_username, "ada");
    assert.equal(info.address, undefined);
  });

  it("and is not asked again, in this browser or for this application", async () => {
    const { back, checks } = await silently(page);
    const again = await oidc.authorizationCodeGrant(config, back, checks);
    assert.equal(again.claims().sub, ada.id);
  });

  it("and the refresh token is rotated at every use", async () => {
    const next = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    assert.notEqual(next.refresh_token, tokens.refresh_token);
    assert.equal(next.claims().sub, ada.id);
    const narrow = await oidc.refreshTokenGrant(config, next.refresh_token, { scope: "openid" });
    assert.equal(narrow.scope, "openid");
    tokens = await oidc.refreshTokenGrant(config, narrow.refresh_token);
    assert.ok(tokens.scope.includes("email"), "a narrower access token does not narrow the grant");
  });

  it("and a stolen, older refresh token ends the whole family", async () => {
    const mine = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    await assert.rejects(oidc.refreshTokenGrant(config, tokens.refresh_token), failsWith("invalid_grant"));
    await assert.rejects(oidc.refreshTokenGrant(config, mine.refresh_token), failsWith("invalid_grant"));
    assert.equal((await oidc.tokenIntrospection(config, mine.access_token)).active, false);
  });
});

describe("tokens", () => {
  let page, tokens;

  before(async () => {
    page = await fresh();
    tokens = await login(page);
  });

  it("are introspected by a client that proves itself", async () => {
    const seen = await oidc.tokenIntrospection(config, tokens.access_token);
    assert.equal(seen.active, true);
    assert.equal(seen.sub, ada.id);
    assert.equal(seen.client_id, web.client_id);
    assert.equal(seen.iss, server.issuer);
    assert.equal(seen.token_type, "Bearer");
    assert.ok(seen.exp > Date.now() / 1000);
    assert.equal((await oidc.tokenIntrospection(config, tokens.refresh_token)).active, true);
    assert.deepEqual({ ...(await oidc.tokenIntrospection(config, "nonsense")) }, { active: false });
  });

  it("of access are revoked alone", async () => {
    await oidc.tokenRevocation(config, tokens.access_token);
    assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
    await assert.rejects(oidc.fetchUserInfo(config, tokens.access_token, ada.id), (e) => e.cause?.[0]?.parameters?.error === "invalid_token");
    tokens = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, true);
  });

  it("of refresh take the access tokens along", async () => {
    await oidc.tokenRevocation(config, tokens.refresh_token, { token_type_hint: "refresh_token" });
    assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
    await assert.rejects(oidc.refreshTokenGrant(config, tokens.refresh_token), failsWith("invalid_grant"));
  });

  it("are gone when the code that gave them comes again", async () => {
    const { back, checks } = await silently(page);
    const given = await oidc.authorizationCodeGrant(config, back, checks);
    await assert.rejects(oidc.authorizationCodeGrant(config, back, checks), failsWith("invalid_grant"));
    assert.equal((await oidc.tokenIntrospection(config, given.access_token)).active, false);
    await assert.rejects(oidc.refreshTokenGrant(config, given.refresh_token), failsWith("invalid_grant"));
  });

  it("are not given for a code without its verifier, and the code is spent", async () => {
    const { back, checks } = await silently(page);
    await assert.rejects(oidc.authorizationCodeGrant(config, back, { ...checks, pkceCodeVerifier: oidc.randomPKCECodeVerifier() }), failsWith("invalid_grant"));
    await assert.rejects(oidc.authorizationCodeGrant(config, back, checks), failsWith("invalid_grant"));
  });

  it("may be opaque for one client", async () => {
    const client = await register({ tokenFormat: "opaque", firstParty: true });
    const as = await discover(client);
    const { back, checks } = await silently(page, {}, as);
    const given = await oidc.authorizationCodeGrant(as, back, checks);
    assert.match(given.access_token, /^gth_at_/);
    assert.equal((await oidc.fetchUserInfo(as, given.access_token, ada.id)).name, "Ada Lovelace");
    assert.equal((await oidc.tokenIntrospection(as, given.access_token)).sub, ada.id);
  });

  it("have the type JWT for one client, and are still no ID tokens", async () => {
    const client = await register({ tokenTyp: "JWT", idTokenProfile: "off", firstParty: true });
    const as = await discover(client);
    const { back, checks } = await silently(page, {}, as);
    const given = await oidc.authorizationCodeGrant(as, back, checks);
    const keys = jose.createRemoteJWKSet(new URL(as.serverMetadata().jwks_uri));
    const from = { issuer: server.issuer, typ: "JWT" };
    const { payload } = await jose.jwtVerify(given.access_token, keys, { ...from, audience: server.issuer });
    assert.equal(payload.client_id, client.client_id);
    await assert.rejects(jose.jwtVerify(given.id_token, keys, { ...from, audience: server.issuer }), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED" });
    assert.equal((await oidc.tokenIntrospection(as, given.access_token)).active, true);
    assert.equal((await oidc.tokenIntrospection(as, given.id_token)).active, false);
    // The profile is at userinfo alone.
    assert.equal(given.claims().name, undefined);
    assert.equal((await oidc.fetchUserInfo(as, given.access_token, ada.id)).name, "Ada Lovelace");
    await assert.rejects(oidc.fetchUserInfo(as, given.id_token, ada.id), (e) => e.cause?.[0]?.parameters?.error === "invalid_token");
  });

  it("are seen by the clients of the APIs that they are for", async () => {
    const [orders, files] = ["https://orders.example.com", "https://files.example.com"];
    const robot = await discover(await server.client({ grant: "client_credentials", resource: [orders, files] }));
    const api = async (fields) => discover(await server.client({ grant: "client_credentials", ...fields }));
    const [one, none, any] = await Promise.all([api({ resource: orders }), api({}), api({ introspectAny: true })]);
    for (const [resource, seen] of [
      [undefined, [true, true, true]],
      [orders, [true, false, true]],
      [files, [false, false, true]],
    ]) {
      const { access_token } = await oidc.clientCredentialsGrant(robot, resource ? { resource } : {});
      const answers = await Promise.all([one, none, any].map((as) => oidc.tokenIntrospection(as, access_token)));
      assert.deepEqual(answers.map((a) => a.active), seen, resource);
      for (const hidden of answers.filter((a) => !a.active)) assert.deepEqual({ ...hidden }, { active: false });
      assert.equal((await oidc.tokenIntrospection(robot, access_token)).active, true);
    }
  });
});

describe("logging out by the application", () => {
  it("ends the session at once with an ID token as proof, and goes back", async () => {
    const page = await fresh();
    const tokens = await login(page, { scope: "openid" });
    await page.goto(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${party.origin}/bye`, state: "so long" }).href);
    const back = await party.arrival(page, "/bye");
    assert.equal(back.searchParams.get("state"), "so long");
    const { back: after } = await silently(page, { prompt: "none" });
    assert.equal(after.searchParams.get("error"), "login_required");
    assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
  });

  it("asks the person when there is no proof", async () => {
    const page = await fresh();
    await login(page, { scope: "openid" });
    await page.goto(oidc.buildEndSessionUrl(config, { post_logout_redirect_uri: `${party.origin}/bye` }).href);
    assert.match(await page.locator("h1").innerText(), /Sign out\?/);
    await page.locator("#submit").click();
    await party.arrival(page, "/bye");
    await page.goto(`${server.issuer}/account`);
    assert.equal(new URL(page.url()).pathname, "/login");
  });

  it("goes to no address that is not registered", async () => {
    const page = await fresh();
    const tokens = await login(page, { scope: "openid" });
    await page.goto(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${party.origin}/elsewhere` }).href);
    assert.equal(new URL(page.url()).origin, server.issuer);
    assert.match(await page.locator("main").innerText(), /not registered/);
  });
});

describe("what an application may ask of the login", () => {
  let page, first;

  before(async () => {
    page = await fresh();
    first = await login(page);
  });

  it("prompt=none with a session needs nobody", async () => {
    const { back, checks } = await silently(page, { prompt: "none" });
    assert.equal((await oidc.authorizationCodeGrant(config, back, checks)).claims().sub, ada.id);
  });

  it("prompt=none without a session is login_required", async () => {
    const { back } = await silently(await fresh(), { prompt: "none" });
    assert.equal(back.searchParams.get("error"), "login_required");
    assert.equal(back.searchParams.get("iss"), server.issuer);
  });

  it("prompt=none without consent is consent_required", async () => {
    const as = await discover(await register({ name: "Newcomer" }));
    const { back, checks } = await silently(page, { prompt: "none" }, as);
    await assert.rejects(oidc.authorizationCodeGrant(as, back, checks), failsWith("consent_required"));
  });

  it("prompt=login asks for the password again, and auth_time moves", async () => {
    await new Promise((wake) => setTimeout(wake, 1100)); // auth_time has whole seconds
    const { url, checks } = await request({ prompt: "login" });
    await page.goto(url);
    assert.equal(new URL(page.url()).pathname, "/login");
    await signIn(page, ada);
    const claims = (await oidc.authorizationCodeGrant(config, await party.arrival(page), checks)).claims();
    assert.ok(claims.auth_time > first.claims().auth_time);
  });

  it("prompt=consent asks although it was allowed, and a refusal is access_denied", async () => {
    const { url, checks } = await request({ prompt: "consent" });
    await page.goto(url);
    assert.equal(new URL(page.url()).pathname, "/consent");
    await consent(page, "deny");
    const back = await party.arrival(page);
    await assert.rejects(oidc.authorizationCodeGrant(config, back, checks), failsWith("access_denied"));
  });

  it("more scopes than before are asked for, and only those once", async () => {
    const as = await discover(await register({ name: "Greedy" }));
    await page.goto((await request({ scope: "openid" }, as)).url);
    await consent(page);
    await party.arrival(page);
    await page.goto((await request({ scope: "openid email" }, as)).url);
    assert.equal(new URL(page.url()).pathname, "/consent");
    await consent(page);
    await party.arrival(page);
    const { back } = await silently(page, { scope: "openid email" }, as);
    assert.ok(back.searchParams.get("code"));
  });

  it("prompt=select_account shows who is signed in", async () => {
    const { url, checks } = await request({ prompt: "select_account" });
    await page.goto(url);
    assert.match(await page.locator("main").innerText(), /Ada Lovelace|ada@example\.com/);
    await page.locator("#submit").click();
    const claims = (await oidc.authorizationCodeGrant(config, await party.arrival(page), checks)).claims();
    assert.equal(claims.sub, ada.id);
  });

  it("prompt=select_account lets somebody else in", async () => {
    const grace = home.user({ email: "grace@example.com" });
    const other = await fresh();
    await login(other);
    const { url, checks } = await request({ prompt: "select_account" });
    await other.goto(url);
    await other.locator("main button:not(#submit)").first().click();
    await signIn(other, grace);
    await other.waitForURL("**/consent?*");
    await consent(other);
    const claims = (await oidc.authorizationCodeGrant(config, await party.arrival(other), checks)).claims();
    assert.equal(claims.sub, grace.id);
  });

  it("max_age that has passed asks for the password; the library checks auth_time", async () => {
    await new Promise((wake) => setTimeout(wake, 1200));
    const { url, checks } = await request({ max_age: "1" });
    await page.goto(url);
    assert.equal(new URL(page.url()).pathname, "/login");
    await signIn(page, ada);
    await oidc.authorizationCodeGrant(config, await party.arrival(page), { ...checks, maxAge: 1 });
  });

  it("max_age that has not passed asks nothing", async () => {
    const { back, checks } = await silently(page, { max_age: "3600" });
    await oidc.authorizationCodeGrant(config, back, { ...checks, maxAge: 3600 });
  });

  it("login_hint fills in the name", async () => {
    const other = await fresh();
    await other.goto((await request({ login_hint: "ada@example.com" })).url);
    assert.equal(await other.locator("[name=username]").inputValue(), "ada@example.com");
  });

  it("id_token_hint of somebody else asks for a login", async () => {
    const bob = home.user({ email: "bob@example.com" });
    const other = await fresh();
    await login(other, { scope: "openid" }, config, bob);
    const { back } = await silently(other, { prompt: "none", id_token_hint: first.id_token });
    assert.equal(back.searchParams.get("error"), "login_required");
  });

  it("the claims parameter moves claims into the ID token and to userinfo", async () => {
    const claims = { id_token: { email: { essential: true }, auth_time: null }, userinfo: { name: null } };
    const { back, checks } = await silently(page, { scope: "openid", claims: JSON.stringify(claims) });
    const tokens = await oidc.authorizationCodeGrant(config, back, checks);
    assert.equal(tokens.claims().email, "ada@example.com");
    const info = await oidc.fetchUserInfo(config, tokens.access_token, ada.id);
    assert.equal(info.name, "Ada Lovelace");
    assert.equal(info.email, undefined);
  });

  it("an essential acr that nobody can reach is told to the application", async () => {
    const claims = { id_token: { acr: { essential: true, values: ["urn:nobody:has:this"] } } };
    const { back } = await silently(page, { scope: "openid", claims: JSON.stringify(claims) });
    assert.equal(back.searchParams.get("error"), "unmet_authentication_requirements");
  });

  it("response_mode=form_post posts the answer", async () => {
    const { url, checks } = await request({ response_mode: "form_post" });
    party.received.length = 0;
    await page.goto(url);
    await party.arrival(page);
    const sent = party.received.find((r) => r.method === "POST" && r.url.pathname === "/cb");
    const form = new Request(party.redirect, { method: "POST", body: sent.body, headers: { "content-type": sent.headers["content-type"] } });
    assert.equal((await oidc.authorizationCodeGrant(config, form, checks)).claims().sub, ada.id);
  });

  it("response_mode=form_post works from a fresh login too, without JavaScript", async () => {
    const other = await open(chrome, { javaScriptEnabled: false });
    const { url, checks } = await request({ response_mode: "form_post" });
    party.received.length = 0;
    await other.goto(url);
    await signIn(other, ada);
    await other.getByRole("button", { name: "Continue" }).click();
    await party.arrival(other);
    const sent = party.received.find((r) => r.method === "POST");
    const form = new Request(party.redirect, { method: "POST", body: sent.body, headers: { "content-type": sent.headers["content-type"] } });
    assert.equal((await oidc.authorizationCodeGrant(config, form, checks)).claims().sub, ada.id);
  });

  it("response_mode=fragment keeps the answer from the server behind the page", async () => {
    const { back, checks } = await silently(page, { response_mode: "fragment" });
    assert.equal(back.search, "");
    back.search = back.hash.slice(1);
    back.hash = "";
    assert.equal((await oidc.authorizationCodeGrant(config, back, checks)).claims().sub, ada.id);
  });

  it("an answer of another issuer is refused by the library (RFC 9207)", async () => {
    const { back, checks } = await silently(page);
    back.searchParams.set("iss", "https://attacker.example");
    await assert.rejects(oidc.authorizationCodeGrant(config, back, checks), (e) => /"iss"/.test(e.cause?.message));
  });
});

describe("an application that signs its requests", () => {
  let keys, client, as, page;

  before(async () => {
    keys = await jose.generateKeyPair("ES256", { extractable: true });
    const file = join(home.dir, "request-keys.json");
    writeFileSync(file, JSON.stringify({ keys: [{ ...(await jose.exportJWK(keys.publicKey)), kid: "sign", alg: "ES256", use: "sig" }] }));
    client = await register({ firstParty: true, jwks: file, requestObjectSigningAlg: "ES256" });
    as = await discover(client);
    page = await fresh();
  });

  /** What the library signs, with its checks. */
  async function signed(parameters = {}, key = keys.privateKey) {
    const { url, checks } = await request(parameters, as);
    const inside = Object.fromEntries(new URL(url).searchParams);
    return { url: await oidc.buildAuthorizationUrlWithJAR(as, inside, { key, kid: "sign" }), checks };
  }

  it("finds in discovery that it may", () => {
    const metadata = as.serverMetadata();
    assert.equal(metadata.request_parameter_supported, true);
    assert.equal(metadata.request_uri_parameter_supported, false);
    assert.ok(metadata.request_object_signing_alg_values_supported.includes("ES256"));
    assert.ok(!metadata.request_object_signing_alg_values_supported.some((alg) => alg === "none" || alg.startsWith("HS")));
  });

  it("logs a person in, whatever else the address says", async () => {
    const { url, checks } = await signed();
    url.searchParams.set("scope", "openid");
    url.searchParams.set("redirect_uri", "https://elsewhere.example/");
    url.searchParams.set("state", "mallory");
    await page.goto(url.href);
    await signIn(page, ada);
    const tokens = await oidc.authorizationCodeGrant(as, await party.arrival(page), checks);
    assert.equal(tokens.claims().sub, ada.id);
    assert.deepEqual(tokens.scope.split(" ").sort(), everything.split(" ").sort());
  });

  it("by a form from another site as well", async () => {
    const { url, checks } = await signed();
    await page.goto(party.origin);
    await page.evaluate(([action, fields]) => {
      const form = Object.assign(document.createElement("form"), { action, method: "post" });
      for (const [name, value] of fields) form.append(Object.assign(document.createElement("input"), { name, value }));
      document.body.append(form);
      form.submit();
    }, [url.origin + url.pathname, [...url.searchParams]]);
    const tokens = await oidc.authorizationCodeGrant(as, await party.arrival(page), checks);
    assert.equal(tokens.claims().sub, ada.id);
  });

  it("is told at a registered address what is wrong with an object, and is not sent elsewhere", async () => {
    const stranger = await jose.generateKeyPair("ES256");
    const { url } = await signed({}, stranger.privateKey);
    const page = await fetch(url, { redirect: "manual" });
    assert.equal(page.status, 400);
    url.searchParams.set("redirect_uri", party.redirect);
    const told = await fetch(url, { redirect: "manual" });
    assert.equal(told.status, 303);
    const back = new URL(told.headers.get("location"));
    assert.equal(back.origin + back.pathname, party.redirect);
    assert.equal(back.searchParams.get("error"), "invalid_request_object");
    assert.equal(back.searchParams.get("iss"), server.issuer);
  });

  it("gets no unsigned object accepted", async () => {
    const { url } = await signed();
    const inside = jose.decodeJwt(url.searchParams.get("request"));
    url.searchParams.set("request", new jose.UnsecuredJWT(inside).encode());
    url.searchParams.set("redirect_uri", party.redirect);
    const told = await fetch(url, { redirect: "manual" });
    assert.equal(new URL(told.headers.get("location")).searchParams.get("error"), "invalid_request_object");
  });
});

describe("clients", () => {
  it("without a secret use PKCE, on any loopback port", async () => {
    const client = await register({ name: "Native app", public: true, redirectUri: "http://127.0.0.1/cb" });
    const as = await discover(client, oidc.None());
    const tokens = await login(await fresh(), {}, as);
    const next = await oidc.refreshTokenGrant(as, tokens.refresh_token);
    assert.notEqual(next.refresh_token, tokens.refresh_token);
  });

  it("act for themselves", async () => {
    const client = await server.client({ name: "Worker", grant: "client_credentials", scope: "metrics:read metrics:write" });
    for (const auth of [oidc.ClientSecretBasic, oidc.ClientSecretPost]) {
      const as = await discover(client, auth(client.client_secret));
      const tokens = await oidc.clientCredentialsGrant(as, { scope: "metrics:read" });
      assert.equal(tokens.scope, "metrics:read");
      assert.equal(tokens.refresh_token, undefined);
      assert.equal(tokens.id_token, undefined);
      assert.equal((await oidc.tokenIntrospection(as, tokens.access_token)).sub, client.client_id);
    }
  });

  for (const alg of ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]) {
    it(`authenticate with their own key: private_key_jwt by ${alg}`, async () => {
      const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
      const kid = `k-${alg}`;
      const keys = join(home.dir, `${kid}.json`);
      writeFileSync(keys, JSON.stringify({ keys: [{ ...(await jose.exportJWK(publicKey)), kid, alg, use: "sig" }] }));
      const client = await server.client({ name: "Robot", grant: "client_credentials", scope: "read", authMethod: "private_key_jwt", jwks: keys });
      assert.equal(client.client_secret, undefined);
      const as = await discover(client, oidc.PrivateKeyJwt({ key: privateKey, kid }, { [oidc.modifyAssertion]: (header) => (header.alg = alg) }));
      const tokens = await oidc.clientCredentialsGrant(as);
      assert.equal((await oidc.tokenIntrospection(as, tokens.access_token)).client_id, client.client_id);
    });
  }

  it("publish their keys themselves", async () => {
    const { publicKey, privateKey } = await jose.generateKeyPair("ES256", { extractable: true });
    const keys = [{ ...(await jose.exportJWK(publicKey)), kid: "first", alg: "ES256", use: "sig" }];
    const keyServer = await Party.listen({ "/jwks": { type: "application/json", body: JSON.stringify({ keys }) } });
    const client = await server.client({ name: "Publisher", grant: "client_credentials", scope: "read", authMethod: "private_key_jwt", jwksUri: `${keyServer.origin}/jwks` });
    const as = await discover(client, oidc.PrivateKeyJwt({ key: privateKey, kid: "first" }));
    assert.equal((await oidc.clientCredentialsGrant(as)).scope, "read");
    const stranger = await jose.generateKeyPair("ES256");
    const thief = await discover(client, oidc.PrivateKeyJwt({ key: stranger.privateKey, kid: "made up" }));
    for (let i = 0; i < 5; i++) await assert.rejects(oidc.clientCredentialsGrant(thief), failsWith("invalid_client"));
    assert.ok(keyServer.received.length < 3, "made-up key ids do not make the server call again and again");
    await keyServer.close();
  });

  it("ask for an API by its name (RFC 8707)", async () => {
    const api = "https://api.example.com/v1";
    const client = await server.client({ name: "Caller", grant: "client_credentials", scope: "read", resource: api });
    const as = await discover(client);
    const tokens = await oidc.clientCredentialsGrant(as, { resource: api });
    assert.equal(jose.decodeJwt(tokens.access_token).aud, api);
    await assert.rejects(oidc.clientCredentialsGrant(as, { resource: "https://other.example.com" }), failsWith("invalid_target"));
  });

  it("keep working while their secret is rotated", async () => {
    const client = await server.client({ name: "Rotating", grant: "client_credentials", scope: "read" });
    const old = await discover(client);
    await oidc.clientCredentialsGrant(old);
    const { client_secret } = home.command("client", "rotate-secret", client.client_id);
    const renewed = await discover({ ...client, client_secret });
    await eventually(() => oidc.clientCredentialsGrant(renewed));
    await oidc.clientCredentialsGrant(old);
    const third = home.command("client", "rotate-secret", client.client_id, "--grace", "0");
    await eventually(() => oidc.clientCredentialsGrant(old).then(() => assert.fail("the oldest secret still works"), failsWith("invalid_client")));
    await oidc.clientCredentialsGrant(await discover({ ...client, client_secret: third.client_secret }));
  });
});

describe("a device without a keyboard", () => {
  let as;

  before(async () => {
    const client = await server.client({ name: "Television", public: true, grant: ["device", "refresh"], scope: everything });
    as = await discover(client, oidc.None());
  });

  /** The library waits as long as the server says; a test has no five seconds to spare between two polls. */
  const hurried = (answer) => ({ ...answer, interval: 0.2 });

  it("gets its tokens once the person allows it in a browser", async () => {
    const answer = await oidc.initiateDeviceAuthorization(as, { scope: everything });
    assert.equal(answer.interval, 5);
    assert.equal(answer.verification_uri, `${server.issuer}/activate`);
    const page = await fresh();
    await page.goto(answer.verification_uri_complete);
    await signIn(page, ada);
    await page.waitForURL("**/activate?*");
    assert.equal(await page.locator("[name=user_code]").inputValue(), answer.user_code);
    await page.locator("#submit").click();
    assert.match(await page.locator("main").innerText(), new RegExp(`Television[^]*${answer.user_code}`));
    await consent(page);
    assert.match(await page.locator("h1").innerText(), /connected/);
    const tokens = await oidc.pollDeviceAuthorizationGrant(as, hurried(answer));
    assert.equal(tokens.claims().sub, ada.id);
    assert.equal((await oidc.refreshTokenGrant(as, tokens.refresh_token)).claims().sub, ada.id);
    await assert.rejects(oidc.pollDeviceAuthorizationGrant(as, hurried(answer)), failsWith("invalid_grant"));
  });

  it("is told when the person refuses", async () => {
    const answer = await oidc.initiateDeviceAuthorization(as, { scope: "openid" });
    const page = await fresh();
    await page.goto(answer.verification_uri);
    await signIn(page, ada);
    await page.locator("[name=user_code]").fill(answer.user_code.toLowerCase().replace("-", " "));
    await page.locator("#submit").click();
    await consent(page, "deny");
    await page.waitForURL("**/activate/confirm");
    await assert.rejects(oidc.pollDeviceAuthorizationGrant(as, hurried(answer)), failsWith("access_denied"));
  });
});
