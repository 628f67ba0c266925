// Applications in Python that sign people in with libraries of others, as their guides show them.
import assert from "node:assert/strict";
import { browser, page as open } from "./kit/browser.mjs";
import { cache, enter, Reader } from "./kit/guide.mjs";
import { freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const path = `${cache}python/bin`;
let server, chrome, ada;

before(async () => {
  const home = new Installation();
  ada = home.user({ email: "ada@example.com", name: "Ada Lovelace", username: "ada", emailVerified: true });
  [server, chrome] = await Promise.all([home.serve(), browser()]);
});

after(async () => {
  await chrome?.close();
  await server?.stop();
});

describe("Flask with Authlib", () => {
  let app, program;

  before(async () => {
    const port = await freePort();
    app = `http://localhost:${port}`;
    program = await new Reader("flask", server, { 5000: port }).follow(app, { path });
  });

  after(() => program?.stop());

  it("signs a person in and out", async () => {
    const page = await open(chrome);
    await page.goto(app);
    await page.getByRole("link", { name: "Sign in" }).click();
    await enter(page, server, ada);
    await page.getByRole("heading", { name: "Hello Ada Lovelace" }).waitFor();
    assert.match(await page.locator("p").innerText(), /ada@example\.com/);

    await page.getByRole("link", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in" }).click();
    await page.locator("[name=password]").waitFor(); // the session at the server has ended as well
  });
});
