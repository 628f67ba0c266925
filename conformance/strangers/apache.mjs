// Apache with a guide's configuration.
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The modules that Debian enables when Apache is installed, as far as the guide relies on them. */
const standard = ["mpm_event", "authn_core", "authz_core", "authz_user"];

/** What a2enmod enables as well, for a module that depends on it. */
const required = { proxy_http: ["proxy"] };

/** Starts Apache as the guide says, but in a directory of its own. */
export function apache(guide) {
  const install = guide.blocks.find((b) => b.use === "install").text;
  const enabled = /^a2enmod (.+)$/m.exec(install)[1].split(" ").flatMap((m) => [...(required[m] ?? []), m]);
  const dir = guide.write();
  chmodSync(dir, 0o755); // for the workers, which are not root
  const lines = [
    ...[...standard, ...enabled].map((m) => `LoadModule ${m}_module /usr/lib/apache2/modules/mod_${m}.so`),
    ...(process.getuid() === 0 ? ["User www-data", "Group www-data"] : []),
    "ServerName localhost", `ServerRoot ${dir}`, `PidFile ${dir}/pid`, `DefaultRuntimeDir ${dir}`, "ErrorLog /dev/stderr", `Include ${dir}/intranet.conf`,
  ];
  writeFileSync(join(dir, "apache2.conf"), lines.join("\n"));
  const script = `/usr/sbin/apache2 -f ${dir}/apache2.conf -DFOREGROUND 2>&1 | cat`; // it opens its standard error, which must be a pipe
  return guide.start(script, guide.at(8000, "/bye"));
}
