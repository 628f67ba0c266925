// What bad input gets: the RFC's error in JSON from protocol endpoints, a page with a sentence from pages, and never more than that.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as jose from "jose";
import { Person } from "./kit/person.mjs";
import { basic, eventually, freePort, Installation, password } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const redirect = "https://app.example.com/cb?tenant=1";
const formType = "application/x-www-form-urlencoded";
const verifier = "x".repeat(50);
const challenge = createHash("sha256").update(verifier).digest("base64url");
let home, server, user, web, machine, robot, robotKey;

before(async () => {
  home = new Installation();
  user = home.user({ email: "ada@example.com" });
  web = home.client({ grant: ["code", "refresh"], redirectUri: redirect, scope: "openid offline_access" });
  machine = home.client({ grant: "client_credentials", scope: "read" });
  const pair = await jose.generateKeyPair("ES256", { extractable: true });
  robotKey = pair.privateKey;
  const keys = join(home.dir, "robot.json");
  writeFileSync(keys, JSON.stringify({ keys: [{ ...(await jose.exportJWK(pair.publicKey)), kid: "r", alg: "ES256" }] }));
  robot = home.client({ grant: "client_credentials", scope: "read", authMethod: "private_key_jwt", jwks: keys });
  server = await home.serve();
});

after(() => server?.stop());

/** An answer that a program can read and that gives nothing away. */
function assertProtocolError(answer, status, error) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/json/, answer.text);
  assert.equal(answer.body.error, error, answer.text);
  assert.ok(answer.body.error_description);
  assert.match(answer.headers.get("cache-control"), /no-store/);
  assertDiscreet(answer.text);
}

/** No page, no stack trace, no name of a file, a function or a database. */
function assertDiscreet(text) {
  assert.doesNotMatch(text, /<html|<body|goroutine|panic|\.go:\d+|runtime\.|sql|sqlite|postgres|UNIQUE|constraint/i);
}

/** A page for people: a sentence, a request id, and no trace. */
function assertPage(sight, status, words) {
  assert.equal(sight.status, status, sight.text);
  assert.match(sight.headers.get("content-type"), /^text\/html/);
  assert.match(sight.text.replace(/<[^>]*>/g, " "), words);
  assert.ok(sight.text.includes(sight.headers.get("x-request-id")), "the page shows the request id");
  assert.doesNotMatch(sight.text, /goroutine|panic|\.go:\d+|sqlite/i);
}

/** Sends bytes as they are. */
async function raw(path, body, headers = {}, method = "POST") {
  const response = await fetch(server.at(path), { method, body, headers: { "content-type": formType, ...headers }, redirect: "manual" });
  const text = await response.text();
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The assertion on the content type says it better.
  }
  return { status: response.status, headers: response.headers, text, body: parsed };
}

const asMachine = () => basic(machine);
const posts = ["/oauth/token", "/token", "/api/v1/token", "/oauth/device/code", "/device", "/device/code", "/oauth/introspect", "/token/introspect", "/oauth/revoke", "/token/revoke", "/oauth/userinfo"];

describe("protocol endpoints reject", () => {
  for (const path of posts) {
    it(`broken requests at ${path}`, async () => {
      const big = `grant_type=${"a".repeat(70_000)}`;
      assertProtocolError(await raw(path, big), 413, "invalid_request");
      assertProtocolError(await raw(path, "client_id=a&client_id=b"), 400, "invalid_request");
      assertProtocolError(await raw(path, "client_id=%ff%fe"), 400, "invalid_request");
      assertProtocolError(await raw(path, "client_id=a%00b"), 400, "invalid_request");
      assertProtocolError(await raw(path, "client_id=%zz"), 400, "invalid_request");
      assertProtocolError(await raw(path, Array.from({ length: 100 }, (_, i) => `p${i}=1`).join("&")), 400, "invalid_request");
      assertProtocolError(await raw(path, "client_id=a", { "content-type": "text/plain" }), 400, "invalid_request");
      assertProtocolError(await raw(path, "client_id=a", { "content-type": "nonsense;;=" }), 400, "invalid_request");
      assertProtocolError(await raw(path, "--x\r\n\r\n--x--", { "content-type": "multipart/form-data; boundary=x" }), 400, "invalid_request");
      assertProtocolError(await raw(`${path}?client_secret=s`, "client_id=a"), 400, "invalid_request");
    });
  }

  it("broken JSON where JSON is understood", async () => {
    const json = { "content-type": "application/json" };
    for (const body of ["", "{", "[]", "null", '"a"', '{"a":{}}', '{"grant_type":["a"]}', '{"a":"1","a":"2"}', '{"a":"1"} {"b":"2"}', Buffer.from('{"a":"\xff"}', "latin1")]) {
      assertProtocolError(await raw("/oauth/token", body, json), 400, "invalid_request");
    }
    assertProtocolError(await raw("/oauth/introspect", '{"token":"x"}', { ...json, ...asMachine() }), 400, "invalid_request");
  });

  it("other methods, in JSON and with the methods that there are", async () => {
    for (const [path, methods] of [["/oauth/token", ["GET", "PUT", "DELETE"]], ["/oauth/introspect", ["GET", "PATCH"]], ["/oauth/revoke", ["GET"]], ["/oauth/userinfo", ["PUT"]], ["/.well-known/openid-configuration", ["POST"]], ["/.well-known/jwks.json", ["DELETE"]]]) {
      for (const method of methods) {
        const answer = await raw(path, undefined, {}, method);
        assert.equal(answer.status, 405, `${method} ${path}`);
        assert.ok(answer.headers.get("allow"), `${method} ${path}`);
        assertDiscreet(answer.text);
      }
    }
  });

  it("clients that authenticate in two ways, with errors, or as another client", async () => {
    const grant = { grant_type: "client_credentials" };
    const post = (form, headers) => server.post("/oauth/token", { ...grant, ...form }, headers);
    assertProtocolError(await post({ client_id: machine.client_id, client_secret: machine.client_secret }, asMachine()), 400, "invalid_request");
    assertProtocolError(await post({ client_id: web.client_id }, asMachine()), 400, "invalid_request");
    assertProtocolError(await post({}, {}), 401, "invalid_client");
    assertProtocolError(await post({ client_id: "nobody", client_secret: "x" }), 401, "invalid_client");
    for (const header of ["Basic", "Basic !!!", `Basic ${btoa("no colon")}`, `Basic ${btoa("%zz:x")}`, `Basic ${btoa(":x")}`, `Basic ${btoa("\xff:\xfe")}`]) {
      const answer = await post({}, { authorization: header });
      assertProtocolError(answer, 401, "invalid_client");
      assert.match(answer.headers.get("www-authenticate"), /^Basic /, header); // RFC 6749 §5.2
    }
  });

  it("an unknown and a known client with a wrong secret alike", async () => {
    const [a, b] = await Promise.all([machine.client_id, "nobody"].map((client_id) => server.post("/oauth/token", { grant_type: "client_credentials", client_id, client_secret: "wrong" })));
    assert.equal(a.text, b.text);
  });

  it("grant types that are unknown, or that the client may not use", async () => {
    assertProtocolError(await server.post("/oauth/token", { grant_type: "magic" }, asMachine()), 400, "unsupported_grant_type");
    assertProtocolError(await server.post("/oauth/token", {}, asMachine()), 400, "invalid_request");
    assertProtocolError(await server.post("/oauth/token", { grant_type: "authorization_code", code: "x" }, asMachine()), 400, "unauthorized_client");
    const form = { grant_type: "password", username: user.email, password: user.password };
    assertProtocolError(await server.post("/oauth/token", form, asMachine()), 400, "unsupported_grant_type"); // switched off
  });

  it("tokens that were altered", async () => {
    const { body } = await server.post("/oauth/token", { grant_type: "client_credentials" }, asMachine());
    const token = body.access_token;
    const [head, payload, mark] = token.split(".");
    const none = Buffer.from(JSON.stringify({ alg: "none", typ: "at+jwt" })).toString("base64url");
    for (const bad of [`${token}x`, `${head}.${payload}.`, `${none}.${payload}.`, `${head}.${payload.slice(0, -3)}.${mark}`, "a.b.c", "..", ".", "gth_at_xxxx", "\u{1F600}", "x".repeat(20_000)]) {
      const seen = await server.post("/oauth/introspect", { token: bad }, asMachine());
      assert.deepEqual(seen.body, { active: false }, bad.slice(0, 60));
    }
    for (const bad of [`${token}x`, "a.b.c", "gth_at_xxxx"]) {
      const answer = await fetch(server.at("/oauth/userinfo"), { headers: { authorization: `Bearer ${bad}` } });
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get("www-authenticate"), /error="invalid_token"/);
    }
  });

  it("client assertions whose times are off, and any of them twice", async () => {
    const now = Math.floor(Date.now() / 1000);
    const send = async (claims, header = {}, key = robotKey) => {
      const jwt = await new jose.SignJWT({ iss: robot.client_id, sub: robot.client_id, aud: server.issuer, jti: crypto.randomUUID(), iat: now, exp: now + 60, ...claims })
        .setProtectedHeader({ alg: "ES256", kid: "r", ...header })
        .sign(key);
      const form = { grant_type: "client_credentials", client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", client_assertion: jwt };
      return { first: await server.post("/oauth/token", form), again: () => server.post("/oauth/token", form) };
    };
    const good = await send({});
    assert.equal(good.first.status, 200, good.first.text);
    assertProtocolError(await good.again(), 401, "invalid_client");
    for (const [what, claims] of Object.entries({
      "clocks apart by half a minute": { iat: now + 30, nbf: now + 30, exp: now + 90 },
      "just expired": { iat: now - 90, exp: now - 30 },
      "the token endpoint as audience": { aud: `${server.issuer}/oauth/token` },
      "a list of our audiences": { aud: [server.issuer, `${server.issuer}/oauth/token`] },
    })) {
      assert.equal((await send(claims)).first.status, 200, what);
    }
    for (const [what, claims] of Object.entries({
      "of another audience, too": { aud: ["https://other.example", server.issuer] },
      "long expired": { iat: now - 600, exp: now - 300 },
      "not yet valid": { nbf: now + 600, exp: now + 900 },
      "from the future": { iat: now + 600, exp: now + 900 },
      "for ever": { exp: now + 10 * 365 * 86400 },
      "without an end": { exp: undefined },
      "without an id": { jti: undefined },
      "of another client": { sub: machine.client_id },
      "by another issuer": { iss: "somebody" },
      "for another server": { aud: "https://other.example" },
      "with a time that is none": { exp: "tomorrow" },
    })) {
      const { first } = await send(claims);
      assertProtocolError(first, 401, "invalid_client");
      assert.ok(first, what);
    }
    const { privateKey } = await jose.generateKeyPair("ES256");
    assertProtocolError((await send({}, {}, privateKey)).first, 401, "invalid_client");
    assertProtocolError((await send({}, { alg: "HS256" }, new TextEncoder().encode("a shared secret of enough length, or so"))).first, 401, "invalid_client");
  });

  it("nothing for being asked by another origin, and need no cookie", async () => {
    const preflight = await fetch(server.at("/oauth/token"), {
      method: "OPTIONS",
      headers: { origin: "https://spa.example", "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
    assert.equal(preflight.headers.get("access-control-allow-credentials"), null);
    for (const path of ["/login", "/account", "/consent", "/oauth/authorize"]) {
      const page = await fetch(server.at(path), { headers: { origin: "https://spa.example" }, redirect: "manual" });
      assert.equal(page.headers.get("access-control-allow-origin"), null, path);
    }
  });
});

/** An authorization request of the web client, changed. */
const authorize = (changed = {}) => {
  const query = { response_type: "code", client_id: web.client_id, redirect_uri: redirect, scope: "openid", state: "s", code_challenge: challenge, code_challenge_method: "S256", ...changed };
  return server.at("/oauth/authorize", Object.fromEntries(Object.entries(query).filter(([, v]) => v !== undefined)));
};

describe("the authorization endpoint never sends a browser to an address that is not registered", () => {
  for (const uri of [
    undefined,
    "https://app.example.com/cb",
    "https://app.example.com/cb?tenant=2",
    "https://app.example.com/cb?tenant=1&x=1",
    "https://app.example.com/cb/../evil?tenant=1",
    "https://app.example.com/CB?tenant=1",
    "https://APP.example.com/cb?tenant=1",
    "https://app.example.com:443/cb?tenant=1",
    "https://app.example.com.evil.example/cb?tenant=1",
    "https://app.example.com@evil.example/cb?tenant=1",
    "https://evil.example/cb?tenant=1",
    "http://app.example.com/cb?tenant=1",
    "https://app.example.com/cb?tenant=1#f",
    "https:\\\\app.example.com/cb?tenant=1",
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example/cb",
    "/cb",
    "x".repeat(3000),
  ]) {
    it(`${String(uri).slice(0, 60)}`, async () => {
      const sight = await new Person(server, user).go(authorize({ redirect_uri: uri }));
      assert.equal(sight.away, undefined);
      assertPage(sight, 400, /redirect_uri/);
      if (uri) assert.ok(!sight.text.includes("javascript:"), "the address is not repeated on the page");
    });
  }

  it("an unknown client, no client, and parameters sent twice", async () => {
    const person = new Person(server, user);
    assertPage(await person.go(authorize({ client_id: "nobody" })), 400, /not known/);
    assertPage(await person.go(authorize({ client_id: undefined })), 400, /client_id is missing/);
    assertPage(await person.go(`${authorize()}&state=again`), 400, /more than once/);
    assertPage(await person.go(`${authorize()}&x=%ff`), 400, /UTF-8/);
    assertPage(await person.go(`${authorize({ client_id: "nobody" })}&utm=100%`), 400, /not known/); // it was read
    assertPage(await person.go(`${authorize()}&state=%`), 400, /more than once/);
    assertPage(await person.go(authorize({ state: "s".repeat(7_000) })), 400, /more than/);
  });
});

describe("cookies and forms cannot be altered", () => {
  const flip = (s, i = Math.floor(s.length / 2)) => s.slice(0, i) + (s[i] === "A" ? "B" : "A") + s.slice(i + 1);

  it("a session cookie", async () => {
    const person = new Person(server, user);
    await person.authorize(authorize());
    const [[name, value]] = person.cookies;
    assert.equal((await person.go("/account")).url.pathname, "/account");
    for (const bad of [flip(value), flip(value, value.length - 1), value.slice(0, -1), `${value}A`, "", "x", "%ff"]) {
      const thief = new Person(server, user);
      thief.cookies.set(name, bad);
      assert.equal((await thief.go("/account")).url.pathname, "/login", bad);
    }
    const twice = new Person(server, user);
    twice.cookies.set(name, `x; ${name}=${value}`);
    assert.equal((await twice.go("/account")).url.pathname, "/login", "tossed beside a good one");
  });

  it("a session cookie is another one after the next login", async () => {
    const person = new Person(server, user);
    const page = await person.go("/login");
    await person.submit(page, { username: user.email, password });
    const [[name, before]] = person.cookies;
    const again = await person.go(authorize({ prompt: "login" }));
    await person.submit(again, { username: user.email, password });
    assert.notEqual(person.cookies.get(name), before);
    const old = new Person(server, user);
    old.cookies.set(name, before);
    assert.equal((await old.go("/account")).url.pathname, "/login");
  });

  it("a flow, nor one step's flow at another step", async () => {
    const person = new Person(server, user);
    const page = await person.go(authorize({ prompt: "consent" }));
    const flow = page.url.searchParams.get("flow");
    assertPage(await person.go(`/login?flow=${encodeURIComponent(flip(flow))}`), 400, /damaged/);
    assertPage(await person.go(`/consent?flow=${encodeURIComponent(flow)}`), 400, /damaged|another step/);
    assertPage(await person.go("/login?flow=x"), 400, /damaged/);
    const asked = await person.submit(page, { username: user.email, password });
    const consent = asked.url.searchParams.get("flow");
    assertPage(await person.go(`/login?flow=${encodeURIComponent(consent)}`), 400, /damaged|another step/);
    // Somebody else's browser cannot approve it.
    const mallory = home.user({ email: "mallory@example.com" });
    const other = new Person(server, mallory);
    await other.submit(await other.go("/login"), { username: mallory.email, password });
    const forged = await other.go("/consent", { method: "POST", body: new URLSearchParams({ flow: consent, consent_action: "approve" }) });
    assertPage(forged, 400, /signed in or out/);
  });

  it("a form, from another site", async () => {
    const person = new Person(server, user);
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { origin: "https://evil.example" }]) {
      const sight = await person.go("/login", { method: "POST", headers, body: new URLSearchParams({ username: user.email, password }) });
      assertPage(sight, 403, /another site/);
    }
    assert.equal(person.cookies.size, 0);
  });

  it("the redirect after a login", async () => {
    for (const next of ["https://evil.example/", "//evil.example", "/\\evil.example", "/oauth/logout", "javascript:alert(1)", "/account/../oauth/logout", "/account\r\nX: y"]) {
      const person = new Person(server, user);
      const page = await person.go(`/login?next=${encodeURIComponent(next)}`);
      const landed = await person.submit(page, { username: user.email, password });
      assert.ok(!landed.away, next);
      assert.match(landed.url.pathname, /^\/account$/, next);
    }
  });
});

describe("pages handle invalid input", () => {
  it("broken and oversized forms", async () => {
    for (const [body, type, status] of [["username=%ff", formType, 400], ["a=1&a=2", formType, 400], ["x", "text/plain", 400], [`username=${"u".repeat(70_000)}`, formType, 413], ["", formType, 400]]) {
      const sight = await new Person(server, user).go("/login", { method: "POST", body, headers: { "content-type": type } });
      assert.ok(sight.status === status, `${body.slice(0, 20)}: ${sight.status}`);
      assert.match(sight.headers.get("content-type"), /text\/html/);
    }
  });

  it("addresses that do not exist, and forged one-time links", async () => {
    const person = new Person(server, user);
    assertPage(await person.go("/nowhere"), 404, /no page/);
    for (const path of ["/static/../config", "/static/%2e%2e/x", "/static/none.js", "/.git/config"]) assert.equal((await person.go(path)).status, 404, path);
    for (const link of ["/setup?token=gth_su_x", "/setup", "/reset-password?token=x", "/reset-password"]) {
      const sight = await person.go(link);
      assert.ok(sight.status >= 400 && sight.status < 500, `${link}: ${sight.status}`);
    }
  });

  it("an unknown person and a wrong password read alike", async () => {
    const said = async (username) => {
      const person = new Person(server, user);
      const { text, status } = await person.submit(await person.go("/login"), { username, password: "not the one 1A" });
      // The challenge for a passkey and its token are new on each page; their lengths are the same.
      const fresh = /(?<=&#34;challenge&#34;:&#34;|data-token=")[\w-]+/g;
      const same = text.replaceAll(username, "NAME").replace(/[A-Z2-7]{16}/g, "").replace(fresh, (value) => `${value.length} characters`);
      assert.equal(text.match(fresh)?.length, 2);
      return { status, text: same };
    };
    assert.deepEqual(await said("nobody@example.com"), await said("grace@example.com"));
    home.user({ email: "grace2@example.com" });
    assert.deepEqual(await said("grace2@example.com"), await said("nobody2@example.com"));
  });

  it("every page forbids frames, foreign scripts and sniffing", async () => {
    for (const path of ["/login", "/nowhere", "/activate"]) {
      const { headers } = await new Person(server, user).go(path);
      const policy = headers.get("content-security-policy");
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe/);
      assert.equal(headers.get("x-content-type-options"), "nosniff");
      assert.match(headers.get("referrer-policy"), /^(no-referrer|same-origin)$/);
      assert.match(headers.get("cache-control"), /no-store/);
    }
  });
});

describe("rate limits", () => {
  let strict;

  before(async () => {
    const tight = new Installation({ RATE_LIMIT_TOKEN_MAX: "3", RATE_LIMIT_LOGIN_MAX: "3" });
    strict = await tight.serve();
  });

  after(() => strict.stop());

  it("tell a program when to come back", async () => {
    const send = () => strict.post("/oauth/token", { grant_type: "client_credentials", client_id: "a", client_secret: "b" });
    const first = await send();
    assert.equal(first.status, 401);
    assert.equal(first.headers.get("x-ratelimit-limit"), "3");
    assert.equal(first.headers.get("x-ratelimit-remaining"), "2");
    assert.ok(Number(first.headers.get("x-ratelimit-reset")) >= Date.now() / 1000 - 1);
    await send();
    await send();
    const refused = await send();
    assertProtocolError(refused, 429, "rate_limit_exceeded");
    assert.ok(refused.body.retry_after >= 1);
    assert.equal(refused.headers.get("retry-after"), String(refused.body.retry_after));
    assert.equal(refused.headers.get("x-ratelimit-remaining"), "0");
  });

  it("tell a person so", async () => {
    const person = new Person(strict, user);
    let sight;
    for (let i = 0; i < 4; i++) sight = await person.submit(await person.go("/login"), { username: "a@example.com", password: "wrong" });
    assert.equal(sight.status, 429);
    assert.match(sight.text, /Too many/);
    assert.ok(sight.headers.get("retry-after"));
  });
});

describe("https by itself", () => {
  let home, secure, files, person;

  /** Makes a certificate for localhost and puts it in place at once, as renewal programs do. */
  function certify(name) {
    const at = (ext) => join(home.dir, `${name}.${ext}`);
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost", "-keyout", at("key"), "-out", at("crt")], { stdio: "ignore" });
    renameSync(at("key"), files.SSL_KEY);
    renameSync(at("crt"), files.SSL_CERT);
  }

  /** One request over a connection of its own, trusting the certificate that is in place. */
  function get(path, options = {}) {
    return new Promise((resolve, reject) => {
      const sent = httpsRequest(secure.at(path), { ca: readFileSync(files.SSL_CERT), agent: false, ...options }, async (response) => {
        const { subject } = response.socket.getPeerCertificate();
        let text = "";
        for await (const chunk of response) text += chunk;
        resolve({ status: response.statusCode, headers: response.headers, text, name: subject.CN });
      });
      sent.on("error", reject).end(options.body);
    });
  }

  before(async () => {
    home = new Installation();
    person = home.user({ email: "ada@example.com" });
    files = { SSL_CERT: join(home.dir, "server.crt"), SSL_KEY: join(home.dir, "server.key") };
    certify("first");
    secure = await home.serve(files);
  });

  after(() => secure?.stop());

  it("is what the server announces and the issuer says", async () => {
    assert.match(secure.issuer, /^https:\/\/localhost:\d+$/);
    const { text, headers } = await get("/.well-known/openid-configuration");
    assert.equal(JSON.parse(text).issuer, secure.issuer);
    assert.match(headers["strict-transport-security"], /max-age=\d{8}/);
  });

  it("binds the session cookie to this host", async () => {
    const body = new URLSearchParams({ username: person.email, password }).toString();
    const { status, headers } = await get("/login", { method: "POST", body, headers: { "content-type": formType, "content-length": Buffer.byteLength(body) } });
    assert.equal(status, 303);
    const cookie = headers["set-cookie"].find((c) => c.startsWith("__Host-"));
    for (const part of ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"]) assert.ok(cookie.includes(part), cookie);
    assert.doesNotMatch(cookie, /Domain/i);
  });

  it("loads a renewed certificate without a restart", async () => {
    assert.equal((await get("/healthz")).name, "first");
    await sleep(1100); // the files are looked at once a second
    certify("second");
    await eventually(async () => assert.equal((await get("/healthz")).name, "second"));
  });

  it("uses the previous certificate while the renewal is incomplete", async () => {
    await sleep(1100);
    const good = readFileSync(files.SSL_CERT);
    writeFileSync(files.SSL_CERT, "not a certificate");
    assert.equal((await get("/healthz", { ca: good })).name, "second");
    writeFileSync(files.SSL_CERT, good);
  });

  it("does not answer plain http", async () => {
    const answer = await fetch(secure.at("/login").href.replace("https:", "http:"), { redirect: "manual" }).catch(() => null);
    assert.ok(!answer || answer.status === 400);
  });
});

describe("stopping", () => {
  it("finishes requests in flight, accepts no others, and exits with status 0", async () => {
    const stopping = await home.serve({ PORT: await freePort() });
    const { port } = new URL(stopping.origin);
    const body = "grant_type=client_credentials&scope=read";
    const socket = connect(Number(port), "localhost");
    let answer = "";
    socket.setEncoding("utf8").on("data", (text) => (answer += text));
    const head = ["POST /oauth/token HTTP/1.1", "Host: localhost", `Authorization: ${basic(machine).authorization}`, `Content-Type: ${formType}`, `Content-Length: ${body.length}`, "Expect: 100-continue", "", ""];
    socket.write(head.join("\r\n"));
    await eventually(() => assert.match(answer, /^HTTP\/1\.1 100 Continue\r\n\r\n$/)); // the request is in flight
    socket.write(body.slice(0, 10));
    const end = stopping.stop();
    await eventually(async () => assert.equal(await fetch(stopping.at("/healthz")).then(() => "up", () => "down"), "down"));
    socket.write(body.slice(10));
    const closed = new Promise((resolve) => socket.on("close", resolve));
    assert.deepEqual(await end, { code: 0, signal: null }, stopping.errors);
    await closed;
    assert.match(answer, /\r\n\r\nHTTP\/1\.1 200 OK/);
    assert.match(answer, /"access_token"/);
  });

  it("is how every server of this file ends", async () => {
    assert.doesNotMatch(server.errors, /panic|goroutine|"level":"ERROR"/);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  it("does not start with a setting that cannot be read, and says which in one line", async () => {
    for (const [name, value] of [["ACCESS_TOKEN_TTL", "soon"], ["DATABASE_URL", "mysql://x"], ["JWT_ALGORITHM", "HS256"], ["SECRET_KEY", "short"]]) {
      const wrong = new Installation({ [name]: value });
      await assert.rejects(wrong.serve(), (e) => {
        const said = e.message.split("\n").slice(1).join("\n").trim();
        assert.match(said, new RegExp(name));
        assert.equal(said.split("\n").length, 1, said);
        return true;
      });
    }
  });
});
