// Signing in with a message by mail, in a real browser: a code, a link, and a link opened elsewhere.
import assert from "node:assert/strict";
import { browser, page } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { eventually, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

let home, server, chrome;
const letters = new Set();

before(async () => {
  home = new Installation({ LOGIN_METHODS: "password email_code magic_link" });
  server = await home.serve();
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  await server?.stop();
});

/** Asks for a message on the way from the sign-in page. */
async function ask(tab, email) {
  await tab.goto(server.at("/login").href);
  await tab.locator('a[href^="/login/email"]').click();
  await look(tab, "email");
  await tab.locator("[name=email]").fill(email);
  await tab.locator("#submit").click();
  await tab.locator("[name=code]").waitFor();
}

/** The code and the link of the next message in the mailbox. */
async function message(tab) {
  let letter;
  await eventually(async () => {
    const list = await (await fetch(server.at("/dev/mail"))).text();
    letter = [...list.matchAll(/href="(\/dev\/mail\/[^"]+)"/g)].map(([, path]) => path).find((path) => !letters.has(path));
    assert.ok(letter);
  });
  letters.add(letter);
  const text = await (await fetch(server.at(letter))).text();
  return { letter, code: /\b\d{8}\b/.exec(text)[0], link: /href="(http[^"]*\/login\/email[^"]*)"/.exec(text)[1].replaceAll("&amp;", "&") };
}

describe("a message to sign in with", () => {
  it("has a code to type", async () => {
    const user = home.user({ name: "Ada" });
    const tab = watch(await page(chrome));
    await ask(tab, user.email);
    await look(tab, "email-code");
    const { code, letter } = await message();
    await tab.locator("[name=code]").fill("00000000");
    await tab.locator("#submit").click();
    await tab.getByRole("alert").waitFor();
    await look(tab, "email-code-wrong");
    await tab.locator("[name=code]").fill(code);
    await tab.locator("#submit").click();
    await tab.waitForURL((url) => url.pathname === "/account");
    await tab.goto(server.at(letter).href);
    await look(tab, "email-code-letter");
  });

  it("has a link for the browser that asked", async () => {
    const user = home.user({ name: "Grace" });
    const tab = watch(await page(chrome));
    await ask(tab, user.email);
    const { link } = await message();
    const second = watch(await tab.context().newPage());
    await second.goto(link);
    assert.ok(!second.url().includes("token"), "the token stays in the address");
    assert.match(await second.locator("main").innerText(), new RegExp(user.email));
    await look(second, "email-link");
    await second.locator("#submit").click();
    await second.waitForURL((url) => url.pathname === "/account");
  });

  it("shows the code in another browser, which is not signed in", async () => {
    const user = home.user({ name: "Joan" });
    const tab = watch(await page(chrome, { javaScriptEnabled: false }));
    await tab.goto(server.at("/login/email").href);
    await tab.locator("[name=email]").fill(user.email);
    await tab.locator("#submit").click();
    const { link, code } = await message();
    await fetch(link, { method: "HEAD" }); // a program that looks at links
    const phone = watch(await page(chrome, { viewport: { width: 390, height: 844 } }));
    await phone.goto(link);
    assert.ok((await phone.locator("main").innerText()).includes(code));
    await look(phone, "email-link-elsewhere");
    await phone.goto(server.at("/account").href);
    assert.equal(new URL(phone.url()).pathname, "/login");
    await tab.locator("[name=code]").fill(code);
    await tab.locator("#submit").click();
    await tab.waitForURL((url) => url.pathname === "/account");
  });
});
