// Pages of an account with long names, in English, German and Arabic, on a phone and a desk, in light and in the dark: passkeys,
// devices with programs among them, several accounts, a change of the address that is undone, and an administrator who acts
// as the person.
import assert from "node:assert/strict";
import { browser, page as open, signIn } from "./kit/browser.mjs";
import { device } from "./kit/device.mjs";
import { look, watch } from "./kit/eye.mjs";
import { letter, press } from "./kit/mailbox.mjs";
import { freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const administrator = "Grace Brewster Murray Hopper", person = "Augusta Ada King-Noel, Countess of Lovelace";
const desk = { viewport: { width: 1280, height: 800 } };
const agents = {
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1": /Safari.*iPhone/,
  "Go-http-client/2.0": /Go/,
  "curl/8.14.1": /curl/,
  "okhttp/5.3.2": /Java/,
  "gatehouse/0.2.0 (linux; amd64)": /Gatehouse.*Linux/,
};
const at = (tab, path) => tab.waitForURL((url) => url.pathname === path);
let home, server, chrome, root;

before(async () => {
  const PORT = await freePort();
  home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}` });
  root = home.user({ email: "root@example.com", name: administrator, roles: ["super_admin"], password: "a Lantern for 7 gates and more" });
  [server, chrome] = await Promise.all([home.serve(), browser()]);
});
after(async () => {
  await chrome?.close();
  await server?.stop();
});

for (const tag of ["en", "de", "ar"]) {
  describe(`the account of a person, ${tag}`, () => {
    let user, tab;

    const fresh = async (options) => watch(await open(chrome, { locale: tag, ...desk, ...options }));

    /** Looks at the page that is open, which must be in the person's language. */
    async function sees(tab, name) {
      assert.equal(await tab.evaluate(() => document.documentElement.lang), tag, `${name}: ${tab.url()}`);
      await look(tab, `account-${name}-${tag}`);
      await tab.setViewportSize(desk.viewport);
    }

    async function enter(tab, who, query = {}) {
      await tab.goto(server.at("/login", query).href);
      await signIn(tab, who);
      await at(tab, query.next ?? "/account");
    }

    before(async () => {
      user = home.user({ name: person, email: `augusta.ada.king-noel.${tag}@mathematics.example.com` });
      tab = await fresh();
      await device(tab);
      await enter(tab, user);
    });

    it("has passkeys", async () => {
      await tab.goto(server.at("/account/security").href);
      await tab.locator("#add-passkey").click();
      await tab.locator("[name=passkey_name]").fill("My laptop, the one in the office with the long name");
      await tab.locator("[data-passkey-ask]").click();
      await at(tab, "/account/security/passkeys");
      await sees(tab, "passkeys");
      await tab.goto(server.at("/account/security").href);
      await sees(tab, "security");
    });

    it("has devices, also programs", async () => {
      for (const userAgent of Object.keys(agents)) {
        const other = await open(chrome, { userAgent });
        await enter(other, user);
        await other.context().close();
      }
      await tab.goto(server.at("/account/sessions").href);
      const text = (await tab.locator("main").innerText()).replace(/[\u2066-\u2069]/g, "");
      for (const name of Object.values(agents)) assert.match(text, name);
      assert.doesNotMatch(text, /http-client|okhttp|Mozilla/);
      await sees(tab, "devices");
    });

    it("is one of several in a browser", async () => {
      const several = await fresh();
      await enter(several, user);
      await enter(several, home.user({ name: tag === "ar" ? "بوب" : "Bob", email: `bob-${tag}@example.com` }), { other: "1" });
      await several.goto(server.at("/chooser").href);
      await sees(several, "chooser");
    });

    it("gets its address back", async () => {
      const next = `other-${tag}@example.com`, seen = new Set();
      await tab.goto(server.at("/account/email").href);
      const form = tab.locator('form[action="/account/email"]');
      await form.locator("[name=email]").fill(next);
      await form.locator("[name=current_password]").fill(user.password);
      await form.locator("#submit").click();
      await tab.waitForURL((url) => url.searchParams.has("done"));
      await tab.goto(server.at(await letter(server, next, "/verify-email", seen)).href);
      await press(tab, "/verify-email");
      await tab.locator("#submit").click();
      await at(tab, "/account/email");
      await sees(tab, "address");

      const owner = await fresh();
      await owner.goto(server.at(await letter(server, user.email, "/undo-email", seen)).href);
      await press(owner, "/undo-email");
      await sees(owner, "undo");
      await owner.locator("[name=password]").fill("not the password");
      await owner.locator("#submit").click();
      await owner.locator("[role=alert]:visible").first().waitFor();
      await sees(owner, "undo-wrong");
      await owner.locator("[name=password]").fill(user.password);
      await owner.locator("#submit").click();
      await at(owner, "/forgot-password");
      await sees(owner, "undone");
    });

    it("says who acts on its behalf", async () => {
      const admin = await fresh();
      await enter(admin, root, { next: "/admin" });
      await admin.goto(server.at(`/admin/users/${user.id}/impersonate`).href);
      await admin.fill("[name=reason]", "Ticket 4711");
      await admin.click("#submit");
      await admin.waitForURL(({ pathname, search }) => pathname === "/impersonate" && search === "");
      await admin.click("#submit");
      await at(admin, "/account");
      const banner = await admin.locator(".on-behalf").innerText();
      for (const name of [administrator, person]) assert.ok(banner.includes(name), banner);
      await sees(admin, "on-behalf");
      await admin.goto(server.at("/account/sessions").href);
      await sees(admin, "on-behalf-devices");
    });
  });
}
