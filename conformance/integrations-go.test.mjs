// An application in Go that signs people in with go-oidc, as its guide shows it.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { browser, page as open } from "./kit/browser.mjs";
import { arrive, enter } from "./kit/guide.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

describe("go-oidc", () => {
  let chrome, setting, program;

  before(async () => {
    [chrome, setting] = await Promise.all([browser(), arrive("go", { ports: [3000] })]);
    const { reader } = setting;
    await reader.register();
    const dir = reader.write();
    // With the libraries in the versions that go.mod of this repository has.
    const build = ["build", "-o", join(dir, "shop"), join(dir, "main.go")];
    execFileSync("go", build, { cwd: new URL("..", import.meta.url), stdio: "inherit" });
    program = await reader.run(reader.at(3000));
  });

  after(async () => {
    await Promise.all([chrome?.close(), program?.stop()]);
    await setting?.server.stop();
  });

  it("signs a person in and out", async () => {
    const page = await open(chrome);
    await page.goto(setting.reader.at(3000));
    await page.getByRole("link", { name: "Sign in" }).click();
    await enter(page, setting);
    await page.getByRole("heading", { name: "Hello Ada Lovelace" }).waitFor();
    await page.getByText("ada@example.com").waitFor();

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in" }).click();
    await page.locator("[name=password]").waitFor(); // the session at the server has ended as well
  });
});
