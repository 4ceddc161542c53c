// Takes the pictures of docs/: scripts/test_demo --screenshots
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { ask, launch, open, serve, SITE } from "./lib/page.mjs";

const DOCS = new URL("../../docs/", import.meta.url);
const MOST_BYTES = 200_000;

const browser = await launch();
const server = await serve(SITE);

/** A picture of the part of the page that is in view, without a caret or a ring of focus in it. */
async function picture(name, options, act) {
  const { page, context } = await open(browser, server.url, { context: { reducedMotion: "reduce", ...options } });
  await act(page);
  await page.evaluate(() => document.activeElement?.blur());
  await page.mouse.move(0, 0);
  await page.waitForTimeout(600);
  const path = fileURLToPath(new URL(`demo-${name}.png`, DOCS));
  await page.screenshot({ path });
  const { size } = statSync(path);
  console.log(`${path}: ${Math.round(size / 1000)} kB`);
  if (size > MOST_BYTES) throw new Error(`${name} has ${size} bytes`);
  await context.close();
}

const desktop = { viewport: { width: 1440, height: 960 } };
const phone = { viewport: { width: 360, height: 760 }, deviceScaleFactor: 2 };
for (const colorScheme of ["light", "dark"]) {
  await picture(`desktop-${colorScheme}`, { ...desktop, colorScheme }, async (page) => {
    if (colorScheme === "light") await ask(page, "how do whales sleep");
    else await ask(page, "a composer who could not hear");
  });
  await picture(`phone-${colorScheme}`, { ...phone, colorScheme }, async (page) => {
    if (colorScheme === "light") await ask(page, "staying up late with a hot drink");
    else await page.locator(".map").scrollIntoViewIfNeeded();
  });
}
await picture("start", { ...desktop, colorScheme: "light" }, async () => {});
await picture("check", { ...desktop, colorScheme: "light" }, async (page) => {
  await page.click("#check-run");
  await page.waitForSelector(".verdict");
  await page.evaluate(() => {
    document.getElementById("check").scrollIntoView();
  });
});
await browser.close();
await server.close();
