// Applications in Python that sign people in with libraries of others, as their guides show them.
import assert from "node:assert/strict";
import { browser, page as open } from "./kit/browser.mjs";
import { arrive, cache, enter } from "./kit/guide.mjs";
import { eventually } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const path = `${cache}python/bin`;
let chrome;

before(async () => (chrome = await browser()));
after(() => chrome?.close());

/** What a page shows that is a JSON document. */
const shown = async (page) => JSON.parse(await page.locator("pre").innerText());

/** Follows a guide whose application is at a port, with other words in it, for the cases of a group. */
function follow(guide, port, words = {}) {
  const setting = {};
  before(async () => {
    Object.assign(setting, await arrive(guide, { ports: [port] }));
    setting.app = setting.reader.at(port);
    for (const [word, by] of Object.entries(words)) setting.reader.replace(word, by);
    setting.program = await setting.reader.follow(setting.app, { path });
  });
  after(async () => {
    await setting.program?.stop();
    await setting.server?.stop();
  });
  return setting;
}

describe("Flask with Authlib", () => {
  const setting = follow("flask", 5000);

  it("signs a person in and out", async () => {
    const page = await open(chrome);
    await page.goto(setting.app);
    await page.getByRole("link", { name: "Sign in" }).click();
    await enter(page, setting);
    await page.getByRole("heading", { name: "Hello Ada Lovelace" }).waitFor();
    assert.match(await page.locator("p").innerText(), /ada@example\.com/);

    await page.getByRole("link", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in" }).click();
    await page.locator("[name=password]").waitFor(); // the session at the server has ended as well
  });
});

describe("Django with mozilla-django-oidc", () => {
  const setting = follow("django", 8000);

  it("signs a person in with the role, and out", async () => {
    const page = await open(chrome);
    await page.goto(setting.app);
    await page.getByRole("link", { name: "Sign in" }).click();
    await enter(page, setting);
    await page.getByRole("heading", { name: "Hello Ada Lovelace" }).waitFor();
    assert.equal((await page.locator("p").innerText()).trim(), "ada@example.com, staff");

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in" }).click();
    await page.locator("[name=password]").waitFor(); // the session at the server has ended as well
  });

  it("knows a person without the role", async () => {
    const bob = setting.home.user({ email: "bob@example.com", name: "Bob" });
    const page = await open(chrome);
    await page.goto(setting.app);
    await page.getByRole("link", { name: "Sign in" }).click();
    await enter(page, setting, bob);
    await page.getByRole("heading", { name: "Hello Bob" }).waitFor();
    assert.equal((await page.locator("p").innerText()).trim(), "bob@example.com");
  });
});

describe("Django with mozilla-django-oidc, which asks every second", () => {
  const setting = follow("django", 8000, { 900: "1" });

  it("stays signed in without a page, until the person signs out at Gatehouse", async () => {
    const page = await open(chrome);
    await page.goto(setting.app);
    await page.getByRole("link", { name: "Sign in" }).click();
    await enter(page, setting);
    let asked = 0;
    page.on("request", (request) => (asked += request.url().includes("prompt=none")));
    const reload = async () => {
      await page.reload();
      return page.locator("h1").innerText();
    };
    await eventually(async () => {
      assert.equal(await reload(), "Hello Ada Lovelace");
      assert.ok(asked > 1, "the application has asked again");
    });

    setting.home.command("session", "revoke", "--user", setting.ada.id);
    await eventually(async () => assert.equal(await reload(), "Shop"));
  });
});

describe("Django with django-allauth", () => {
  const setting = follow("django-allauth", 8000);

  it("signs a person in", async () => {
    const page = await open(chrome);
    await page.goto(setting.app);
    await page.getByRole("button", { name: "Continue" }).click();
    await enter(page, setting);
    assert.equal(page.url(), setting.app);
    assert.deepEqual(await shown(page), { name: "Ada Lovelace", email: "ada@example.com", confirmed: true });
  });
});

describe("Django with social-auth-app-django", () => {
  const setting = follow("social-auth", 8000);

  it("signs a person in", async () => {
    const page = await open(chrome);
    await page.goto(setting.app);
    await page.getByRole("button", { name: "Sign in" }).click();
    await enter(page, setting);
    await page.getByRole("heading", { name: "Hello Ada Lovelace" }).waitFor();
    assert.equal((await page.locator("p").innerText()).trim(), "ada, ada@example.com");
  });
});

// The library sends the header "Authorization: Basic" with an empty secret for a client that has none.
describe("requests-oauthlib with a public client", () => {
  it("signs a person in, and refreshes", async () => {
    const setting = await arrive("requests-oauthlib");
    await setting.reader.register();
    setting.reader.write();
    const program = await setting.reader.run(undefined, { path });
    const [, address] = await program.prints(/^Open (\S+)$/m);
    const page = await open(chrome);
    await page.goto(address);
    await enter(page, setting);
    await page.getByText("You can close this window.").waitFor();
    assert.equal(await program.ended, 0, program.output);
    assert.match(program.output, /^Hello Ada Lovelace\nHello again Ada Lovelace$/m);
    await setting.server.stop();
  });
});
