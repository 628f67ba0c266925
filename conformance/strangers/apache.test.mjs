// Apache with mod_auth_openidc, as the guide configures it, before an application that reads headers.
import assert from "node:assert/strict";
import { browser, page as open } from "../kit/browser.mjs";
import { bearer, Service } from "../kit/gateway.mjs";
import { arrive, enter } from "../kit/guide.mjs";
import { basic, eventually } from "../kit/server.mjs";
import { after, before, describe, it } from "../kit/story.mjs";
import { apache } from "./apache.mjs";

let home, server, ada, bob, chrome, service, nightly, weather, at, program;

before(async () => {
  const setting = await arrive("apache", { ports: [8000] });
  ({ home, server, ada } = setting);
  home.command("user", "update", ada.email, "--role", "admin");
  bob = home.user({ email: "bob@example.com" });
  [service, chrome] = await Promise.all([Service.listen(), browser()]);
  setting.reader.replace("9000", new URL(service.origin).port);
  nightly = (await setting.reader.register()).at(-1);
  weather = await server.client({ name: "Weather", grant: "client_credentials", scope: "weather:read", resource: "https://intranet.example.com" });
  program = await apache(setting.reader);
  at = setting.reader.at(8000, "");
});

after(async () => {
  await Promise.all([chrome?.close(), program?.stop(), service?.close()]);
  await server?.stop();
});

/** What the application behind Apache was sent. */
const received = async (page) => JSON.parse(await page.locator("body").innerText()).headers;

describe("a person", () => {
  let page;

  before(async () => (page = await open(chrome)));

  it("is signed in, and the application learns who it is", async () => {
    await page.goto(`${at}/page?x=1`);
    await enter(page, { server, ada });
    assert.equal(page.url(), `${at}/page?x=1`);
    const headers = await received(page);
    assert.equal(headers["x-remote-user"], "ada");
    assert.equal(headers.oidc_claim_sub, ada.id);
    assert.equal(headers.oidc_claim_email, "ada@example.com");
    assert.equal(headers.oidc_claim_name, "Ada Lovelace");
    assert.equal(headers.oidc_claim_groups, "admin");
    assert.equal(headers.oidc_access_token, undefined, "the access token stays at the door");
  });

  it("cannot say that it is somebody else", async () => {
    await page.setExtraHTTPHeaders({ "X-Remote-User": "root", OIDC_CLAIM_email: "root@example.com", OIDC_CLAIM_groups: "wheel" });
    await page.goto(`${at}/page`);
    const headers = await received(page);
    assert.deepEqual([headers["x-remote-user"], headers.oidc_claim_email, headers.oidc_claim_groups], ["ada", "ada@example.com", "admin"]);
    await page.setExtraHTTPHeaders({});
  });

  it("with the group sees the page for the group", async () => {
    assert.equal((await page.goto(`${at}/admin`)).status(), 200);
  });

  it("without it does not, and is known by the email address", async () => {
    const other = await open(chrome);
    await other.goto(`${at}/page`);
    await enter(other, { server, ada: bob });
    assert.equal((await received(other))["x-remote-user"], "bob@example.com");
    assert.equal((await other.goto(`${at}/admin`)).status(), 401);
  });

  it("is signed out of Apache and of Gatehouse", async () => {
    await page.goto(`${at}/oidc/callback?logout=${encodeURIComponent(`${at}/bye`)}`);
    assert.equal(page.url(), `${at}/bye`);
    await page.goto(`${at}/page`);
    assert.equal(new URL(page.url()).pathname, "/login");
  });
});

describe("a program with an access token", () => {
  const resource = "https://intranet.example.com";
  const call = async (headers) => {
    const response = await fetch(`${at}/api/reports`, { headers, redirect: "manual" });
    return { status: response.status, challenge: response.headers.get("www-authenticate"), body: response.status === 200 ? await response.json() : "" };
  };

  it("is let in, and the application learns which one it is", async () => {
    const { status, body } = await call(await bearer(server, nightly, "reports:read", { resource }));
    assert.equal(status, 200);
    assert.equal(body.headers.oidc_claim_client_id, nightly.client_id);
    assert.equal(body.headers.oidc_claim_scope, "reports:read");
  });

  it("is rejected as soon as its token is revoked", async () => {
    const headers = await bearer(server, nightly, "reports:read", { resource });
    assert.equal((await call(headers)).status, 200);
    await server.post("/oauth/revoke", { token: headers.authorization.slice("Bearer ".length) }, basic(nightly));
    await eventually(async () => assert.equal((await call(headers)).status, 401));
  });

  it("is rejected without a token, and with one that nobody issued", async () => {
    for (const headers of [{}, { authorization: "Bearer nonsense" }]) {
      const { status, challenge } = await call(headers);
      assert.equal(status, 401);
      assert.match(challenge, /^Bearer/);
    }
  });

  it("is rejected with a token for another API", async () => {
    assert.equal((await call(await bearer(server, nightly, "reports:read"))).status, 401);
  });

  it("is rejected without the scope", async () => {
    assert.equal((await call(await bearer(server, weather, "weather:read", { resource }))).status, 401);
  });
});
