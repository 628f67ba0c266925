// The guide "Sign people in from a program": its commands, run as a reader runs them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Person } from "./kit/person.mjs";
import { basic, eventually, Installation, password } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const guide = readFileSync(new URL("../docs/guides/accounts-api.md", import.meta.url), "utf8");
const commands = [...guide.matchAll(/^```sh session\n(.*?)^```$/gms)].map(([, block]) => block).join("\n");
const state = "0123456789abcdef".repeat(2);
const prefix = "/accounts/v1";
let home, server, user, app, machine, code;

before(async () => {
  home = new Installation({ LOGIN_METHODS: "password email_code magic_link" });
  user = home.user({ name: "Ada" });
  app = home.client({ name: "Phone app", public: true, grant: "device" });
  machine = home.client({ name: "Terminal", grant: "client_credentials" });
  server = await home.serve();
});
after(() => server?.stop());

/** The newest code in the mailbox, as soon as there is another one than before. */
async function mailedCode() {
  const before = code;
  await eventually(async () => {
    const list = await (await fetch(server.at("/dev/mail"))).text();
    const first = /href="(\/dev\/mail\/[^"]+)"/.exec(list);
    const letter = await (await fetch(server.at(first[1]))).text();
    code = /\b\d{8}\b/.exec(letter)[0];
    assert.notEqual(code, before);
  });
  return code;
}

const call = async (path, body, headers = basic(machine), method = "POST") => {
  const answer = await fetch(server.at(prefix + path), {
    method, headers: { "content-type": "application/json", ...headers }, body: body && JSON.stringify(body),
  });
  return { status: answer.status, ...(await answer.json()) };
};

describe("the guide", () => {
  it("signs in by password and by mail, refreshes and signs out", async () => {
    const { PATH, HOME } = process.env;
    const env = { PATH, HOME, SERVER: server.issuer, CLIENT_ID: app.client_id, EMAIL: user.email, PASSWORD: password };
    const child = spawn("bash", ["-euo", "pipefail", "-c", commands], { env });
    let said = "";
    let errors = "";
    child.stderr.on("data", (text) => (errors += text));
    child.stdout.on("data", async (text) => {
      said += text;
      if (String(text).includes('"data":null')) child.stdin.end(`${await mailedCode()}\n`);
    });
    const status = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(status, 0, errors);
    assert.deepEqual(said.trim().split("\n"), [
      "password: session", '{"data":null}', "code: session", `user: ${user.email}`, "refresh: session", "sessions: 2", "afterwards: SESSION-INVALIDATED",
    ]);
  });
});

describe("the steps as they were printed", () => {
  it("email, code, refresh with a consumed token", async () => {
    const other = home.user({ name: "Grace" });
    assert.deepEqual(await call("/sessions/login/email", { data: { t: "email-step", email: other.email, state } }), { status: 200, data: null });
    const session = await call("/sessions/login/code", { data: { t: "code-step", code: await mailedCode(), state } });
    assert.equal(session.t, "session");
    const next = await call("/sessions/refresh", { data: { t: "refresh-tokens", token: session.refresh } });
    assert.equal(next.t, "session");
    const replayed = await call("/sessions/refresh", { data: { t: "refresh-tokens", token: session.refresh } });
    assert.deepEqual([replayed.status, replayed.t, replayed.error.code], [401, "error", "REFRESH-TOKEN-CONSUMED"]);
    const ended = await call("/sessions", undefined, { authorization: `Bearer session:${next.token}` }, "GET");
    assert.equal(ended.error.code, "SESSION-INVALIDATED");
  });

  it("never tells who has an account", async () => {
    const ask = (email) => call("/sessions/login/email", { email, state: "f".repeat(32) });
    assert.deepEqual(await ask("nobody@example.com"), await ask(user.email));
    const wrong = (email) => call("/sessions/login/password", { email, password: "wrong", state });
    assert.deepEqual(await wrong("nobody@example.com"), await wrong(home.user().email));
  });
});

describe("an access token of this server", () => {
  let web;
  before(() => {
    home.command("scope", "create", "accounts", "--description", "manage your account");
    web = home.client({ name: "Portal", grant: "authorization_code", redirectUri: "https://portal.example/cb", scope: "openid accounts" });
  });

  /** The access token that the person allows the portal, with a scope. */
  async function token(scope) {
    const verifier = randomBytes(32).toString("base64url");
    const query = new URLSearchParams({
      response_type: "code", client_id: web.client_id, redirect_uri: "https://portal.example/cb", scope, state,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
    });
    const away = await new Person(server, user).authorize(`/oauth/authorize?${query}`);
    const answer = await fetch(server.at("/oauth/token"), {
      method: "POST", headers: basic(web),
      body: new URLSearchParams({
        grant_type: "authorization_code", code: away.searchParams.get("code"), redirect_uri: "https://portal.example/cb", code_verifier: verifier,
      }),
    });
    return (await answer.json()).access_token;
  }

  it("stands for its person, with the scope accounts only", async () => {
    const mine = { authorization: `Bearer ${await token("openid accounts")}` };
    const found = await call("/users/current", undefined, mine, "GET");
    assert.equal(found.data?.id, user.id, JSON.stringify(found));
    const without = await call("/users/current", undefined, { authorization: `Bearer ${await token("openid")}` }, "GET");
    assert.deepEqual([without.status, without.error.code], [403, "SCOPE-INSUFFICIENT"], JSON.stringify(without));
    const other = await call("/users/" + home.user().id, undefined, mine, "GET");
    assert.equal(other.status, 404);
    const machineToken = await fetch(server.at("/oauth/token"), {
      method: "POST", headers: basic(machine), body: new URLSearchParams({ grant_type: "client_credentials" }),
    });
    const ofClient = { authorization: `Bearer ${(await machineToken.json()).access_token}` };
    assert.equal((await call("/users/current", undefined, ofClient, "GET")).status, 403);
  });
});
