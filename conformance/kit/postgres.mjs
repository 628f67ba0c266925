// A PostgreSQL of one's own: a cluster in a temporary directory, on a free port of this machine, without regard for crashes.
import { execFileSync, spawn } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./server.mjs";

const base = "/usr/lib/postgresql";
const root = process.getuid() === 0;

/** The newest version that is installed. */
function programs() {
  const newest = readdirSync(base).sort((a, b) => Number(b) - Number(a))[0];
  return join(base, newest, "bin");
}

/** PostgreSQL refuses to run as root. */
const unprivileged = (program, args) => (root ? ["runuser", ["-u", "postgres", "--", program, ...args]] : [program, args]);

/** Starts a cluster; database() makes an empty database and gives its address. */
export async function postgres() {
  const bin = programs();
  const dir = mkdtempSync(join(tmpdir(), "gatehouse-postgres-"));
  if (root) {
    const [uid, gid] = ["-u", "-g"].map((f) => Number(execFileSync("id", [f, "postgres"], { encoding: "utf8" })));
    chownSync(dir, uid, gid);
  }
  const data = join(dir, "data");
  const run = (program, ...args) => {
    const [name, list] = unprivileged(join(bin, program), args);
    return execFileSync(name, list, { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  };
  run("initdb", "-D", data, "-U", "gatehouse", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync");
  const port = await freePort();
  const options = { listen_addresses: "127.0.0.1", port, unix_socket_directories: dir, fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
  const [name, list] = unprivileged(join(bin, "postgres"), ["-D", data, ...Object.entries(options).flatMap(([k, v]) => ["-c", `${k}=${v}`])]);
  const cluster = spawn(name, list, { cwd: dir, stdio: ["ignore", "ignore", "ignore"] });
  const ended = new Promise((resolve) => cluster.on("exit", resolve));
  const stop = async () => {
    run("pg_ctl", "stop", "-D", data, "-m", "immediate", "-w");
    await ended;
    rmSync(dir, { recursive: true, force: true });
  };
  const login = ["-h", "127.0.0.1", "-p", port, "-U", "gatehouse"];
  for (let left = 100; ; left--) {
    try {
      run("pg_isready", ...login, "-q");
      break;
    } catch (e) {
      if (left === 0) throw e;
      await sleep(50);
    }
  }
  const database = (called) => {
    run("createdb", ...login, called);
    return `postgres://gatehouse@127.0.0.1:${port}/${called}?sslmode=disable`;
  };
  return { database, stop };
}
