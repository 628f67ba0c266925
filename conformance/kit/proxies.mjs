// The proxies of docs/guides/gateway.md, with the very configurations that stand there: only names of hosts and ports are those of a test.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, certificate } from "./gateway.mjs";
import { eventually, freePort, scratch } from "./server.mjs";

const guide = readFileSync(new URL("../../docs/guides/gateway.md", import.meta.url), "utf8");
const installed = new URL("../../.cache/proxies/", import.meta.url).pathname;

/** The public name that the guide gives the application. */
export const host = "app.example.com";

/** The example below a heading of the guide. */
function example(heading) {
  const found = new RegExp(`^### ${heading}\n[^]*?^\`\`\`\\w+\n([^]*?)^\`\`\``, "m").exec(guide);
  if (!found) throw new Error(`the guide has no example for ${heading}`);
  return found[1];
}

/** Replaces each text of a list, all of which must be there: an example that has changed must not be tested as something else. */
function adapt(text, changes) {
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`the guide's example does not say ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const indent = (text, by) => text.replace(/^(?=.)/gm, " ".repeat(by));

/** How each proxy is started: a program, its arguments, and the files that it reads. */
const proxies = {
  nginx: ({ port, gatehouse, backend, dir }) => {
    const { cert, key } = certificate().files;
    const server = adapt(example("nginx"), [
      ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`], ["/etc/ssl/app.crt", cert], ["/etc/ssl/app.key", key],
      ["gatehouse:8080", gatehouse], ["backend:9000", backend],
    ]);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((t) => `${t}_temp_path ${dir}/${t};`).join(" ");
    const user = process.getuid() === 0 ? "user root;" : "";
    const conf = `${user} daemon off; pid ${dir}/pid; error_log stderr; events {}\nhttp { access_log off; ${temporary}\n${server}}\n`;
    return { program: "/usr/sbin/nginx", args: ["-p", dir, "-e", "stderr", "-c", join(dir, "nginx.conf")], files: { "nginx.conf": conf } };
  },
  Traefik: ({ port, gatehouse, backend, dir }) => ({
    program: join(installed, "bin/traefik"),
    args: [
      `--entrypoints.web.address=127.0.0.1:${port}`, `--providers.file.filename=${dir}/dynamic.yaml`, "--log.level=ERROR",
      "--global.checknewversion=false", "--global.sendanonymoususage=false",
    ],
    files: { "dynamic.yaml": adapt(example("Traefik"), [["gatehouse:8080", gatehouse], ["backend:9000", backend]]) },
  }),
  Caddy: ({ port, gatehouse, backend, http }) => {
    const { cert, key } = certificate().files;
    const site = adapt(example("Caddy"), [["gatehouse:8080", gatehouse], ["backend:9000", backend], [`${host} {`, `${host} {\n\ttls ${cert} ${key}`]]);
    const own = `{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n\thttps_port ${port}\n\thttp_port ${http}\n}\n`;
    return { program: join(installed, "bin/caddy"), args: ["run", "--config", "Caddyfile"], files: { Caddyfile: own + site } };
  },
  Envoy: ({ port, gatehouse, backend }) => {
    const { cert, key } = certificate().files;
    const manager = adapt(example("Envoy"), [["gatehouse:8080", gatehouse], [`[${host}]`, `["${host}:${port}"]`]]);
    const cluster = (name, address) => {
      const [ip, to] = address.split(":");
      const endpoint = `{endpoint: {address: {socket_address: {address: ${ip}, port_value: ${to}}}}}`;
      return `{name: ${name}, type: STATIC, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [${endpoint}]}]}}`;
    };
    const conf = `static_resources:
  clusters:
    - ${cluster("gatehouse", gatehouse)}
    - ${cluster("app", backend)}
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context: {tls_certificates: [{certificate_chain: {filename: ${cert}}, private_key: {filename: ${key}}}]}
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: app
${indent(manager, 16)}`;
    return {
      program: join(installed, "envoy/_bin/envoy"),
      args: ["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"], files: { "envoy.yaml": conf },
    };
  },
};

export const names = Object.keys(proxies);

/** Starts a proxy at a port of this machine, before a server and an application. */
export async function proxy(name, port, server, service) {
  const dir = scratch(name.toLowerCase());
  const address = (origin) => `127.0.0.1:${new URL(origin).port}`;
  const { program, args, files } = proxies[name]({ port, dir, gatehouse: address(server), backend: address(service), http: await freePort() });
  if (!existsSync(program)) throw new Error(`${program} is missing; tools/test.sh conformance installs it`);
  for (const [file, content] of Object.entries(files)) writeFileSync(join(dir, file), content);
  const env = { PATH: process.env.PATH, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir };
  const running = spawn(program, args, { cwd: dir, env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [running.stdout, running.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text));
  const ended = new Promise((resolve) => running.on("exit", resolve));
  process.on("exit", () => running.kill("SIGKILL"));
  const origin = `https://${host}:${port}`;
  await eventually(async () => {
    if (running.exitCode !== null) throw new Error(`${name} ended: ${said}`);
    const { status } = await ask(origin, "/.well-known/oauth-protected-resource/ready").catch((e) => ({ status: e.message }));
    if (status !== 200) throw new Error(`${name} is not ready: ${status}\n${said}`);
  });
  return { name, origin, stop: () => (running.kill("SIGTERM"), ended), said: () => said };
}
