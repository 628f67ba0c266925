// Schemathesis reads the document of the management API and sends what it allows and what it forbids.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { basic, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const program = new URL("../.cache/schemathesis/bin/schemathesis", import.meta.url).pathname;

let server, token;

before(async () => {
  const home = new Installation({ RATE_LIMIT_ENABLED: "false" });
  server = await home.serve();
  const client = home.command("client", "create", "--name", "Tester", "--grant", "client_credentials", "--scope", "admin");
  const answer = await server.post("/oauth/token", { grant_type: "client_credentials", scope: "admin" }, basic(client));
  assert.equal(answer.status, 200, answer.text);
  token = answer.body.access_token;
});

after(() => server?.stop());

describe("the management API", () => {
  it("answers what its document says, whatever it is sent", async () => {
    // These would end the token of the test itself. That a text is no date or address is not in the document.
    const without = ["revokeClientTokens", "deleteClient", "updateClient", "rotateKey", "retireKey"];
    const args = [
      "run", server.at("/api/openapi.json"), "--url", server.at("/api/v1"), "-H", `Authorization: Bearer ${token}`,
      "--max-examples", "10", "--workers", "2", "--phases", "examples,coverage,fuzzing", "--seed", "1", "--max-failures", "20", "--no-color",
      "--exclude-checks", "positive_data_acceptance", ...without.flatMap((id) => ["--exclude-operation-id", id]),
    ];
    // Where an operation has headers, the program takes any other header for a violation of the document.
    writeFileSync(`${server.home.dir}/schemathesis.toml`,
      '[[operations]]\ninclude-operation-id = "importUsers"\nchecks.negative_data_rejection.enabled = false\n');
    const run = promisify(execFile)(program, args, { cwd: server.home.dir, maxBuffer: 1 << 26, timeout: 120_000 });
    const { stdout } = await run.catch((e) => assert.fail(`${e.message}\n${e.stdout?.slice(-8000)}`));
    const [, passed] = stdout.match(/(\d+) generated, \d+ passed/) ?? assert.fail(stdout.slice(-2000));
    assert.ok(Number(passed) > 1000, stdout.slice(-2000));
    assert.doesNotMatch(stdout, /Authentication failed/, "the token has ended on the way");
  });
});
