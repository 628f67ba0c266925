// Spring Boot as its guide shows it: an application that signs people in, and an API.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { browser, page as open } from "../kit/browser.mjs";
import { bearer } from "../kit/gateway.mjs";
import { arrive, cache, enter } from "../kit/guide.mjs";
import { Person } from "../kit/person.mjs";
import { basic, eventually } from "../kit/server.mjs";
import { after, before, describe, it } from "../kit/story.mjs";

const build = { within: 400_000, env: { MAVEN_OPTS: `-Dmaven.repo.local=${cache}maven`, JAVA_TOOL_OPTIONS: "-XX:TieredStopAtLevel=1" } };
let setting, chrome, programs;

before(async () => {
  [setting, chrome] = await Promise.all([arrive("spring", { ports: [8081, 8082, 8083] }), browser()]);
  setting.home.command("user", "update", setting.ada.email, "--role", "admin");
  setting.bob = setting.home.user({ email: "bob@example.com" });
  const clients = await setting.reader.register();
  setting.notes = clients.at(-1);
  setting.reader.write();
  programs = [];
});

after(async () => {
  await Promise.all([chrome?.close(), ...(programs ?? []).map((p) => p.stop())]);
  await setting?.server.stop();
});

/** Builds and starts one of the two applications. */
async function start(block, port) {
  const program = await setting.reader.run(setting.reader.at(port), { ...build, block });
  programs.push(program);
  return program;
}

describe("a person at an application", () => {
  let page, at;

  before(async () => {
    await start(0, 8081);
    at = (path) => setting.reader.at(8081, path);
    page = await open(chrome);
  });

  it("is signed in, with PKCE, and known by name and email address", async () => {
    await page.goto(at("/"));
    await page.getByRole("link", { name: "Your orders" }).click();
    assert.ok(new URL(page.url()).pathname === "/login");
    await enter(page, setting);
    await page.waitForURL((url) => url.pathname === "/orders");
    assert.equal(await page.locator("body").innerText(), "Orders of ada, ada@example.com");
  });

  it("with the role sees what is for the role", async () => {
    assert.equal((await page.goto(at("/admin"))).status(), 200);
  });

  it("without it does not, and is known by the email address", async () => {
    const other = await open(chrome);
    await other.goto(at("/orders"));
    await enter(other, { ...setting, ada: setting.bob });
    await other.waitForURL((url) => url.pathname === "/orders");
    assert.equal(await other.locator("body").innerText(), "Orders of bob@example.com, bob@example.com");
    assert.equal((await other.goto(at("/admin"))).status(), 403);
  });

  it("signs out of the application and of Gatehouse", async () => {
    await page.goto(at("/logout"));
    await page.getByRole("button").click();
    await page.waitForURL(at("/"));
    await page.goto(at("/orders"));
    await page.locator("[name=password]").waitFor();
  });
});

/** The access token that a person allows an application, and the ID token. */
async function allow(client) {
  const { server, ada, reader } = setting;
  const redirect = reader.at(8083, "/callback");
  const verifier = randomBytes(32).toString("base64url");
  const back = await new Person(server, ada).authorize(server.at("/oauth/authorize", {
    response_type: "code", client_id: client.client_id, redirect_uri: redirect, scope: "openid notes:read", resource: "https://notes.example.com",
    state: "x", code_challenge_method: "S256", code_challenge: createHash("sha256").update(verifier).digest("base64url"),
  }));
  const form = { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri: redirect, code_verifier: verifier };
  const { status, text, body } = await server.post("/oauth/token", form, basic(client));
  assert.equal(status, 200, text);
  return body;
}

/** What the API answers to a token. */
async function call(token) {
  const response = await fetch(setting.reader.at(8082, "/notes"), { headers: token ? { authorization: `Bearer ${token}` } : {} });
  return { status: response.status, text: await response.text(), challenge: response.headers.get("www-authenticate") ?? "" };
}

const type = (token) => JSON.parse(Buffer.from(token.split(".")[0], "base64url")).typ;

describe("an API", () => {
  let program, tokens, machine;

  before(async () => {
    machine = await setting.server.client({ name: "Machine", grant: "client_credentials", scope: "notes:read other", resource: "https://notes.example.com" });
    tokens = await allow(setting.notes);
    program = await start(1, 8082);
  });

  const machineToken = async (scope, more) => (await bearer(setting.server, machine, scope, more)).authorization.slice("Bearer ".length);

  it("knows the person whose application calls", async () => {
    assert.equal(type(tokens.access_token), "at+jwt");
    const { status, text, challenge } = await call(tokens.access_token);
    assert.equal(status, 200, challenge);
    assert.equal(text, `Notes of ${setting.ada.id}`);
  });

  it("rejects calls without a token, and ID tokens", async () => {
    assert.equal((await call()).status, 401);
    assert.equal((await call(tokens.id_token)).status, 401);
  });

  it("rejects tokens for another API, and tokens without the scope", async () => {
    const { status, challenge } = await call(await machineToken("notes:read"));
    assert.equal(status, 401);
    assert.match(challenge, /aud/);
    const resource = "https://notes.example.com";
    assert.equal((await call(await machineToken("notes:read", { resource }))).status, 200);
    assert.equal((await call(await machineToken("other", { resource }))).status, 403);
  });

  it("that knows no at+jwt works with a client whose tokens say JWT", async () => {
    const { home, reader, notes } = setting;
    await program.stop();
    rmSync(join(reader.dir, "api/src/main/java/com/example/api/AccessTokens.java"));
    rmSync(join(reader.dir, "api/target"), { recursive: true });
    await start(1, 8082);
    const before = await call(tokens.access_token);
    assert.equal(before.status, 401);
    assert.match(before.challenge, /at\+jwt not allowed/);

    home.command("client", "update", notes.client_id, "--token-typ", "JWT");
    await eventually(async () => assert.equal(type((await allow(notes)).access_token), "JWT"));
    const after = await allow(notes);
    const { status, text, challenge } = await call(after.access_token);
    assert.equal(status, 200, challenge);
    assert.equal(text, `Notes of ${setting.ada.id}`);
    assert.equal((await call(after.id_token)).status, 401, "the ID token is for another audience");
    for (const token of [after.id_token, after.access_token]) {
      const { status } = await fetch(setting.server.at("/oauth/userinfo"), { headers: { authorization: `Bearer ${token}` } });
      assert.equal(status, 401, "neither is the ID token an access token, nor the access token one for Gatehouse itself");
    }
  });
});
