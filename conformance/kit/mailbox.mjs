// The messages that a server without a mail server shows at /dev/mail.
import assert from "node:assert/strict";
import { eventually } from "./server.mjs";

/** Waits for a message to an address with a link to a path, which is none of those seen, and gives the address of its page. */
export async function letter(server, to, path, seen) {
  let found;
  await eventually(async () => {
    await new Promise((wake) => setTimeout(wake, 300)); // the limits of requests are in force
    const answer = await fetch(server.at("/dev/mail"));
    assert.equal(answer.status, 200);
    const list = await answer.text();
    for (const [, address] of list.matchAll(/href="(\/dev\/mail\/[^"]+)"/g)) {
      if (seen.has(address)) continue;
      const text = await (await fetch(server.at(address))).text();
      if (text.includes(to) && links(text).includes(path)) found = address;
    }
    assert.ok(found, `a message with a link to ${path}`);
  });
  seen.add(found);
  return found;
}

/** The paths of the links in a page. */
const links = (html) => [...html.matchAll(/href="https?:\/\/[^/"]+(\/[^"?]*)/g)].map(([, path]) => path);

/** Presses the link to a path in the message that is open. */
export async function press(tab, path) {
  await tab.locator(`main a[href*="${path}?"]`).first().click();
  await tab.waitForURL((url) => url.pathname === path && !url.searchParams.has("token"));
}
