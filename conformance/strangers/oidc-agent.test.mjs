// oidc-agent as its guide sets it up: a public client on a person's computer.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { browser, consent, page as open, signIn } from "../kit/browser.mjs";
import { arrive, enter } from "../kit/guide.mjs";
import { eventually } from "../kit/server.mjs";
import { after, before, describe, it } from "../kit/story.mjs";

let setting, chrome;

before(async () => {
  [setting, chrome] = await Promise.all([arrive("oidc-agent", { ports: [43985] }), browser()]);
  await setting.reader.register();
});

after(async () => {
  await chrome?.close();
  await setting?.server.stop();
});

/** Waits until a program has printed what a pattern matches, and gives the first group. */
function printed(program, pattern) {
  return eventually(async () => {
    const found = pattern.exec(program.output);
    assert.ok(found, program.output);
    return found[1];
  });
}

/** A shell with an agent: what ends, and with what its user calls the programs of the agent. */
class Shell {
  /** Follows one of the guide's blocks, as a person who never sees another browser than the test's. */
  static async start(block, password = "an Agent with 2 keys") {
    const shell = new Shell();
    const { reader } = setting;
    const text = reader.blocks.filter((b) => b.use === "run")[block].text.replace("oidc-gen ", "oidc-gen --no-url-call ");
    shell.env = { OIDC_ENCRYPTION_PW: password, HOME: reader.dir, OIDC_CONFIG_DIR: join(reader.dir, `agent-${block}`) };
    mkdirSync(shell.env.OIDC_CONFIG_DIR);
    // No person is fast enough to meet an agent that does not listen yet.
    const waits = "$&; echo OIDC_SOCK=$OIDC_SOCK OIDCD_PID=$OIDCD_PID; until oidc-add --loaded >/dev/null 2>&1; do sleep 0.1; done";
    shell.program = await reader.start(reader.adapt(text).replace(/^eval .*$/m, waits), undefined, { env: shell.env });
    shell.env.OIDC_SOCK = await printed(shell.program, /OIDC_SOCK=(\S+)/);
    shell.env.OIDCD_PID = await printed(shell.program, /OIDCD_PID=(\d+)/);
    process.on("exit", () => shell.#kill());
    return shell;
  }

  run(...command) {
    return execFileSync(command[0], command.slice(1), { env: { PATH: process.env.PATH, ...this.env }, encoding: "utf8" }).trim();
  }

  /** Starts another agent, which knows only what is in the file. */
  async restart() {
    this.#kill();
    const [, socket, pid] = /OIDC_SOCK=([^;]+);[^]*OIDCD_PID=(\d+);/.exec(this.run("oidc-agent"));
    Object.assign(this.env, { OIDC_SOCK: socket, OIDCD_PID: pid });
    await eventually(async () => this.run("oidc-add", "--loaded"));
    this.run("oidc-add", "--pw-env", "gatehouse");
  }

  #kill() {
    try {
      process.kill(Number(this.env.OIDCD_PID));
    } catch {
      // It has ended.
    }
  }

  async stop() {
    this.#kill();
    await this.program.stop();
  }
}

const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

for (const [block, flow] of ["a browser on the same computer", "another device"].entries()) {
  describe(`a person signs in with ${flow}`, () => {
    let shell;

    before(async () => (shell = await Shell.start(block)));

    after(() => shell?.stop());

    it("and the agent has a token", async () => {
      const page = await open(chrome);
      if (block === 0) {
        await page.goto(await printed(shell.program, /(http:\/\/localhost:\d+\/oauth\/authorize\S+)/));
        await enter(page, setting);
      } else {
        await page.goto(await printed(shell.program, /(http:\/\/localhost:\d+\/activate)/));
        await signIn(page, setting.ada);
        await page.locator("[name=user_code]").fill(await printed(shell.program, /code: (\S+)/));
        await page.locator("#submit").click();
        await consent(page);
      }
      assert.equal(await shell.program.ended, 0, shell.program.output);
      const { sub, client_id: client } = claims(shell.run("oidc-token", "gatehouse"));
      assert.deepEqual([sub, client], [setting.ada.id, "laptop"]);
    });

    it("that works at an API", () => {
      const person = JSON.parse(setting.reader.try(shell.env));
      assert.equal(person.email, "ada@example.com");
      assert.equal(person.preferred_username, "ada");
    });

    it("and that it refreshes, again and again, and after a restart", async () => {
      const token = () => claims(shell.run("oidc-token", "--force-new", "gatehouse")).jti;
      const first = [token(), token()];
      await shell.restart();
      assert.equal(new Set([...first, token(), token()]).size, 4);
    });

    it("and that may do less", () => {
      assert.equal(claims(shell.run("oidc-token", "--scope", "openid", "gatehouse")).scope, "openid");
    });

    it("until the person deletes the account, which revokes the refresh token", async () => {
      const { refresh_token: token } = JSON.parse(shell.run("oidc-gen", "--pw-env", "--print", "gatehouse"));
      shell.run("oidc-gen", "--pw-env", "--confirm-yes", "--delete", "gatehouse");
      const { status, body } = await setting.server.post("/oauth/token", { grant_type: "refresh_token", refresh_token: token, client_id: "laptop" });
      assert.deepEqual([status, body.error], [400, "invalid_grant"]);
    });
  });
}
