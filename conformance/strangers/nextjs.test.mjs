// An application in Next.js that signs people in with Auth.js, as its guide shows it.
import { mkdtempSync, rmSync } from "node:fs";
import { browser, page as open } from "../kit/browser.mjs";
import { arrive, cache, enter } from "../kit/guide.mjs";
import { scratch } from "../kit/server.mjs";
import { after, before, describe, it } from "../kit/story.mjs";

describe("Next.js with Auth.js", () => {
  let chrome, setting, program, dir;

  before(async () => {
    [chrome, setting] = await Promise.all([browser(), arrive("nextjs", { ports: [3000] })]);
    dir = setting.reader.dir = mkdtempSync(`${cache}nextjs/guide-`); // Next.js follows no link out of its project
    process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
    await setting.reader.register();
    setting.reader.write();
    const env = { HOME: scratch("home"), NEXT_TELEMETRY_DISABLED: "1", NPM_CONFIG_UPDATE_NOTIFIER: "false" };
    program = await setting.reader.run(undefined, { env });
    await program.answers(setting.reader.at(3000), 600_000); // it is built first
  });

  after(async () => {
    await Promise.all([chrome?.close(), program?.stop()]);
    await setting?.server.stop();
  });

  it("signs a person in and out", async () => {
    const page = await open(chrome);
    await page.goto(setting.reader.at(3000));
    await page.getByRole("button", { name: "Sign in" }).click();
    await enter(page, setting);
    await page.getByRole("heading", { name: "Hello Ada Lovelace" }).waitFor();
    await page.getByText("ada@example.com").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
  });
});
