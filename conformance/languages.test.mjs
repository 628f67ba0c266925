// The pages in other languages: in German, Japanese and Arabic as a person with a phone, with large text and with a screen
// reader meets them, and the choice of the language on a page, without scripts, also on error pages.
import assert from "node:assert/strict";
import { browser, page as open, signIn } from "./kit/browser.mjs";
import { look, watch, works } from "./kit/eye.mjs";
import { Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

let home, server, chrome;

before(async () => {
  home = new Installation({ ENABLE_SIGNUP: "true" });
  chrome = await browser();
  server = await home.serve();
});

after(async () => {
  await chrome?.close();
  await server?.stop();
});

const fresh = async (options) => watch(await open(chrome, options));

/** The language and direction of the page that is open. */
const language = (page) => page.evaluate(() => [document.documentElement.lang, document.documentElement.dir]);

/** Chooses a language at the foot of the page. */
async function choose(page, tag) {
  await page.locator(".languages summary").click();
  await page.locator(`.languages button[value="${tag}"]`).click();
}

describe("languages", () => {
  for (const [tag, dir, title] of [["de", "ltr", "Anmelden"], ["ja", "ltr", "ログイン"], ["ar", "rtl", "تسجيل الدخول"]]) {
    it(`${tag}: signing in, the account and errors`, async () => {
      const user = home.user({ name: "Ada Lovelace" });
      const page = await fresh({ locale: tag });
      const sees = async (name) => {
        await (tag === "ja" ? look : works)(page, `${name}-${tag}`);
      };
      await page.goto(server.at("/login").href);
      assert.deepEqual(await language(page), [tag, dir]);
      assert.equal(await page.locator("h1").textContent(), title);
      await sees("login");
      await page.locator(".languages summary").click();
      await sees("languages");
      await signIn(page, { ...user, password: "wrong" });
      await sees("login-wrong");
      await page.goto(server.at("/forgot-password").href);
      await sees("forgot");
      await page.goto(server.at("/nowhere").href);
      assert.deepEqual(await language(page), [tag, dir]);
      await sees("error");
      await page.goto(server.at("/login").href);
      await signIn(page, user);
      for (const name of ["", "/profile", "/security", "/sessions", "/authorizations"]) {
        await page.goto(server.at(`/account${name}`).href);
        assert.deepEqual(await language(page), [tag, dir], name);
        await sees(`account${name.replace("/", "-")}`);
      }
      await page.goto(server.at("/chooser").href);
      await page.locator("[name=choice][value=other]").click();
      await signIn(page, home.user({ name: "Grace Hopper" }));
      await page.waitForURL("**/account");
      await sees("account-second");
      await page.setViewportSize({ width: 360, height: 740 });
      assert.ok(await page.locator(".bar .switch").isVisible());
      const height = await page.locator(".bar").evaluate((e) => e.getBoundingClientRect().height);
      assert.ok(height < 80, `the head of a page fits one line of a phone, ${tag}: ${height}`);
    });
  }

  it("addresses and codes are written from left to right on a page from right to left", async () => {
    const page = await fresh({ locale: "ar" });
    await page.goto(server.at("/login").href);
    for (const name of ["username", "password"]) {
      assert.equal(await page.locator(`#f-${name}`).evaluate((e) => getComputedStyle(e).direction), "ltr", name);
    }
    const [left, right] = await page.locator(".secret").evaluate((box) => {
      const [input, button] = [box.querySelector("input"), box.querySelector("button")].map((e) => e.getBoundingClientRect());
      return [button.left - input.left, input.right - button.right];
    });
    assert.ok(left < right, "the button that shows a password stands at the end of the field");
  });

  it("can be chosen without scripts, on error pages too, and the choice stays", async () => {
    const page = await fresh({ locale: "de", javaScriptEnabled: false });
    await page.goto(server.at("/nowhere").href);
    assert.deepEqual(await language(page), ["de", "ltr"]);
    await choose(page, "ar");
    assert.equal(new URL(page.url()).pathname, "/nowhere");
    assert.deepEqual(await language(page), ["ar", "rtl"]);
    await page.goto(server.at("/login").href);
    assert.deepEqual(await language(page), ["ar", "rtl"]);
    await page.goto(server.at("/login?ui_locales=fr").href);
    assert.deepEqual(await language(page), ["fr", "ltr"]);
    await choose(page, "ja");
    assert.deepEqual(await language(page), ["ja", "ltr"]);
  });
});
