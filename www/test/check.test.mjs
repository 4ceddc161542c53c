// Is it the same vector? Yes; and where it is not, the page says no.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, open, serve, SITE } from "./lib/page.mjs";

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

async function compare(change) {
  const route = change && [
    "**/vectors.json",
    async (route) => {
      const response = await route.fetch();
      const native = await response.json();
      await route.fulfill({ json: change(native) ?? native });
    },
  ];
  const { page, context, problems } = await open(browser, server.url, { route });
  await page.click("#check-run");
  await page.waitForFunction(() => /\S/.test(document.getElementById("check-say").textContent) && !/Comparing/.test(document.getElementById("check-say").textContent));
  const found = {
    verdict: await page.textContent("#check-say"),
    bad: await page.locator("#check-say .bad").count(),
    figures: await page.textContent("#check-result"),
    off: await page.locator("tr.off").count(),
    rows: await page.locator("tbody tr").count(),
    problems: await problems(),
  };
  await context.close();
  return found;
}

test("this browser gives the native program's vectors", async (t) => {
  const { verdict, bad, figures, off, rows, problems } = await compare();
  t.diagnostic(figures.slice(0, 160));
  assert.match(verdict, /^Yes: the same vector/);
  assert.deepEqual({ bad, off, rows, problems }, { bad: 0, off: 0, rows: 20, problems: [] });
  assert.match(figures, /512, cut/, "a text that is cut is among them");
});

for (const [name, change, message, off] of [
  ["one number of one vector", (native) => void (native.texts[3].embedding[17] += 2e-5), /1 of 20 texts are over the bar/, 1],
  ["two vectors swapped", ({ texts: [a, b] }) => void ([a.embedding, b.embedding] = [b.embedding, a.embedding]), /2 of 20 texts/, 2],
  ["a vector of another size", (native) => void native.texts[0].embedding.pop(), /1 of 20 texts/, 1],
  ["a number that is none", (native) => void (native.texts[5].embedding[0] = null), /1 of 20 texts/, 1],
  ["the fingerprint", (native) => void (native.fingerprint = "0".repeat(64)), /fingerprints differ/, 0],
  ["the count of tokens", (native) => void (native.texts[2].tokens += 1), /1 of 20 texts/, 1],
]) {
  test(`tampering shows: ${name}`, async () => {
    const found = await compare(change);
    assert.match(found.verdict, /^No: not the same vector/);
    assert.match(found.verdict, message);
    assert.ok(found.bad > 0);
    assert.equal(found.off, off);
  });
}

test("a file that is broken or not there is said", async () => {
  assert.match((await compare(() => ({ texts: [] }))).verdict, /holds no texts/);
});
