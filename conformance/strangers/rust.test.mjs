// A command-line program in Rust with the crate openidconnect, as its guide shows it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, consent, page as open, signIn } from "../kit/browser.mjs";
import { arrive, cache, enter } from "../kit/guide.mjs";
import { after, before, describe, it } from "../kit/story.mjs";

const home = join(cache, "rust");
const env = { HOME: process.env.HOME, CARGO_HOME: join(home, "home"), CARGO_TARGET_DIR: join(home, "target"), CARGO_PROFILE_DEV_DEBUG: "false", CARGO_TERM_COLOR: "never" };
let setting, chrome;

before(async () => {
  [setting, chrome] = await Promise.all([arrive("rust"), browser()]);
  await setting.reader.register();
  build(setting.reader.write());
});

after(async () => {
  await chrome?.close();
  await setting?.server.stop();
});

/** Runs cargo in the directory of the guide's files. */
function cargo(dir, ...args) {
  execFileSync("cargo", [...args, "--quiet"], { cwd: dir, env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "inherit"] });
}

/** Builds the guide's program with the versions in rust.lock. That list has no addresses: Cargo says where it takes crates from. */
function build(dir) {
  const saved = join(home, "source");
  if (!existsSync(saved)) {
    cargo(dir, "generate-lockfile");
    mkdirSync(home, { recursive: true });
    writeFileSync(saved, /^source = (".+")$/m.exec(readFileSync(join(dir, "Cargo.lock"), "utf8"))[1]);
  }
  const list = readFileSync(new URL("rust.lock", import.meta.url), "utf8");
  writeFileSync(join(dir, "Cargo.lock"), list.replaceAll('source = "registry"', `source = ${readFileSync(saved, "utf8")}`));
  cargo(dir, "build", "--locked");
}

describe("a person at a program in Rust", () => {
  it("is signed in by the browser, and its tokens are refreshed", async () => {
    const program = await setting.reader.run(undefined, { env });
    const [, address] = await program.prints(/in a browser: (\S+)/);
    const page = await open(chrome);
    await page.goto(address);
    await enter(page, setting);
    assert.equal(await program.ended, 0, program.output);
    assert.match(program.output, /^Signed in: ada <ada@example\.com>$/m);
    assert.match(program.output, /^Full name: Ada Lovelace$/m);
    assert.match(await page.locator("body").innerText(), /close this page/);
  });

  it("is not signed in by an answer to another request", async () => {
    const program = await setting.reader.run(undefined, { env });
    const [, address] = await program.prints(/in a browser: (\S+)/);
    const request = new URL(address);
    const redirect = new URL(request.searchParams.get("redirect_uri"));
    redirect.search = new URLSearchParams({ code: "gth_ac_x", state: "of another", iss: setting.server.issuer });
    await fetch(redirect);
    assert.equal(await program.ended, 1);
    assert.match(program.output, /another request/);
  });

  it("can refuse", async () => {
    const bob = setting.home.user({ email: "bob@example.com" });
    const program = await setting.reader.run(undefined, { env });
    const [, address] = await program.prints(/in a browser: (\S+)/);
    const page = await open(chrome);
    await page.goto(address);
    await signIn(page, bob);
    await consent(page, "deny");
    assert.equal(await program.ended, 1);
    assert.match(program.output, /access_denied/);
  });
});
