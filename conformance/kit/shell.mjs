// A shell of a reader's own: a directory, a home, and what earlier commands have set.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, scratch } from "./server.mjs";

export class Shell {
  constructor(env = {}) {
    this.dir = scratch("shell");
    this.env = env;
    mkdirSync(join(this.dir, "bin"));
    symlinkSync(binary(), join(this.dir, "bin/gatehouse"));
    writeFileSync(join(this.dir, ".curlrc"), "silent\nshow-error\nfail-with-body\n"); // a refused call is a failed command
  }

  /** Runs one command in bash and gives its output. seen gets what it writes to stderr, as it comes. */
  async run(command, seen = () => {}) {
    const state = join(this.dir, "state");
    const script = `set -a\n${existsSync(state) ? `. '${state}'\n` : ""}${command}\nexport -p >'${state}'\n`;
    const env = { PATH: `${join(this.dir, "bin")}:${process.env.PATH}`, HOME: this.dir, ...this.env };
    const child = spawn("bash", ["-euo", "pipefail", "-c", script], { cwd: this.dir, env, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text) => {
      errors += text;
      seen(errors);
    });
    const status = await new Promise((resolve) => child.on("close", resolve));
    if (status !== 0) throw new Error(`${command}\nends with ${status}: ${errors}${out}`);
    return out;
  }
}
