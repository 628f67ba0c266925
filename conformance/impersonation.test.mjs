// An administrator acts as a person, in a real browser: what both see, what is closed meanwhile, and what ends it.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { browser, page as open, Party, consent, signIn } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { Service } from "./kit/gateway.mjs";
import { eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const reason = "Ticket 4711 <b>";
let home, server, second, service, chrome, party, app, root, ada, other;

before(async () => {
  const PORT = await freePort();
  home = new Installation({ PORT, BASE_URL: `http://localhost:${PORT}` });
  chrome = await browser();
  party = await Party.listen();
  const secret = "a Lantern for 7 gates and more";
  root = home.user({ email: "root@example.com", name: "Grace Hopper", roles: ["super_admin"], password: secret });
  other = home.user({ email: "helper@example.com", name: "Helper", roles: ["admin"], password: secret });
  ada = home.user({ email: "ada@example.com", name: "Ada Lovelace" });
  app = home.client({
    name: "Notes",
    grant: ["authorization_code", "refresh_token"],
    redirectUri: party.redirect,
    scope: "openid profile email offline_access",
  });
  service = await Service.listen({ "/": (_, response) => response.writeHead(200).end("page") });
  home.route({ host: "localhost", prefix: "/wiki", upstream: service.origin, browser: true });
  server = await home.serve();
  second = await home.serve({ PORT: await freePort() });
});

after(async () => {
  await chrome?.close();
  await server?.stop();
  await second?.stop();
  await service?.close();
  await party?.close();
});

async function signedIn(user, path) {
  const page = watch(await open(chrome, { viewport: { width: 1280, height: 800 } }));
  await page.goto(server.at("/login", { next: path }).href);
  await signIn(page, user);
  await page.waitForURL((url) => url.pathname === path);
  return page;
}

/** The page on which the administrator confirms that they act as Ada. */
async function asked(page) {
  await page.goto(server.at(`/admin/users/${ada.id}/impersonate`).href);
  await page.fill("[name=reason]", reason);
  const opened = page.waitForRequest(/\/impersonate\?token=/);
  await page.click("#submit");
  await page.waitForURL(({ pathname, search }) => pathname === "/impersonate" && search === ""); // the link leaves the address line
  return (await opened).url();
}

/** A browser in which the administrator acts as Ada. */
async function acting() {
  const page = await signedIn(root, "/admin");
  const link = await asked(page);
  await page.click("#submit");
  await page.waitForURL(/\/account$/);
  return { page, link };
}

/** What a form with these fields is answered, sent from a page of the server itself. */
const post = (page, path, fields = {}) =>
  page.evaluate(
    ([to, form]) => fetch(to, { method: "POST", body: new URLSearchParams(form), redirect: "manual" }).then((r) => r.status),
    [path, fields],
  );

const get = (page, path) => page.evaluate((to) => fetch(to).then(async (r) => ({ status: r.status, text: await r.text() })), path);

/** The pages of all messages that a server has delivered to its mailbox page. */
async function delivered(one) {
  const list = await (await fetch(one.at("/dev/mail"))).text();
  const paths = [...new Set(list.match(/\/dev\/mail\/[\w-]+/g))];
  return Promise.all(paths.map((path) => fetch(one.at(path)).then((r) => r.text())));
}

describe("acting as a person", () => {
  it("is asked for with a reason, and says so on every page", async () => {
    const page = await signedIn(root, "/admin");
    await page.goto(server.at(`/admin/users/${ada.id}`).href);
    await page.getByRole("link", { name: "Act as this person" }).click();
    await look(page, "impersonate-console");
    await page.setViewportSize({ width: 1280, height: 800 });
    await asked(page);
    assert.match(await page.locator("main").innerText(), /Ada Lovelace[^]*Ticket 4711 <b>/);
    await look(page, "impersonate-ask");
    await page.click("#submit");
    await page.waitForURL(/\/account$/);
    await look(page, "impersonate-account");
    for (const path of ["/account", "/account/profile", "/account/security", "/account/sessions", "/account/authorizations", "/account/data", "/account/email", "/account/security/sign-ins"]) {
      await page.goto(server.at(path).href);
      assert.match(await page.locator(".on-behalf").innerText(), /Ada Lovelace[^]*Administrator: Grace Hopper/, path);
    }
    await page.click("#end-impersonation");
    await page.waitForURL((url) => url.pathname === `/admin/users/${ada.id}`);
    assert.equal(await page.locator(".on-behalf").count(), 0);
    // A form that asks for the password looks for a passkey, too.
    assert.deepEqual(page.problems.filter((p) => !p.endsWith("/account/security/passkeys/proof")), []);
  });

  it("closes what only the person may do, and all management", async () => {
    const { page, link } = await acting();
    const closed = {
      "/account/security/password": { current_password: ada.password, password: "another Lantern 9" },
      "/account/email": { email: "x@example.com", current_password: ada.password },
      "/account/username": { username: "x", current_password: ada.password },
      "/account/security/totp/enable": { current_password: ada.password },
      "/account/security/passkeys/add": {},
      "/account/sessions/revoke-all": {},
      "/account/data/download": { current_password: ada.password },
      "/account/data/delete": { current_password: ada.password },
      "/activate": { user_code: "AAAA-AAAA" },
      "/chooser": {},
      "/forgot-password": { email: ada.email },
    };
    for (const [path, form] of Object.entries(closed)) {
      assert.equal(await post(page, path, form), 403, path);
    }
    for (const path of ["/admin", "/admin/users", `/admin/users/${other.id}/impersonate`, "/login", "/chooser", "/activate"]) {
      assert.equal((await get(page, path)).status, 403, path);
    }
    assert.equal(await post(page, `/admin/users/${ada.id}/impersonate`, { reason: "again" }), 403);
    assert.equal(await post(page, "/impersonate", { token: new URL(link).searchParams.get("token") }), 409, "a link twice");
    for (const path of ["/admin", "/activate", "/nothing-here"]) {
      await page.goto(server.at(path).href);
      assert.match(await page.locator(".on-behalf").innerText(), /Ada Lovelace/, path);
    }
    await page.close();
  });

  it("gives apps tokens that say so, and nothing that outlives it", async () => {
    const { page } = await acting();
    const verifier = randomBytes(32).toString("base64url");
    await page.goto(
      server.at("/oauth/authorize", {
        client_id: app.client_id,
        response_type: "code",
        redirect_uri: party.redirect,
        scope: "openid profile offline_access",
        state: "s",
        code_challenge: createHash("sha256").update(verifier).digest("base64url"),
        code_challenge_method: "S256",
      }).href,
    );
    assert.match(await page.locator(".on-behalf").innerText(), /Ada Lovelace/);
    await consent(page);
    const back = await party.arrival(page);
    const authorization = `Basic ${Buffer.from(`${app.client_id}:${app.client_secret}`).toString("base64")}`;
    const { body } = await server.post(
      "/oauth/token",
      { grant_type: "authorization_code", code: back.searchParams.get("code"), redirect_uri: party.redirect, code_verifier: verifier },
      { authorization },
    );
    const claims = (jwt) => JSON.parse(Buffer.from(jwt.split(".")[1], "base64url"));
    for (const t of [claims(body.access_token), claims(body.id_token)]) {
      assert.deepEqual(t.act, { sub: root.id });
      assert.equal(t.sub, ada.id);
      assert.equal(t.auth_time ?? t.acr ?? t.amr, undefined);
    }
    assert.doesNotMatch(body.scope, /offline_access/);
    const bearer = { authorization: `Bearer ${body.access_token}` };
    const info = await fetch(server.at("/oauth/userinfo"), { headers: bearer }).then((r) => r.json());
    assert.deepEqual([info.sub, info.act], [ada.id, { sub: root.id }]);
    const introspect = () => server.post("/oauth/introspect", { token: body.access_token }, { authorization }).then((r) => r.body);
    assert.deepEqual((await introspect()).act, { sub: root.id });
    assert.equal((await fetch(server.at("/api/v1/users"), { headers: bearer })).status, 403);

    await page.goto(server.at("/account").href);
    await page.click("#end-impersonation");
    await page.waitForURL(/\/admin\/users\//);
    assert.deepEqual(await introspect(), { active: false });
    if (body.refresh_token) {
      const again = await server.post("/oauth/token", { grant_type: "refresh_token", refresh_token: body.refresh_token }, { authorization });
      assert.equal(again.body.error, "invalid_grant");
    }
    await page.close();
  });

  it("is told to services behind the gateway, holds on every server, and is mailed without a way in", async () => {
    const { page } = await acting();
    const cookie = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
    const at = (one, path) => fetch(one.at(path), { headers: { cookie }, redirect: "manual" });
    assert.match(await (await at(second, "/account")).text(), /You are acting as/);
    assert.equal((await at(second, "/activate")).status, 403);
    assert.equal((await at(server, "/wiki/page")).status, 200);
    const told = JSON.parse(Buffer.from(service.received.at(-1).headers["x-auth-info"].split(".")[1], "base64url"));
    assert.deepEqual([told.user.id, told.act], [ada.id, { sub: root.id }]);

    // Either server may have delivered a message, and each shows what it delivered.
    const mails = await eventually(async () => {
      const all = (await Promise.all([server, second].map(delivered))).flat();
      assert.ok(all.some((mail) => mail.includes("An administrator used your account")));
      return all;
    }, 30_000);
    for (const mail of mails) assert.doesNotMatch(mail, /gth_|\/impersonate/, "a mail that opens or reveals something");

    await page.goto(server.at("/account").href);
    await page.click("#end-impersonation");
    await page.waitForURL(/\/admin\/users\//);
    for (const one of [server, second]) {
      await eventually(async () => assert.equal((await at(one, "/account")).headers.get("location"), "/impersonate"), 15_000);
    }
    await eventually(async () => assert.notEqual((await at(server, "/wiki/page")).status, 200), 15_000);
    await page.close();
  });

  it("can be seen and ended by the person", async () => {
    const { page } = await acting();
    const own = await signedIn(ada, "/account/security/sign-ins");
    assert.match(await own.locator("main").innerText(), /An administrator acted as you[^]*Ticket 4711 <b>/);
    await look(own, "impersonate-history");
    await own.setViewportSize({ width: 1280, height: 800 });
    await own.goto(server.at("/account/sessions").href);
    assert.match(await own.locator("main").innerText(), /Administrator, acting as you/);
    home.run(["session", "revoke", "--all-of-user", "ada@example.com"]);
    await page.goto(server.at("/account").href);
    await page.waitForURL(/\/impersonate$/);
    await look(page, "impersonate-over");
    await page.click("#submit");
    await page.waitForURL((url) => url.pathname === "/account");
    assert.match(await page.locator(".me").innerText(), /Grace Hopper/, "the administrator's own session");
    await own.close();
    await page.close();
  });

  it("ends with the administrator's role, and leaves a record", async () => {
    const page = await signedIn(other, "/admin");
    await asked(page);
    await page.click("#submit");
    await page.waitForURL(/\/account$/);
    home.run(["user", "update", "helper@example.com", "--remove-role", "admin"]);
    await page.goto(server.at("/account").href);
    await page.waitForURL(/\/impersonate$/);
    const ended = home.run(["audit", "list", "--type", "IMPERSONATION_ENDED"]);
    assert.match(ended, new RegExp(`"${other.id}"`));
    await page.close();
  });

  it("begins in no other browser, and not from another site", async () => {
    const page = await signedIn(root, "/admin");
    const link = await asked(page);
    const stranger = watch(await open(chrome));
    const answer = await stranger.goto(link);
    assert.equal(answer.status(), 403);
    const token = new URL(link).searchParams.get("token");
    for (const path of ["/impersonate", "/impersonate/end"]) {
      const sent = await fetch(server.at(path), {
        method: "POST",
        body: new URLSearchParams({ token }),
        headers: { "sec-fetch-site": "cross-site", origin: "https://evil.example" },
        redirect: "manual",
      });
      assert.equal(sent.status, 403, path);
    }
    await page.click("#submit"); // the link is still good
    await page.waitForURL(/\/account$/);
    await stranger.close();
    await page.close();
  });
});
