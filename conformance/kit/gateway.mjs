// What stands around a gateway: a service behind it, who calls it, and the https addresses that it has in public.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, request as plain } from "node:http";
import { request as secure } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { createServer as createTLS } from "node:tls";
import { basic, scratch } from "./server.mjs";

/** A service that keeps what it is asked, and answers with it. Handlers by path do otherwise. */
export class Service {
  received = [];

  static async listen(handlers = {}) {
    const service = new Service();
    service.server = createServer(async (request, response) => {
      const seen = { method: request.method, url: request.url, headers: request.headers, body: "" };
      service.received.push(seen);
      const handler = handlers[request.url.split("?")[0]];
      if (handler) return handler(request, response);
      for await (const chunk of request.setEncoding("utf8")) seen.body += chunk;
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(seen));
    });
    await new Promise((resolve) => service.server.listen(0, "127.0.0.1", resolve));
    service.server.unref();
    service.origin = `http://127.0.0.1:${service.server.address().port}`;
    return service;
  }

  /** What was asked while something was done. */
  async during(act) {
    const before = this.received.length;
    await act();
    return this.received.slice(before);
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/**
 * Asks an address exactly as it is written: fetch would tidy the path and looks names up, which these do not have. Gives the answer with its
 * body, as JSON where it is.
 */
export function ask(origin, path, { method = "GET", headers = {}, body } = {}) {
  const { protocol, hostname, port, host } = new URL(origin);
  const [send, tls] = protocol === "https:" ? [secure, { servername: hostname, rejectUnauthorized: false }] : [plain, {}];
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    const request = send({ host: "127.0.0.1", port, method, path, headers: { host, ...length, ...headers }, agent: false, ...tls }, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      const json = /json/.test(response.headers["content-type"]) && text ? JSON.parse(text) : undefined;
      resolve({ status: response.statusCode, headers: response.headers, text, json });
    });
    request.on("error", reject).end(body);
  });
}

/** The Authorization header of an access token that a client has for itself. */
export async function bearer(server, client, scope, more = {}) {
  const { status, text, body } = await server.post("/oauth/token", { grant_type: "client_credentials", scope, ...more }, basic(client));
  assert.equal(status, 200, text);
  return { authorization: `Bearer ${body.access_token}` };
}

let pair;

/** A certificate for *.example.com and localhost that nobody knows: the files, and their content. */
export function certificate() {
  if (!pair) {
    const dir = scratch("certificate");
    const [cert, key] = [join(dir, "cert.pem"), join(dir, "key.pem")];
    const names = "subjectAltName=DNS:*.example.com,DNS:localhost,IP:127.0.0.1";
    const what = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=example.com", "-addext", names];
    execFileSync("openssl", ["req", "-x509", ...what, "-keyout", key, "-out", cert], { stdio: "ignore" });
    pair = { files: { cert, key }, cert: readFileSync(cert), key: readFileSync(key) };
  }
  return pair;
}

/** Ends TLS before a port of this machine, as a load balancer does that adds nothing. */
export async function tlsFront(listen, to) {
  const open = new Set();
  const front = createTLS({ ...certificate(), ALPNProtocols: ["http/1.1"] }, (outer) => {
    const inner = connect(to, "127.0.0.1");
    for (const [one, other] of [[outer, inner], [inner, outer]]) {
      open.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy()).on("close", () => (other.destroy(), open.delete(one)));
    }
  });
  await new Promise((resolve) => front.listen(listen, "127.0.0.1", resolve));
  front.unref();
  return { close: () => (open.forEach((s) => s.destroy()), new Promise((resolve) => front.close(resolve))) };
}
