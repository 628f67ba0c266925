// The guide "Administer": each of its tasks by the commands as printed, by the calls as printed, and in a browser.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { browser, page as open, Party, signIn } from "./kit/browser.mjs";
import { watch } from "./kit/eye.mjs";
import { Reader, statements } from "./kit/guide.mjs";
import { mailServer } from "./kit/mailserver.mjs";
import { Person, totp } from "./kit/person.mjs";
import { eventually, freePort, Installation, password, scratch } from "./kit/server.mjs";
import { Shell } from "./kit/shell.mjs";
import { describe, it } from "./kit/story.mjs";

const people = { ada: "ada@example.com", bob: "bob@example.com" };
const root = { email: "root@example.com", password: "a Lantern for 7 gates and more" };

/** A server, what its administrator works with, and the other side of what they manage. */
class World {
  static async open() {
    const w = new World();
    const PORT = await freePort();
    const SMTP_PORT = await freePort();
    w.mail = await mailServer(SMTP_PORT, /refused\.example/);
    w.hook = createServer((request, response) => request.resume().on("end", () => response.end("ok")));
    await new Promise((resolve) => w.hook.listen(0, "127.0.0.1", resolve));
    w.hook.unref();
    w.home = new Installation({
      PORT, BASE_URL: `http://localhost:${PORT}`, SMTP_HOST: "127.0.0.1", SMTP_PORT, SMTP_SECURITY: "none", SMTP_FROM: "id@example.com",
      BACKUP_TO: scratch("backups"), ENABLE_AUTO_UNLOCK: "false", EMAIL_VERIFICATION_REQUIRED: "false",
    });
    w.home.user({ ...root, name: "Root", roles: ["super_admin"] });
    w.party = await Party.listen();
    w.notes = w.home.client({ id: "notes", name: "Notes", grant: ["authorization_code", "refresh_token"], redirectUri: w.party.redirect, scope: "openid offline_access" });
    w.home.client({ id: "blog", name: "Blog", grant: "client_credentials" });
    w.server = await w.home.serve();
    w.root = new Person(w.server, root);
    return w;
  }

  async close() {
    this.mail?.close();
    this.party?.close();
    this.hook?.close();
    await this.server?.stop();
  }

  /** Signs somebody in, in a browser of their own. */
  async signIn(email, secret = password) {
    const person = new Person(this.server, { email, password: secret });
    const answer = await person.submit(await person.go("/login"), { username: email, password: secret });
    return { person, answer };
  }

  /** Sets up an authenticator app. */
  async enroll(email) {
    const { person } = await this.signIn(email);
    const form = new URLSearchParams({ current_password: password });
    const sight = await person.go("/account/security/totp/enable", { method: "POST", body: form });
    const key = /id="key"[^>]*>([^]*?)<\/p>/.exec(sight.text)[1];
    const done = await person.submit(sight, { code: totp(key) });
    assert.match(done.text, /id="codes"/, done.heading);
  }

  /** Lets the application "notes" act for somebody, also when they are away. */
  allow(email) {
    return new Person(this.server, { email, password }).connect(this.notes, this.party.redirect, "openid offline_access");
  }

  command(...args) {
    return this.home.command(...args);
  }

  /** What must have happened before a task makes sense. */
  prepare = {
    "Let somebody in again after wrong passwords": async () => {
      for (let i = 0; i < 6; i++) await this.signIn(people.bob, `wrong ${i}`);
    },
    "Replace a lost second factor": async () => {
      this.home.run(["user", "set-password", people.ada, "--password-stdin"], password);
      await this.enroll(people.ada);
      await this.enroll(people.bob);
    },
    "Sign somebody out": async () => {
      await this.signIn(people.ada);
      await this.signIn(people.ada);
    },
    "Disconnect an app from somebody's account": () => this.allow(people.bob),
    "See who uses an app, and end it": () => this.allow(people.bob),
    "See which mail did not arrive": async () => {
      this.home.user({ email: "gone@refused.example" });
      this.command("user", "send-verification", "gone@refused.example");
      await eventually(() => assert.equal(this.command("mail", "list", "--state", "dead").data.length, 1));
    },
  };

  /** What the words in capitals stand for. */
  values = {
    FACTOR_ID: () => this.command("user", "factors", "list", people.ada).data[0].id,
    SESSION_ID: () => this.command("session", "list", "--user", people.ada).data[0].id,
    USER_ID: () => this.command("user", "show", people.bob).id,
    SECRET_ID: () => this.command("client", "secret", "list", "shop").data.find((s) => s.active !== false).id,
    GRANT_ID: () => this.command("client", "grants", "list", "notes").data[0].id,
    TOKEN_ID: () => this.command("registration", "list").data[0].id,
    ROUTE_ID: () => this.command("route", "show", "shop/v1").id,
    REQUEST_ID: () => eventually(async () => {
      const answer = await fetch(this.server.at("/shop/v1/items"));
      assert.ok(answer.status === 401 || answer.status === 403, `${answer.status}`);
      const id = answer.headers.get("x-request-id");
      await eventually(() => this.command("explain", id), 5_000);
      return id;
    }),
    EVENT_ID: () => this.command("audit", "list", "--limit", "1").data[0].id,
    MESSAGE_ID: () => this.command("mail", "list", "--state", "dead").data[0].id,
    WEBHOOK_ID: () => this.command("webhook", "list").data[0].id,
    DELIVERY_ID: () => eventually(async () => {
      const hook = this.values.WEBHOOK_ID();
      if (!this.happened) this.home.user({ email: "happened@example.com" });
      this.happened = true;
      return this.command("webhook", "deliveries", hook, "--state", "sent").data[0].id;
    }),
    KEY_ID: () => this.command("key", "list").data.find((k) => k.state === "retired").kid,
  };
}

/** Does the tasks of the guide with the blocks of one use, in order. */
async function follow(w, reader, shell, use) {
  const words = new RegExp(`(?<!\\$)\\b(?:${Object.keys(w.values).join("|")})\\b`, "g");
  writeFileSync(join(shell.dir, "people.jsonl"), '{"email":"carol@example.com"}\n');
  const failed = [];
  for (const { heading, text } of reader.blocks.filter((b) => b.use === use)) {
    await Promise.resolve(w.prepare[heading]?.()).catch((e) => failed.push(`before ${heading}: ${e.message}`));
    for (const command of statements(reader.adapt(text))) {
      try {
        const filled = {};
        for (const [word] of command.matchAll(words)) filled[word] ??= await w.values[word]();
        await shell.run(command.replace(words, (word) => filled[word]));
      } catch (e) {
        failed.push(`${heading}: ${e.message}`);
      }
    }
  }
  assert.deepEqual(failed, []);
}

/** A reader who has what the words of the guide stand for. */
function readerOf(w) {
  const reader = new Reader("../administer", w.server);
  reader.replace("https://id.example.com", w.server.issuer);
  reader.replace("https://crm.example.com", `http://127.0.0.1:${w.hook.address().port}`);
  return reader;
}

/** The console in a browser, as an administrator uses it. */
class Console {
  constructor(w, tab) {
    Object.assign(this, { w, tab });
  }

  go = (path) => this.tab.goto(this.w.server.at(path).href);

  /** Opens the page of a person by the search of the list. */
  async person(email) {
    await this.go("/admin/users");
    await this.tab.fill("[name=search]", email);
    await this.tab.keyboard.press("Enter");
    await this.tab.waitForURL(/search=/);
    await this.tab.locator("tbody td:not(.tick) a").first().click();
    await this.tab.waitForURL(/users\/[0-9a-f-]{36}$/);
  }

  link = (name) => this.tab.getByRole("main").getByRole("link", { name, exact: true }).first().click();
  button = (name) => this.tab.getByRole("main").getByRole("button", { name }).first().click();
  open = (name) => this.tab.locator("summary", { hasText: name }).first().click();
  says = (text) => this.tab.getByText(text).first().waitFor();

  /** Fills in and sends the form of the page. true is a tick. */
  async send(fields = {}) {
    for (const [name, value] of Object.entries(fields)) {
      const input = this.tab.locator(`main [name="${name}"]`).first();
      if (typeof value === "boolean") await input.setChecked(value);
      else if ((await input.evaluate((e) => e.tagName)) === "SELECT") await input.selectOption(value);
      else await input.fill(value);
    }
    await this.tab.click("#submit");
  }

  /** Follows a link to a form, sends it, and waits for what the page says then. */
  async act(link, fields, says) {
    await this.link(link);
    await this.send(fields);
    await this.says(says);
  }

  /** Follows a link that downloads a file. */
  async download(name) {
    const [file] = await Promise.all([this.tab.waitForEvent("download"), this.link(name)]);
    return file.path();
  }
}

/** What an administrator does on the pages for each task of the guide. */
const inConsole = {
  "Create or invite somebody": async (c) => {
    await c.go("/admin/users");
    await c.act("New user", { email: "grace@example.com" }, "grace@example.com"); // it is mailed
    await c.go("/admin/users/new");
    await c.tab.check("#by-link");
    await c.send({ email: people.ada, name: "Ada Lovelace" });
    await c.says(/token=/);
    await c.go("/admin/users/new");
    await c.tab.check("#by-password");
    await c.send({ email: people.bob, password });
    await c.says(people.bob);
  },
  "Find people": async (c) => {
    await c.person(people.ada);
    await c.says("Ada Lovelace");
  },
  "Change a profile": async (c) => {
    await c.act("Edit", { name: "Ada King" }, "Ada King");
  },
  "Give and take roles": async (c) => {
    await c.act("Edit", { roles: "billing support" }, "billing");
  },
  "Help somebody who has forgotten the password": async (c) => {
    await c.act("Send password reset", {}, "link");
    await c.person(people.ada);
    await c.link("Set password");
    await c.button("Make a link");
    await c.says(/token=/);
  },
  "Verify an address": async (c) => {
    await c.person(people.bob);
    await c.act("Verify email", {}, "link");
  },
  "Let somebody in again after wrong passwords": async (c) => {
    await c.person(people.bob);
    await c.button("Unlock");
    await c.says("The account is unlocked.");
  },
  "Lock somebody out": async (c) => {
    await c.person(people.ada);
    await c.act("Lock", { reason: "laptop stolen" }, "laptop stolen");
    await c.button("Unlock");
    await c.says("The account is unlocked.");
    await c.act("Disable", {}, "Enable");
    await c.button("Enable");
    await c.says("The account can sign in again.");
  },
  "Replace a lost second factor": async (c) => {
    await c.person(people.ada);
    await c.tab.locator("section[aria-labelledby=h-factors]").getByRole("link", { name: /Remove/ }).first().click();
    await c.send();
    await c.says("No second factor is set up.");
    await c.person(people.bob);
    await c.act("Reset two-step", {}, "No second factor is set up.");
  },
  "Sign somebody out": async (c) => {
    await c.person(people.ada);
    await c.tab.locator("section[aria-labelledby=h-sessions]").getByRole("button", { name: /End/ }).first().click();
    await c.act("Sign out", {}, "No browser is signed in.");
  },
  "Disconnect an app from somebody's account": async (c) => {
    await c.person(people.bob);
    await c.tab.locator("section[aria-labelledby=h-apps]").getByRole("link", { name: /Disconnect|Revoke/ }).first().click();
    await c.send();
    await c.says("No app is connected.");
  },
  "Do the same to many people": async (c) => {
    for (const [action, done] of [["disable", "Disabled: 2 users."], ["enable", "Enabled: 2 users."]]) {
      await c.go("/admin/users");
      for (const name of ["grace@example.com", people.bob]) await c.tab.locator("tr", { hasText: name }).locator("input").check();
      await c.tab.selectOption("[name=action]", action);
      await c.button("Continue");
      await c.send();
      await c.says(done);
    }
  },
  "Import and export accounts": async (c) => {
    await c.go("/admin/users");
    await c.link("Import");
    await c.tab.setInputFiles("[name=file]", { name: "people.jsonl", mimeType: "application/jsonl", buffer: Buffer.from('{"email":"carol@example.com"}\n') });
    await c.send();
    await c.says("1 user created");
    await c.go("/admin/users");
    assert.match(readFileSync(await c.download("Export CSV"), "utf8"), /carol@example\.com/);
  },
  "Act as a person": async (c) => {
    await c.person(people.ada);
    await c.link("Act as this person");
    await c.send({ reason: "Ticket 4711" });
    await c.tab.waitForURL(/\/impersonate$/);
    await c.send();
    await c.tab.waitForURL(/\/account$/);
    await c.tab.getByRole("button", { name: "Stop acting" }).click();
    await c.tab.waitForURL(({ pathname }) => pathname !== "/account");
  },
  "Delete an account": async (c) => {
    await c.person(people.ada);
    await c.act("Delete", { confirm: people.ada }, "deleted");
  },
  "Define a role": async (c) => {
    await c.go("/admin/roles");
    await c.act("New role", { name: "finance", description: "Sees the figures" }, "finance");
    await c.go("/admin/roles/new");
    await c.send({ name: "helpdesk", description: "Helps people to sign in", "scope-admin:users:read": true });
    await c.go("/admin/roles/helpdesk");
    await c.send({ "scope-admin:sessions:read": true });
    await c.go("/admin/roles/helpdesk");
    await c.link("Delete role");
    await c.send();
    await c.says("deleted");
  },
  "Define what apps can request": async (c) => {
    await c.go("/admin/scopes");
    await c.act("New scope", { name: "metrics:read", description: "see the figures" }, "metrics:read");
    await c.go("/admin/scopes/new");
    await c.send({ name: "reports", description: "see your reports", requires: "metrics:read", role: "finance" });
    await c.go("/admin/scopes/reports");
    await c.send({ description: "read your reports" });
    await c.go("/admin/scopes/reports");
    await c.link("Delete");
    await c.send();
    await c.says("deleted");
  },
  "Register an app": async (c) => {
    await c.go("/admin/clients");
    await c.link("New client");
    await c.open("Advanced");
    await c.send({ client_name: "Shop", client_id: "shop", redirect_uris: "https://shop.example.com/callback", "grant_types-authorization_code": true, "grant_types-refresh_token": true });
    await c.says(/gth_cs_/);
  },
  "Change an app": async (c) => {
    await c.go("/admin/clients/shop");
    await c.act("Edit", { client_name: "The shop" }, "The shop");
    await c.act("Disable", {}, "Enable");
    await c.button("Enable");
    await c.says("The shop");
  },
  "Change a secret without an outage": async (c) => {
    await c.go("/admin/clients/shop");
    await c.act("Rotate secret", {}, /gth_cs_/);
    await c.go("/admin/clients/shop");
    await c.act("Add secret", {}, /gth_cs_/);
    await c.go("/admin/clients/shop");
    await c.tab.locator("section[aria-labelledby=h-secrets]").getByRole("link", { name: /Remove/ }).first().click();
    await c.send();
    await c.says("The secret was removed.");
    await c.act("Remove old secrets", {}, "All secrets but the newest were removed.");
  },
  "See who uses an app, and end it": async (c) => {
    await c.go("/admin/clients/notes");
    await c.tab.locator("section[aria-labelledby=h-grants]").getByRole("link", { name: /Revoke/ }).first().click();
    await c.send();
    await c.says("The grant was revoked");
    await c.act("Revoke tokens", {}, "All tokens of the client were revoked.");
  },
  "Restrict from where and for what an app is used": async (c) => {
    await c.go("/admin/clients/shop/edit");
    await c.open("Advanced");
    await c.send({ from_networks: "10.0.0.0/8", to_routes: "shop", to_hosts: "api.example.com", from_origins: "https://app.example.com", dpop_bound_access_tokens: true });
    await c.says("10.0.0.0/8");
  },
  "Delete apps": async (c) => {
    await c.go("/admin/clients");
    await c.tab.check("[name=pick-shop]");
    await c.tab.check("[name=pick-blog]");
    await c.button("Delete selected");
    await c.send();
    await c.says("The clients were deleted");
  },
  "Let programs register apps": async (c) => {
    await c.go("/admin/registrations");
    await c.link("New token");
    await c.send({ description: "CI", count: "3" });
    await c.says("not shown again");
    await c.go("/admin/registrations");
    await c.tab.getByRole("main").getByRole("link", { name: /^Delete/ }).first().click();
    await c.send();
    await c.says("The token was deleted.");
  },
  "Put the gateway in front of an API": async (c) => {
    await c.go("/admin/routes");
    await c.act("New route", { domain: "shop", api_version: "v1", upstreams: "http://10.0.0.5:9000", scopes: "shop:read" }, "shop");
  },
  "Find out why a request was denied": async (c) => {
    const id = await c.w.values.REQUEST_ID();
    await c.go("/admin/audit/explain");
    await c.tab.fill("[name=search], [name=request]", id);
    await c.tab.keyboard.press("Enter");
    await c.says("The gateway denied it");
  },
  "Delete a route": async (c) => {
    await c.go(`/admin/routes/${c.w.values.ROUTE_ID()}`);
    await c.link("Delete");
    await c.send();
    await c.says("deleted");
  },
  "See what happens and what needs attention": async (c) => {
    await c.go("/admin");
    await c.says("Sign-ins");
  },
  "Search the audit log": async (c) => {
    await c.go("/admin/audit");
    await c.tab.fill("[name=event]", "user.created");
    await c.tab.keyboard.press("Enter");
    await c.tab.waitForURL(/event=/);
    await c.tab.locator("tbody a").first().click();
    await c.says("Type");
    await c.link("Prove this event");
    await c.says("As it was recorded");
  },
  "Export the audit log": async (c) => {
    await c.go("/admin/audit");
    assert.match(readFileSync(await c.download("Export JSON"), "utf8"), /"end":true/);
  },
  "Prove that the log is whole": async (c) => {
    await c.go("/admin/audit/sinks");
    await c.says("Proof");
  },
  "End sessions of a network, or old ones": async (c) => {
    await c.go("/admin/sessions?ip=192.0.2.7");
    await c.says("No browser is signed in");
  },
  "See which mail did not arrive": async (c) => {
    await c.go("/admin/mail");
    await c.act("Send a test", { to: "me@example.com" }, "The mail server has accepted the test message.");
    await c.go("/admin/mail?state=dead");
    await c.button("Retry");
    await c.says("queued again");
  },
  "Tell other programs what happens": async (c) => {
    await c.go("/admin/webhooks");
    await c.act("New webhook", { url: `http://127.0.0.1:${c.w.hook.address().port}/in`, "events-*": true }, "whsec_");
    await c.go(`/admin/webhooks/${c.w.values.WEBHOOK_ID()}`);
    await c.button("Send a test");
    await c.says("The target has accepted the test message.");
    await c.w.values.DELIVERY_ID();
    await c.go(`/admin/webhooks/${c.w.values.WEBHOOK_ID()}`);
    await c.button("Resend");
    await c.go(`/admin/webhooks/${c.w.values.WEBHOOK_ID()}/rotate`);
    await c.send();
    await c.says("whsec_");
  },
  "Make a backup": async (c) => {
    await c.go("/admin/backups");
    await c.act("Back up now", {}, "A server is making the backup.");
  },
  "See the settings, and what is wrong": async (c) => {
    await c.go("/admin/settings");
    await c.says("BASE_URL");
    await c.go("/admin/doctor");
    await c.says("Doctor");
  },
  "Keep the configuration in version control": async (c) => {
    await c.go("/admin/config");
    const document = readFileSync(await c.download("Export"), "utf8");
    await c.send({ document });
    await c.says("Nothing to change");
    await c.send({ document: "version: 1\nlabel: desk\nroles:\n  - name: clerk\n    description: Works at the desk.\n    scopes: [admin:users:read]\n" });
    await c.says("1 to create");
    await c.tab.click("#apply");
    await c.go("/admin/roles");
    await c.says("Works at the desk.");
  },
  "Rotate the signing key": async (c) => {
    await c.go("/admin/keys");
    await c.act("Rotate", { now: true }, "The new key is published.");
    await c.tab.locator(`a[href*="${c.w.values.KEY_ID()}"]`).first().click();
    await c.send();
    await c.says("The key is withdrawn.");
  },
};

describe("each task", () => {
  it("has a page of the console, a command and a call", () => {
    const text = new Reader("../administer", { issuer: "http://a.example" }).blocks;
    const of = (use) => text.filter((b) => b.use === use).map((b) => b.heading);
    assert.deepEqual(of("command"), of("curl"));
    assert.deepEqual(of("command"), Object.keys(inConsole));
  });

  it("is done by commands from a laptop, after gatehouse login", async () => {
    const w = await World.open();
    try {
      const reader = readerOf(w);
      const shell = new Shell({ PASSWORD: password });
      let answered;
      const approve = (errors) => {
        const code = /enter the code\s+(\S+)/.exec(errors)?.[1];
        if (code) answered ??= w.root.answerDevice(code);
      };
      for (const { text } of reader.blocks.filter((b) => b.use === "login")) {
        for (const line of statements(reader.adapt(text))) await shell.run(line, approve);
      }
      await answered;
      await follow(w, reader, shell, "command");
    } finally {
      await w.close();
    }
  });

  it("is done with curl alone", async () => {
    const w = await World.open();
    try {
      const reader = readerOf(w);
      const shell = new Shell({ PASSWORD: password });
      const run = async (use, fill = (s) => s) => {
        let out = "";
        for (const { text } of reader.blocks.filter((b) => b.use === use)) {
          for (const line of statements(fill(reader.adapt(text)))) out = await shell.run(line);
        }
        return out;
      };
      const device = JSON.parse(await run("code"));
      await w.root.answerDevice(device.user_code);
      await run("token", (s) => s.replace("DEVICE_CODE", device.device_code));
      await follow(w, reader, shell, "curl");
    } finally {
      await w.close();
    }
  });

  it("is done in a browser alone", async () => {
    const w = await World.open();
    const chrome = await browser();
    try {
      const tab = watch(await open(chrome, { viewport: { width: 1280, height: 800 } }));
      tab.setDefaultTimeout(Number(process.env.PATIENCE ?? 60_000));
      await tab.goto(w.server.at("/admin").href);
      await signIn(tab, root);
      await tab.waitForURL(w.server.at("/admin").href);
      const failed = [];
      for (const [task, steps] of Object.entries(inConsole)) {
        try {
          await w.prepare[task]?.();
          await steps(new Console(w, tab));
        } catch (e) {
          failed.push(`${task}: ${e.message.slice(0, 600)} at ${tab.url()}: ${(await tab.getByRole("main").innerText()).slice(0, 300)}`);
        }
      }
      assert.deepEqual(failed, []);
      assert.deepEqual(tab.problems, []);
    } finally {
      await chrome.close();
      await w.close();
    }
  });
});
