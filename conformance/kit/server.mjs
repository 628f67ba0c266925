// A Gatehouse of one's own: the binary, a database in a directory of its own, and a free port.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

process.setMaxListeners(0); // every server and directory of a file cleans up behind itself

/** How long a server may take to start or stop, in milliseconds. */
const patience = 60_000;

/** The password that people have in these tests unless they say otherwise. */
export const password = "a Lantern for 7 gates";

let built;

/** The program under test: the one that the caller has built, or one built now. */
export function binary() {
  if (process.env.GATEHOUSE_TEST_BINARY) return process.env.GATEHOUSE_TEST_BINARY;
  if (!built) {
    const dir = mkdtempSync(join(tmpdir(), "gatehouse-build-"));
    process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
    built = join(dir, "gatehouse");
    execFileSync("go", ["build", "-o", built, "./cmd/gatehouse"], {
      cwd: new URL("../..", import.meta.url),
      env: { ...process.env, CGO_ENABLED: "0" },
      stdio: "inherit",
    });
  }
  return built;
}

/** Only what a program needs of our own environment: a setting of the caller's must not reach the server. */
function environment(settings) {
  const { PATH, HOME, TMPDIR } = process.env;
  return Object.fromEntries(Object.entries({ PATH, HOME, TMPDIR, ...settings }).filter(([, v]) => v !== undefined));
}

/** A directory that is gone when the process ends. */
export function scratch(name = "test") {
  const dir = mkdtempSync(join(tmpdir(), `gatehouse-${name}-`));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** One installation: its settings and its command line. Several servers may run on it. */
export class Installation {
  constructor(settings = {}) {
    this.dir = scratch();
    this.settings = {
      DATABASE_URL: `sqlite:${join(this.dir, "gatehouse.db")}`,
      // The tests sign in from one address far more often than a person does. That there are limits has tests of its own.
      RATE_LIMIT_LOGIN_MAX: "0",
      REFRESH_TOKEN_REUSE_INTERVAL: "0", // a replay is noticed at once
      RATE_LIMIT_DEVICE_MAX: "0",
      RATE_LIMIT_TOKEN_MAX: "0",
      RATE_LIMIT_AUTHORIZE_MAX: "0",
      RATE_LIMIT_REVOCATIONS_MAX: "0",
      ...settings,
    };
  }

  /** Runs a command and gives what it answers, as JSON. */
  command(...args) {
    return JSON.parse(this.run(args));
  }

  /** Runs a command with text on stdin and gives its stdout. */
  run(args, input = "") {
    return execFileSync(binary(), [...args, "--json"], {
      input,
      cwd: this.dir,
      env: environment(this.settings),
      encoding: "utf8",
    });
  }

  /** Runs a shell command that calls gatehouse once, and gives what it answers, as JSON. */
  shell(line) {
    const bin = join(this.dir, "bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "gatehouse"), `#!/bin/sh\nexec '${binary()}' "$@" --json\n`, { mode: 0o755 });
    const env = environment({ ...this.settings, PATH: `${bin}:${process.env.PATH}` });
    return JSON.parse(execFileSync("sh", ["-euc", line], { cwd: this.dir, env, encoding: "utf8" }));
  }

  /** Makes an account that can sign in. */
  user(fields = {}) {
    const { email = `person${++this.people}@example.com`, password: secret = password, roles = [], ...rest } = fields;
    const args = ["user", "create", "--email", email, "--password-stdin", ...roles.flatMap((r) => ["--role", r]), ...flags(rest)];
    return { ...JSON.parse(this.run(args, secret)), email, password: secret };
  }

  people = 0;

  /** Registers a client; lists become repeated flags. */
  client(fields) {
    return this.command("client", "create", ...flags({ name: "A client", ...fields }));
  }

  /** Makes a route of the gateway; lists become repeated flags. */
  route(fields) {
    return this.command("route", "create", ...flags(fields));
  }

  /** Starts a server on it. */
  async serve(extra = {}, ...args) {
    const server = new Server(this, { ...this.settings, ...extra }, args);
    await server.ready;
    return server;
  }
}

/** Writes { redirectUri: ["a", "b"], public: true } as flags. */
function flags(fields) {
  const out = [];
  for (const [name, value] of Object.entries(fields)) {
    const flag = `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
    for (const v of [value].flat()) out.push(...(v === true ? [flag] : [`${flag}=${v}`]));
  }
  return out;
}

/** A running server. */
export class Server {
  constructor(home, settings, args) {
    this.home = home;
    this.errors = "";
    this.output = "";
    this.port = settings.PORT;
    this.tls = Boolean(settings.SSL_CERT);
    this.process = spawn(binary(), ["serve", "--port", settings.PORT ?? "0", ...args], {
      cwd: home.dir,
      env: environment({ LOG_FORMAT: "json", DRAIN_DELAY: "0", ...settings }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.process.stderr.setEncoding("utf8").on("data", (text) => (this.errors += text));
    this.ended = new Promise((resolve) => this.process.on("exit", (code, signal) => resolve({ code, signal })));
    process.on("exit", () => this.process.kill("SIGKILL"));
    this.ready = this.#announced();
  }

  /** The server says on stdout where it is. */
  async #announced() {
    const timer = setTimeout(() => this.process.kill("SIGKILL"), patience);
    const listening = new Promise((resolve) => {
      createInterface({ input: this.process.stdout }).on("line", (line) => {
        this.output += `${line}\n`;
        const at = /^Gatehouse is at (\S+)$/.exec(line);
        if (at) resolve(at[1]);
      });
    });
    const first = await Promise.race([listening, this.ended]);
    clearTimeout(timer);
    if (typeof first !== "string") throw new Error(`the server did not start: ${JSON.stringify(first)}\n${this.errors}`);
    this.issuer = first;
    // A server may be one of several behind the announced address, and TLS may end before it.
    this.origin = this.port ? `${this.tls ? "https" : "http"}://localhost:${this.port}` : first;
    // The address is announced before the first connection is taken. That a certificate is refused is a sign of life, too.
    const alive = () => fetch(this.at("/readyz")).then((r) => r.ok, (e) => /CERT|SIGNED/.test(String(e.cause?.code)));
    await eventually(async () => {
      if (!(await alive())) throw new Error(`no answer at ${this.origin}\n${this.errors}`);
    }, patience);
  }

  /** An address of the server. */
  at(path, query = {}) {
    const url = new URL(path, this.origin);
    for (const [k, v] of Object.entries(query)) url.searchParams.set(k, v);
    return url;
  }

  /** Registers a client on the command line, as an operator does, and waits until the running server knows it. */
  async client(fields) {
    const client = this.home.client(fields);
    await this.knows(client.client_id);
    return client;
  }

  /** Waits until the running server knows a client that was registered on the command line. */
  knows(id) {
    return eventually(async () => {
      const answer = await fetch(this.at("/oauth/authorize", { client_id: id }), { redirect: "manual" }).then((r) => r.text());
      if (answer.includes("client_id is wrong")) throw new Error(`client ${id} is not known to the server`);
    });
  }

  /** Posts a form to a protocol endpoint and gives the answer with its JSON. */
  async post(path, form, headers = {}) {
    const response = await fetch(this.at(path), { method: "POST", body: new URLSearchParams(form), headers, redirect: "manual" });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: text.startsWith("{") ? JSON.parse(text) : undefined };
  }

  /** Ends the server as an operator does, and says how it went. */
  async stop() {
    const timer = setTimeout(() => this.process.kill("SIGKILL"), patience);
    this.process.kill("SIGTERM");
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }
}

/** HTTP Basic credentials of a client (RFC 6749 §2.3.1). */
export function basic(client) {
  const half = (s) => encodeURIComponent(s).replace(/%20/g, "+");
  return { authorization: `Basic ${Buffer.from(`${half(client.client_id)}:${half(client.client_secret)}`).toString("base64")}` };
}

// The files of tests run in processes of their own, side by side. Each begins at another place of a
// range below the ports that Linux gives to outgoing connections and to listeners on port 0.
const [firstPort, ports] = [26_000, 6_000];
let tried = Math.floor(Math.random() * ports);

/** A port that nothing listens on. It is not given twice. */
export async function freePort() {
  for (let left = ports; ; left--) {
    const port = firstPort + (++tried % ports);
    const probe = createServer();
    const free = await new Promise((resolve, reject) => {
      probe.on("error", (e) => (left > 0 ? resolve(false) : reject(e)));
      probe.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => probe.close(resolve));
    return String(port);
  }
}

/** Waits until a check passes, asking it again and again. The limit only ends what would hang. */
export async function eventually(check, within = 60_000) {
  const until = Date.now() + within;
  for (;;) {
    try {
      return await check();
    } catch (e) {
      if (Date.now() > until) throw e;
      await new Promise((wake) => setTimeout(wake, 25));
    }
  }
}
