// The whole way of a new person, from a server with nothing configured but ENABLE_SIGNUP=true: sign-up, the mail in
// /dev/mail, a passkey, a sign-in by autofill, and the way back after everything is lost. On a desk in English, on a phone
// in German, and in Arabic.
import assert from "node:assert/strict";
import { browser, page as open, signIn } from "./kit/browser.mjs";
import { device } from "./kit/device.mjs";
import { look, watch, works } from "./kit/eye.mjs";
import { letter, press } from "./kit/mailbox.mjs";
import { freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const chosen = "Lamps and 9 Ladders over the Moat";
const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

/** Only the port, since tests run beside others; the rest is what a person gets who starts the program. */
async function clean(settings) {
  const PORT = await freePort();
  const home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}`, ...settings });
  for (const name of Object.keys(home.settings)) if (name.startsWith("RATE_LIMIT_")) delete home.settings[name];
  return home;
}

/** A person's browser, whose pages must all be in one language and complain about nothing. */
async function person(chrome, tag, options) {
  const tab = watch(await open(chrome, { locale: tag, ...options }));
  tab.speaks = async (name) => {
    const [lang, dir] = await tab.evaluate(() => [document.documentElement.lang, document.documentElement.dir]);
    assert.deepEqual([lang, dir], [tag, tag === "ar" ? "rtl" : "ltr"], `${name}: ${tab.url()}`);
    if (tag !== "en") await works(tab, `story-${name}-${tag}`); // the tests of each page have looked at those in English
  };
  tab.at = (path) => tab.waitForURL((url) => url.pathname === path);
  tab.seen = new Set();
  return tab;
}

/** Reads the newest message to an address and follows its link. */
async function follow(tab, server, to, path) {
  const address = await letter(server, to, path, tab.seen);
  await tab.goto(server.at(address).href);
  await tab.speaks(`letter${path.replaceAll("/", "-")}`);
  await press(tab, path);
}

/** Makes a passkey from the security page. */
async function makePasskey(tab, server) {
  await tab.goto(server.at("/account/security").href);
  await tab.speaks("security");
  await tab.locator("#add-passkey").click();
  await tab.locator("[data-passkey-ask]").waitFor();
  await tab.speaks("passkey");
  await tab.locator("[data-passkey-ask]").click();
  await tab.at("/account/security/passkeys");
  await tab.speaks("passkeys");
}

async function signOut(tab, server) {
  await tab.goto(server.at("/logout").href);
  await tab.locator("[name=choice][value=logout]").click();
  await tab.waitForLoadState();
}

for (const [tag, options] of [["en", {}], ["de", phone], ["ar", {}]]) {
  describe(`a new person, ${tag}`, () => {
    const email = `person-${tag}@example.com`;
    let server, chrome, home, tab, key;

    before(async () => {
      home = await clean({ ENABLE_SIGNUP: "true" });
      [server, chrome] = await Promise.all([home.serve(), browser()]);
      tab = await person(chrome, tag, options);
      key = await device(tab);
    });
    after(async () => {
      await chrome?.close();
      await server?.stop();
    });

    it("signs up and proves the address", async () => {
      await tab.goto(server.at("/login").href);
      await tab.speaks("login");
      await tab.locator('main a[href^="/signup"]').click();
      await tab.locator("[name=email]").fill(email);
      await tab.locator("[name=name]").fill("Ada Lovelace");
      await tab.locator("[name=password]").fill(chosen);
      await tab.speaks("signup");
      await tab.locator("#submit").click();
      await tab.at("/signup/confirm");
      await tab.speaks("confirm");
      await follow(tab, server, email, "/verify-email");
      await tab.speaks("verify");
      await tab.locator("#submit").click();
      await tab.at("/account");
      await tab.speaks("account");
    });

    it("makes a passkey, signs out, and signs in by autofill", async () => {
      await makePasskey(tab, server);
      assert.equal((await key.credentials()).length, 1);
      await signOut(tab, server);
      await tab.context().clearCookies();
      await tab.goto(server.at("/login").href); // the device picks what the field offers by itself
      await tab.at("/account");
      await tab.goto(server.at("/account/sessions").href);
      await tab.speaks("devices");
    });

    it("loses the device and the password, and comes back by mail", async () => {
      const other = await person(chrome, tag, options); // another device: no passkey, no cookie
      other.seen = tab.seen;
      const fresh = await device(other);
      await other.goto(server.at("/login").href);
      await other.locator('main a[href^="/forgot-password"]').click();
      await other.speaks("forgot");
      await other.locator("[name=email]").fill(email);
      await other.locator("#submit").click();
      await other.waitForLoadState();
      await other.speaks("forgot-sent");
      await follow(other, server, email, "/reset-password");
      await other.speaks("reset");
      for (const name of ["new_password", "confirm_password"]) await other.locator(`[name=${name}]`).fill(`${chosen} again`);
      await other.locator("#submit").click();
      await other.at("/login");
      await other.speaks("login-after");
      await other.locator("[name=password]").fill(`${chosen} again`);
      await other.locator("#submit").click();
      await other.at("/account");

      await other.goto(server.at("/account/security/passkeys").href); // the lost passkey must not open the account
      await other.locator('button[formaction$="/passkeys/remove"]').click();
      await other.speaks("passkey-remove");
      await other.locator("[name=current_password]").fill(`${chosen} again`);
      await other.locator("#submit").click();
      await other.at("/account/security/passkeys");
      await makePasskey(other, server);
      assert.equal((await fresh.credentials()).length, 1);
      assert.deepEqual(other.problems, []);

      await tab.goto(server.at("/account").href); // the lost device was signed out, and its passkey is unknown
      await tab.locator("[name=password]").waitFor();
      await tab.waitForURL((url) => url.pathname !== "/account");
    });
  });
}

describe("a server without passwords", () => {
  let server, chrome, home;

  before(async () => {
    home = await clean({ ENABLE_SIGNUP: "true", LOGIN_METHODS: "passkey" });
    [server, chrome] = await Promise.all([home.serve(), browser()]);
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  /** Makes the first passkey of an account, and signs in with it again. */
  async function begin(tab, name) {
    await tab.at("/signup/passkey");
    await look(tab, name);
    await tab.locator("[data-passkey-ask]").click();
    await tab.at("/account");
    await tab.context().clearCookies();
    await tab.goto(server.at("/login").href); // by autofill, or by the button
    await tab.at("/account");
    assert.deepEqual(tab.problems, []);
  }

  it("takes a new person in with a passkey", async () => {
    const tab = await person(chrome, "en", {});
    await device(tab);
    await tab.goto(server.at("/login").href);
    await tab.locator('main a[href^="/signup"]').click();
    await look(tab, "signup-passkey-only");
    await tab.locator("[name=email]").fill("new@example.com");
    await tab.locator("#submit").click();
    await tab.at("/signup/confirm");
    await follow(tab, server, "new@example.com", "/verify-email");
    await tab.locator("#submit").click();
    await begin(tab, "first-passkey");
  });

  it("takes an invited person in with a passkey", async () => {
    home.command("user", "invite", "vera@example.com");
    const tab = await person(chrome, "en", {});
    await device(tab);
    await follow(tab, server, "vera@example.com", "/invitation");
    await look(tab, "invitation-passkey-only");
    await tab.locator("[name=name]").fill("Vera");
    await tab.locator("#submit").click();
    await begin(tab, "first-passkey-invited");
  });
});

describe("invitations and changes of the address", () => {
  let server, chrome, home;

  before(async () => {
    home = await clean({});
    [server, chrome] = await Promise.all([home.serve(), browser()]);
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  it("are accepted with a password, for their address only", async () => {
    home.command("user", "invite", "ida@example.com");
    const tab = await person(chrome, "en", {});
    await follow(tab, server, "ida@example.com", "/invitation");
    await look(tab, "invitation");
    await tab.locator("[name=name]").fill("Ida");
    await tab.locator("[name=password]").fill(chosen);
    await tab.locator("#submit").click();
    await tab.at("/account");
    home.command("user", "invite", "max@example.com");
    await follow(tab, server, "max@example.com", "/invitation");
    await tab.getByText("You’re signed in as").waitFor();
    assert.deepEqual(tab.problems, []);
  });

  it("are undone from the former address", async () => {
    const user = home.user({ name: "Ada" });
    const tab = await person(chrome, "en", {});
    await tab.goto(server.at("/login").href);
    await signIn(tab, user);
    await tab.at("/account");
    await tab.goto(server.at("/account/email").href);
    const form = tab.locator('form[action="/account/email"]');
    await form.locator("[name=email]").fill("other@example.com");
    await form.locator("[name=current_password]").fill(user.password);
    await form.locator("#submit").click();
    await tab.waitForURL((url) => url.searchParams.has("done"));
    await follow(tab, server, "other@example.com", "/verify-email");
    await tab.locator("#submit").click();
    await tab.at("/account/email");

    const owner = await person(chrome, "en", {});
    owner.seen = tab.seen;
    await follow(owner, server, user.email, "/undo-email");
    await look(owner, "undo");
    await owner.locator("[name=password]").fill(user.password);
    await owner.locator("#submit").click();
    await owner.at("/forgot-password");
    await look(owner, "undone");
    await tab.goto(server.at("/account").href); // whoever changed it is signed out
    await tab.at("/login");
    assert.deepEqual(owner.problems, []);
  });
});
