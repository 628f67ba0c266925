// What an account knows and tells: notices of new sign-ins, history, a picture, a copy of the data, and its deletion.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { deflateSync } from "node:zlib";
import axe from "axe-core";
import { browser, page, picture, signIn } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { eventually, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

/** A PNG file of one color, or one that only claims a size. */
function png(width, height, pixels = true) {
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const out = Buffer.alloc(8 + body.length);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc(body), 4 + body.length);
    return out;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const parts = [Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header)];
  if (pixels) {
    const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, 0x60)]);
    parts.push(chunk("IDAT", deflateSync(Buffer.concat(Array(height).fill(row)))), chunk("IEND", Buffer.alloc(0)));
  }
  return Buffer.concat(parts);
}

function crc(bytes) {
  let c = 0xffffffff;
  for (const b of bytes) {
    c ^= b;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  }
  return (c ^ 0xffffffff) >>> 0;
}

describe("what an account knows and tells", () => {
  let home, server, chrome, user;

  /** Opens the newest message of a subject in the mailbox and returns the link in it. */
  async function link(tab, subject) {
    await eventually(async () => {
      await tab.goto(server.at("/dev/mail").href);
      assert.ok((await tab.getByRole("link", { name: subject }).count()) > 0, subject);
    });
    await tab.getByRole("link", { name: subject }).first().click();
    return tab.getByRole("link", { name: /^http/ }).evaluate((a) => a.href);
  }

  const enter = async (tab) => {
    await tab.goto(server.at("/login").href);
    await signIn(tab, user);
  };

  before(async () => {
    home = new Installation({ NOTIFY_NEW_SESSION: "true", RATE_LIMIT_PASSWORD_RESET_MAX: "0" });
    user = home.user({ name: "Ada" });
    server = await home.serve();
    chrome = await browser();
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  it("shows recent sign-ins, and takes a picture without scripts", async () => {
    const tab = watch(await page(chrome, { javaScriptEnabled: true }));
    await enter(tab);
    await tab.goto(server.at("/account/security/sign-ins").href);
    await tab.getByText("Chrome (headless)").first().waitFor();
    await look(tab, "sign-ins");

    const plain = await page(chrome, { javaScriptEnabled: false });
    await enter(plain);
    await plain.goto(server.at("/account/profile").href);
    await plain.locator("#f-picture").setInputFiles({ name: "bomb.png", mimeType: "image/png", buffer: png(100_000, 100_000, false) });
    await plain.getByRole("button", { name: "Upload" }).click();
    await plain.locator("#f-picture-error").waitFor();
    assert.match(await plain.locator("#f-picture-error").innerText(), /megapixels/);
    await plain.locator("#f-picture").setInputFiles({ name: "me.svg", mimeType: "image/svg+xml", buffer: Buffer.from("<svg/>") });
    await plain.getByRole("button", { name: "Upload" }).click();
    assert.match(await plain.locator("#f-picture-error").innerText(), /JPEG, PNG, GIF, or WebP/);
    await plain.locator("#f-picture").setInputFiles({ name: "me.png", mimeType: "image/png", buffer: png(300, 200) });
    await plain.getByRole("button", { name: "Upload" }).click();
    const image = plain.locator(".portrait img");
    await image.waitFor();
    assert.equal(await image.evaluate((i) => i.naturalWidth || i.complete), 256);
    await tab.goto(server.at("/account/profile").href);
    await look(tab, "profile-picture");
    const address = await image.getAttribute("src");
    assert.ok(address.startsWith(server.issuer), address);
    const answer = await fetch(address);
    assert.equal(answer.headers.get("content-type"), "image/jpeg");
    assert.match(answer.headers.get("content-security-policy"), /sandbox/);
    await plain.getByRole("button", { name: "Remove picture" }).click();
    await plain.getByText("Your picture was removed.").waitFor();
    assert.equal((await fetch(address)).status, 404);
  });

  it("tells of a sign-in from a new browser, and ends it by one button", async () => {
    const thief = await page(chrome);
    await enter(thief);
    await thief.waitForURL((url) => url.pathname === "/account");
    const reader = watch(await page(chrome));
    const address = await link(reader, "New sign-in to your account");
    for (const method of ["HEAD", "GET"]) assert.equal((await fetch(address, { method, redirect: "manual" })).status, 303);
    await thief.goto(server.at("/account/profile").href);
    assert.equal(new URL(thief.url()).pathname, "/account/profile", "looking at the link changes nothing");

    await reader.goto(address);
    await reader.getByRole("heading", { name: "Was this not you?" }).waitFor();
    await look(reader, "not-me");
    await reader.locator("#submit").click();
    await reader.getByRole("heading", { name: "Everyone is signed out" }).waitFor();
    await look(reader, "not-me-done");
    await thief.goto(server.at("/account").href);
    assert.equal(new URL(thief.url()).pathname, "/login");
    await signIn(thief, user);
    await thief.locator(".alert.bad").first().waitFor();

    await reader.goto(await link(reader, "Reset your password"));
    user.password = "Lamps and 9 Ladders over the Moat";
    await reader.locator("[name=new_password]").fill(user.password);
    await reader.locator("[name=confirm_password]").fill(user.password);
    await reader.locator("#submit").click();
    await reader.waitForURL((url) => url.pathname === "/login");
    await reader.goto(address);
    await reader.getByRole("heading", { name: "no longer valid" }).waitFor();
  });

  it("hands out a copy, and deletes the account after a grace", async () => {
    const tab = watch(await page(chrome, { acceptDownloads: true }));
    await enter(tab);
    await tab.goto(server.at("/account/data").href);
    await tab.getByText("Delete my account").first().click();
    await look(tab, "data");
    await tab.locator("#f-download_password").fill(user.password);
    const [file] = await Promise.all([tab.waitForEvent("download"), tab.locator("#submit").click()]);
    assert.equal(file.suggestedFilename(), "account-data.json");
    const copy = JSON.parse(await readFile(await file.path(), "utf8"));
    assert.equal(copy.account.email, user.email);
    assert.ok(copy.sign_ins.length > 2);
    assert.doesNotMatch(JSON.stringify(copy), /argon2|gth_/);

    await tab.locator("#f-delete_password").fill("wrong");
    await tab.locator("button.danger").click();
    await tab.locator("#f-delete_password-error").waitFor();
    await tab.locator("#f-delete_password").fill(user.password);
    await tab.locator("button.danger").click();
    await tab.getByRole("heading", { name: "Your account will be deleted" }).waitFor();
    await look(tab, "deletion-requested");

    await enter(tab);
    await tab.getByRole("heading", { name: "This account will be deleted" }).waitFor();
    await look(tab, "deletion");
    await tab.goto(server.at("/account").href);
    assert.equal(new URL(tab.url()).pathname, "/login", "nothing but keeping it");
    await signIn(tab, user);
    await tab.locator("#submit").click();
    await tab.waitForURL((url) => url.pathname === "/account");

    home.command("user", "update", user.id, "--locale", "ar");
    await tab.goto(server.at("/account/data").href);
    assert.equal(await tab.locator("html").getAttribute("dir"), "rtl");
    await picture(tab, "data-arabic");
    assert.deepEqual(tab.problems, []);
  });
});

describe("messages", () => {
  let home, server, chrome, user;

  before(async () => {
    home = new Installation({ NOTIFY_NEW_SESSION: "true", RATE_LIMIT_PASSWORD_RESET_MAX: "0" });
    user = home.user({ name: "Ada" });
    chrome = await browser();
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  it("can be read in the dark, and with all colors turned around", async () => {
    server = await home.serve();
    for (let i = 0; i < 2; i++) {
      const tab = await page(chrome);
      await tab.goto(server.at("/login").href);
      await signIn(tab, user);
      await tab.waitForURL((url) => url.pathname === "/account");
    }
    await server.post("/forgot-password", { email: user.email });
    const reader = await page(chrome);
    for (const subject of ["New sign-in to your account", "Reset your password"]) {
      await eventually(async () => {
        await reader.goto(server.at("/dev/mail").href);
        assert.ok((await reader.getByRole("link", { name: subject }).count()) > 0, subject);
      });
      await reader.getByRole("link", { name: subject }).first().click();
      const address = await reader.getByRole("link", { name: "Show it as a mail program does" }).evaluate((a) => a.href);
      const html = await fetch(address).then((r) => r.text());
      assert.match(html, /name="color-scheme"/);
      assert.match(html, /name="supported-color-schemes"/);
      const letter = await page(chrome);
      for (const [look, style] of [
        ["light", ""],
        ["dark", ""],
        ["light", "html { filter: invert(1); background: #fff }"],
      ]) {
        await letter.emulateMedia({ colorScheme: look });
        await letter.setContent(html);
        if (style) await letter.addStyleTag({ content: style });
        await letter.evaluate(axe.source);
        const weak = await letter.evaluate(() =>
          axe.run(document, { runOnly: { type: "rule", values: ["color-contrast"] } }).then((r) => r.violations.map((v) => v.nodes.map((n) => n.html))),
        );
        assert.deepEqual(weak, [], `${subject}, ${look} ${style}`);
        await picture(letter, `mail-${subject.split(" ")[0].toLowerCase()}-${look}${style ? "-inverted" : ""}`);
      }
    }
    await server.stop();
  });

  it("delay nobody while the mail server says nothing", async () => {
    const silent = createServer(() => {});
    await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
    silent.unref();
    server = await home.serve({ SMTP_HOST: "127.0.0.1", SMTP_PORT: String(silent.address().port), SMTP_FROM: "id@example.com", SMTP_SECURITY: "none" });
    const quick = async (what, act) => {
      const start = performance.now();
      await act();
      const took = performance.now() - start;
      assert.ok(took < 8_000, `${what} took ${took} ms`);
    };
    await quick("a request for a known address", () => server.post("/forgot-password", { email: user.email }));
    await quick("a request for an unknown one", () => server.post("/forgot-password", { email: "nobody@example.com" }));
    const tab = await page(chrome);
    await quick("a sign-in from a new browser", async () => {
      await tab.goto(server.at("/login").href);
      await signIn(tab, user);
      await tab.waitForURL((url) => url.pathname === "/account");
    });
    const kinds = home.command("mail", "list").data.filter((m) => m.state === "queued").map((m) => m.kind);
    assert.ok(kinds.includes("new-sign-in"), kinds.join(" "));
  });
});
