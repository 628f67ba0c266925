// describe and it as in node:test. They skip the cases in skip.json, which maps "file › group › case"
// to the reason.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { after, describe as group, it as one } from "node:test";

export { after, before } from "node:test";

const file = basename(process.argv[1] ?? "", ".test.mjs");
const reasons = JSON.parse(readFileSync(new URL("../skip.json", import.meta.url), "utf8"));
const unseen = new Set(Object.keys(reasons).filter((name) => name.startsWith(`${file} › `)));
const path = [file];

/** A group of cases about one thing. */
export function describe(name, body) {
  group(name, () => {
    path.push(name);
    try {
      body();
    } finally {
      path.pop();
    }
  });
}

/** One case. */
export function it(name, body) {
  const full = [...path, name].join(" › ");
  unseen.delete(full);
  one(name, reasons[full] ? { skip: reasons[full] } : {}, body);
}

after(() => {
  if (unseen.size > 0) throw new Error(`skip.json names cases that do not exist: ${[...unseen].join("; ")}`);
});
