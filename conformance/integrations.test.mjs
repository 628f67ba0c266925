// The guides in docs/guides/integrations as a whole.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { blocks, names, read } from "./kit/guide.mjs";
import { describe, it } from "./kit/story.mjs";

const here = (file) => readFileSync(new URL(file, import.meta.url), "utf8");

describe("the guides", () => {
  const installed = names.flatMap((name) => blocks(read(name)).filter((b) => b.use === "install").map((b) => b.text)).join("\n");

  it("are all in the index", () => {
    const linked = [...read("index").matchAll(/\]\(([\w-]+)\.md\)/g)].map((m) => m[1]);
    assert.deepEqual(names.filter((name) => !linked.includes(name)), []);
  });

  it("install the versions in Python that the tests use", () => {
    const tested = ["requirements", "jupyterhub"].map((list) => here(`python/${list}.txt`)).join("\n").toLowerCase().split(/\s+/);
    const said = [...installed.matchAll(/^pip install (.+)$/gm)].flatMap((m) => m[1].toLowerCase().replace(/\[\w+\]|"/g, "").split(" "));
    assert.ok(said.length > 0);
    assert.deepEqual(said.filter((version) => !tested.includes(version)), []);
  });

  it("install the versions in Node.js that the tests use", () => {
    const all = ["package.json", "strangers/nextjs/package.json", "strangers/jupyterhub-proxy/package.json"].map((file) => JSON.parse(here(file)).dependencies);
    const tested = all.flatMap(Object.entries).map(([name, version]) => `${name}@${version}`);
    const said = [...installed.matchAll(/^npm install (.+)$/gm)].flatMap((m) => m[1].split(" "));
    assert.ok(said.length > 0);
    assert.deepEqual(said.filter((version) => !tested.includes(version)), []);
  });

  it("get the versions in Go that the tests use", () => {
    const tested = [...here("../go.mod").matchAll(/^\s+(\S+) (v\S+)/gm)].map(([, path, version]) => `${path}@${version}`);
    const said = [...installed.matchAll(/^go get (.+)$/gm)].flatMap((m) => m[1].split(" "));
    assert.ok(said.length > 0);
    assert.deepEqual(said.filter((version) => !tested.includes(version)), []);
  });

  it("name the versions of the programs that the tests use", () => {
    const [, proxy] = /oauth2-proxy\/v7 v(\S+)/.exec(here("oauth2-proxy.mod"));
    assert.ok(read("index").includes(`| oauth2-proxy | ${proxy} |`), proxy);
    const [, server] = /apiserver v(\S+)/.exec(here("strangers/kubernetes/go.mod"));
    assert.ok(read("index").includes(`authenticator ${server};`), server);
  });
});
