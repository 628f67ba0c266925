// A real browser, a relying party's address on this machine, and what a person does on the pages.
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { scratch } from "./server.mjs";

const executable = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Chromium as a person has it, but that it calls nobody by itself. */
export async function browser(...more) {
  const profile = scratch("browser");
  return chromium.launch({
    executablePath: executable,
    headless: true,
    env: { ...process.env, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
}

/** A page in a browser profile of its own. It fails late rather than never. */
export async function page(chrome, options = {}) {
  const context = await chrome.newContext(options);
  context.setDefaultTimeout(60_000);
  return context.newPage();
}

/** The address that a relying party is called back at. */
export class Party {
  received = [];

  /** Listens; handlers may serve pages of the party by path. */
  static async listen(handlers = {}) {
    const party = new Party();
    party.server = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const url = new URL(request.url, party.origin);
      party.received.push({ method: request.method, url, headers: request.headers, body: Buffer.concat(chunks).toString() });
      const { type = "text/html", body = "<!doctype html><title>Back</title><h1>Back at the application</h1>" } = handlers[url.pathname] ?? {};
      response.writeHead(200, { "content-type": type }).end(body);
    });
    await new Promise((resolve) => party.server.listen(0, "127.0.0.1", resolve));
    party.server.unref(); // a case that fails half-way must not keep the run alive
    party.origin = `http://127.0.0.1:${party.server.address().port}`;
    party.redirect = `${party.origin}/cb`;
    return party;
  }

  /** Waits until the browser shows a page of the party and gives its address. */
  async arrival(page, path = "/cb") {
    await page.waitForURL((url) => url.origin === this.origin && url.pathname === path);
    return new URL(page.url());
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** Fills in the login page. */
export async function signIn(page, user) {
  await page.locator("[name=username]:not([hidden])").fill(user.email);
  await page.locator("[name=password]").fill(user.password);
  await page.locator("#submit").click();
}

/** Answers the consent page or the page that asks about a device. */
export async function consent(page, action = "approve") {
  await page.locator(`[name=consent_action][value=${action}]`).click();
}

/** Keeps a picture of the page in the directory that SHOTS names, if it names one. */
export async function picture(page, name) {
  if (!process.env.SHOTS) return;
  mkdirSync(process.env.SHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), fullPage: true });
}
