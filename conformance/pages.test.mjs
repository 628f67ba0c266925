// The pages, in a real browser: what they say and do, with a mouse, a keyboard, a screen reader and without scripts.
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { browser, consent, page as open, Party, picture, signIn } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { Person } from "./kit/person.mjs";
import { basic, freePort, Installation, password } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const verifier = "p".repeat(60);
const challenge = createHash("sha256").update(verifier).digest("base64url");
let home, server, chrome, party, client, tv;

before(async () => {
  // Links that a command prints lead to the address in the settings.
  const PORT = await freePort();
  home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}` });
  [chrome, party] = await Promise.all([browser(), Party.listen()]);
  client = home.client({
    name: "Book club", grant: ["code", "refresh"], redirectUri: party.redirect, scope: "openid profile email address phone offline_access books",
    uri: "https://books.example.com",
  });
  tv = home.client({ name: "Television", public: true, grant: ["device", "refresh"], scope: "openid profile" });
  server = await home.serve();
});

after(async () => {
  await Promise.all([chrome?.close(), party?.close()]);
  await server?.stop();
});

const fresh = async (options) => watch(await open(chrome, { viewport: { width: 1280, height: 800 }, ...options }));
const path = (page) => new URL(page.url()).pathname;
const submit = (page) => page.locator("#submit");

/** An authorization request of the book club. */
const request = (extra = {}) =>
  server.at("/oauth/authorize", {
    response_type: "code", client_id: client.client_id, redirect_uri: party.redirect, scope: "openid profile email offline_access books", state: "s",
    code_challenge: challenge, code_challenge_method: "S256", ...extra,
  }).href;

/** Tokens for a person, got in another browser. */
async function tokens(person) {
  const back = await person.authorize(request());
  const form = { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri: party.redirect, code_verifier: verifier };
  return (await server.post("/oauth/token", form, basic(client))).body;
}

/** Whether anything of the tokens still works. */
async function alive({ access_token, refresh_token }) {
  const { body } = await server.post("/oauth/introspect", { token: access_token }, basic(client));
  const again = await server.post("/oauth/introspect", { token: refresh_token }, basic(client));
  return [body.active, again.body.active];
}

/** A six-digit code (RFC 6238); steps are counted from now. It stays good for as long as a form takes to send. */
async function totp(key, step = 0) {
  const left = 30_000 - (Date.now() % 30_000);
  if (left < 2_000) await sleep(left + 50);
  const bits = [...key.replace(/\s/g, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const seed = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + step));
  const mac = createHmac("sha1", seed).update(counter).digest();
  const at = mac.at(-1) & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

describe("the first start", () => {
  let page, link;

  before(async () => {
    page = await fresh();
    assert.doesNotMatch(server.output, /setup\?token=/); // its output is no terminal
    link = home.command("setup-link").setup_link;
  });

  it("has a link that makes the first administrator", async () => {
    await page.goto(link);
    await look(page, "setup");
    await page.getByLabel("Email").fill("root@example.com");
    await page.getByLabel("Your name").fill("Root");
    await page.getByLabel("Password", { exact: true }).fill("short 1A");
    await submit(page).click();
    assert.match(await page.getByRole("alert").innerText(), /16/);
    await look(page, "setup-wrong");
    assert.equal(await page.getByLabel("Email").inputValue(), "root@example.com");
    await page.getByLabel("Password", { exact: true }).fill("A rather long 1st password");
    await submit(page).click();
    await page.waitForURL("**/account");
    assert.match(await page.locator("h1").innerText(), /Root/);
    assert.deepEqual(home.command("user", "show", "root@example.com").roles, ["super_admin"]);
  });

  it("and the link works once", async () => {
    await page.goto(link);
    assert.notEqual(path(page), "/account");
    assert.equal(await page.locator("[name=password]").count(), 0);
    await look(page, "setup-used");
  });
});

describe("signing in", () => {
  let ada, page;

  before(async () => {
    ada = home.user({ email: "ada@example.com", name: "Ada Lovelace", username: "ada" });
    page = await fresh();
  });

  it("the way through all its pages", async () => {
    await page.goto(request());
    await look(page, "login");
    await page.locator("[name=username]").fill("ada@example.com");
    await page.locator("[name=password]").fill("not it 1A");
    await submit(page).click();
    const alert = page.getByRole("alert");
    await alert.waitFor();
    assert.equal(await page.locator("[name=username]").inputValue(), "ada@example.com");
    assert.equal(await page.locator("[name=password]").inputValue(), "");
    assert.match(await page.title(), /^Error/);
    await look(page, "login-wrong");
    await page.locator("[name=password]").fill(password);
    await submit(page).click();
    await page.waitForURL("**/consent?*");
    const words = await page.locator("main").innerText();
    for (const part of [/Book club/, /Not you\?/, /Ada Lovelace|ada@example\.com/, /e-?mail address/i, new RegExp(new URL(party.origin).host)]) assert.match(words, part);
    await look(page, "consent");
    await consent(page);
    await party.arrival(page);
  });

  it("choosing an account", async () => {
    await page.goto(request({ prompt: "select_account" }));
    await look(page, "chooser");
    await submit(page).click();
    await party.arrival(page);
  });

  it("with the keyboard alone", async () => {
    const mine = await fresh();
    await mine.goto(request());
    assert.equal(await mine.evaluate(() => document.activeElement.name), "username");
    await mine.keyboard.type("ada");
    await mine.keyboard.press("Tab");
    assert.equal(await mine.evaluate(() => document.activeElement.name), "password");
    await mine.keyboard.type(password);
    const stops = [];
    for (let i = 0; i < 4 && stops.at(-1) !== "submit"; i++) {
      await mine.keyboard.press("Tab");
      const { id, outline } = await mine.evaluate(() => {
        const { id } = document.activeElement;
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement);
        return { id, outline: (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none" };
      });
      assert.ok(outline, "what has the focus shows it");
      stops.push(id);
    }
    assert.equal(stops.at(-1), "submit", "the button is reached");
    await mine.keyboard.press("Enter");
    await party.arrival(mine);
    assert.deepEqual(mine.problems, []);
  });

  it("without JavaScript", async () => {
    const plain = await fresh({ javaScriptEnabled: false });
    await plain.goto(request({ prompt: "consent" }));
    await signIn(plain, ada);
    await consent(plain);
    const back = await party.arrival(plain);
    assert.ok(back.searchParams.get("code"));
    await plain.goto(request({ response_mode: "form_post" }));
    await picture(plain, "form-post");
    await plain.getByRole("button", { name: "Continue" }).click();
    await party.arrival(plain);
  });

  it("with a screen reader: every field and button has its name", async () => {
    const mine = await fresh();
    await mine.goto(server.at("/login").href);
    const main = mine.getByRole("main");
    await main.getByRole("heading", { name: "Sign in", level: 1 }).waitFor();
    await main.getByRole("textbox", { name: "Email or username" }).waitFor();
    await main.getByLabel("Password", { exact: true }).waitFor();
    await main.getByRole("button", { name: "Show: Password" }).click();
    assert.equal(await mine.locator("[name=password]").getAttribute("type"), "text");
    await main.getByRole("button", { name: "Hide: Password" }).waitFor();
    await main.getByRole("textbox", { name: "Email or username" }).fill("ada");
    await main.getByLabel("Password", { exact: true }).fill("wrong 1Aa");
    await main.getByRole("button", { name: "Sign in", exact: true }).click();
    await mine.getByRole("alert").waitFor();
  });

  it("locks after five wrong passwords, and an administrator can unlock", async () => {
    const eve = home.user({ email: "eve@example.com" });
    const mine = await fresh();
    await mine.goto(server.at("/login").href);
    for (let i = 0; i < 5; i++) await signIn(mine, { ...eve, password: `wrong ${i} Aa` });
    await mine.getByRole("alert").waitFor();
    await signIn(mine, eve);
    assert.equal(path(mine), "/login");
    assert.match(await mine.getByRole("alert").innerText(), /Too many/);
    await look(mine, "locked");
    home.command("user", "unlock", "eve@example.com");
    await signIn(mine, eve);
    await mine.waitForURL("**/account");
  });

  it("with a link to choose the first password", async () => {
    const { password_link } = home.command("user", "create", "--email=new@example.com");
    const mine = await fresh();
    await mine.goto(password_link);
    await look(mine, "new-password");
    await mine.locator("[name=new_password]").fill(password);
    await mine.locator("[name=confirm_password]").fill(`${password}!`);
    await submit(mine).click();
    await mine.getByRole("alert").waitFor();
    await look(mine, "new-password-wrong");
    await mine.locator("[name=new_password]").fill(password);
    await mine.locator("[name=confirm_password]").fill(password);
    await submit(mine).click();
    await mine.waitForURL("**/login?*");
    await mine.getByRole("status").waitFor();
    await signIn(mine, { email: "new@example.com", password });
    await mine.waitForURL("**/account");
    await mine.goto(password_link);
    assert.equal(await mine.locator("[name=new_password]").count(), 0, "the link works once");
  });

  it("in several tabs at once, as a browser restores them", async () => {
    const mine = home.user({ email: "tabs@example.com" });
    const first = await fresh();
    const tab = async () => watch(await first.context().newPage());
    const tabs = [first, await tab(), await tab()];
    await Promise.all(tabs.map((one, i) => one.goto(request({ state: `tab-${i}` }))));
    await signIn(tabs[0], mine);
    await tabs[0].waitForURL("**/consent?*");
    await tabs[1].reload(); // signed in meanwhile
    await tabs[1].waitForURL("**/consent?*");
    await consent(tabs[1]);
    assert.equal((await party.arrival(tabs[1])).searchParams.get("state"), "tab-1");
    const other = await tab();
    await other.goto(server.at("/logout").href);
    await submit(other).click();
    await other.locator("h1", { hasText: "signed out" }).waitFor();
    await consent(tabs[0]); // its page belongs to the session that has ended
    await tabs[0].locator("h1", { hasText: "Your sign-in changed" }).waitFor();
    await look(tabs[0], "sign-in-changed");
    await submit(tabs[0]).click();
    await tabs[0].waitForURL("**/login?*");
    await signIn(tabs[0], mine);
    assert.equal((await party.arrival(tabs[0])).searchParams.get("state"), "tab-0");
    await signIn(tabs[2], mine); // a page that was left open
    assert.equal((await party.arrival(tabs[2])).searchParams.get("state"), "tab-2");
    for (const [i, one] of tabs.entries()) { // back and restored: no page shows an account without a session
      await one.goto(server.at("/account").href);
      assert.equal(path(one), "/account", `tab ${i}`);
    }
    await tabs[1].goto(server.at("/logout").href);
    await submit(tabs[1]).click();
    await tabs[1].locator("h1", { hasText: "signed out" }).waitFor();
    for (const one of [tabs[0], tabs[2]]) {
      await one.reload();
      assert.equal(path(one), "/login");
    }
  });

  it("out again", async () => {
    await page.goto(server.at("/account").href);
    await page.getByRole("link", { name: "Sign out" }).click();
    assert.match(await page.locator("main").innerText(), /ada@example\.com/);
    await look(page, "logout");
    await submit(page).click();
    await look(page, "logged-out");
    await page.goto(server.at("/account").href);
    assert.equal(path(page), "/login");
  });
});

describe("a second step", () => {
  let grace, page, key, used, backup;

  before(async () => {
    grace = home.user({ email: "grace@example.com" });
    page = await fresh();
    await page.goto(server.at("/account/security").href);
    await signIn(page, grace);
    await page.waitForURL("**/account/security");
  });

  it("is set up with an authenticator app", async () => {
    await page.locator("form[action$='/totp/enable'] [name=current_password]").fill(password);
    await page.getByRole("button", { name: "Set up an authenticator app" }).click();
    await page.getByRole("img", { name: /QR code/ }).waitFor();
    await look(page, "enroll");
    await page.locator("main summary").click();
    key = await page.locator(".key").innerText();
    await page.getByLabel("Six-digit code").fill("000000");
    await submit(page).click();
    await page.getByRole("alert").waitFor();
    await look(page, "enroll-wrong");
    await page.locator("main summary").click();
    key = await page.locator(".key").innerText();
    await page.getByLabel("Six-digit code").fill(await totp(key, -1));
    await submit(page).click();
    await page.waitForURL("**/totp/confirm");
    backup = await page.locator("#codes code").allInnerTexts();
    assert.equal(backup.length, 10);
    assert.equal(new Set(backup).size, 10);
    await look(page, "backup-codes");
    await submit(page).click();
    await page.waitForURL("**/account/security?*");
    assert.match(await page.locator("main").innerText(), /10 left/);
    await look(page, "security-totp");
  });

  it("is asked for at the next login", async () => {
    const mine = await fresh();
    await mine.goto(request());
    await signIn(mine, grace);
    await mine.waitForURL("**/login/code?*");
    await look(mine, "code");
    assert.equal(await mine.getByLabel("Code").getAttribute("inputmode"), "numeric");
    await mine.getByRole("button", { name: "Use a backup code" }).waitFor();
    assert.equal(await mine.locator(".avatar.app").count(), 1, "the app is named between sign-in and consent");
    await mine.getByLabel("Code").fill("000000");
    await submit(mine).click();
    await mine.getByRole("alert").waitFor();
    await look(mine, "code-wrong");
    used = await totp(key);
    await mine.getByLabel("Code").fill(used);
    await submit(mine).click();
    await mine.waitForURL("**/consent?*");
    await consent(mine);
    const code = (await party.arrival(mine)).searchParams.get("code");
    const form = { grant_type: "authorization_code", code, redirect_uri: party.redirect, code_verifier: verifier };
    const { body } = await server.post("/oauth/token", form, basic(client));
    const { amr } = JSON.parse(Buffer.from(body.id_token.split(".")[1], "base64url"));
    assert.deepEqual(amr.toSorted(), ["mfa", "otp", "pwd"]);
  });

  it("is not passed with a code that was used", async () => {
    const mine = await fresh();
    await mine.goto(server.at("/login").href);
    await signIn(mine, grace);
    await mine.getByLabel("Code").fill(used);
    await submit(mine).click();
    await mine.getByRole("alert").waitFor();
    assert.equal(path(mine), "/login/code");
    await mine.goto(server.at("/account").href);
    assert.equal(path(mine), "/login", "the password alone opens nothing");
  });

  it("is passed with a backup code, once", async () => {
    for (const [attempt, good] of [[backup[3], true], [backup[3].toUpperCase().replace("-", " "), false]]) {
      const mine = await fresh({ javaScriptEnabled: false });
      await mine.goto(server.at("/login").href);
      await signIn(mine, grace);
      await mine.getByLabel("Code").fill(attempt);
      await submit(mine).click();
      if (good) await mine.waitForURL("**/account");
      else await mine.getByRole("alert").waitFor();
    }
    await page.reload();
    assert.match(await page.locator("main").innerText(), /9 left/);
  });

  it("is asked for when an application wants it", async () => {
    const mine = await fresh();
    await mine.goto(server.at("/login").href);
    await signIn(mine, grace);
    await mine.getByLabel("Code").fill(backup[5]);
    await submit(mine).click();
    await mine.waitForURL("**/account");
    const { acr_values_supported: classes } = await fetch(server.at("/.well-known/openid-configuration")).then((r) => r.json());
    await mine.goto(request({ acr_values: classes.at(-1) }));
    await party.arrival(mine);
  });

  it("is turned off with the password and a code", async () => {
    await page.locator("summary", { hasText: "Turn off" }).click();
    const form = page.locator("form[action$='/totp/disable']");
    await form.locator("[name=current_password]").fill("wrong 1Aa");
    await form.locator("[name=code]").fill(backup[7]);
    await form.getByRole("button", { name: "Turn off" }).click();
    await page.getByRole("alert").waitFor();
    await look(page, "security-wrong");
    await form.locator("[name=current_password]").fill(password);
    await form.locator("[name=code]").fill(backup[7]);
    await form.getByRole("button", { name: "Turn off" }).click();
    await page.waitForURL("**/account/security?*");
    const mine = await fresh();
    await mine.goto(server.at("/login").href);
    await signIn(mine, grace);
    await mine.waitForURL("**/account");
  });
});

describe("times on pages", () => {
  const arabic = ["يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر", "أكتوبر", "نوفمبر", "ديسمبر"];

  it("are in the browser's time zone where the profile names none, and in UTC without scripts", async () => {
    const mary = home.user({ email: "mary@example.com", name: "Mary Somerville" });
    for (const [options, zone, offset, language = "en"] of [
      [{ timezoneId: "Asia/Kolkata", locale: "en-GB" }, "GMT+5:30", 330],
      [{ timezoneId: "America/Phoenix", locale: "en-US" }, "MST", -420],
      [{ timezoneId: "Asia/Kolkata", locale: "ar-EG" }, "غرينتش+5:30", 330, "ar"],
      [{ timezoneId: "Asia/Kolkata", locale: "ar-EG" }, "GMT+5:30", 330], // the page is in English, the browser is not
      [{ timezoneId: "Asia/Kolkata", javaScriptEnabled: false }, "UTC", 0],
    ]) {
      const mine = await fresh(options);
      await mine.goto(server.at("/login").href);
      if (await mine.locator("html").getAttribute("lang") !== language) {
        await mine.locator(".languages summary").click();
        await mine.locator(`.languages button[value="${language}"]`).click();
        await mine.waitForURL("**/login");
      }
      await signIn(mine, mary);
      await mine.waitForURL("**/account");
      await mine.goto(server.at("/account/sessions").href);
      const time = mine.locator("time").first();
      const at = new Date(Date.parse(await time.getAttribute("datetime")) + offset * 60_000);
      const [, day, month, year] = at.toUTCString().split(" ");
      const clock = `${at.toISOString().slice(11, 16)} ${zone}`;
      const words = language === "ar" ? `${Number(day)} ${arabic[at.getUTCMonth()]} ${year}، ${clock}` : `${Number(day)} ${month} ${year}, ${clock}`;
      assert.equal(await time.locator(".exact").innerText(), `(${words})`);
      await mine.context().close();
    }
  });
});

describe("a person's account", () => {
  let alan, page, elsewhere;

  before(async () => {
    alan = home.user({ email: "alan@example.com", name: "Alan Turing", emailVerified: true });
    elsewhere = new Person(server, alan);
    page = await fresh();
    await page.goto(server.at("/account").href);
    await signIn(page, alan);
    await page.waitForURL("**/account");
  });

  it("has an overview and a profile", async () => {
    await look(page, "account");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
    await page.getByRole("navigation", { name: "Account" }).getByRole("link", { name: "Profile" }).click();
    await look(page, "profile");
    await page.getByLabel("First name").fill("Alan Mathison");
    await page.getByLabel("Time zone").fill("Asia/Kolkata");
    for (const label of ["Profile page", "Website"]) await page.getByLabel(label).fill("javascript:alert(1)");
    await submit(page).click();
    await page.getByRole("alert").waitFor();
    assert.equal(await page.locator("[aria-invalid=true]").count(), 2);
    await look(page, "profile-wrong");
    for (const label of ["Profile page", "Website"]) await page.getByLabel(label).fill("https://example.com/alan");
    await submit(page).click();
    await page.getByRole("status").waitFor();
    assert.equal(await page.getByLabel("First name").inputValue(), "Alan Mathison");
    assert.equal(await page.getByLabel("Website").inputValue(), "https://example.com/alan");
  });

  it("revokes one application, and its tokens end", async () => {
    const given = await tokens(elsewhere);
    assert.deepEqual(await alive(given), [true, true]);
    await page.goto(server.at("/account/sessions").href);
    const words = await page.locator("main").innerText();
    assert.match(words, /This device/);
    assert.match(words, /\d\d:\d\d IST\)/); // the time zone of the profile
    assert.match(words, /Book club/);
    await look(page, "sessions");
    await page.getByRole("button", { name: /^Remove access Book club/ }).click();
    assert.match(await page.locator("h1").innerText(), /Book club/);
    assert.deepEqual(await alive(given), [true, true]);
    await look(page, "revoke-confirm");
    await submit(page).click();
    await page.getByRole("status").waitFor();
    assert.deepEqual(await alive(given), [false, false]);
    const refused = await server.post("/oauth/token", { grant_type: "refresh_token", refresh_token: given.refresh_token }, basic(client));
    assert.equal(refused.body.error, "invalid_grant");
  });

  it("revokes another browser", async () => {
    const others = page.locator("[aria-labelledby=h-browsers] li").filter({ hasNotText: "This device" });
    await others.getByRole("button", { name: /^Sign out/ }).first().click();
    await submit(page).click();
    await page.getByRole("status").waitFor();
    assert.equal((await elsewhere.go("/account")).url.pathname, "/login");
    await page.goto(server.at("/account").href);
    assert.equal(path(page), "/account");
  });

  it("revokes what is inactive, and nothing that is in use", async () => {
    const given = await tokens(elsewhere);
    await page.goto(server.at("/account/sessions").href);
    await page.getByRole("button", { name: "Sign out inactive" }).click();
    await page.getByRole("status").waitFor();
    assert.deepEqual(await alive(given), [true, true]);
  });

  it("revokes all but this browser", async () => {
    const given = await tokens(elsewhere);
    await page.goto(server.at("/account/sessions").href);
    await page.getByRole("button", { name: "Sign out all others" }).click();
    await submit(page).click();
    await page.getByRole("status").waitFor();
    assert.deepEqual(await alive(given), [false, false]);
    assert.equal((await elsewhere.go("/account")).url.pathname, "/login");
    await page.goto(server.at("/account").href);
    assert.equal(path(page), "/account");
    await page.goto(server.at("/account/sessions").href);
    assert.match(await page.locator("main").innerText(), /No app has access/);
    await look(page, "sessions-empty");
  });

  it("takes a permission back, and the application must ask again", async () => {
    const given = await tokens(elsewhere);
    await page.goto(server.at("/account/authorizations").href);
    await look(page, "authorizations");
    await page.getByRole("button", { name: "Remove Book club" }).click();
    await submit(page).click();
    await page.getByRole("status").waitFor();
    assert.deepEqual(await alive(given), [false, false]);
    await look(page, "authorizations-empty");
    await page.goto(request());
    assert.equal(path(page), "/consent");
  });

  it("changes the password, and other browsers are signed out", async () => {
    await elsewhere.authorize(request());
    await page.goto(server.at("/account/security").href);
    await look(page, "security");
    const next = "Another lantern, 8 gates";
    const change = async (current, first, second) => {
      await page.locator("form[action$='/password'] [name=current_password]").fill(current);
      await page.locator("[name=new_password]").fill(first);
      await page.locator("[name=confirm_password]").fill(second);
      await submit(page).click();
    };
    for (const [current, first, second] of [["wrong 1Aa", next, next], [password, next, `${next}x`], [password, "short", "short"], [password, password, password]]) {
      await change(current, first, second);
      await page.getByRole("alert").waitFor();
    }
    await look(page, "security-password-wrong");
    await change(password, next, next);
    await page.getByRole("status").filter({ hasText: "Your password was changed." }).waitFor();
    assert.equal((await elsewhere.go("/account")).url.pathname, "/login");
    const mine = await fresh();
    await mine.goto(server.at("/login").href);
    await signIn(mine, alan);
    await mine.getByRole("alert").waitFor();
    await signIn(mine, { ...alan, password: next });
    await mine.waitForURL("**/account");
  });
});

describe("a device is connected", () => {
  let page, device;

  before(async () => {
    page = await fresh();
    device = (await server.post("/oauth/device/code", { client_id: tv.client_id, scope: "openid profile" })).body;
    await page.goto(device.verification_uri_complete);
    await signIn(page, home.user({ email: "dan@example.com" }));
    await page.waitForURL("**/activate?*");
  });

  it("with its code filled in, and a question that names it", async () => {
    assert.equal(await page.getByLabel("Code on the device").inputValue(), device.user_code);
    await look(page, "activate");
    await submit(page).click();
    await page.waitForURL("**/activate");
    await look(page, "activate-confirm");
    await consent(page);
    await page.waitForURL("**/activate/confirm");
    await look(page, "activate-done");
  });

  it("or refused, and a code works once", async () => {
    const other = (await server.post("/oauth/device/code", { client_id: tv.client_id })).body;
    for (const end of ["deny", "again"]) {
      await page.goto(server.at("/activate").href);
      await page.getByLabel("Code on the device").fill(other.user_code);
      await submit(page).click();
      if (end === "deny") {
        await consent(page, "deny");
        await page.waitForURL("**/activate/confirm");
        await look(page, "activate-refused");
      }
    }
    await page.getByRole("alert").waitFor();
    await look(page, "activate-wrong");
  });

  it("goes on with the phone by a QR code", async () => {
    const next = (await server.post("/oauth/device/code", { client_id: tv.client_id })).body;
    await page.goto(next.verification_uri_complete);
    await page.getByText("Continue on your phone").click();
    await page.getByRole("img", { name: /QR code/ }).waitFor();
    await look(page, "activate-phone");
  });
});

describe("errors", () => {
  it("stay here when the address to go back to is not registered, with a request id", async () => {
    const page = await fresh();
    const answer = await page.goto(request({ redirect_uri: "https://evil.example/cb" }));
    assert.equal(answer.status(), 400);
    assert.equal(new URL(page.url()).origin, server.issuer);
    const words = await page.locator("main").innerText();
    assert.match(words, /redirect_uri/);
    assert.ok(words.includes(answer.headers()["x-request-id"]));
    await look(page, "error");
  });

  it("say so when there is no such page", async () => {
    const page = await fresh();
    assert.equal((await page.goto(server.at("/nowhere").href)).status(), 404);
    await look(page, "not-found");
  });
});

describe("a page of another origin", () => {
  it("cannot frame a page, nor read an answer that was not meant for it", async () => {
    const page = await open(chrome);
    await page.goto(party.origin);
    const framed = await page.evaluate(async (address) => {
      const frame = document.createElement("iframe");
      frame.src = address;
      document.body.append(frame);
      await new Promise((resolve) => (frame.onload = resolve));
      try {
        return frame.contentDocument?.body?.innerText ?? "";
      } catch {
        return "";
      }
    }, server.at("/login").href);
    assert.doesNotMatch(framed, /Sign in/);
    const read = await page.evaluate((address) => fetch(address).then(() => "read", () => "refused"), server.at("/login").href);
    assert.equal(read, "refused");
  });
});
