// The gateway as the proxy itself: what callers and services say to each other beyond a question and an answer.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect as http2 } from "node:http2";
import { gzipSync } from "node:zlib";
import grpc from "@grpc/grpc-js";
import { WebSocket, WebSocketServer } from "ws";
import { ask, bearer, certificate, Service } from "./kit/gateway.mjs";
import { eventually, freePort, Installation } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const megabyte = randomBytes(1 << 20);
let home, server, secure, service, token;

/** What the case that runs has put at the service. */
const scene = {};

before(async () => {
  // One server ends TLS itself; for the other, somebody before it does.
  const [PORT, behind] = [await freePort(), await freePort()];
  home = new Installation({ BASE_URL: `https://localhost:${PORT}` });
  service = await Service.listen({
    "/events": (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      scene.events(response);
    },
    "/upload": async (incoming, response) => {
      const hash = createHash("sha256");
      let size = 0;
      for await (const chunk of incoming) (hash.update(chunk), (size += chunk.length));
      response.end(JSON.stringify({ size, hash: hash.digest("hex") }));
    },
    "/download": async (_, response) => {
      for (let i = 0; i < 100; i++) if (!response.write(megabyte)) await once(response, "drain");
      response.end();
    },
    "/zipped": (_, response) => response.writeHead(200, { "content-encoding": "gzip", etag: '"z"' }).end(gzipSync("as it is")),
    "/early": (_, response) => response.writeHead(413, { connection: "close" }).end("enough"),
    "/trailers": (_, response) => {
      response.writeHead(200, { trailer: "X-Sum" }).write("body");
      response.addTrailers({ "X-Sum": "42" });
      response.end();
    },
  });
  home.route({ domain: "live", version: "v1", upstream: service.origin, scope: "live" });
  const machine = home.client({ grant: "client_credentials", scope: "live" });
  const { files } = certificate();
  [server, secure] = await Promise.all([home.serve({ PORT: behind }), home.serve({ PORT, SSL_CERT: files.cert, SSL_KEY: files.key })]);
  token = await bearer(server, machine, "live");
});

after(async () => {
  await service?.close();
  await Promise.all([server?.stop(), secure?.stop()]);
});

/** Opens a request that is under way. */
async function under(path, options = {}) {
  const sent = request(server.at(`/live/v1${path}`), { agent: false, ...options, headers: { ...token, ...options.headers } });
  sent.on("error", () => {});
  sent.end();
  const [response] = await once(sent, "response");
  return { sent, response };
}

describe("WebSocket (RFC 6455)", () => {
  let sockets;
  const address = () => server.at("/live/v1/socket").href.replace("http", "ws");

  before(() => {
    sockets = new WebSocketServer({ server: service.server, handleProtocols: (offered) => [...offered].at(-1) });
    sockets.on("connection", (socket, { headers }) => {
      scene.headers = headers;
      socket.on("message", (data, binary) => (String(data) === "leave" ? socket.close(4001, "as you wish") : socket.send(data, { binary })));
    });
  });

  it("passes messages in both directions until it is closed", async () => {
    const socket = new WebSocket(address(), ["one", "two"], { headers: token });
    await once(socket, "open");
    assert.equal(socket.protocol, "two");
    assert.equal(scene.headers.authorization, undefined);
    assert.ok(scene.headers["x-auth-info"]);
    for (const message of ["a word", megabyte, "the last word"]) {
      socket.send(message);
      const [data, binary] = await once(socket, "message");
      assert.equal(binary, typeof message !== "string");
      assert.ok(Buffer.from(message).equals(data));
    }
    socket.ping("still there?");
    assert.equal(String((await once(socket, "pong"))[0]), "still there?");
    socket.send("leave");
    const [code, reason] = await once(socket, "close");
    assert.deepEqual([code, String(reason)], [4001, "as you wish"]);
  });

  it("is not opened without a token", async () => {
    const socket = new WebSocket(address());
    const [, response] = await once(socket, "unexpected-response");
    assert.equal(response.statusCode, 401);
    assert.match(response.headers["www-authenticate"], /^Bearer /);
    socket.on("error", () => {}).terminate();
  });

  it("ends at the service when the caller is gone", async () => {
    const socket = new WebSocket(address(), { headers: token });
    const [at] = await once(sockets, "connection");
    await once(socket, "open");
    socket.terminate();
    await once(at, "close");
  });
});

describe("Server-Sent Events", () => {
  it("arrive one by one, and end with the caller", async () => {
    const opened = new Promise((resolve) => (scene.events = resolve));
    const { response, sent } = await under("/events");
    assert.equal(response.headers["content-type"], "text/event-stream");
    const stream = await opened;
    for (const event of ["data: first\n\n", "data: second\n\n", "data: third\n\n"]) {
      stream.write(event); // the next one is not written before this one has arrived
      const [data] = await once(response, "data");
      assert.equal(String(data), event);
    }
    const gone = once(stream, "close");
    sent.destroy();
    await gone;
  });
});

describe("gRPC", () => {
  let upstream;
  const bytes = { requestSerialize: (b) => b, requestDeserialize: (b) => b, responseSerialize: (b) => b, responseDeserialize: (b) => b };
  const method = (name, requestStream, responseStream) => ({ path: `/live.Echo/${name}`, requestStream, responseStream, ...bytes });
  const echo = {
    Say: method("Say", false, false), Fail: method("Fail", false, false), Wait: method("Wait", false, false), Count: method("Count", false, true), Talk: method("Talk", true, true),
  };
  const Client = grpc.makeGenericClientConstructor(echo, "Echo");
  const clients = [];

  before(async () => {
    upstream = new grpc.Server();
    upstream.addService(echo, {
      Say: ({ request, metadata }, answer) => {
        const closing = new grpc.Metadata();
        closing.set("x-after", "all is said");
        answer(null, Buffer.from(`${request} ${metadata.get("x-word")} ${metadata.get("authorization").length} ${metadata.get("x-auth-info").length}`), closing);
      },
      Count: (call) => {
        for (let i = 1; i <= 3; i++) call.write(Buffer.from(String(i)));
        call.end();
      },
      Talk: (call) => call.on("data", (word) => call.write(Buffer.from(`${word}!`))).on("end", () => call.end()),
      Fail: (_, answer) => answer({ code: grpc.status.NOT_FOUND, details: "no such höuse" }),
      Wait: (call) => call.on("cancelled", scene.cancelled),
    });
    const port = await new Promise((resolve, reject) => {
      upstream.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (e, bound) => (e ? reject(e) : resolve(bound)));
    });
    home.route({ prefix: "/live.Echo", keepPath: true, upstream: `h2c://127.0.0.1:${port}`, scope: "live" });
    const known = async () => {
      for (const { origin } of [server, secure]) assert.equal((await ask(origin, "/live.Echo/Say")).status, 401);
    };
    await eventually(known);
  });

  after(() => {
    for (const client of clients) client.close();
    upstream.forceShutdown();
  });

  const open = (at, credentials) => {
    const client = new Client(new URL(at.origin).host, credentials);
    clients.push(client);
    return client;
  };
  const metadata = () => {
    const m = new grpc.Metadata();
    m.set("authorization", token.authorization);
    m.set("x-word", "hello");
    return m;
  };
  const call = (client, name, m = metadata()) =>
    new Promise((resolve) => {
      let trailers;
      const done = (error, answer) => setImmediate(() => resolve({ error, answer: answer && String(answer), trailers }));
      client[name](Buffer.from("I say"), m, done).on("status", (status) => (trailers = status.metadata));
    });

  for (const [how, dial] of Object.entries({
    "over TLS": () => open(secure, grpc.credentials.createSsl(certificate().cert)),
    "without TLS, as behind a load balancer": () => open(server, grpc.credentials.createInsecure()),
  })) {
    it(`passes, ${how}: responses, streams, errors and trailers`, async () => {
      const client = dial();
      const { error, answer, trailers } = await call(client, "Say");
      assert.equal(error, null);
      assert.equal(answer, "I say hello 0 1");
      assert.deepEqual(trailers.get("x-after"), ["all is said"]);

      const counted = [];
      for await (const number of client.Count(Buffer.from(""), metadata())) counted.push(String(number));
      assert.deepEqual(counted, ["1", "2", "3"]);

      const talk = client.Talk(metadata());
      for (const word of ["one", "two"]) {
        talk.write(Buffer.from(word));
        assert.equal(String((await once(talk, "data"))[0]), `${word}!`);
      }
      talk.end();
      talk.resume();
      await once(talk, "end");

      const failed = await call(client, "Fail");
      assert.equal(failed.error.code, grpc.status.NOT_FOUND);
      assert.equal(failed.error.details, "no such höuse");
    });
  }

  it("is cancelled at the service when the caller's time is up", async () => {
    const cancelled = new Promise((resolve) => (scene.cancelled = resolve));
    const client = open(secure, grpc.credentials.createSsl(certificate().cert));
    const error = await new Promise((resolve) => client.Wait(Buffer.from(""), metadata(), { deadline: Date.now() + 300 }, resolve));
    assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
    await cancelled;
  });

  it("is rejected with a gRPC status without a token", async () => {
    const { error } = await call(open(secure, grpc.credentials.createSsl(certificate().cert)), "Say", new grpc.Metadata());
    assert.equal(error.code, grpc.status.UNAUTHENTICATED);
  });
});

describe("bodies", () => {
  /** The most memory that the server has had, in bytes. */
  const peak = () => 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, "utf8"))[1]);

  it("of 100 MB pass in both directions without being buffered", async () => {
    const start = peak();
    const sent = request(server.at("/live/v1/upload"), { method: "POST", headers: token, agent: false });
    const hash = createHash("sha256");
    const answered = once(sent, "response");
    for (let i = 0; i < 100; i++) {
      hash.update(megabyte);
      if (!sent.write(megabyte)) await once(sent, "drain");
    }
    sent.end();
    const [answer] = await answered;
    let text = "";
    for await (const chunk of answer) text += chunk;
    const expected = { size: 100 << 20, hash: hash.digest("hex") };
    assert.deepEqual(JSON.parse(text), expected);

    const { response } = await under("/download");
    const back = createHash("sha256");
    let size = 0;
    for await (const chunk of response) (back.update(chunk), (size += chunk.length));
    assert.deepEqual({ size, hash: back.digest("hex") }, expected);
    assert.ok(peak() - start < 40 << 20, `${(peak() - start) >> 20} MB more`);
  });

  it("are left as they are", async () => {
    const { response } = await under("/zipped", { headers: { "accept-encoding": "gzip" } });
    assert.equal(response.headers["content-encoding"], "gzip");
    assert.equal(response.headers.etag, '"z"');
    assert.ok(Buffer.concat(await response.toArray()).equals(gzipSync("as it is")));
  });

  it("may be followed by trailers", async () => {
    const { response } = await under("/trailers");
    await response.toArray();
    assert.equal(response.trailers["x-sum"], "42");
  });

  it("need not be read before the answer", async () => {
    const sent = request(server.at("/live/v1/early"), { method: "POST", headers: { ...token, expect: "100-continue", "content-length": 100 << 20 }, agent: false });
    sent.on("error", () => {}).flushHeaders();
    const [response] = await once(sent, "response");
    assert.equal(response.statusCode, 413);
    sent.destroy();
  });
});

describe("HTTP/2", () => {
  it("carries many requests over one connection", async () => {
    const session = http2(secure.origin, { ca: certificate().cert });
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const stream = session.request({ ":path": `/live/v1/items?n=${i}`, ...token });
        const [headers] = await once(stream, "response");
        let text = "";
        for await (const chunk of stream) text += chunk;
        return [headers[":status"], JSON.parse(text).url];
      }),
    );
    session.close();
    assert.deepEqual(answers, Array.from({ length: 50 }, (_, i) => [200, `/items?n=${i}`]));
  });
});
