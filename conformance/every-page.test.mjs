// Every page of sign-in and account, with all that it can show, as axe-core and a person with a phone and large text meet it:
// in English, German and Arabic, in light and in the dark. The pages are those that the tests of the templates render; the
// scripts, which the stories of the other files run, are left out.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { browser, page as open } from "./kit/browser.mjs";
import { glance } from "./kit/eye.mjs";
import { Installation, scratch } from "./kit/server.mjs";
import { after, before, describe, it } from "./kit/story.mjs";

const dir = scratch("pages");
let server, chrome, names;

before(async () => {
  execFileSync("go", ["test", "./internal/web/ui", "-run", "^TestEveryPageInLanguages$", "-count=1", "-args", "-pages", dir], {
    cwd: new URL("..", import.meta.url),
  });
  names = readdirSync(dir).sort();
  [server, chrome] = await Promise.all([new Installation().serve(), browser()]);
});
after(async () => {
  await chrome?.close();
  await server?.stop();
});

/** A tab of a phone that shows the rendered pages in place of those of the server, which has their styles. */
async function reader() {
  const tab = await open(chrome, { viewport: { width: 390, height: 844 }, reducedMotion: "reduce" });
  await tab.route("**/*", (route) => {
    const { pathname } = new URL(route.request().url());
    if (pathname.startsWith("/sample/")) {
      return route.fulfill({ contentType: "text/html; charset=utf-8", body: readFileSync(join(dir, pathname.slice(8))) });
    }
    return pathname.endsWith(".js") ? route.abort() : route.continue();
  });
  return tab;
}

/** The sample of each page in a language that shows the most. */
function fullest(tag) {
  const largest = {};
  const size = (name) => statSync(join(dir, name)).size;
  for (const name of names.filter((name) => name.startsWith(`${tag}-`))) {
    const page = name.split("-").slice(2).join("-");
    if (!largest[page] || size(name) > size(largest[page])) largest[page] = name;
  }
  return Object.values(largest);
}

describe("every page", () => {
  // The colours are those of all languages: each language is looked at in one scheme, and the first in both.
  for (const [tag, schemes] of [["en", ["light", "dark"]], ["de", ["dark"]], ["ar", ["light"]]]) {
    it(`in ${tag}`, async () => {
      const wrong = [];
      const list = tag === "en" ? names.filter((name) => name.startsWith("en-")) : fullest(tag);
      assert.ok(list.length > 40, `${list.length} pages`);
      const look = async () => {
        const tab = await reader();
        for (let name = list.shift(); name; name = list.shift()) {
          await tab.goto(server.at(`/sample/${name}`).href);
          await glance(tab, name, schemes).catch((error) => wrong.push(error.message));
        }
        await tab.context().close();
      };
      await Promise.all([look(), look()]);
      assert.deepEqual(wrong, []);
    });
  }
});
