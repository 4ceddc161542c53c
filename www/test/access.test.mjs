// For everyone: axe-core in the main states, the keyboard alone, no sideways scrolling.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { ask, focused, isReady, launch, open, serve, SITE, until } from "./lib/page.mjs";

const { resolve } = createRequire(new URL("../../crates/wasm/js/package.json", import.meta.url));
const AXE = readFileSync(resolve("axe-core/axe.min.js"), "utf8");

let browser;
let server;
before(async () => {
  browser = await launch();
  server = await serve(SITE);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

async function violations(page) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join(" | ")}`);
}

const SIZES = { phone: { width: 360, height: 740 }, desktop: { width: 1440, height: 900 } };

for (const colorScheme of ["light", "dark"]) {
  test(`axe-core and width: ${colorScheme}`, async (t) => {
    // No waiting for bars that grow: contrast is measured at once.
    const { page, context } = await open(browser, server.url, { context: { colorScheme, reducedMotion: "reduce" } });
    const states = async (name) => {
      for (const [size, viewport] of Object.entries(SIZES)) {
        await page.setViewportSize(viewport);
        await t.test(`${name}, ${size}`, async () => {
          assert.deepEqual(await violations(page), []);
          const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(wider <= 0, `${wider} pixels too wide`);
        });
      }
    };
    await states("at the start");
    await ask(page, "how do whales sleep");
    await states("with results");
    await page.fill("#own-text", "One text.\nAnother text.");
    await page.click("#own-form button[type=submit]");
    await page.waitForSelector("#own-say .good");
    await page.click("#check-run");
    await page.waitForSelector(".verdict");
    await page.click("#images-load");
    await page.waitForFunction(() => document.querySelector("#images-say p"));
    await states("with own texts, the comparison, and no image model");
    await page.evaluate(() => document.querySelector("#own-form button[type=submit]").click());
    await page.waitForSelector("#own-say .bad");
    await page.locator("#map").scrollIntoViewIfNeeded();
    await page.evaluate(async () => {
      const { openReader } = await import("./js/reader.js");
      openReader({ text: "A text.", topic: "Sea", own: false, truncated: false }, 0.5, () => {});
    });
    await states("with a passage open");
    await context.close();
  });

  test(`axe-core: the model is missing, ${colorScheme}`, async () => {
    const { page, context } = await open(browser, server.url, {
      ready: false,
      context: { colorScheme },
      route: ["**/models/**", (route) => route.fulfill({ status: 404 })],
    });
    await page.waitForSelector("#engine-retry");
    assert.deepEqual(await violations(page), []);
    await context.close();
  });
}

test("the keyboard alone", async () => {
  const { page, context } = await open(browser, server.url);
  const name = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.trim());
  const tabTo = async (wanted, most = 40) => {
    for (let step = 0; step < most; step += 1) {
      await page.keyboard.press("Tab");
      const outline = await page.evaluate(() => {
        const { activeElement: element } = document;
        const seen = element?.matches("input[type=radio]") ? element.nextElementSibling : element?.matches("input[type=file]") ? element.previousElementSibling : element;
        return getComputedStyle(seen ?? document.body).outlineStyle;
      });
      if ((await name()) === wanted) {
        assert.notEqual(outline, "none", `${wanted} shows its focus`);
        return;
      }
    }
    assert.fail(`${wanted} is not reached; at ${await name()}`);
  };
  await tabTo("Skip to the search", 1);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement?.id === "query");
  await page.keyboard.type("how do whales sleep");
  await page.waitForSelector("#results li");
  await tabTo("More like this");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("query").value.startsWith("Whales"));
  assert.equal(await focused(page), "query");
  await tabTo("more");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "LI", "reading goes on at the first new one");
  await tabTo("own-text");
  await page.keyboard.type("A text by keyboard");
  await tabTo("own-add");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#own-say .good");
  await tabTo("own-files");
  await tabTo("check-run");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".verdict");
  assert.equal(await focused(page), "check-run", "the focus stays");
  await page.evaluate(() => document.getElementById("theme").focus());
  await page.keyboard.press("Space");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.reload();
  assert.equal(await page.getAttribute("#theme", "aria-pressed"), "true", "it is remembered");
  await context.close();
});

test("what is new is said to screen readers", async () => {
  const { page, context } = await open(browser, server.url);
  await ask(page, "how do whales sleep");
  for (const id of ["found-say", "engine-say", "own-say", "images-say", "check-say"]) {
    assert.equal(await page.getAttribute(`#${id}`, "role"), "status", id);
  }
  assert.match(await page.textContent("#engine-say"), /^Ready, after/);
  assert.match(await page.getAttribute("#map", "aria-label"), /^A map of 280 passages/);
  await context.close();
});

test("while somebody types, nothing is said; then the count and the first hit, once", async () => {
  const { page, context } = await open(browser, server.url);
  await page.evaluate(() => {
    globalThis.said = [];
    for (const region of document.querySelectorAll("[role=status], [aria-live]")) {
      new MutationObserver(() => said.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
    }
    globalThis.searches = 0;
    new MutationObserver(() => (searches += 1)).observe(document.getElementById("facts"), { childList: true });
  });
  assert.equal(await page.getAttribute("#query", "aria-describedby"), null);
  await page.locator("#query").pressSequentially("how do whales sleep", { delay: 200 });
  assert.ok((await page.evaluate(() => searches)) > 3, "there were searches meanwhile");
  assert.deepEqual(await page.evaluate(() => said), []);
  await page.waitForFunction(() => said.length > 0);
  assert.match((await page.evaluate(() => said))[0], /^280 texts compared\. First: Whales/);
  await page.waitForTimeout(1500);
  assert.equal((await page.evaluate(() => said)).length, 1);
  await page.fill("#query", "");
  await page.waitForFunction(() => document.getElementById("found-say").textContent === "");
  await context.close();
});

test("the focus is not lost with what is hidden", async (t) => {
  let broken = true;
  let hanging = false;
  const { page, context } = await open(browser, server.url, {
    ready: false,
    route: [
      "**/models/**",
      // One that hangs is given up by the page.
      (route) => (hanging ? undefined : broken ? route.fulfill({ status: 404 }) : route.continue()),
    ],
  });
  const press = async (id) => {
    await page.focus(`#${id}`);
    await page.keyboard.press("Enter");
  };
  await page.waitForSelector("#engine-retry", { state: "visible" });
  await t.test("another try that fails", async () => {
    await press("engine-retry");
    assert.notEqual(await focused(page), "BODY");
    await page.waitForFunction(() => document.activeElement?.id === "engine-retry");
  });
  await t.test("one that helps", async () => {
    broken = false;
    await press("engine-retry");
    await isReady(page);
    assert.equal(await focused(page), "query");
  });
  await t.test("the comparison", async () => {
    await press("check-run");
    assert.equal(await focused(page), "check-run");
    // While it runs, the button is there, and does nothing.
    await page.keyboard.press("Enter");
    await page.waitForSelector(".verdict");
    assert.equal(await focused(page), "check-run");
  });
  await t.test("the image model: not here", async () => {
    broken = true;
    await press("images-load");
    await page.waitForFunction(() => /not on this server/.test(document.getElementById("images-say").textContent));
    assert.equal(await focused(page), "images-load");
  });
  await t.test("the image model: cancelled", async () => {
    hanging = true;
    await press("images-load");
    await page.waitForSelector("#images-cancel", { state: "visible" });
    await until(() => page.evaluate(() => document.getElementById("images-doing").textContent !== ""));
    await press("images-cancel");
    await page.waitForFunction(() => /^Cancelled/.test(document.getElementById("images-say").textContent));
    assert.equal(await focused(page), "images-load");
  });
  await context.close();
});
