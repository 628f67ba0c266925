// The single-page app of examples/browser, before the API of examples/api, as a person meets them.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { browser, consent, page as open, picture, signIn } from "./kit/browser.mjs";
import { freePort, Installation, scratch } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const programs = [];
let server, chrome, ada, bob, app;

before(async () => {
  const home = new Installation();
  ada = home.user({ email: "ada@example.com", emailVerified: true });
  bob = home.user({ email: "bob@example.com" });
  home.client({
    id: "notes-browser",
    name: "Notes",
    public: true,
    grant: "authorization_code",
    redirectUri: "http://localhost:3000/", // the port of a loopback address is free
    postLogoutRedirectUri: "http://localhost:3000/",
    scope: "openid email notes:read notes:write",
    resource: "http://localhost:9000",
  });
  [server, chrome] = await Promise.all([home.serve(), browser()]);
  const bin = scratch("examples");
  execFileSync("go", ["build", "-o", `${bin}/`, "./examples/api", "./examples/browser"], { cwd: new URL("..", import.meta.url) });
  // The API must know the app's origin, and the app the API's address: one of the two ports is chosen beforehand.
  const port = await freePort();
  const api = await example(join(bin, "api"), { ADDRESS: "localhost:0", ORIGIN: `http://localhost:${port}` });
  app = await example(join(bin, "browser"), { ADDRESS: `localhost:${port}`, API: api });
});

after(async () => {
  for (const program of programs) program.kill();
  await chrome?.close();
  await server?.stop();
});

/** Starts an example and gives the address that it announces. */
function example(program, settings) {
  const child = spawn(program, [], { env: { ...settings, ISSUER: server.issuer }, stdio: ["ignore", "pipe", "inherit"] });
  programs.push(child);
  process.on("exit", () => child.kill("SIGKILL"));
  return new Promise((resolve, reject) => {
    child.on("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const at = /^(?:API|App) at (http[^\s,]+)/.exec(line);
      if (at) resolve(at[1]);
    });
  });
}

/** A person's browser at the app, with all that the browser complains of. */
async function visit(options = {}, path = "/") {
  const page = await open(chrome, options);
  page.complaints = [];
  page.on("pageerror", (e) => page.complaints.push(e.message));
  page.on("console", (m) => m.type() === "error" && page.complaints.push(m.text()));
  await page.goto(app + path);
  return page;
}

/** Signs in from the app's first page until its notes are there. */
async function enter(page) {
  await page.getByRole("button", { name: "Sign in" }).click();
  await signIn(page, ada);
  await consent(page);
  await page.getByRole("heading", { name: "Your notes", exact: true }).waitFor();
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`), [], name);
  await picture(page, `example-browser-${name}`);
}

describe("the app", () => {
  it("signs in, writes and reads notes, and signs out", async () => {
    const page = await visit();
    await enter(page);
    await page.getByText("No notes yet.").waitFor();
    await page.getByLabel("New note").fill("<b>Buy</b> milk");
    await page.keyboard.press("Enter");
    await page.getByText("1 note", { exact: true }).waitFor();
    assert.deepEqual(await page.getByRole("listitem").allTextContents(), ["<b>Buy</b> milk"]);
    await page.getByText(ada.email, { exact: true }).waitFor();
    assert.equal(page.url(), `${app}/`, "the code has gone from the address");

    // Nothing that another script could find is left behind.
    const left = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]);
    assert.deepEqual(left, [0, 0, ""]);

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Your notes, wherever you are" }).waitFor();
    assert.equal(page.url(), `${app}/`);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("[name=password]").waitFor(); // the session at the server has ended as well
    assert.deepEqual(page.complaints, []);
  });

  // Any program on this computer could listen at the app's address, so consent is not remembered.
  it("drops the tokens when the page closes, and signs in again without a password", async () => {
    const page = await visit();
    await enter(page);
    await page.reload();
    await page.getByRole("button", { name: "Sign in" }).click();
    await consent(page);
    await page.getByRole("heading", { name: "Your notes", exact: true }).waitFor();
    assert.deepEqual(page.complaints, []);
  });

  it("reports that the person denied access", async () => {
    const page = await visit();
    await page.getByRole("button", { name: "Sign in" }).click();
    await signIn(page, bob);
    await consent(page, "deny");
    await page.getByRole("alert").getByText("denied").waitFor();
    assert.equal(page.url(), `${app}/`);
  });

  it("rejects a response that it did not request", async () => {
    const page = await visit({}, `/?code=x&state=y&iss=${encodeURIComponent(server.issuer)}`);
    await page.getByRole("alert").getByText("not started here").waitFor();
    assert.equal(page.url(), `${app}/`);
  });

  it("rejects a response from another server (RFC 9207)", async () => {
    const page = await visit();
    const posted = [];
    page.on("request", (r) => r.method() === "POST" && posted.push(r.url()));
    await page.evaluate(() => sessionStorage.setItem("sign-in", JSON.stringify({ state: "s", nonce: "n", verifier: "v" })));
    await page.goto(`${app}/?code=x&state=s&iss=https%3A%2F%2Fevil.example`);
    await page.getByRole("alert").getByText("another server").waitFor();
    assert.deepEqual(posted, [], "the code was sent nowhere");
  });

  for (const colorScheme of ["light", "dark"]) {
    it(`is accessible in ${colorScheme} colours`, async () => {
      const page = await visit({ colorScheme, viewport: { width: 390, height: 844 } });
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await accessible(page, `welcome-${colorScheme}`);
      await enter(page);
      await page.getByRole("listitem").first().waitFor();
      await page.setViewportSize({ width: 1000, height: 700 });
      await page.getByText("What the sign-in told this page").click();
      await accessible(page, `notes-${colorScheme}`);
    });
  }
});
