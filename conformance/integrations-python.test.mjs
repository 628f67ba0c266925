// Applications in Python that sign people in with libraries of others, as their guides show them.
import assert from "node:assert/strict";
import { browser, page as open } from "./kit/browser.mjs";
import { arrive, cache, enter } from "./kit/guide.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const path = `${cache}python/bin`;
let chrome;

before(async () => (chrome = await browser()));
after(() => chrome?.close());

describe("Flask with Authlib", () => {
  let setting, program;

  before(async () => {
    setting = await arrive("flask", { ports: [5000] });
    program = await setting.reader.follow(setting.reader.at(5000), { path });
  });

  after(async () => {
    await program?.stop();
    await setting?.server.stop();
  });

  it("signs a person in and out", async () => {
    const page = await open(chrome);
    await page.goto(setting.reader.at(5000));
    await page.getByRole("link", { name: "Sign in" }).click();
    await enter(page, setting);
    await page.getByRole("heading", { name: "Hello Ada Lovelace" }).waitFor();
    assert.match(await page.locator("p").innerText(), /ada@example\.com/);

    await page.getByRole("link", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in" }).click();
    await page.locator("[name=password]").waitFor(); // the session at the server has ended as well
  });
});
