// Clients and servers of the Model Context Protocol with its TypeScript SDK, as their guides show
// them.
import assert from "node:assert/strict";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, page as open } from "./kit/browser.mjs";
import { arrive, enter, Reader } from "./kit/guide.mjs";
import { basic } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const modules = new URL("node_modules", import.meta.url).pathname;
let chrome;

before(async () => (chrome = await browser()));
after(() => chrome?.close());

/** Follows a guide whose MCP server is at port 3000. */
async function follow(guide, ports) {
  const setting = await arrive(guide, { ports });
  symlinkSync(modules, join(setting.reader.dir, "node_modules"));
  return { ...setting, mcp: await setting.reader.follow(setting.reader.at(3000)) };
}

/** Does what a client asks the person for, until the client has its answer. */
async function answer(client, setting) {
  const [, address] = await client.prints(/^Open (\S+)$/m);
  const page = await open(chrome);
  await page.goto(address);
  await enter(page, setting);
  await page.getByText("You can close this window.").waitFor();
  assert.equal(await client.ended, 0, client.output);
  return new URL(address);
}

describe("an MCP server behind the gateway", () => {
  let setting;

  before(async () => (setting = await follow("mcp", [3000, 8090])));
  after(async () => {
    await setting?.mcp.stop();
    await setting?.server.stop();
  });

  it("serves a client of a person", async () => {
    const client = await setting.reader.run(undefined, { block: 1 });
    const asked = await answer(client, setting);
    assert.match(client.output, /^Buy milk$/m);
    // What the client found in the metadata of the route.
    assert.equal(asked.searchParams.get("scope"), "mcp:tools");
    assert.equal(asked.searchParams.get("resource"), `${setting.server.issuer}/notes/v1`);
  });

  it("serves a client that acts for itself", () => {
    assert.equal(setting.reader.try(), "Buy milk\n");
  });
});

describe("an MCP server that introspects", () => {
  let setting;

  before(async () => (setting = await follow("mcp-server", [3000, 8090])));
  after(async () => {
    await setting?.mcp.stop();
    await setting?.server.stop();
  });

  it("serves a client of a person", async () => {
    const other = new Reader("mcp", setting.server, setting.ports);
    writeFileSync(join(setting.reader.dir, "client.mjs"), other.file("client.mjs"));
    const client = await setting.reader.run(undefined, { block: 1 });
    const asked = await answer(client, setting);
    assert.match(client.output, new RegExp(`^Notes of ${setting.ada.id}: buy milk$`, "m"));
    assert.equal(asked.searchParams.get("resource"), setting.reader.at(3000, "/mcp"));
  });

  it("rejects tokens that are revoked, or for another audience or scope", async () => {
    const { server, reader } = setting;
    const address = reader.at(3000, "/mcp");
    const robot = await server.client({ grant: "client_credentials", scope: "mcp:tools other", resource: address });
    const token = async (fields) => {
      const { body } = await server.post("/oauth/token", { grant_type: "client_credentials", ...fields }, basic(robot));
      return body.access_token;
    };
    const call = async (bearer) => {
      const list = { jsonrpc: "2.0", id: 1, method: "tools/list" };
      const headers = { authorization: `Bearer ${bearer}`, "content-type": "application/json", accept: "application/json, text/event-stream" };
      return (await fetch(address, { method: "POST", headers, body: JSON.stringify(list) })).status;
    };
    const good = await token({ scope: "mcp:tools", resource: address });
    assert.equal(await call(good), 200);
    assert.equal(await call(await token({ scope: "mcp:tools" })), 401);
    assert.equal(await call(await token({ scope: "other", resource: address })), 403);
    await server.post("/oauth/revoke", { token: good }, basic(robot));
    assert.equal(await call(good), 401);
  });
});
