// A single-page application of another origin that uses oidc-client-ts in a real browser: what it may read across origins, and what it may not.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { browser, consent, page as open, Party, signIn } from "./kit/browser.mjs";
import { watch } from "./kit/eye.mjs";
import { basic, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const library = readFileSync(new URL("node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js", import.meta.url), "utf8");
const shell = '<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:,"><script src="/oidc.js"></script><h1>App</h1>';
let home, server, chrome, app, ada, client, judge;

before(async () => {
  home = new Installation();
  app = await Party.listen({
    "/": { body: shell },
    "/cb": { body: shell },
    "/bye": { body: shell },
    "/oidc.js": { type: "text/javascript", body: library },
  });
  ada = home.user({ email: "ada@example.com", name: "Ada Lovelace" });
  client = home.client({
    name: "Notes", public: true, grant: ["code", "refresh"], redirectUri: app.redirect, postLogoutRedirectUri: `${app.origin}/bye`,
    scope: "openid profile email offline_access",
  });
  judge = home.client({ grant: "client_credentials", scope: "read" });
  [server, chrome] = await Promise.all([home.serve(), browser()]);
});

after(async () => {
  await Promise.all([chrome?.close(), app?.close()]);
  await server?.stop();
});

describe("a page without a server", () => {
  let page, first;

  /** Runs code in the page with the library's manager. */
  const inPage = (body, argument) =>
    page.evaluate(
      ({ settings, body, argument }) => {
        window.manager ??= new oidc.UserManager(settings);
        return new Function("manager", "argument", `return (async () => { ${body} })()`)(window.manager, argument);
      },
      {
        settings: {
          authority: server.issuer, client_id: client.client_id, redirect_uri: app.redirect, post_logout_redirect_uri: `${app.origin}/bye`,
          scope: "openid profile email offline_access", loadUserInfo: true, automaticSilentRenew: false, monitorSession: false,
        },
        body, argument,
      },
    );

  before(async () => (page = watch(await open(chrome))));

  it("sends the person to the login page and reads who came back", async () => {
    await page.goto(app.origin);
    await Promise.all([page.waitForURL("**/login?*"), inPage("await manager.signinRedirect({ state: { note: 7 } })").catch(() => {})]);
    await signIn(page, ada);
    await consent(page);
    await app.arrival(page);
    first = await inPage("const user = await manager.signinRedirectCallback(); return { ...user, profile: user.profile, state: user.state }");
    assert.equal(first.profile.sub, ada.id);
    assert.equal(first.profile.name, "Ada Lovelace"); // of userinfo, read across origins
    assert.equal(first.profile.email, "ada@example.com");
    assert.deepEqual(first.state, { note: 7 });
  });

  it("renews by its refresh token", async () => {
    const next = await inPage("const user = await manager.signinSilent(); return { ...user }");
    assert.notEqual(next.refresh_token, first.refresh_token);
    assert.notEqual(next.access_token, first.access_token);
  });

  it("reads the reason of a refusal", async () => {
    const said = await inPage(
      "const answer = await fetch(argument, { headers: { authorization: 'Bearer x' } }); return [answer.status, answer.headers.get('www-authenticate'), await answer.json()]",
      server.at("/oauth/userinfo").href,
    );
    assert.equal(said[0], 401);
    assert.match(said[1], /invalid_token/);
    assert.equal(said[2].error, "invalid_token");
    // The browser notes the status, and that was wanted.
    page.problems = page.problems.filter((p) => !/401/.test(p));
  });

  it("may not introspect: that is for servers", async () => {
    const said = await inPage(
      "return fetch(argument, { method: 'POST', body: new URLSearchParams({ token: 'x' }) }).then(() => 'read', () => 'refused')",
      server.at("/oauth/introspect").href,
    );
    assert.equal(said, "refused");
    page.problems = page.problems.filter((p) => !/introspect/.test(p));
  });

  it("revokes its tokens", async () => {
    const held = await inPage("const { access_token } = await manager.getUser(); await manager.revokeTokens(); return access_token");
    assert.equal((await server.post("/oauth/introspect", { token: held }, basic(judge))).body.active, false);
  });

  it("signs the person out and gets them back", async () => {
    await inPage("await manager.signoutRedirect({ id_token_hint: argument })", first.id_token).catch(() => {});
    await app.arrival(page, "/bye");
    await page.goto(server.at("/account").href);
    assert.equal(new URL(page.url()).pathname, "/login");
    assert.deepEqual(page.problems, []);
  });
});
