// Browsers: who stays signed in, several accounts in one browser, trusted browsers, and the recovery of a lost second step.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { browser, page as open, signIn } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { eventually, Installation, password } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

let home, server, chrome;

before(async () => {
  // The clock of the server cannot be moved, so the wait of a recovery is short.
  home = new Installation({ RECOVERY_DELAY: "8", RATE_LIMIT_PASSWORD_RESET_MAX: "0" });
  server = await home.serve();
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  await server?.stop();
});

const path = (tab) => new URL(tab.url()).pathname;
const at = (tab, where) => tab.waitForURL((url) => url.pathname === where);
const submit = (tab) => tab.locator("#submit");
const session = async (tab) => (await tab.context().cookies()).find((c) => /^gatehouse_\d+$/.test(c.name));

/** Signs a person in at /login, beside whoever is signed in. */
async function enter(tab, user, stay = false) {
  await tab.goto(server.at("/login", { other: "1" }).href);
  if (stay) await tab.getByLabel("Stay signed in").check();
  await signIn(tab, user);
}

/** A six-digit code (RFC 6238); steps are counted from now. */
async function totp(key, step = 0) {
  const left = 30_000 - (Date.now() % 30_000);
  if (left < 2_000) await sleep(left + 50);
  const bits = [...key.replace(/\s/g, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const seed = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + step));
  const mac = createHmac("sha1", seed).update(counter).digest();
  const offset = mac.at(-1) & 15;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

describe("staying signed in", () => {
  it("ends with the browser unless the person says otherwise", async () => {
    const user = home.user();
    const tab = watch(await open(chrome));
    await enter(tab, user);
    await at(tab, "/account");
    assert.equal((await session(tab)).expires, -1);
    await enter(tab, user, true);
    await at(tab, "/account");
    const days = ((await session(tab)).expires * 1000 - Date.now()) / 86_400_000;
    assert.ok(days > 6 && days <= 7, `${days} days`);
    // What a browser keeps when it is closed opens the account again.
    const kept = (await tab.context().cookies()).filter((c) => c.expires > 0);
    const later = await open(chrome);
    await later.context().addCookies(kept);
    await later.goto(server.at("/account/sessions").href);
    assert.match(await later.locator("main").innerText(), /Stays signed in/);
    assert.deepEqual(tab.problems, []);
  });
});

describe("two accounts in one browser", () => {
  it("are switched, signed out and removed", async () => {
    const ada = home.user({ name: "Ada Lovelace" }), bob = home.user({ name: "Bob Byte" });
    const tab = watch(await open(chrome));
    await enter(tab, ada, true);
    await at(tab, "/account");
    await enter(tab, bob, true);
    await at(tab, "/account");
    await tab.getByRole("link", { name: "Switch account" }).click();
    await at(tab, "/chooser");
    await look(tab, "chooser");
    await tab.getByRole("button", { name: /^Ada Lovelace/ }).click();
    await at(tab, "/account");
    assert.match(await tab.locator("header").innerText(), /Ada Lovelace/);

    await tab.goto(server.at("/logout").href);
    await look(tab, "logout-several");
    await tab.getByRole("button", { name: "Sign out of all accounts" }).click();
    await tab.getByRole("heading", { name: "You’re signed out" }).waitFor();
    await tab.goto(server.at("/account").href);
    await look(tab, "chooser-signed-out");
    await tab.getByText("Remove an account from this browser").click();
    await tab.getByRole("button", { name: `Remove ${ada.email}` }).click();
    await tab.waitForLoadState();
    assert.doesNotMatch(await tab.locator("main").innerText(), /Ada/);
    await tab.goto(server.at("/login").href);
    assert.equal(await tab.locator("[name=username]").inputValue(), bob.email);
    assert.deepEqual(tab.problems, []);
  });
});

describe("the second step", () => {
  let user, tab, key;

  before(async () => {
    user = home.user({ emailVerified: true });
    tab = watch(await open(chrome));
    await enter(tab, user);
    await tab.goto(server.at("/account/security").href);
    await tab.locator("form[action$='/totp/enable'] [name=current_password]").fill(password);
    await tab.locator("form[action$='/totp/enable'] button").last().click();
    await tab.locator("summary").first().click();
    key = await tab.locator(".key").innerText();
    await tab.locator("[name=code]").fill(await totp(key, -1));
    await submit(tab).click();
    await tab.locator("#codes").waitFor();
  });

  it("is skipped in a browser that is trusted, until it is removed", async () => {
    await tab.context().clearCookies();
    await enter(tab, user);
    await at(tab, "/login/code");
    await look(tab, "code-trust");
    await tab.getByLabel(/Don't ask again in this browser/).check();
    await tab.locator("[name=code]").fill(await totp(key));
    await submit(tab).click();
    await at(tab, "/account");
    await tab.goto(server.at("/logout").href);
    await submit(tab).click();
    await enter(tab, user);
    await at(tab, "/account"); // with the password alone
    await tab.goto(server.at("/account/security").href);
    await look(tab, "security-trusted");
    await tab.locator("form[action$='/trusted/remove'] button").click();
    await enter(tab, user);
    await at(tab, "/login/code");
    assert.deepEqual(tab.problems, []);
  });

  it("is turned off after a wait when it is lost", async () => {
    const letter = async (subject) => {
      const mail = await open(chrome);
      await eventually(async () => {
        await mail.goto(server.at("/dev/mail").href);
        assert.notEqual(await mail.getByRole("link", { name: subject }).count(), 0);
      });
      await mail.getByRole("link", { name: subject }).first().click();
      await mail.getByRole("link", { name: /^http/ }).first().click();
      return watch(mail);
    };
    assert.equal(path(tab), "/login/code");
    await tab.getByRole("link", { name: "I can't use any of these" }).click();
    await at(tab, "/recover");
    await look(tab, "recover");
    await tab.getByRole("button", { name: "Send the link" }).click();
    await look(tab, "recover-sent");
    const start = await letter("Confirm that you lost your second step");
    await at(start, "/recover/start");
    await look(start, "recover-start");
    await submit(start).click();
    await start.getByRole("heading", { name: "The waiting time has started" }).waitFor();
    const notice = await letter("Two-step verification will be turned off");
    await at(notice, "/recover/stop");
    await look(notice, "recover-stop");

    const finish = await letter("You can now turn off two-step verification");
    await at(finish, "/recover/finish");
    await look(finish, "recover-finish");
    await submit(finish).click();
    await finish.getByRole("heading", { name: "Two-step verification is off" }).waitFor();
    await look(finish, "recover-done");
    await submit(finish).click();
    await finish.locator("[name=password]").fill(password);
    await submit(finish).click();
    await at(finish, "/account");
    assert.match(await finish.locator("main").innerText(), /Turn on two-step verification/);
    assert.deepEqual(finish.problems, []);
  });
});
