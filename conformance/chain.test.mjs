// Apps whose callback redirects on: to another origin, as proxies do, and to an app's own scheme.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { browser, consent, page as open, signIn } from "./kit/browser.mjs";
import { Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

let home, server, chrome, hop, last, user, app, own;

/** Serves redirects: a request to /cb leads on to what `target` returns. */
async function serve(handle) {
  const s = createServer(handle);
  await new Promise((resolve) => s.listen(0, "127.0.0.1", resolve));
  s.unref();
  s.origin = `http://127.0.0.1:${s.address().port}`;
  return s;
}

before(async () => {
  home = new Installation();
  chrome = await browser();
  last = await serve((request, response) => response.end("landed"));
  hop = await serve((request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    const to = pathname === "/scheme" ? "chained-app://open/here" : `${last.origin}/landed`;
    response.writeHead(302, { location: to }).end();
  });
  user = home.user({ email: "ada@example.com", name: "Ada" });
  const uris = ["/cb", "/scheme"].map((path) => hop.origin + path);
  const common = { public: true, grant: ["code"], scope: "openid" };
  app = home.client({ ...common, name: "Chain", redirectUri: uris, postLogoutRedirectUri: uris });
  own = home.client({ ...common, name: "Own", firstParty: true, redirectUri: uris, postLogoutRedirectUri: uris });
  server = await home.serve();
});

after(async () => {
  await chrome?.close();
  await server?.stop();
  for (const s of [hop, last]) {
    s?.closeAllConnections();
    s?.close();
  }
});

const request = (client, path, extra = {}) =>
  server.at("/oauth/authorize", {
    response_type: "code", client_id: client.client_id, redirect_uri: hop.origin + path, scope: "openid", state: "s",
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", code_challenge_method: "S256", ...extra,
  }).href;

/** Collects what the browser blocks, and the addresses of the chain that it asks for. */
async function fresh() {
  const page = await open(chrome);
  page.blocked = [];
  page.on("console", (m) => /Content Security Policy/.test(m.text()) && page.blocked.push(m.text()));
  return page;
}

/** Waits until the last address of the chain was reached. The browser has no program for the scheme. */
async function ends(page, path, act) {
  if (path === "/cb") {
    await act();
    await page.waitForURL(`${last.origin}/landed`);
  } else {
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    const sent = new Promise((resolve) => session.on("Network.requestWillBeSent", (e) => e.request.url.startsWith("chained-app:") && resolve()));
    const failed = new Promise((resolve) => page.on("requestfailed", (r) => r.url().startsWith(hop.origin) && resolve()));
    await act();
    await Promise.race([sent, failed]);
  }
  assert.deepEqual(page.blocked, []);
}

for (const [path, what] of [["/cb", "another origin"], ["/scheme", "an app's own scheme"]]) {
  describe(`a callback that redirects to ${what}`, () => {
    it("after signing in", async () => {
      const page = await fresh();
      await page.goto(request(own, path));
      await ends(page, path, () => signIn(page, user));
    });

    it("after consent", async () => {
      const page = await fresh();
      await page.goto(request(app, path, { prompt: "consent" }));
      await signIn(page, user);
      await ends(page, path, () => consent(page));
    });

    it("after form_post", async () => {
      const page = await fresh();
      await page.goto(request(own, path, { response_mode: "form_post" }));
      await ends(page, path, () => signIn(page, user));
    });

    it("after signing out", async () => {
      const page = await fresh();
      await page.goto(request(own, "/cb"));
      await signIn(page, user);
      await page.waitForURL(`${last.origin}/landed`);
      await page.goto(server.at("/oauth/logout", { client_id: own.client_id, post_logout_redirect_uri: hop.origin + path }).href);
      await ends(page, path, () => page.locator("[name=choice][value=logout]").click());
    });
  });
}
