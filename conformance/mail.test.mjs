// A person who has forgotten the password gets a link by mail; an operator sees what became of each message.
import assert from "node:assert/strict";
import { browser, page, picture, signIn } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { mailServer } from "./kit/mailserver.mjs";
import { eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const chosen = "Lamps and 9 Ladders over the Moat";

/** Asks for a link as a script does. */
const forget = (server, email, headers = {}) => server.post("/forgot-password", { email }, headers);

describe("development, without a mail server", () => {
  let home, server, chrome, user;

  before(async () => {
    home = new Installation({ RATE_LIMIT_PASSWORD_RESET_MAX: "0" });
    user = home.user({ name: "Ada" });
    server = await home.serve();
    chrome = await browser();
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  it("leads from the sign-in page through the mailbox to a new password", async () => {
    const tab = watch(await page(chrome));
    await tab.goto(server.at("/login").href);
    await tab.getByRole("link", { name: "Forgot your password?" }).click();
    await look(tab, "forgot");
    await tab.locator("[name=email]").fill(user.email);
    await tab.locator("#submit").click();
    await tab.getByRole("heading", { name: "Check your email" }).waitFor();
    await look(tab, "forgot-sent");

    await eventually(async () => {
      await tab.goto(server.at("/dev/mail").href);
      assert.equal(await tab.getByRole("link", { name: "Reset your password" }).count(), 1);
    });
    await look(tab, "mailbox");
    await tab.getByRole("link", { name: "Reset your password" }).click();
    await look(tab, "letter");
    // The message itself is sandboxed, so that nothing can be asked of it there but how it looks.
    const shown = await page(chrome, { javaScriptEnabled: false });
    const answer = await shown.goto(await tab.getByRole("link", { name: "Show it as a mail program does" }).evaluate((a) => a.href));
    assert.match(answer.headers()["content-security-policy"], /^sandbox /);
    await picture(shown, "letter-html");

    await tab.getByRole("link", { name: /^http/ }).click();
    await tab.locator("[name=new_password]").fill(chosen);
    await tab.locator("[name=confirm_password]").fill(chosen);
    await tab.locator("#submit").click();
    await tab.waitForURL((url) => url.pathname === "/login");
    await signIn(tab, { ...user, password: chosen });
    await tab.waitForURL((url) => url.pathname === "/account");
    assert.deepEqual(tab.problems, []);

    await eventually(async () => {
      const mail = home.command("mail", "list");
      assert.deepEqual(mail.data.map((m) => `${m.kind} ${m.state}`), ["password-changed sent", "password-reset sent"]);
    });
  });

  it("answers for an address without an account in the same way, and sends nothing", async () => {
    const before = home.command("mail", "list").total;
    const known = await forget(server, user.email);
    const unknown = await forget(server, "nobody@example.com");
    const same = (text) => text.replaceAll(user.email, "X").replaceAll("nobody@example.com", "X").replace(/Request [A-Z0-9]+/g, "");
    assert.equal(unknown.status, known.status);
    assert.equal(same(unknown.text), same(known.text));
    assert.deepEqual([...unknown.headers.keys()], [...known.headers.keys()]);
    await eventually(async () => assert.equal(home.command("mail", "list").total, before + 1));
  });

  it("builds links from the configured address alone", async () => {
    const other = home.user();
    await forget(server, other.email, { "x-forwarded-host": "evil.example" });
    await eventually(async () => {
      const list = await fetch(server.at("/dev/mail")).then((r) => r.text());
      const letter = new RegExp(`<a href="([^"]+)"><bdi>[^<]+</bdi></a> to <bdi>${other.email}`).exec(list);
      assert.ok(letter, "the message is there");
      const text = await fetch(server.at(letter[1])).then((r) => r.text());
      assert.match(text, new RegExp(`${server.issuer}/reset-password`));
      assert.doesNotMatch(text, /evil/);
    });
  });

  it("shows the mailbox to this machine only", async () => {
    for (const headers of [
      { "x-forwarded-for": "203.0.113.9" },
      { forwarded: "for=203.0.113.9" },
      { via: "1.1 proxy" },
    ]) {
      const answer = await fetch(server.at("/dev/mail"), { headers: { accept: "text/html", ...headers } });
      assert.equal(answer.status, 404, JSON.stringify(headers));
      assert.doesNotMatch(await answer.text(), /Reset your password/);
    }
    const rebound = await raw(server, "GET /dev/mail HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n");
    assert.match(rebound, /^HTTP\/1.1 (404|421|400)/);
  });

  it("has no mailbox once a mail server is configured", async () => {
    const other = await home.serve({ SMTP_HOST: "127.0.0.1", SMTP_PORT: String(await freePort()), SMTP_FROM: "id@example.com" });
    assert.equal((await fetch(other.at("/dev/mail"))).status, 404);
    await other.stop();
  });
});

describe("a mail server that is away", () => {
  let home, server, port;

  before(async () => {
    port = await freePort();
    home = new Installation({
      SMTP_HOST: "127.0.0.1",
      SMTP_PORT: String(port),
      SMTP_FROM: "id@example.com",
      SMTP_SECURITY: "none",
      RATE_LIMIT_PASSWORD_RESET_MAX: "0",
    });
    server = await home.serve();
  });
  after(() => server?.stop());

  it("delays messages, and holds up nobody", async () => {
    const user = home.user();
    assert.equal((await forget(server, user.email)).status, 200);
    await eventually(async () => {
      const [m] = home.command("mail", "list").data;
      assert.equal(m.state, "queued");
      assert.match(m.last_error, /refused/);
      assert.ok(new Date(m.next_attempt_at) - Date.now() < 60_000);
    });
    const sink = await mailServer(port);
    await eventually(async () => assert.equal(home.command("mail", "list").data[0].state, "sent"));
    assert.match(sink.messages[0], /^Subject: Reset your password/m);
    assert.match(sink.messages[0], /^Message-ID: <[0-9a-f-]{36}@example.com>/im);
    await sink.close();
  });

  it("is named by the test command", () => {
    assert.throws(() => home.command("mail", "test", "--to", "a@example.com"), /the message was not sent: .*refused/);
  });
});

/** Sends bytes and gives the answer. */
async function raw(server, request) {
  const { connect } = await import("node:net");
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(Number(server.origin.split(":").at(-1)), "127.0.0.1", () => socket.write(request));
    socket.on("data", (b) => (text += b)).on("end", () => resolve(text)).on("error", reject);
  });
}
