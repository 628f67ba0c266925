// The pages of administrators, in a real browser: what they look like at three sizes, with a keyboard, and without scripts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { browser, page as open } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { Person, totp } from "./kit/person.mjs";
import { freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const hostile = `"><img src=x onerror=alert(1)>`;
let home, server, chrome, root, grace, shop;

before(async () => {
  const PORT = await freePort();
  home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}` });
  chrome = await browser();
  root = home.user({ email: "root@example.com", name: "Ada Lovelace", roles: ["super_admin"], password: "a Lantern for 7 gates and more" });
  grace = home.user({ email: "grace@example.com", name: "Grace Hopper" });
  home.user({ email: "evil@example.com", name: hostile });
  shop = home.client({ name: "Shop and a name that is rather long", grant: "authorization_code", redirectUri: "https://shop.example.com/auth/callback" });
  server = await home.serve();
});

after(async () => {
  await chrome?.close();
  await server?.stop();
});

/** A browser in which the administrator is signed in, at a page of the console. */
async function admin(path, options = {}) {
  const page = watch(await open(chrome, { viewport: { width: 1280, height: 800 }, ...options }));
  page.on("dialog", (dialog) => page.problems.push(`a dialog: ${dialog.message()}`));
  await page.goto(server.at(path).href);
  await page.fill("[name=username]", root.email);
  await page.fill("[name=password]", root.password);
  await page.click("#submit");
  await page.waitForURL((url) => url.pathname + url.search === path);
  return page;
}

/** The addresses of all pages of the console, from the list that a test of the routes keeps complete. */
async function everyPage() {
  const list = readFileSync(new URL("../internal/web/console/testdata/pages.txt", import.meta.url), "utf8").trim().split("\n");
  const answers = await furnish();
  return list.filter((path) => !notPages.test(path)).map((path) => {
    const filled = path.replace(/\{(\w+)\}/g, (_, word) => {
      const value = answers[path.startsWith("/admin/keys/") ? "key" : word];
      assert.ok(value, `${path}: nothing is known for ${word}`);
      return encodeURIComponent(value);
    });
    return [path, filled + (queries[path] ?? "").replace("ID", answers[path === "/admin/users/bulk" ? "id" : "client"])];
  });
}

/** Files, and a page that only sends the browser to sign in. */
const notPages = /\/(export|proofs|refused)$|^\/admin\/confirm$/;

/** What pages that begin with a choice need. */
const queries = { "/admin/users/bulk": "?action=lock&pick-ID=on", "/admin/clients/bulk": "?pick-ID=on" };

/** Makes one of everything, and lists that are longer than a page, and gives the names of what was made. */
async function furnish() {
  const run = (...args) => home.command(...args);
  const many = Array.from({ length: 510 }, (_, i) => JSON.stringify({ email: `somebody.with.a.long.name.${i}@department.example.com`, name: `Somebody With A Long Name ${i}` }));
  home.run(["user", "import", "-"], many.join("\n"));
  run("role", "create", "helpdesk", "--description", "Helps people to sign in", "--scope", "admin:users:read");
  run("scope", "create", "reports", "--description", "read your reports");
  const route = run("route", "create", "--domain", "shop", "--version", "v1", "--upstream", "http://127.0.0.1:9");
  const initial = run("registration", "create", "--description", "CI");
  const webhook = run("webhook", "create", "--url", "https://crm.example.com/in", "--event", "*");
  run("key", "rotate");
  const person = new Person(server, grace);
  await person.connect(shop, "https://shop.example.com/auth/callback", "openid");
  const key = await person.go("/account/security/totp/enable", { method: "POST", body: new URLSearchParams({ current_password: grace.password }) });
  await person.submit(key, { code: totp(/id="key"[^>]*>([^]*?)<\/p>/.exec(key.text)[1]) });
  const page = await admin("/admin/users/import");
  await page.setInputFiles("[name=file]", { name: "people.jsonl", mimeType: "application/jsonl", buffer: Buffer.from('{"email":"no address"}\n') });
  await page.click("#submit");
  await page.waitForURL(/\/admin\/imports\//);
  const imported = page.url().split("/").at(-1);
  await page.goto(server.at("/admin/users/bulk?action=enable&all=on").href);
  await page.click("#submit");
  await page.waitForURL(/\/admin\/jobs\//);
  const job = page.url().split("/").at(-1).split("?")[0];
  await page.context().close();
  return {
    id: grace.id, client: shop.client_id, role: "helpdesk", scope: "reports", route: route.id, initial: initial.id, webhook: webhook.id,
    key: run("key", "list").data[0].kid, event: run("audit", "list", "--limit", "1").data[0].id,
    secret: run("client", "secret", "list", shop.client_id).data[0].id, grant: run("client", "grants", "list", shop.client_id).data[0].id,
    factor: run("user", "factors", "list", grace.email).data[0].id, app: shop.client_id, import: imported, job,
  };
}

describe("pages", () => {
  it("can be used by everybody, at every size, and are small", async () => {
    const page = await admin("/admin");
    const size = () => page.evaluate(() => {
      const parts = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
      return parts.reduce((sum, part) => sum + part.encodedBodySize, 0);
    });
    const wrong = [];
    for (const [path, address] of await everyPage()) {
      try {
        await page.goto(server.at(address).href);
        const bytes = await size();
        assert.ok(bytes > 10_000 && bytes < 60_000, `${path}: ${bytes} bytes on a first visit`);
        const brief = /\}\/.*(?<!edit)$/.test(path); // a question about one thing
        await look(page, `console${path.replace(/[{}]/g, "").replaceAll("/", "-")}`, { brief });
        await page.setViewportSize({ width: 320, height: 640 });
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${path} at 320 pixels`);
      } catch (e) {
        wrong.push(e.message.slice(0, 600));
        page.problems.length = 0;
        await page.evaluate(() => (document.documentElement.style.fontSize = ""));
      }
      await page.setViewportSize({ width: 1280, height: 800 });
    }
    assert.deepEqual(wrong, []);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(server.at("/admin").href);
    await page.click("[popovertarget=menu]");
    await page.click("#menu >> text=Users");
    await page.waitForURL(/\/admin\/users$/);
    assert.deepEqual(page.problems, []);
  });

  it("work with the keyboard alone", async () => {
    const page = await admin("/admin/users");
    const to = async (selector) => {
      for (let i = 0; i < 80; i++) {
        if (await page.evaluate((s) => document.activeElement.matches(s), selector)) return;
        await page.keyboard.press("Tab");
      }
      assert.fail(`Tab does not lead to ${selector} on ${page.url()}`);
    };
    await to("a[href$='/users/new']");
    await page.keyboard.press("Enter");
    await page.waitForURL(/users\/new$/);
    await to("[name=email]");
    await page.keyboard.type("keys@example.com");
    await to("[name=by]:checked");
    await to("#submit");
    await page.keyboard.press("Enter");
    await page.getByText("keys@example.com").first().waitFor();
    await page.goto(server.at("/admin/users?search=keys").href);
    await to("tbody td:not(.tick) a");
    await page.keyboard.press("Enter");
    await page.waitForURL(/users\/[0-9a-f-]{36}$/);
    await to("a[href$='/lock']");
    await page.keyboard.press("Enter");
    await page.waitForURL(/lock$/);
    await to("[name=reason]");
    await page.keyboard.type("Left the company");
    await page.keyboard.press("Enter");
    await page.getByText("Left the company").first().waitFor();
    assert.deepEqual(page.problems, []);
  });

  it("go to the search with a key", async () => {
    const page = await admin("/admin/users");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("/");
    await page.keyboard.type("hopp");
    await page.keyboard.press("Enter");
    await page.waitForURL(/search=hopp/);
    assert.deepEqual(await page.locator("tbody tr td:nth-child(2) a").allTextContents(), ["Grace Hopper"]);
    await page.selectOption("[name=status]", "locked");
    await page.waitForURL(/status=locked/);
    await page.getByText("No user matches").waitFor();
    assert.deepEqual(page.problems, []);
  });
});

describe("without scripts", () => {
  it("an account is locked with a reason, and the lock is taken back", async () => {
    const page = await admin("/admin/users?search=grace", { javaScriptEnabled: false });
    await page.check(`[name="pick-${grace.id}"]`);
    await page.selectOption("[name=action]", "lock");
    await page.click("text=Continue");
    await page.fill("[name=reason]", "Left the company");
    await page.click("#submit");
    await page.getByText("Locked: 1 user.").waitFor();
    await page.goto(server.at("/admin/users?search=grace").href);
    await page.getByRole("link", { name: "Grace Hopper" }).click();
    await page.getByText("Left the company.").waitFor();
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByText("The account is unlocked.").waitFor();
    assert.equal((await page.content()).includes(hostile), false);
  });

  it("a file is imported in the background, and its refused lines are named and downloaded", async () => {
    const page = await admin("/admin/users/import", { javaScriptEnabled: false });
    const file = [{ email: "first@example.com" }, { email: "no address" }, { email: "second@example.com" }].map((x) => JSON.stringify(x)).join("\n");
    await page.setInputFiles("[name=file]", { name: "people.jsonl", mimeType: "application/jsonl", buffer: Buffer.from(`${file}\n`) });
    await page.check("[name=skip]");
    await page.click("#submit");
    await page.waitForURL(/\/admin\/imports\//);
    await page.getByText("2 users created, 0 here already, 1 refused.").waitFor(); // the page shows it by itself
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download the refused lines" }).click()]);
    assert.equal(download.suggestedFilename(), "refused.csv");
    await page.goto(server.at("/admin/users?search=second").href);
    await page.getByText("second@example.com").first().waitFor();
  });

  it("a document is planned, applied and planned again; several clients are deleted", async () => {
    const page = await admin("/admin/config", { javaScriptEnabled: false });
    const client = (id) => `  - client_id: ${id}\n    client_name: ${id}\n    grant_types: [client_credentials]\n`;
    await page.fill("[name=document]", `version: 1\nlabel: jobs\nclients:\n${client("nightly")}${client("hourly")}`);
    await page.click("#submit");
    await page.getByText("2 to create").waitFor();
    await page.click("#apply");
    await page.getByText("New secrets, shown this once").waitFor();
    await page.goto(server.at("/admin/clients").href);
    await page.check("[name=pick-nightly]");
    await page.check("[name=pick-hourly]");
    await page.getByRole("button", { name: "Delete selected" }).click();
    await page.getByText("all their tokens are revoked").waitFor();
    await page.click("#submit");
    await page.getByText("The clients were deleted").waitFor();
    await page.goto(server.at("/admin/config").href);
    await page.getByText("Differs from what is stored: 2 to create").waitFor();
  });
});

describe("the audit log", () => {
  it("finds events by each filter of the audit log, and exports them", async () => {
    const page = await admin("/admin/audit", { javaScriptEnabled: false });
    const found = async (fields, some) => {
      await page.goto(server.at("/admin/audit").href);
      for (const [name, value] of Object.entries(fields)) await page.fill(`[name=${name}]`, value);
      await page.getByRole("button", { name: "Apply" }).click();
      await page.waitForURL(({ search }) => search !== ""); // the whole list is there
      const n = await page.locator("tbody tr").count();
      assert.equal(n > 0, some, `${JSON.stringify(fields)}: ${n} events`);
    };
    const today = new Date().toISOString().slice(0, 10);
    await found({ event: "client.created" }, true);
    await found({ event: "key.retired" }, false);
    await found({ actor: root.email }, true);
    await found({ actor: "evil@example.com" }, false);
    await found({ user: root.email }, true);
    await found({ client: shop.client_id }, true);
    await found({ target: `client:${shop.client_id}` }, true);
    await found({ target: "scope:none" }, false);
    await found({ ip: "192.0.2.0/24" }, false);
    await found({ text: root.id }, true);
    await found({ from: today, to: today }, true);
    await found({ to: "2020-01-01" }, false);
    for (const [name, type] of [["Export CSV", "csv"], ["Export JSON", "json"]]) {
      await page.goto(server.at("/admin/audit?event=client.created").href);
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name, exact: true }).click()]);
      assert.match(download.suggestedFilename(), new RegExp(type));
    }
  });
});
