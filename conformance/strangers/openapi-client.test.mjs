// Clients that openapi-generator makes of the document of the management API, in TypeScript and in Python.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { basic, Installation, scratch } from "../kit/server.mjs";
import { after, before, describe, it } from "../kit/story.mjs";

const cached = new URL("../../.cache/", import.meta.url).pathname;
const source = new URL("openapi-client/", import.meta.url).pathname;
const run = promisify(execFile);

let server, token, dir;

before(async () => {
  const home = new Installation({ RATE_LIMIT_ENABLED: "false" });
  server = await home.serve();
  const client = home.command("client", "create", "--name", "Generated", "--grant", "client_credentials", "--scope", "admin");
  const answer = await server.post("/oauth/token", { grant_type: "client_credentials", scope: "admin" }, basic(client));
  assert.equal(answer.status, 200, answer.text);
  token = answer.body.access_token;
  dir = scratch("clients");
  cpSync(source, dir, { recursive: true });
  symlinkSync(join(cached, "openapi-client-npm/node_modules"), join(dir, "node_modules"));
});

after(() => server?.stop());

/** Generates a client. */
const generate = (language, to) =>
  run(`${cached}openapi-client/bin/openapi-generator-cli`,
    ["generate", "-g", language, "-i", String(server.at("/api/openapi.json")), "-o", join(dir, to)], { cwd: dir, maxBuffer: 1 << 26 });

describe("a generated client", () => {
  it("in TypeScript is compiled, and manages users and clients", async () => {
    await generate("typescript-fetch", "ts");
    await run("node_modules/.bin/tsc", ["-p", "tsconfig.json"], { cwd: dir });
    const { use } = createRequire(import.meta.url)(join(dir, "out/use.js"));
    assert.deepEqual(await use(String(server.at("/api/v1")), token), ["T", "1", "ts@example.com", "secret", "not_found"]);
  });

  it("in Python manages users and clients", async () => {
    await generate("python", "py");
    const { stdout } = await run(`${cached}openapi-client/bin/python`, ["use.py", String(server.at("/api/v1")), token, join(dir, "py")], { cwd: dir });
    assert.equal(stdout.trim(), "P 1 py@example.com secret not_found");
  });
});
