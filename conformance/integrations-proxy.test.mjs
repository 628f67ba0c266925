// oauth2-proxy before an application, as its guide shows it.
import assert from "node:assert/strict";
import { browser, page as open } from "./kit/browser.mjs";
import { Service } from "./kit/gateway.mjs";
import { arrive, cache, enter } from "./kit/guide.mjs";
import { eventually } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

describe("oauth2-proxy", () => {
  let chrome, setting, program, service, bob;

  before(async () => {
    [chrome, service] = await Promise.all([browser(), Service.listen()]);
    setting = await arrive("oauth2-proxy", { ports: [4180] });
    setting.reader.replace("9000", new URL(service.origin).port);
    setting.reader.replace("30m", "1s"); // how often it refreshes
    bob = setting.home.user({ email: "bob@example.com" });
    await setting.reader.register();
    setting.reader.write();
    program = await setting.reader.run(setting.reader.at(4180, "/ping"), { path: `${cache}oauth2-proxy` });
  });

  after(async () => {
    await Promise.all([chrome?.close(), program?.stop(), service?.close()]);
    await setting?.server.stop();
  });

  /** Signs a person in at the proxy, in a fresh browser, and gives the page that comes of it. */
  async function visit(person) {
    const page = await open(chrome);
    await page.goto(setting.reader.at(4180, "/notes"));
    await enter(page, setting, person);
    return page;
  }

  it("lets a person in who has the role, and tells the application who it is", async () => {
    const page = await visit(bob);
    assert.equal(page.url(), setting.reader.at(4180, "/notes"));
    const { headers } = service.received.at(-1);
    assert.equal(headers["x-forwarded-user"], bob.id);
    assert.equal(headers["x-forwarded-email"], "bob@example.com");
    assert.equal(headers["x-forwarded-preferred-username"], "bob@example.com");
    assert.equal(headers["x-forwarded-groups"], "engineers");

    // It goes on with new tokens, each refresh token for the next.
    await eventually(async () => {
      await page.reload();
      assert.equal(service.received.at(-1).headers["x-forwarded-email"], "bob@example.com");
      assert.ok(program.output.split("Refreshing session").length > 3, program.output);
    });
  });

  // From the sign-in page through the proxy to a third origin: no page policy may stop the redirects.
  it("sends a person back to an application of another origin", async () => {
    const page = await open(chrome);
    const back = `http://localhost:${new URL(service.origin).port}/back`;
    await page.goto(setting.reader.at(4180, `/oauth2/start?rd=${encodeURIComponent(back)}`));
    await enter(page, setting, bob);
    await page.waitForURL(back);
  });

  it("denies a person without the role", async () => {
    const page = await visit(setting.ada);
    await page.getByText("403").first().waitFor();
    assert.ok(service.received.every((r) => r.headers["x-forwarded-email"] !== setting.ada.email));
  });

  it("denies a person whose address is not confirmed, and says so in its log", async () => {
    const carol = setting.home.user({ email: "carol@example.com", roles: ["engineers"] });
    const page = await visit(carol);
    await page.getByText("403").first().waitFor();
    await eventually(() => assert.match(program.output, /carol@example\.com\) isn't verified/));
  });
});
