// Looks at a page as a person with a phone, a person at a desk, in light and in the dark, and as axe-core does for those who cannot see it.
import assert from "node:assert/strict";
import axe from "axe-core";
import { picture } from "./browser.mjs";

const sizes = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };
const schemes = ["light", "dark"];
const wide = { runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] } };

/** Collects what a page complains about: script errors, console errors and breaches of its own policy. */
export function watch(page) {
  page.problems = [];
  page.on("pageerror", (e) => page.problems.push(String(e)));
  page.on("console", (message) => {
    // A browser notes the status of a page that says what was wrong with a form; anything else is a fault.
    const own = message.text().startsWith("Failed to load resource") && message.location().url === page.url();
    if (message.type() === "error" && !own) page.problems.push(`${message.text()} at ${message.location().url}`);
  });
  return page;
}

/**
 * Looks at the page that is open; name is what pictures of it are called. brief is for pages that are made as others are: it looks
 * where most goes wrong, on a phone in the dark with text of twice the size.
 */
export async function look(page, name, { brief = false } = {}) {
  await page.waitForLoadState("load");
  await page.evaluate(axe.source);
  const rules = await page.evaluate((options) => axe.run(document, options).then((r) => r.violations), wide);
  assert.deepEqual(told(rules), [], `${name} as it stands`);
  for (const [device, size] of Object.entries(brief ? { phone: sizes.phone } : sizes)) {
    await page.setViewportSize(size);
    for (const colorScheme of brief ? ["dark"] : schemes) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      // What the size and the colours can change: contrast, targets, what is hidden, what scrolls.
      const seen = await page.evaluate((options) => axe.run(document, options).then((r) => r.violations), {
        runOnly: { type: "rule", values: ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"] },
      });
      assert.deepEqual(told(seen), [], `${name}, ${device}, ${colorScheme}`);
      await picture(page, `${name}-${device}-${colorScheme}`);
    }
    // WCAG 2.2 §1.4.4: text of twice the size; what does not fit is too wide, or wider than what it stands in.
    for (const size of brief ? [200] : [100, 200]) {
      await page.evaluate((percent) => (document.documentElement.style.fontSize = `${percent}%`), size);
      const spill = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (spill > 0) assert.fail(`${name}, ${device}, ${size} % text: ${spill} pixels too wide: ${await page.evaluate(widest)}`);
      const narrow = await page.evaluate(() =>
        [...document.querySelectorAll("button, .button, h1, nav a, .home")]
          .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== "inline")
          .map((e) => e.textContent.trim()),
      );
      assert.deepEqual(narrow, [], `${name}, ${device}, ${size} % text: does not fit`);
    }
    await page.evaluate(() => (document.documentElement.style.fontSize = ""));
  }
  assert.equal(await page.locator("h1").count(), 1, `${name}: one heading`);
  assert.match(await page.title(), / – /, `${name}: a title`);
  assert.deepEqual(page.problems, [], name);
}

/** The innermost elements that are wider than the page. */
const widest = () =>
  [...document.querySelectorAll("main *")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth && ![...e.children].some((c) => c.getBoundingClientRect().right > innerWidth))
    .map((e) => e.outerHTML.slice(0, 200))
    .join(" | ");

const told = (violations) => violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(" | ")}`);
