// The operator's own look, in a real browser: colors that are legible, logos, fonts, templates, and a policy that stays strict.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, page as open, picture } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { freePort, Installation, scratch } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const challenge = "A".repeat(43);
const redirect = "http://127.0.0.1:9/cb";
let chrome;
before(async () => (chrome = await browser()));
after(() => chrome?.close());

const svg = (color) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 50"><script>document.title = "run"</script><rect width="200" height="50" fill="${color}"/></svg>`;

/** A server with settings, and what to open there. */
async function serve(settings) {
  const PORT = await freePort();
  const home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}`, ...settings });
  const client = home.client({ name: "Book club", grant: ["code"], redirectUri: redirect, scope: "openid", brandColor: "#ff5722" });
  const server = await home.serve();
  const ask = server.at("/oauth/authorize", {
    response_type: "code", client_id: client.client_id, redirect_uri: redirect, scope: "openid", code_challenge: challenge, code_challenge_method: "S256",
  }).href;
  return { server, ask, at: (path) => server.at(path).href };
}

const fresh = async (options) => watch(await open(chrome, { viewport: { width: 1280, height: 800 }, ...options }));
const style = (page, selector, name) => page.locator(selector).evaluate((e, name) => getComputedStyle(e)[name], name);

describe("one color", () => {
  for (const [name, color, light, dark] of [
    ["violet", "#7c3aed", "rgb(124, 58, 237)", "rgb(124, 58, 237)"],
    ["yellow", "#ffeb3b", "rgb(255, 235, 59)", "rgb(255, 235, 59)"],
    ["navy", "#0a1f44", "rgb(10, 31, 68)", null], // too dark for a dark card
  ]) {
    it(`makes pages legible: ${name}`, async () => {
      const site = await serve({
        APP_NAME: "Acme ID", APP_TAGLINE: "One account for everything", PRIMARY_COLOR: color, COMPANY_NAME: "Acme Ltd", TERMS_URL: "/terms",
        PRIVACY_URL: "https://example.com/privacy", SUPPORT_URL: "https://example.com/help",
      });
      try {
        const page = await fresh({ colorScheme: "light" });
        await page.goto(site.at("/login"));
        assert.equal(await style(page, "#submit", "backgroundColor"), light);
        await look(page, `branding-${name}`);
        await page.emulateMedia({ colorScheme: "dark" });
        if (dark) assert.equal(await style(page, "#submit", "backgroundColor"), dark);
        else assert.notEqual(await style(page, "#submit", "backgroundColor"), light);
        await page.goto(site.ask); // an app with a color of its own
        await page.emulateMedia({ colorScheme: "light" });
        assert.equal(await style(page, "#submit", "backgroundColor"), "rgb(255, 87, 34)");
        await look(page, `branding-${name}-app`);
      } finally {
        await site.server.stop();
      }
    });
  }
});

describe("a theme", () => {
  it("does not ask the browser", async () => {
    const site = await serve({ THEME: "dark" });
    try {
      const page = await fresh({ colorScheme: "light" });
      await page.goto(site.at("/login"));
      assert.equal(await style(page, ".card", "backgroundColor"), "rgb(22, 28, 26)");
      await look(page, "branding-dark");
    } finally {
      await site.server.stop();
    }
  });
});

describe("files and templates", () => {
  it("give logo, font and page of one's own under the same policy", async () => {
    const dir = scratch("templates");
    mkdirSync(join(dir, "public/images"), { recursive: true });
    writeFileSync(join(dir, "public/images/logo.svg"), svg("#123456"));
    writeFileSync(join(dir, "public/images/logo-dark.svg"), svg("#abcdef"));
    writeFileSync(join(dir, "public/theme.css"), ":root { --radius-md: 3px; } .login-page { background: #eef; } .login-card { border-radius: 0; }");
    writeFileSync(join(dir, "signin.html"), `<h1>Good morning</h1>{{template "alerts" .page}}
      <form method="post" action="/login"><label for="u">Name</label><input id="u" name="username" value="{{.username}}" required autocomplete="username">
      <label for="p">Password</label><input id="p" name="password" type="password" required autocomplete="current-password">
      <button class="primary" id="submit">Go</button></form>`);
    const site = await serve({ TEMPLATES_PATH: dir, LOGO_URL: "/images/logo.svg", LOGO_DARK_URL: "/images/logo-dark.svg", APP_NAME: "Acme ID" });
    try {
      const page = await fresh({ colorScheme: "light" });
      await page.goto(site.at("/login"));
      const shown = (file) => page.waitForFunction((end) => {
        const img = document.querySelector(".wordmark");
        return img.currentSrc.endsWith(`/${end}`) && img.complete && img.naturalWidth > 0;
      }, file);
      const logo = () => page.locator(".wordmark").evaluate((img) => [img.currentSrc.replace(/.*\//, ""), img.naturalWidth > 0, img.alt]);
      assert.deepEqual(await logo(), ["logo.svg", true, "Acme ID"]);
      const box = await page.locator(".wordmark").boundingBox();
      assert.ok(Math.abs(box.width - 160) < 2 && Math.abs(box.height - 40) < 2, `the logo has ${box.width} × ${box.height} pixels`);
      assert.equal(await style(page, "#submit", "borderRadius"), "3px");
      assert.equal(await style(page, "body", "backgroundColor"), "rgb(238, 238, 255)");
      await page.emulateMedia({ colorScheme: "dark" });
      await shown("logo-dark.svg"); // it is loaded when the colors change
      assert.deepEqual(await logo(), ["logo-dark.svg", true, "Acme ID"]);
      await page.emulateMedia({ colorScheme: "light" });
      await picture(page, "branding-template");
      // A wrong password comes back to the operator's page.
      await page.locator("[name=username]").fill("nobody@example.com");
      await page.locator("[name=password]").fill("wrong password 1");
      await page.locator("#submit").click();
      await page.getByRole("alert").waitFor();
      assert.equal(await page.locator("h1").textContent(), "Good morning");
      assert.deepEqual(page.problems, []);
      // A logo that is opened by itself runs nothing.
      const response = await page.goto(site.at("/images/logo.svg"));
      assert.match(response.headers()["content-security-policy"], /sandbox/);
      assert.notEqual(await page.title(), "run");
    } finally {
      await site.server.stop();
    }
  });
});
