// Clients and servers of the Model Context Protocol with its TypeScript SDK, as their guides show
// them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { auth } from "@modelcontextprotocol/sdk/client/auth.js";
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

describe("an MCP client that registers itself", () => {
  let setting;
  let resource;
  let app;

  before(async () => {
    app = createServer((request, response) => response.end("You can close this window.")).listen(0, "127.0.0.1");
    await once(app, "listening");
    setting = await arrive("mcp", {});
    await setting.server.stop();
    resource = `${setting.server.issuer}/notes/v1`;
    const { home } = setting;
    home.command("scope", "create", "mcp:tools", "--description", "use your notes' tools");
    home.route({ domain: "notes", version: "v1", upstream: "http://127.0.0.1:9", scope: "mcp:tools" });
    const port = new URL(setting.server.issuer).port;
    setting.server = await home.serve({
      PORT: port, BASE_URL: setting.server.issuer, OPEN_REGISTRATION: "public",
      OPEN_REGISTRATION_SCOPES: "mcp:tools offline_access", OPEN_REGISTRATION_RESOURCES: resource,
    });
  });
  after(async () => {
    app?.closeAllConnections();
    app?.close();
    await setting?.server.stop();
  });

  it("signs a person in, who is warned", async () => {
    const callback = `http://127.0.0.1:${app.address().port}/callback`;
    const saved = {};
    const provider = {
      redirectUrl: callback,
      clientMetadata: {
        client_name: "Notes desktop", redirect_uris: [callback], grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"], token_endpoint_auth_method: "none",
      },
      clientInformation: () => saved.client,
      saveClientInformation: (client) => (saved.client = client),
      tokens: () => saved.tokens,
      saveTokens: (tokens) => (saved.tokens = tokens),
      codeVerifier: () => saved.verifier,
      saveCodeVerifier: (verifier) => (saved.verifier = verifier),
      redirectToAuthorization: (url) => (saved.address = url),
    };
    const serverUrl = `${resource}/mcp`;
    const first = await fetch(serverUrl, { method: "POST" });
    assert.equal(first.status, 401);
    const [, resourceMetadataUrl] = /resource_metadata="([^"]+)"/.exec(first.headers.get("www-authenticate"));
    const options = { serverUrl, resourceMetadataUrl: new URL(resourceMetadataUrl) };
    assert.equal(await auth(provider, options), "REDIRECT");
    assert.equal(saved.client.client_secret, undefined);

    const page = await open(chrome);
    await page.goto(saved.address.href);
    await page.waitForURL((url) => url.pathname === "/login");
    await page.fill("[name=username]", setting.ada.email);
    await page.fill("[name=password]", setting.ada.password);
    await page.click("#submit");
    await page.waitForURL((url) => url.pathname === "/consent");
    const text = await page.textContent("main");
    assert.match(text, /Not a verified app/);
    assert.ok(text.indexOf(new URL(callback).host) < text.indexOf("Notes desktop"));
    await page.click("#submit");
    await page.waitForURL((url) => url.pathname === "/callback");
    const authorizationCode = new URL(page.url()).searchParams.get("code");
    assert.equal(await auth(provider, { ...options, authorizationCode }), "AUTHORIZED");
    const claims = JSON.parse(Buffer.from(saved.tokens.access_token.split(".")[1], "base64url"));
    assert.equal([claims.aud].flat()[0], resource);
    assert.equal(claims.client_id, saved.client.client_id);
    assert.equal(await auth(provider, options), "AUTHORIZED"); // by the refresh token
  });
});
