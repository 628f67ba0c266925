// JupyterHub with GenericOAuthenticator, as its guide configures it.
import assert from "node:assert/strict";
import { browser, page as open } from "../kit/browser.mjs";
import { arrive, cache, enter } from "../kit/guide.mjs";
import { eventually, freePort } from "../kit/server.mjs";
import { after, before, describe, it } from "../kit/story.mjs";

let setting, chrome, hub, at;

before(async () => {
  [setting, chrome] = await Promise.all([arrive("jupyterhub", { ports: [8000] }), browser()]);
  const { home, reader } = setting;
  home.command("user", "update", setting.ada.email, "--role", "admin");
  setting.bob = home.user({ email: "bob@example.com", roles: ["science"] });
  setting.carl = home.user({ email: "carl@example.com", username: "carl" });
  await reader.register();
  reader.write();
  // Two ports that only the parts of the hub use among themselves.
  const inside = `--JupyterHub.hub_port=${await freePort()} --ConfigurableHTTPProxy.api_url=http://127.0.0.1:${await freePort()}`;
  const script = reader.adapt(reader.blocks.find((b) => b.use === "run").text).replace(/^jupyterhub$/m, `$& ${inside}`);
  const path = `${cache}jupyterhub/bin:${cache}jupyterhub-proxy/node_modules/.bin`;
  at = (to) => reader.at(8000, to);
  hub = await reader.start(script, at("/hub/login"), { path, within: 90_000 });
  // The proxy answers earlier than the hub.
  await eventually(async () => assert.equal((await fetch(at("/hub/login"))).status, 200));
});

after(async () => {
  // The hub ends its proxy, which is in a session of its own, and nobody else does.
  await Promise.all([chrome?.close(), hub?.stop(60_000)]);
  await setting?.server.stop();
});

/** Signs a person in to the hub in a browser of their own. */
async function signIn(ada) {
  const page = await open(chrome);
  await page.goto(at("/hub/home"));
  await page.getByText("Sign in with Gatehouse").click();
  await enter(page, { ...setting, ada });
  return page;
}

describe("a person at JupyterHub", () => {
  let page;

  it("is signed in by the user name, and administers the hub by a role", async () => {
    page = await signIn(setting.ada);
    assert.equal(page.url(), at("/hub/home"));
    const { name, admin, groups } = await me(page);
    assert.deepEqual([name, admin, groups], ["ada", true, ["admin"]]);
    assert.equal((await page.goto(at("/hub/admin"))).status(), 200);
  });

  it("without a user name is signed in by the email address, and does not administer it", async () => {
    const other = await signIn(setting.bob);
    const { name, admin, groups } = await me(other);
    assert.deepEqual([name, admin, groups], ["bob@example.com", false, ["science"]]);
    assert.equal((await other.goto(at("/hub/admin"))).status(), 403);
  });

  it("without one of the roles is not let in", async () => {
    const other = await signIn(setting.carl);
    assert.equal(new URL(other.url()).pathname, "/hub/oauth_callback");
    assert.match(await other.locator("body").innerText(), /403/);
  });

  it("signs out of the hub and of Gatehouse", async () => {
    await page.goto(at("/hub/logout"));
    await page.locator("#submit").click();
    await page.waitForURL((url) => url.origin === new URL(at("/")).origin);
    await page.goto(at("/hub/home"));
    await page.getByText("Sign in with Gatehouse").click();
    await page.locator("[name=password]").waitFor();
  });
});

/** What the hub says about the person in front of a page. */
function me(page) {
  return page.evaluate(async () => {
    const xsrf = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? "";
    const response = await fetch("/hub/api/user", { headers: { "X-XSRFToken": xsrf } });
    return response.json();
  });
}
