// Applications in Node.js that sign people in, or check tokens, with libraries of others, as their
// guides show them.
import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { browser, page as open } from "./kit/browser.mjs";
import { arrive, enter } from "./kit/guide.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const modules = new URL("node_modules", import.meta.url).pathname;
let chrome, setting, program;

before(async () => (chrome = await browser()));
after(() => chrome?.close());

/** Follows a guide whose application is at port 3000, for the cases of a group. */
function follow(guide) {
  before(async () => {
    setting = await arrive(guide, { ports: [3000] });
    symlinkSync(modules, join(setting.reader.dir, "node_modules"));
    program = await setting.reader.follow(at("/"));
  });
  after(async () => {
    await program?.stop();
    await setting?.server.stop();
  });
}

const at = (path) => setting.reader.at(3000, path);

/** What a page shows that is a JSON document. */
const shown = async (page) => JSON.parse(await page.locator("pre").innerText());

describe("Auth.js", () => {
  follow("authjs");

  it("signs a person in", async () => {
    const page = await open(chrome);
    await page.route((url) => url.hostname !== "localhost", (route) => route.abort()); // a logo
    await page.goto(at("/"));
    await page.getByRole("button", { name: "Sign in with Gatehouse" }).click();
    await enter(page, setting);
    assert.equal(page.url(), at("/"));
    const { name, email } = await shown(page);
    assert.deepEqual({ name, email }, { name: "Ada Lovelace", email: "ada@example.com" });
  });
});

describe("express-openid-connect", () => {
  follow("express-openid-connect");

  it("signs a person in and out", async () => {
    const page = await open(chrome);
    await page.goto(at("/profile"));
    await enter(page, setting);
    assert.equal((await shown(page)).email, "ada@example.com");
    await page.goto(at("/"));
    await page.getByText("You are signed in.").waitFor();

    await page.goto(at("/logout"));
    await page.getByText("Hello.").waitFor();
    assert.equal(page.url(), at("/"));
    await page.goto(at("/profile"));
    await page.locator("[name=password]").waitFor(); // the session at the server has ended as well
  });
});

describe("Passport", () => {
  follow("passport");

  it("signs a person in", async () => {
    const page = await open(chrome);
    await page.goto(at("/"));
    await enter(page, setting);
    assert.equal(page.url(), at("/"));
    const { id, ...rest } = await shown(page);
    assert.ok(id);
    assert.deepEqual(rest, { name: "Ada Lovelace", email: "ada@example.com" });
  });
});

describe("express-oauth2-jwt-bearer", () => {
  follow("express-api");

  it("accepts a token for the API", () => {
    assert.deepEqual(JSON.parse(setting.reader.try()), { caller: "robot", notes: [] });
  });

  it("rejects a call without a token, and a token for another audience", async () => {
    assert.equal((await fetch(at("/notes"))).status, 401);
    const secret = setting.reader.changes.get("paste-the-secret");
    const authorization = `Basic ${Buffer.from(`robot:${secret}`).toString("base64")}`;
    const { body } = await setting.server.post("/oauth/token", { grant_type: "client_credentials" }, { authorization });
    const { status } = await fetch(at("/notes"), { headers: { authorization: `Bearer ${body.access_token}` } });
    assert.equal(status, 401);
  });
});
