// Passkeys in Chromium with a virtual authenticator: added, offered by autofill, asked for by the button, as a second step,
// removed; and what a person sees who cancels, or whose device does not verify people.
import assert from "node:assert/strict";
import { browser, page as open, signIn } from "./kit/browser.mjs";
import { device } from "./kit/device.mjs";
import { look, watch } from "./kit/eye.mjs";
import { freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const at = (tab, to) => tab.waitForURL((url) => url.pathname === to);

/** Adds a passkey from the page of a signed-in account. */
async function add(tab, server, name = "") {
  await tab.goto(server.at("/account/security").href);
  await tab.locator("#add-passkey").click();
  await tab.getByRole("heading", { name: "Add a passkey", level: 1 }).waitFor();
  await tab.locator("[name=passkey_name]").fill(name);
  await tab.getByRole("button", { name: "Create a passkey" }).click();
}


describe("passkeys", () => {
  let home, server, chrome, user, tab, authenticator;

  /** Opens the sign-in page with a question of autofill that nobody answers. The next question is answered at once. */
  async function waiting(tab, server, held = authenticator) {
    await held.touches(false);
    await tab.context().clearCookies();
    await tab.goto(server.at("/login").href);
    await tab.locator("#passkey-sign-in").waitFor();
    await held.touches(true);
  }

  before(async () => {
    const PORT = await freePort();
    home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}` });
    user = home.user({ name: "Ada Lovelace" });
    [server, chrome] = await Promise.all([home.serve(), browser()]);
    tab = watch(await open(chrome));
    authenticator = await device(tab);
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  it("are added on the security page", async () => {
    await tab.goto(server.at("/login").href);
    await look(tab, "passkey-login");
    await signIn(tab, user);
    await at(tab, "/account");
    await tab.goto(server.at("/account/security").href);
    await look(tab, "passkey-security");
    await tab.locator("#add-passkey").click();
    await tab.getByRole("heading", { name: "Add a passkey", level: 1 }).waitFor();
    await look(tab, "passkey-add");
    await tab.getByRole("button", { name: "Create a passkey" }).click();
    await tab.getByText("Your passkey was added.").waitFor();
    await look(tab, "passkey-list");
    const [made] = await authenticator.credentials();
    assert.ok(made.isResidentCredential);
    assert.equal(made.rpId, "localhost");
    assert.equal(Buffer.from(made.userHandle, "base64").length, 64);
  });

  it("are made once on each device", async () => {
    await add(tab, server);
    await tab.getByText("This device already has a passkey for your account.").waitFor();
    assert.equal((await authenticator.credentials()).length, 1);
  });

  it("sign in by autofill", async () => {
    await tab.context().clearCookies();
    await tab.goto(server.at("/login").href); // the device picks the passkey that the field offers by itself
    await at(tab, "/account");
    await tab.getByRole("heading", { name: "Hello, Ada Lovelace" }).waitFor();
  });

  it("sign in by the button, which ends the question of autofill", async () => {
    await waiting(tab, server);
    assert.equal(await tab.locator("[name=username]").getAttribute("autocomplete"), "username webauthn");
    await tab.locator("#passkey-sign-in").click();
    await at(tab, "/account");
    assert.deepEqual(tab.problems, []);
  });

  it("ask the device within the click: Safari allows it at no other moment", async () => {
    await waiting(tab, server);
    const within = await tab.evaluate(() => {
      let asked = false;
      const get = navigator.credentials.get.bind(navigator.credentials);
      navigator.credentials.get = (o) => ((asked = true), get(o));
      document.getElementById("passkey-sign-in").click();
      return asked;
    });
    assert.ok(within);
    await at(tab, "/account");
  });

  it("say nothing to a person who cancels, and leave the password", async () => {
    await authenticator.verifies(false);
    await waiting(tab, server);
    const asked = tab.evaluate(
      () =>
        new Promise((resolve) => {
          const get = navigator.credentials.get.bind(navigator.credentials);
          navigator.credentials.get = (o) => get(o).catch((e) => (setTimeout(resolve, 100, e.name), Promise.reject(e)));
        }),
    );
    await tab.locator("#passkey-sign-in").click();
    assert.equal(await asked, "NotAllowedError");
    assert.equal(await tab.locator("[role=alert]:visible").count(), 0);
    await authenticator.verifies(true);
    await signIn(tab, user);
    await at(tab, "/account");
    assert.deepEqual(tab.problems, []);
  });

  it("work in two tabs, the older one too", async () => {
    await waiting(tab, server);
    const second = watch(await tab.context().newPage());
    await second.goto(server.at("/login").href);
    await second.close();
    await tab.bringToFront();
    await tab.locator("#passkey-sign-in").click();
    await at(tab, "/account");
  });

  it("work on a page that was open for two hours", async () => {
    const late = watch(await open(chrome));
    const another = await device(late);
    await late.goto(server.at("/login").href);
    await signIn(late, home.user({ name: "Grace Hopper" }));
    await at(late, "/account");
    await add(late, server);
    await late.getByText("Your passkey was added.").waitFor();
    await late.clock.install();
    await waiting(late, server, another);
    const [question] = await Promise.all([
      late.waitForResponse((r) => new URL(r.url()).pathname === "/login/passkey"),
      late.clock.fastForward("02:00:00"),
    ]);
    assert.equal(question.status(), 200);
    await at(late, "/account");
    await late.context().close();
  });

  it("take the place of the password on pages of the account", async () => {
    await tab.goto(server.at("/account/security").href);
    await at(tab, "/account/security"); // by autofill
    const form = tab.locator("form[action='/account/security/totp/enable']");
    await form.getByRole("button", { name: "Use a passkey instead" }).click();
    await tab.getByRole("heading", { name: "Set up your authenticator app" }).waitFor();
  });

  it("are renamed and removed, and the removed one no longer signs in", async () => {
    await tab.goto(server.at("/account/security/passkeys").href);
    await tab.getByRole("button", { name: "Rename" }).click();
    await look(tab, "passkey-rename");
    await tab.locator("[name=passkey_name]").fill("My laptop");
    await tab.locator("#submit").click();
    await tab.getByRole("heading", { name: "My laptop" }).waitFor();
    const kept = await authenticator.credentials();
    await tab.getByRole("button", { name: "Remove" }).click();
    await look(tab, "passkey-remove");
    await tab.locator("[name=current_password]").fill(user.password);
    await tab.locator("#submit").click();
    await tab.getByText("The passkey was removed.").waitFor();
    for (const credential of await authenticator.credentials().then((left) => (left.length ? [] : kept))) {
      await authenticator.put(credential); // the device was told, and forgot it
    }
    await waiting(tab, server);
    await tab.locator("#passkey-sign-in").click();
    await tab.getByText("This passkey was removed from its account").waitFor();
  });

  it("are not missed without scripts", async () => {
    const plain = await open(chrome, { javaScriptEnabled: false });
    await plain.goto(server.at("/login").href);
    assert.equal(await plain.locator("#passkey-sign-in").isVisible(), false);
    await signIn(plain, user);
    await at(plain, "/account");
  });
});

describe("passkeys as the only way in", () => {
  it("need no password anywhere", async () => {
    const PORT = await freePort();
    const home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}` });
    const user = home.user({ name: "Ada" });
    let server = await home.serve();
    const chrome = await browser();
    const tab = watch(await open(chrome));
    const authenticator = await device(tab);
    await tab.goto(server.at("/login").href);
    await signIn(tab, user);
    await at(tab, "/account");
    await add(tab, server);
    await tab.getByText("Your passkey was added.").waitFor();
    await server.stop();

    server = await home.serve({ LOGIN_METHODS: "passkey" });
    await authenticator.touches(false);
    await tab.context().clearCookies();
    await tab.goto(server.at("/login").href);
    await look(tab, "passkey-only");
    assert.equal(await tab.locator("[type=password]").count(), 0);
    await authenticator.touches(true);
    await tab.locator("#passkey-sign-in").click();
    await at(tab, "/account");
    await tab.goto(server.at("/account/security").href);
    assert.equal(await tab.locator("[name=new_password]").count(), 0);
    await chrome.close();
    await server.stop();
  });
});

describe("passkeys as the second step", () => {
  it("need no fingerprint after the password, but alone they do", async () => {
    const PORT = await freePort();
    const home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}` });
    const user = home.user({ name: "Ada" });
    let server = await home.serve();
    const chrome = await browser();
    const tab = watch(await open(chrome));
    const authenticator = await device(tab);
    await tab.goto(server.at("/login").href);
    await signIn(tab, user);
    await at(tab, "/account");
    await add(tab, server);
    await tab.getByText("Your passkey was added.").waitFor();
    await server.stop();

    server = await home.serve({ REQUIRE_MFA: "true" });
    await authenticator.verifies(false);
    await tab.context().clearCookies();
    await tab.goto(server.at("/login").href);
    await tab.locator("#passkey-sign-in").click();
    await signIn(tab, user);
    await tab.getByRole("heading", { name: "Use your passkey" }).waitFor();
    await look(tab, "passkey-second");
    await tab.locator("#submit").click();
    await at(tab, "/account");
    assert.deepEqual(tab.problems, []);
    await chrome.close();
    await server.stop();
  });
});
