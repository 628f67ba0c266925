// The guides in docs/guides/integrations, followed to the letter: the tests register clients with
// the commands of a guide and run the files of the same guide, so what a reader copies is tested.
//
// The info string of a fenced block says what the block is for:
//
//   ```sh install            the reader installs these; one test compares the versions
//   ```sh register           commands of gatehouse
//   ```python file=app.py    a file
//   ```sh run                starts the application
//   ```sh try                calls it, and ends
//
// The tasks of administer.md have a block for each way to do them:
//
//   ```sh command            gatehouse from another machine
//   ```sh curl               calls of the management API
//   ```sh login, code, token what comes before these
//
// In all of them these are replaced: 8080, the port of Gatehouse, or id.example.com, its host; other
// ports that the test names; and paste-the-secret, the client secret that the last register block
// printed, or paste-the-secret-of-ID, the secret of the client ID.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { consent, signIn } from "./browser.mjs";
import { eventually, freePort, Installation, scratch } from "./server.mjs";

const folder = new URL("../../docs/guides/integrations/", import.meta.url);

/** Where tools/test.sh puts the programs that the guides are about. */
export const cache = new URL("../../.cache/", import.meta.url).pathname;

/** The names of all guides. */
export const names = readdirSync(folder)
  .filter((file) => file.endsWith(".md") && file !== "index.md")
  .map((file) => file.slice(0, -".md".length));

/** The text of a guide. */
export const read = (name) => readFileSync(new URL(`${name}.md`, folder), "utf8");

const uses = ["install", "register", "run", "try", "command", "curl", "login", "code", "token"];

/** The marked blocks of a guide: { language, use, file, text, heading }. */
export function blocks(text) {
  let heading;
  const found = [];
  for (const [, title, language, info, content] of text.matchAll(/^#+ (.+)$|^```(\w*) *(\S*)\n([^]*?)^```$/gm)) {
    if (title) heading = title;
    if (title || !info) continue;
    const file = /^file=(.+)$/.exec(info)?.[1];
    if (!file && !uses.includes(info)) throw new Error(`a block is marked "${info}"`);
    found.push({ language, use: file ? "file" : info, file, text: content, heading });
  }
  return found;
}

/** The commands of a block, in order. Lines that are indented go on with the command before them. */
export const statements = (text) => text.split(/\n(?=\S)/).map((s) => s.trim());

/**
 * A fresh installation for the reader of a guide. ports lists the ports that the guide gives its
 * applications; settings are those of the server.
 */
export async function arrive(guide, { ports = [], settings = {} } = {}) {
  const home = new Installation(settings);
  const ada = home.user({ email: "ada@example.com", name: "Ada Lovelace", username: "ada", emailVerified: true });
  const server = await home.serve();
  const chosen = {};
  for (const port of ports) chosen[port] = await freePort();
  return { home, server, ada, ports: chosen, reader: new Reader(guide, server, chosen) };
}

/** A reader who follows a guide with a running server. */
export class Reader {
  /** ports maps each port that the guide gives an application to the port that the test uses. */
  constructor(name, server, ports = {}) {
    this.name = name;
    this.server = server;
    this.blocks = blocks(read(name));
    this.changes = new Map();
    this.dir = scratch("guide");
    if (this.#says("8080")) this.replace("8080", new URL(server.origin).port);
    else this.replace("id.example.com", new URL(server.issuer).host);
    for (const [port, other] of Object.entries(ports)) this.replace(port, other);
  }

  #says(word) {
    return this.blocks.some((b) => b.text.includes(word));
  }

  /** Has a word of the guide replaced from now on. The guide must have it. */
  replace(word, by) {
    if (!this.#says(word)) throw new Error(`${this.name}.md does not say ${word}`);
    this.changes.set(word, by);
  }

  /** An address of the application that the guide has at a port. */
  at(port, path = "/") {
    return `http://localhost:${this.changes.get(String(port))}${path}`;
  }

  /** A text of the guide as this reader has to write it. */
  adapt(text) {
    const words = [...this.changes.keys()].map((w) => w.replace(/[^\w-]/g, "\\$&"));
    return text.replace(new RegExp(`(?<![\\w-])(?:${words.join("|")})(?![\\w-])`, "g"), (word) => this.changes.get(word));
  }

  /** The blocks of one use, adapted. There must be one. */
  #all(use) {
    const found = this.blocks.filter((b) => b.use === use).map((b) => ({ ...b, text: this.adapt(b.text) }));
    if (found.length === 0) throw new Error(`${this.name}.md has no block for ${use}`);
    return found;
  }

  /** Runs the commands that register clients, and gives what gatehouse answers, as JSON. */
  async register() {
    const answers = [];
    for (const { text } of this.#all("register")) {
      for (const line of text.replace(/\\\n/g, " ").split("\n").filter((l) => /^gatehouse /.test(l))) {
        const answer = this.server.home.shell(line);
        answers.push(answer);
        if (answer.client_secret) this.changes.set("paste-the-secret", answer.client_secret);
        if (answer.client_secret) this.changes.set(`paste-the-secret-of-${answer.client_id}`, answer.client_secret);
        if (answer.client_id) await this.server.knows(answer.client_id);
      }
    }
    return answers;
  }

  /** Writes the files of the guide to a directory, and gives the directory. */
  write() {
    for (const { file, text } of this.#all("file")) {
      mkdirSync(dirname(join(this.dir, file)), { recursive: true });
      writeFileSync(join(this.dir, file), text);
    }
    return this.dir;
  }

  /** The content of a file of the guide. */
  file(name) {
    const found = this.#all("file").find((b) => b.file === name);
    if (!found) throw new Error(`${this.name}.md has no file ${name}`);
    return found.text;
  }

  /**
   * Starts what the guide starts, and waits until it answers at an address, if one is given. path is
   * where its programs are, env what the guide takes for granted, block which of its run blocks.
   */
  async run(ready, { block = 0, ...options } = {}) {
    return this.start(this.#all("run")[block].text, ready, options);
  }

  /**
   * Starts a program by a shell script in the directory of the files; otherwise like run. within is
   * how many milliseconds it may take until it answers.
   */
  async start(script, ready, { path = "", env = {}, within } = {}) {
    const program = new Program(script, this.dir, { PATH: `${path}:${process.env.PATH}`, HOME: this.dir, ...env });
    if (ready) await program.answers(ready, within);
    return program;
  }

  /** Runs what the guide calls the application with, and gives what that prints. */
  try(env = {}) {
    const text = this.#all("try").map((b) => b.text).join("");
    return execFileSync("sh", ["-euc", text], { cwd: this.dir, env: { PATH: process.env.PATH, ...env }, encoding: "utf8" });
  }

  /** Registers, writes and starts what the guide says. */
  async follow(ready, options) {
    await this.register();
    this.write();
    return this.run(ready, options);
  }
}

/** A program that a shell script starts, with all its children. */
class Program {
  output = "";

  constructor(script, cwd, env) {
    const child = spawn("sh", ["-euc", script], { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (this.output += text));
    this.child = child;
    this.ended = new Promise((resolve) => child.on("exit", resolve));
    process.on("exit", () => this.#signal("SIGKILL"));
  }

  #signal(name) {
    try {
      process.kill(-this.child.pid, name);
    } catch {
      // It has ended.
    }
  }

  /** Waits until the program answers HTTP requests at an address, for a number of milliseconds. */
  async answers(address, within = 60_000) {
    await eventually(async () => {
      if (this.child.exitCode !== null) return;
      await fetch(address, { redirect: "manual" }).catch((e) => {
        throw new Error(`no answer at ${address}: ${e.cause ?? e}\n${this.output}`);
      });
    }, within);
    if (this.child.exitCode !== null) throw new Error(`the program ended: ${this.output}`);
  }

  /** Waits until the program has printed something that a pattern matches, and gives the match. */
  prints(pattern) {
    return eventually(async () => {
      const match = pattern.exec(this.output);
      if (!match) throw new Error(`the program did not print ${pattern}: ${this.output}`);
      return match;
    });
  }

  async stop(within = 1_000) {
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), within);
    await this.ended;
    clearTimeout(timer);
    this.#signal("SIGKILL"); // children that outlive their shell
  }
}

/**
 * Signs a person in, Ada unless it is another, and allows what the application asks for, until the
 * browser is back there.
 */
export async function enter(page, { server, ada }, user = ada) {
  await page.waitForURL((url) => url.origin === server.origin && url.pathname === "/login");
  await signIn(page, user);
  await page.waitForURL((url) => url.origin !== server.origin || url.pathname === "/consent");
  if (new URL(page.url()).origin !== server.origin) return;
  await consent(page);
  await page.waitForURL((url) => url.origin !== server.origin);
}
