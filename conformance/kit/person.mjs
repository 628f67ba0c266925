// A person who uses the pages over HTTP alone: cookies, links, and forms as any program can read them. Where many sign-ins are
// needed and no page is looked at, this is a hundred times faster than a browser.
import { createHash, createHmac, randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";

/** Sends one request as a browser opens a page. fetch would say that a script sends it (Sec-Fetch-Mode: cors). */
async function navigate(url, { method = "GET", body, headers = {} }) {
  const text = body?.toString() ?? "";
  const form = body ? { "content-type": "application/x-www-form-urlencoded", "content-length": Buffer.byteLength(text) } : {};
  const all = { accept: "text/html", "sec-fetch-mode": "navigate", ...form, ...headers };
  const { request } = url.protocol === "https:" ? https : http;
  const response = await new Promise((resolve, reject) => request(url, { method, headers: all }, resolve).on("error", reject).end(text));
  const chunks = await response.toArray();
  const pairs = Object.entries(response.headersDistinct).flatMap(([name, values]) => values.map((value) => [name, value]));
  return { status: response.statusCode, headers: new Headers(pairs), text: Buffer.concat(chunks).toString() };
}

const entities = { amp: "&", lt: "<", gt: ">", quot: '"' };
const decode = (s) => s.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (_, dec, hex, name) => (name ? entities[name] : String.fromCodePoint(dec ? +dec : parseInt(hex, 16))));

/** The attributes of a tag. */
function attributes(tag) {
  return Object.fromEntries([...tag.matchAll(/\s([\w-]+)(?:="([^"]*)")?/g)].map(([, k, v]) => [k, decode(v ?? "")]));
}

/** What a page is: its address, status, text and forms. */
class Sight {
  constructor(url, response, text) {
    Object.assign(this, { url, status: response.status, headers: response.headers, text });
  }

  /** The form that has a field or button of a name, with its hidden fields filled in. */
  form(name) {
    for (const [, tag, inside] of this.text.matchAll(/(<form[^>]*>)([^]*?)<\/form>/g)) {
      const fields = [...inside.matchAll(/<(?:input|button|textarea)[^>]*>/g)].map(([t]) => attributes(t));
      if (!fields.some((f) => f.name === name)) continue;
      const hidden = fields.filter((f) => f.type === "hidden").map((f) => [f.name, f.value]);
      return { action: new URL(attributes(tag).action, this.url), fields: Object.fromEntries(hidden) };
    }
    throw new Error(`no form with ${name} on ${this.url} (${this.status}): ${this.heading}`);
  }

  get heading() {
    return decode(/<h1[^>]*>([^]*?)<\/h1>/.exec(this.text)?.[1] ?? this.text.slice(0, 200)).replace(/<[^>]+>/g, "");
  }
}

export class Person {
  cookies = new Map();

  constructor(server, user) {
    this.server = server;
    this.user = user;
  }

  /** Opens an address and follows it until a page is there, or until it leads away from the server. */
  async go(to, init = {}) {
    let url = new URL(to, this.server.origin);
    for (let hops = 0; hops < 12; hops++) {
      if (url.origin !== this.server.origin) return { away: url };
      const cookie = [...this.cookies].map((c) => c.join("=")).join("; ");
      const response = await navigate(url, { ...init, headers: { ...init.headers, cookie } });
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (/max-age=0/i.test(line) || value === "") this.cookies.delete(name);
        else this.cookies.set(name, value);
      }
      const onward = response.headers.get("location");
      if (!onward) return new Sight(url, response, response.text);
      url = new URL(onward, url);
      init = {};
    }
    throw new Error(`the redirects of ${to} do not end`);
  }

  /** Sends the form of a page that has the first of the fields. */
  submit(sight, fields) {
    const form = sight.form(Object.keys(fields)[0]);
    return this.go(form.action, { method: "POST", body: new URLSearchParams({ ...form.fields, ...fields }) });
  }

  /** Does what the pages ask, logging in and allowing, until the browser is sent away; gives the address. */
  async authorize(url) {
    let sight = await this.go(url);
    for (let pages = 0; pages < 4 && !sight.away; pages++) {
      if (sight.url.pathname === "/login") sight = await this.submit(sight, { username: this.user.email, password: this.user.password });
      else if (sight.url.pathname === "/consent") sight = await this.submit(sight, { consent_action: "approve" });
      else break;
    }
    if (!sight.away) throw new Error(`the way ends at ${sight.url.pathname} (${sight.status}): ${sight.text.replace(/<[^>]*>|\s+/g, " ").slice(0, 400)}`);
    return sight.away;
  }

  /** Signs in to a confidential client and allows it what it asks for, until it has its tokens. */
  async connect(client, redirect_uri, scope) {
    const verifier = randomBytes(32).toString("base64url");
    const away = await this.authorize(this.server.at("/oauth/authorize", {
      client_id: client.client_id, response_type: "code", redirect_uri, scope, prompt: "consent",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
    }));
    const { client_id, client_secret } = client;
    const answer = await this.server.post("/oauth/token", {
      grant_type: "authorization_code", code: away.searchParams.get("code"), redirect_uri, code_verifier: verifier, client_id, client_secret,
    });
    if (answer.status !== 200) throw new Error(answer.text);
    return answer.body;
  }

  /** Answers a device's request. */
  async answerDevice(userCode, action = "approve") {
    let sight = await this.go(`/activate?user_code=${encodeURIComponent(userCode)}`);
    if (sight.url.pathname === "/login") sight = await this.submit(sight, { username: this.user.email, password: this.user.password });
    sight = await this.submit(sight, { user_code: userCode });
    return this.submit(sight, { consent_action: action });
  }
}

/** The code that an authenticator app shows now (RFC 6238), for a key as a page has it. */
export function totp(key) {
  const bits = [...key.replace(/<[^>]*>|\s/g, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const mac = createHmac("sha1", Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)))).update(counter).digest();
  return String((mac.readUInt32BE(mac.at(-1) & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}
