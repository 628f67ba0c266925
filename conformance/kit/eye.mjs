// Looks at a page as a person with a phone, a person at a desk, in light and in the dark, and as axe-core does for those who cannot see it.
import assert from "node:assert/strict";
import axe from "axe-core";
import { picture } from "./browser.mjs";

// Colours do not depend on the size of the window, so that each scheme is looked at in one.
const views = {
  phone: { size: { width: 390, height: 844 }, colorScheme: "dark" },
  desk: { size: { width: 1280, height: 800 }, colorScheme: "light" },
};
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

/** What the size and the colours can change: contrast, targets, what is hidden, what scrolls. */
const visible = { runOnly: { type: "rule", values: ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"] } };

const violations = async (page, options) => told(await page.evaluate((o) => axe.run(document, o).then((r) => r.violations), options));

/** Checks that nothing of the page is wider than the window, or than what it stands in, in text of a size in percent. */
async function fits(page, name, percent) {
  await page.evaluate((size) => (document.documentElement.style.fontSize = `${size}%`), percent);
  const [spill, wide] = await page.evaluate(() => [
    document.documentElement.scrollWidth - innerWidth,
    [...document.querySelectorAll("main *")].filter((e) => {
      const box = e.getBoundingClientRect();
      return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
    }).slice(0, 3).map((e) => e.outerHTML.slice(0, 200)),
  ]);
  assert.ok(spill <= 0, `${name}, ${percent} % text: ${spill} pixels too wide: ${wide.join(" | ")}`);
  const narrow = await page.evaluate(() =>
    [...document.querySelectorAll("button, .button, h1, nav a, .home")]
      .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== "inline")
      .map((e) => e.textContent.trim()),
  );
  assert.deepEqual(narrow, [], `${name}, ${percent} % text: does not fit`);
}

/** Looks at the page that is open once, in the size of its window and in each of the colour schemes, and in text of twice the size. */
export async function glance(page, name, [first, ...others]) {
  await page.emulateMedia({ colorScheme: first });
  await page.evaluate(axe.source);
  assert.deepEqual(await violations(page, wide), [], `${name}, ${first}`);
  await picture(page, name);
  for (const colorScheme of others) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await violations(page, visible), [], `${name}, ${colorScheme}`);
  }
  await fits(page, name, 200);
}

/** Checks that the page that is open has a heading and a title, and complains about nothing. What it shows, every-page.test.mjs looks at. */
export async function works(page, name) {
  await page.waitForLoadState("load");
  await picture(page, name);
  assert.equal(await page.locator("h1").count(), 1, `${name}: one heading`);
  assert.match(await page.title(), / – /, `${name}: a title`);
  assert.deepEqual(page.problems, [], name);
}

/**
 * Looks at the page that is open; name is what pictures of it are called. brief is for pages that are made as others are: it looks
 * where most goes wrong, on a phone in the dark with text of twice the size.
 */
export async function look(page, name, { brief = false } = {}) {
  await page.waitForLoadState("load");
  await page.evaluate(axe.source);
  assert.deepEqual(await violations(page, wide), [], `${name} as it stands`);
  for (const [device, { size, colorScheme }] of Object.entries(brief ? { phone: views.phone } : views)) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    assert.deepEqual(await violations(page, visible), [], `${name}, ${device}, ${colorScheme}`);
    await picture(page, `${name}-${device}-${colorScheme}`);
    // WCAG 2.2 §1.4.4: text of twice the size; what does not fit is too wide, or wider than what it stands in.
    for (const percent of brief ? [200] : [100, 200]) await fits(page, `${name}, ${device}`, percent);
    await page.evaluate(() => (document.documentElement.style.fontSize = ""));
  }
  await works(page, name);
}

const told = (violations) => violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(" | ")}`);
