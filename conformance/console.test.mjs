// The pages of administrators, in a real browser: what they look like at three sizes, with a keyboard, and without scripts.
import assert from "node:assert/strict";
import { browser, page as open } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
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

describe("pages", () => {
  it("can be used by everybody, at every size, and are small", async () => {
    const page = await admin("/admin");
    let bytes = 0;
    page.on("response", async (r) => (bytes += (await r.request().sizes()).responseBodySize));
    await page.reload();
    await page.waitForLoadState("networkidle");
    assert.ok(bytes < 60_000, `${bytes} bytes on a first visit`);
    for (const path of ["/admin", "/admin/users", `/admin/users/${grace.id}`, "/admin/users/new", "/admin/users/import", "/admin/roles/new", "/admin/sessions", "/admin/keys/rotate", "/admin/clients/new", "/admin/scopes", "/admin/routes/new", "/admin/registrations/new", "/admin/audit", "/admin/audit/sinks", "/admin/webhooks/new", "/admin/settings", "/admin/config", "/admin/backups", "/admin/doctor", "/admin/mail", "/admin/clients", `/admin/clients/${shop.client_id}`, `/admin/clients/bulk?pick-${shop.client_id}=on`]) {
      await page.goto(server.at(path).href);
      await look(page, `console${path.replace(grace.id, "one").replaceAll(shop.client_id, "one").replace(/\?.*/, "").replaceAll("/", "-")}`);
      await page.setViewportSize({ width: 320, height: 640 });
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${path} at 320 pixels`);
      await page.setViewportSize({ width: 1280, height: 800 });
    }
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(server.at("/admin").href);
    await page.click("[popovertarget=menu]");
    await page.click("#menu >> text=Users");
    await page.waitForURL(/\/admin\/users$/);
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
    await found({ actor: grace.email }, false);
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
