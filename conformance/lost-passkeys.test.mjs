// A person who signs in with passkeys only and has lost them all, on a new phone: the request, the mailbox, the wait, and a
// new passkey in place of the others. Who is signed in elsewhere sees it and stops it. In English, German and Arabic.
import assert from "node:assert/strict";
import { browser, page as open } from "./kit/browser.mjs";
import { device } from "./kit/device.mjs";
import { look, watch, works } from "./kit/eye.mjs";
import { letter, press } from "./kit/mailbox.mjs";
import { eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const small = { width: 390, height: 844 };
const phones = { viewport: small, hasTouch: true, isMobile: true };

for (const tag of ["en", "de", "ar"]) {
  describe(`all passkeys are lost, ${tag}`, () => {
    const email = `ada-${tag}@example.com`;
    let home, server, chrome, laptop, phone, former, fresh;
    const seen = new Set();
    const at = (tab, path) => tab.waitForURL((url) => url.pathname === path);

    /** A browser of the person. */
    async function person(options) {
      const tab = watch(await open(chrome, { locale: tag, ...options }));
      tab.size = tab.viewportSize();
      return tab;
    }

    /** Looks at the page that is open, which must be in the person's language. */
    async function sees(tab, name) {
      const found = await tab.evaluate(() => [document.documentElement.lang, document.documentElement.dir]);
      assert.deepEqual(found, [tag, tag === "ar" ? "rtl" : "ltr"], `${name}: ${tab.url()}`);
      await (tag === "en" ? look : works)(tab, `lost-${name}-${tag}`);
      await tab.setViewportSize(tab.size);
    }

    /** Opens the newest message with a link to a path, and the link. */
    async function follow(tab, path, name) {
      await tab.goto(server.at(await letter(server, email, path, seen)).href);
      if (name) await sees(tab, `letter-${name}`);
      await press(tab, path);
    }

    /** Asks for a link on the phone, from the page that signs in. */
    async function ask(name) {
      await phone.goto(server.at("/login").href);
      await phone.locator('main a[href^="/forgot-password"]').click();
      await at(phone, "/forgot-password");
      if (name) await sees(phone, "ask");
      await phone.locator("[name=email]").fill(email);
      await phone.locator("#submit").click();
      await phone.locator("[name=email]").waitFor({ state: "detached" });
      if (name) await sees(phone, "asked");
    }

    before(async () => {
      const PORT = await freePort();
      const settings = { PORT, BASE_URL: `http://localhost:${PORT}`, LOGIN_METHODS: "passkey", ENABLE_SIGNUP: "true" };
      home = new Installation({ ...settings, RATE_LIMIT_PASSWORD_RESET_MAX: "0" });
      [server, chrome] = await Promise.all([home.serve(), browser()]);
      laptop = await person({ viewport: { width: 1280, height: 800 } });
      former = await device(laptop);
      await laptop.goto(server.at("/signup").href);
      await laptop.locator("[name=email]").fill(email);
      await laptop.locator("[name=name]").fill("Ada Lovelace");
      await laptop.locator("#submit").click();
      await at(laptop, "/signup/confirm");
      await follow(laptop, "/verify-email");
      await laptop.locator("#submit").click();
      await at(laptop, "/signup/passkey");
      await laptop.locator("[data-passkey-ask]").click();
      await at(laptop, "/account");
      phone = await person(phones); // another device: no passkey, no cookie
      fresh = await device(phone);
    });
    after(async () => {
      await chrome?.close();
      await server?.stop();
    });

    it("the mailbox starts a wait, which a session and the notice stop", async () => {
      await ask("first");
      await follow(phone, "/recover/start", "start");
      await sees(phone, "start");
      await phone.locator("#submit").click();
      await phone.locator(".sign.good").waitFor();
      await sees(phone, "started");

      await laptop.goto(server.at("/account").href);
      await laptop.locator('form[action="/account/recovery/refuse"]').waitFor();
      await sees(laptop, "banner");
      await follow(laptop, "/recover/stop", "stop");
      await sees(laptop, "stop");
      await laptop.goto(server.at("/account").href);
      await laptop.locator('form[action="/account/recovery/refuse"] button').click();
      await at(laptop, "/account/security");
      await sees(laptop, "stopped-in-session");
      assert.equal(await laptop.locator('form[action="/account/recovery/refuse"]').count(), 0);

      await ask();
      await follow(phone, "/recover/start");
      await phone.locator("#submit").click();
      await phone.locator(".sign.good").waitFor();
      await follow(laptop, "/recover/stop");
      await laptop.locator("#submit").click();
      await laptop.locator(".sign.good").waitFor();
      await sees(laptop, "stopped");
    });

    it("after the wait a new passkey takes the place of the others", async () => {
      // The clock of the server cannot be moved: it is started again with a wait that is over at once.
      await server.stop();
      server = await home.serve({ RECOVERY_DELAY: "1" });
      seen.clear(); // it keeps the messages of its own process
      await ask();
      await follow(phone, "/recover/start");
      await phone.locator("#submit").click();
      await phone.locator(".sign.good").waitFor();
      await follow(phone, "/recover/finish", "finish");
      await sees(phone, "finish");
      await phone.locator("#submit").click();
      await at(phone, "/signup/passkey");
      await sees(phone, "new-passkey");
      await phone.locator("[data-passkey-ask]").click();
      await at(phone, "/account");
      await sees(phone, "account");
      assert.equal((await fresh.credentials()).length, 1);

      await phone.context().clearCookies();
      await phone.goto(server.at("/login").href); // the device picks what the field offers by itself
      await at(phone, "/account");
      await phone.goto(server.at("/account/security/passkeys").href);
      await sees(phone, "passkeys");
      assert.equal(await phone.locator('button[formaction$="/passkeys/remove"]').count(), 1, "the old ones are gone");
      await phone.goto(server.at("/account/sessions").href);
      await sees(phone, "devices");
      await phone.goto(server.at(await letter(server, email, "/account/security/passkeys", seen)).href);
      await sees(phone, "letter-replaced");
      assert.deepEqual(phone.problems, []);
    });

    it("the laptop is signed out, and its passkey opens nothing", async () => {
      assert.equal((await former.credentials()).length, 1);
      await laptop.goto(server.at("/account").href); // the device answers with the passkey that is lost
      await laptop.locator("[role=alert]:visible").waitFor();
      assert.notEqual(new URL(laptop.url()).pathname, "/account");
      await sees(laptop, "former-passkey");
      await eventually(async () => assert.equal((await former.credentials()).length, 0)); // it was told to forget it
    });
  });
}
