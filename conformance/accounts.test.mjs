// A person joins, signs in without a password, loses everything and comes back, with nothing configured but open sign-up:
// at a desk in English, on a phone in German, and on a phone in Arabic.
import assert from "node:assert/strict";
import { browser, page as open, picture } from "./kit/browser.mjs";
import { look, watch, works } from "./kit/eye.mjs";
import { eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const desk = { viewport: { width: 1280, height: 800 } };
const first = "Seven lanterns at 9 gates";
const second = "Nine gates and 7 other lanterns";

let home, server, chrome;

before(async () => {
  const PORT = await freePort();
  // Three people share one address, which is allowed few forgotten passwords an hour.
  const RATE_LIMIT_PASSWORD_RESET_MAX = "0";
  home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}`, ENABLE_SIGNUP: "true", RATE_LIMIT_PASSWORD_RESET_MAX });
  server = await home.serve();
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  await server?.stop();
});

/** A browser of its own. */
const fresh = async (options) => watch(await open(chrome, options));
const path = (page) => new URL(page.url()).pathname;

/** Gives a browser a device that keeps passkeys and always recognizes its owner. */
async function authenticator(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
    isUserVerified: true, automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options });
  return { passkeys: async () => (await cdp.send("WebAuthn.getCredentials", { authenticatorId })).credentials.length };
}

/** Opens the link of the newest message to an address whose link leads to a path. */
async function follow(page, address, to) {
  let link;
  await eventually(async () => {
    await page.goto(server.at("/dev/mail").href);
    for (const letter of await page.locator("main a[href^='/dev/mail/']").evaluateAll((all) => all.map((a) => a.href))) {
      await page.goto(letter);
      if (!(await page.locator("main").innerText()).includes(address)) continue;
      link = await page.locator(`main a[href*='${to}']`).first().getAttribute("href", { timeout: 500 }).catch(() => null);
      if (link) return;
    }
    assert.fail(`no message to ${address} with a link to ${to}`);
  });
  await page.goto(link);
}

for (const reader of [
  { title: "in English, at a desk", locale: "en-US", lang: "en", dir: "ltr", options: desk },
  { title: "in German, on a phone", locale: "de-DE", lang: "de", dir: "ltr", options: phone },
  { title: "in Arabic, on a phone", locale: "ar-EG", lang: "ar", dir: "rtl", options: phone },
]) {
  describe(reader.title, () => {
    const email = `sara-${reader.lang}@example.com`;
    const name = `story-${reader.lang}`;
    let mine, device;

    /** Checks the language of the page and looks at it. */
    async function see(page, what) {
      assert.deepEqual(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir]), [reader.lang, reader.dir], what);
      if (reader.lang !== "en") assert.doesNotMatch(await page.locator("main").innerText(), /\b(the|your|you|password|sign in)\b/i, `${what}: English words`);
      await (reader.lang === "en" ? look : works)(page, `${name}-${what}`);
      await page.setViewportSize(reader.options.viewport);
    }

    before(async () => {
      mine = await fresh({ ...reader.options, locale: reader.locale });
      device = await authenticator(mine);
    });

    it("joins from the sign-in page and proves the address", async () => {
      await mine.goto(server.at("/login").href);
      await see(mine, "login");
      await mine.locator("a[href^='/signup']").click();
      await see(mine, "signup");
      await mine.locator("[name=email]").fill(email);
      await mine.locator("[name=name]").fill("Sara");
      await mine.locator("[name=password]").fill(first);
      await mine.locator("#submit").click();
      await mine.locator("[name=code]").waitFor();
      await see(mine, "confirm");
      await follow(mine, email, "/verify-email");
      await see(mine, "verify");
      await mine.locator("#submit").click();
      await mine.waitForURL((url) => url.pathname.startsWith("/account"));
      await see(mine, "account");
      assert.equal(home.command("user", "show", email).email_verified, true);
    });

    it("makes a passkey", async () => {
      await mine.goto(server.at("/account/security").href);
      await see(mine, "security");
      await mine.locator("#add-passkey").click();
      await mine.waitForURL((url) => url.pathname === "/account/security/passkeys/add");
      await see(mine, "passkey-add");
      await mine.bringToFront();
      await mine.locator("#submit").click();
      await eventually(async () => assert.equal(await device.passkeys(), 1));
      await mine.waitForURL((url) => url.pathname !== "/account/security/passkeys/add"); // the server has the passkey, too
      await mine.goto(server.at("/account/security/passkeys").href);
      await see(mine, "passkeys");
      assert.equal(await mine.locator("section.panel h2 bdi").count(), 1);
    });

    it("signs out, and in again by autofill alone", async () => {
      await mine.goto(server.at("/logout").href);
      if (await mine.locator("#submit").count()) await mine.locator("#submit").first().click();
      await mine.goto(server.at("/login?other=1").href);
      // The authenticator answers the pending request by itself, as a person's tap on the suggestion does.
      await mine.waitForURL((url) => url.pathname.startsWith("/account"));
      assert.deepEqual(mine.problems, []);
    });

    it("loses the device and the password, and comes back by mail", async () => {
      const other = await fresh({ ...reader.options, locale: reader.locale });
      await other.goto(server.at("/login").href);
      await other.locator("a[href^='/forgot-password']").click();
      await see(other, "forgot");
      await other.locator("[name=email]").fill(email);
      await other.locator("#submit").click();
      await other.locator("h1").waitFor();
      await see(other, "sent");
      await follow(other, email, "/reset-password");
      assert.doesNotMatch(other.url(), /token=/, "the token has left the address");
      await see(other, "reset");
      await other.locator("[name=password],[name=new_password]").first().fill(second);
      await other.locator("[name=password_confirmation],[name=confirm_password]").first().fill(second);
      await other.locator("#submit").click();
      await other.waitForURL((url) => url.pathname === "/login");
      await other.locator("[name=username]:visible").fill(email);
      await other.locator("[name=password]").fill(second);
      await other.locator("#submit").click();
      await other.waitForURL((url) => !url.pathname.startsWith("/login") || url.pathname === "/login/passkey-offer");
      await other.goto(server.at("/account").href);
      assert.equal(path(other), "/account");
      await see(other, "back");
      // What was signed in before is signed out.
      await mine.goto(server.at("/account").href);
      assert.equal(path(mine), "/login");
      await picture(mine, `${name}-out`);
      assert.deepEqual([...mine.problems, ...other.problems], []);
    });
  });
}
