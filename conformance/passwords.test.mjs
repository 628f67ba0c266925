// The rules of a new password are marked while a person types, and the page is complete without scripts.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, page, signIn } from "./kit/browser.mjs";
import { look, watch } from "./kit/eye.mjs";
import { eventually, Installation, scratch } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const leaked = "Published-77-passphrase";
const chosen = "Lamps and 9 Ladders over the Moat";

describe("choosing a password", () => {
  let home, server, chrome, user;

  before(async () => {
    const list = join(scratch("breached"), "list.txt");
    const hash = (word) => createHash("sha1").update(word).digest("hex").toUpperCase();
    writeFileSync(list, [leaked, "password"].map((word) => `${hash(word)}:3\n`).sort().join(""));
    home = new Installation({ BREACHED_PASSWORDS: list, PASSWORD_EXPIRY_DAYS: "10" });
    user = home.user({ name: "Ada" });
    server = await home.serve();
    chrome = await browser();
  });
  after(async () => {
    await chrome?.close();
    await server?.stop();
  });

  const marks = (tab) => tab.locator(".rules li").evaluateAll((all) => all.map((item) => item.className).join(" "));

  it("marks the rules, shows the strength, and makes a password", async () => {
    const tab = watch(await page(chrome));
    await tab.goto(server.at("/login").href);
    await signIn(tab, user);
    await tab.waitForURL((url) => url.pathname === "/account");
    assert.equal(await tab.getByText("Your password will expire soon.").count(), 1);
    await tab.goto(server.at("/account/security").href);
    const field = tab.locator("[name=new_password]");
    const status = tab.locator("[data-choose] [role=status]");
    await field.pressSequentially("short");
    assert.match(await marks(tab), /^unmet unmet met unmet\s*$/);
    await eventually(async () => assert.equal(await status.textContent(), "Rules met: 1 of 6."));
    await look(tab, "password-rules");

    await field.fill(leaked);
    await eventually(async () => assert.equal(await marks(tab), "met met met met met unmet"));
    assert.equal(await tab.locator(".strength").textContent(), "Strength: weak");

    await tab.getByRole("button", { name: "Suggest a strong password" }).click();
    await eventually(async () => assert.equal(await marks(tab), "met met met met met met"));
    assert.equal(await tab.locator(".strength").textContent(), "Strength: strong");
    assert.equal(await status.textContent(), "Rules met: 6 of 6. Strength: strong");
    const made = await field.inputValue();
    assert.match(made, /^\w{5}(-\w{5}){3}$/);
    assert.equal(await tab.locator("[name=confirm_password]").inputValue(), made);
    assert.equal(await field.getAttribute("type"), "text"); // to be read
    await look(tab, "password-made");
    assert.deepEqual(tab.problems, []);
  });

  it("works without scripts", async () => {
    const tab = await page(chrome, { javaScriptEnabled: false });
    await tab.goto(server.at("/login").href);
    await signIn(tab, user);
    await tab.goto(server.at("/account/security").href);
    assert.equal(await tab.locator(".rules li").count(), 6);
    assert.equal(await tab.locator("[data-choose] button").count(), 0);
    const change = async (word) => {
      await tab.locator("[name=current_password]").first().fill(user.password);
      await tab.locator("[name=new_password]").fill(word);
      await tab.locator("[name=confirm_password]").fill(word);
      await tab.locator("#submit").click();
    };
    await change(leaked);
    assert.match(await tab.locator("#f-new_password-error").textContent(), /published after a breach/);
    await change(chosen);
    await tab.getByText("Your password was changed.").waitFor();
  });
});
