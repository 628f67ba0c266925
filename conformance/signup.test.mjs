// A new person makes an account, reads the mail of a development server, and confirms the address.
import assert from "node:assert/strict";
import { browser, page } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { eventually, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const chosen = "Lamps and 9 Ladders over the Moat";

describe("signing up", () => {
  let home, server, chrome;

  before(async () => {
    home = new Installation({ ENABLE_SIGNUP: "true", RATE_LIMIT_REGISTER_MAX: "0" });
    server = await home.serve();
    chrome = await browser();
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  /** Opens the newest message, once there is one to an address. */
  async function message(tab, to) {
    await eventually(async () => {
      await tab.goto(server.at("/dev/mail").href);
      assert.ok((await tab.locator("main").innerText()).includes(to));
    });
    await tab.getByRole("link", { name: "Confirm your email address" }).first().click();
  }

  for (const [name, options] of Object.entries({ desktop: {}, phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme: "dark" } })) {
    it(`leads from the sign-in page to the account, on a ${name}`, async () => {
      const tab = watch(await page(chrome, options));
      const email = `${name}@example.com`;
      await tab.goto(server.at("/login").href);
      await look(tab, `signup-login-${name}`);
      await tab.getByRole("link", { name: "Sign up" }).click();
      await look(tab, `signup-${name}`);
      await tab.locator("[name=email]").fill(email);
      await tab.locator("[name=name]").fill("Ada");
      await tab.locator("[name=password]").fill(chosen);
      await tab.locator("#submit").click();
      await tab.getByRole("heading", { name: "Confirm your address" }).waitFor();
      await look(tab, `signup-confirm-${name}`);

      await message(tab, email);
      await tab.getByRole("link", { name: /^http/ }).click();
      await tab.waitForURL((url) => url.pathname === "/verify-email" && url.search === "");
      await look(tab, `signup-verify-${name}`);
      await tab.locator("#submit").click();
      await tab.waitForURL((url) => url.pathname === "/account");

      await tab.goto(server.at("/account/email").href);
      await tab.getByText("Verified").first().waitFor();
      await look(tab, `account-email-${name}`);
      await tab.goto(server.at("/account/username").href);
      await look(tab, `account-username-${name}`);
      assert.deepEqual(tab.problems, []);
    });
  }

  it("asks another browser for the password, and lets the owner begin anew", async () => {
    const tab = watch(await page(chrome));
    await tab.goto(server.at("/signup").href);
    await tab.locator("[name=email]").fill("owner@example.com");
    await tab.locator("[name=password]").fill(chosen);
    await tab.locator("#submit").click();
    await tab.getByRole("heading", { name: "Confirm your address" }).waitFor();
    const other = watch(await page(chrome));
    await message(other, "owner@example.com");
    await other.getByRole("link", { name: /^http/ }).click();
    await other.getByText("isn’t the browser that signed up").waitFor();
    await look(other, "signup-elsewhere");
    await other.getByRole("link", { name: "I don’t know the password" }).click();
    await look(other, "signup-fresh");
    await other.locator("[name=new_password]").fill(`${chosen} 2`);
    await other.locator("#submit").click();
    await other.waitForURL((url) => url.pathname === "/account");
    assert.deepEqual(other.problems, []);
  });
});
