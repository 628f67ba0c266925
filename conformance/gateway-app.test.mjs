// A browser app behind the gateway: its person signs in at /session/login, its calls carry a cookie, and no token is ever in the browser.
import assert from "node:assert/strict";
import { browser, page as open, Party, picture, signIn } from "./kit/browser.mjs";
import { watch } from "./kit/eye.mjs";
import { ask, certificate, Service, tlsFront } from "./kit/gateway.mjs";
import { eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

/** The app: it says who is signed in and what they have ordered. */
const app = `<!doctype html><html lang=en><title>Shop</title><link rel=icon href=data:,>
<h1>Shop</h1><p id=who></p><p id=orders></p><button id=in>Sign in</button> <button id=order>Order</button> <button id=out>Sign out</button>
<script>
  const $ = (id) => document.getElementById(id);
  async function show() {
    const answer = await fetch("/session/user");
    $("who").textContent = answer.ok ? (await answer.json()).name : "nobody";
    $("orders").textContent = (await (await fetch("/shop/v1/orders")).json()).orders ?? "none";
    document.body.dataset.shown = Number(document.body.dataset.shown ?? 0) + 1;
  }
  $("in").onclick = () => location.assign("/session/login?return_to=" + encodeURIComponent(location.pathname + location.search));
  $("order").onclick = () => fetch("/shop/v1/orders", { method: "POST" }).then(show);
  $("out").onclick = () => fetch("/session/logout", { method: "POST" }).then(show);
  show();
</script></html>`;

let home, server, chrome, service, strangers, front, origin, sibling, ada, page, context;
let orders = 0;
const traffic = [];

before(async () => {
  const [PORT, other] = [await freePort(), await freePort()];
  const { files } = certificate();
  origin = `https://app.example.com:${PORT}`;
  sibling = `https://sibling.example.com:${other}`;
  home = new Installation({ PORT, BASE_URL: `https://id.example.com:${PORT}`, SSL_CERT: files.cert, SSL_KEY: files.key });
  ada = home.user({ email: "ada@example.com", name: "Ada Lovelace" });
  service = await Service.listen({
    "/": (_, response) => response.writeHead(200, { "content-type": "text/html" }).end(app),
    "/orders": (request, response) => {
      if (request.method === "POST") orders++;
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ orders }));
    },
  });
  home.route({ host: "app.example.com", prefix: "/", upstream: service.origin, allowUnidentified: true, rate: "-1" });
  home.route({ host: "app.example.com", domain: "shop", version: "v1", upstream: service.origin, scope: "profile" });
  home.route({ host: "id.example.com", prefix: "/wiki", upstream: service.origin, browser: true });
  home.client({
    name: "Shop", public: true, firstParty: true, grant: ["code", "refresh"], redirectUri: `${origin}/session/callback`, scope: "openid profile", tokenFormat: "jwt",
  });
  strangers = await Party.listen();
  [front, server, chrome] = await Promise.all([
    tlsFront(other, Number(new URL(strangers.origin).port)), home.serve(), browser("--host-resolver-rules=MAP *.example.com 127.0.0.1"),
  ]);
  page = watch(await open(chrome, { ignoreHTTPSErrors: true }));
  context = page.context();
  page.on("response", listen);
});

after(async () => {
  await chrome?.close();
  await Promise.all([service?.close(), strangers?.close(), front?.close()]);
  await server?.stop();
});

/** All that a request and its answer say. */
async function written(answer) {
  const sent = answer.request();
  const body = await answer.text().catch(() => ""); // a redirect has none
  return JSON.stringify([sent.url(), await sent.allHeaders(), sent.postData(), await answer.allHeaders(), body]);
}

const listen = (answer) => traffic.push(written(answer));

/** Waits until the app has asked and shown who is there, and gives that. */
async function shown(times = 1) {
  await page.waitForFunction((n) => Number(document.body?.dataset.shown) >= n, times);
  return page.evaluate(() => ["who", "orders"].map((id) => document.getElementById(id).textContent));
}

/** Who a request at the service was made by. */
const claims = ({ headers }) => JSON.parse(Buffer.from(headers["x-auth-info"].split(".")[1], "base64url"));

const cookie = async () => (await context.cookies(origin)).find(({ name }) => name.includes("app"));

describe("signing in to a browser app", () => {
  it("leads to the login and back to where the person was", async () => {
    await page.goto(`${origin}/?shelf=2%2F3`);
    assert.deepEqual(await shown(), ["nobody", "none"]);
    await page.locator("#in").click();
    await page.waitForURL("https://id.example.com:*/login*");
    await signIn(page, ada);
    await page.waitForURL(`${origin}/?shelf=2%2F3`);
    assert.deepEqual(await shown(), ["Ada Lovelace", "0"]);
    await picture(page, "gateway-app");
  });

  it("gives the browser a cookie that scripts cannot see, and nothing else", async () => {
    const { name, httpOnly, secure, sameSite, path, domain } = await cookie();
    assert.deepEqual([name, domain, path], ["__Host-gatehouse-app", "app.example.com", "/"]);
    assert.deepEqual({ httpOnly, secure, sameSite }, { httpOnly: true, secure: true, sameSite: "Lax" });
    const seen = await page.evaluate(async () => [document.cookie, localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]);
    assert.deepEqual(seen, ["", 0, 0, 0]);
  });

  it("authenticates the app's requests, and tells the service who the user is", async () => {
    await page.locator("#order").click();
    assert.deepEqual(await shown(2), ["Ada Lovelace", "1"]);
    const seen = service.received.findLast(({ url, method }) => url === "/orders" && method === "POST");
    const { user, scopes } = claims(seen);
    assert.deepEqual([user.id, user.name, scopes], [ada.id, "Ada Lovelace", ["openid", "profile"]]);
    const { headers } = seen;
    assert.deepEqual([headers.authorization, headers.cookie], [undefined, undefined], "what vouches for her stays at the door");
  });

  it("sends no token to the browser", async () => {
    page.off("response", listen);
    const all = await Promise.all(traffic);
    assert.ok(all.length > 8);
    for (const text of all) assert.doesNotMatch(text, /eyJ[\w-]{10,}\.[\w-]{10,}\.|gth_(at|rt|cs)_|access_token|refresh_token|id_token/, "a token");
  });
});

describe("pages of other origins", () => {
  /** What a page may try with another origin's cookie; gives how each attempt ended for the page. */
  const attempts = (at) =>
    page.evaluate(async (to) => {
      const tried = {};
      const attempt = async (name, path, options) => {
        const status = ({ type, status }) => (type === "opaque" ? "unreadable" : status);
        tried[name] = await fetch(to + path, { credentials: "include", ...options }).then(status, () => "unreadable");
      };
      await attempt("read", "/shop/v1/orders", {});
      await attempt("order", "/shop/v1/orders", { method: "POST", mode: "no-cors" });
      await attempt("order with JSON", "/shop/v1/orders", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
      await attempt("who", "/session/user", {});
      await attempt("log out", "/session/logout", { method: "POST", mode: "no-cors" });
      await attempt("log in", "/session/login", { mode: "no-cors" });
      tried.socket = await new Promise((resolve) => {
        const socket = new WebSocket(`${to.replace("http", "ws")}/shop/v1/orders`);
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("unreadable");
      });
      return tried;
    }, at);

  for (const [who, where, status] of [["of a sibling, whose requests bring the cookie,", () => sibling, 403], ["of another site", () => strangers.origin, 401]]) {
    it(`${who} cannot change or read anything`, async () => {
      await page.goto(`${where()}/page`);
      const order = page.waitForResponse((answer) => answer.url() === `${origin}/shop/v1/orders` && answer.request().method() === "POST");
      const seen = await service.during(async () => {
        const tried = await attempts(origin);
        assert.deepEqual(Object.values(tried), Array(7).fill("unreadable"), JSON.stringify(tried));
      });
      assert.deepEqual(seen, []);
      assert.equal((await order).status(), status); // only a cookie that came along can be refused
    });

    it(`${who} cannot send a form for her, or sign her in inside a frame`, async () => {
      await page.goto(`${where()}/page`);
      const frame = page.waitForResponse((answer) => answer.url() === `${origin}/session/login`);
      await page.evaluate((to) => {
        document.body.innerHTML = `<form method=post action="${to}/shop/v1/orders"></form><iframe src="${to}/session/login"></iframe>`;
      }, origin);
      assert.equal((await frame).status(), 403);
      await page.evaluate(() => document.forms[0].submit());
      await page.waitForURL(`${origin}/shop/v1/orders`);
      assert.equal(orders, 1);
    });
  }

  it("may link to the app", async () => {
    await page.goto(`${sibling}/page`);
    await page.evaluate((to) => (document.body.innerHTML = `<a href="${to}/">Shop</a>`), origin);
    await page.locator("a").click();
    await page.waitForURL(`${origin}/`);
    assert.deepEqual(await shown(), ["Ada Lovelace", "1"], "and she is signed in still");
  });

  it("cannot end a sign-in that another browser has begun", async () => {
    const thief = await open(chrome, { ignoreHTTPSErrors: true });
    const answer = await thief.goto(`${origin}/session/callback?code=abc&state=def&iss=${encodeURIComponent(server.issuer)}`);
    assert.ok(answer.status() >= 400 && answer.status() < 500);
    assert.deepEqual((await thief.context().cookies(origin)).filter(({ name }) => name === "__Host-gatehouse-app"), []);
    await thief.context().close();
  });
});

describe("a page at the issuer's own host", () => {
  it("needs no app: the login leads back to it", async () => {
    const visitor = await open(chrome, { ignoreHTTPSErrors: true });
    const wanted = `${server.issuer}/wiki/?page=1%2F2`;
    await visitor.goto(wanted);
    assert.equal(new URL(visitor.url()).pathname, "/login");
    await signIn(visitor, ada);
    await visitor.waitForURL(wanted);
    const seen = service.received.findLast(({ url }) => url === "/?page=1%2F2");
    assert.equal(claims(seen).user.id, ada.id);
    assert.equal(seen.headers.cookie, undefined);
    await visitor.context().close();
  });
});

describe("signing out of a browser app", () => {
  const asHer = (value) => ask(origin, "/shop/v1/orders", { headers: { cookie: `__Host-gatehouse-app=${value}` } });

  it("logging out ends the session, not only the cookie", async () => {
    const { value } = await cookie();
    assert.equal((await asHer(value)).status, 200);
    await page.locator("#out").click();
    assert.deepEqual(await shown(2), ["nobody", "none"]);
    assert.equal(await cookie(), undefined);
    assert.equal((await asHer(value)).status, 401);
  });

  it("an operator ends the session within a second", async () => {
    await page.goto(`${origin}/session/login?return_to=/`); // without a password: she is still signed in at the server
    assert.equal(page.url(), `${origin}/`);
    assert.deepEqual(await shown(), ["Ada Lovelace", "1"]);
    const { value } = await cookie();
    assert.equal((await asHer(value)).status, 200);
    home.command("user", "disable", ada.email);
    await eventually(async () => assert.equal((await asHer(value)).status, 401));
    await page.reload();
    assert.deepEqual(await shown(), ["nobody", "none"]);
  });
});
