// After the first visit the page needs no network; nothing is kept twice; a new version is offered.
import assert from "node:assert/strict";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ask, isReady, launch, open, serve, SITE } from "./lib/page.mjs";

let browser;
before(async () => (browser = await launch()));
after(async () => await browser?.close());

const controlled = (page) => page.waitForFunction(() => navigator.serviceWorker.controller?.state === "activated");

test("offline after the first visit, below a path, with the server gone", async (t) => {
  const server = await serve(SITE, { path: "/a/b/" });
  const { page, context, problems } = await open(browser, server.url, { context: { serviceWorkers: "allow" } });
  await controlled(page);
  await t.test("the model is kept by isovec alone", async () => {
    const kept = await page.evaluate(async () => {
      const found = {};
      for (const name of await caches.keys()) found[name] = (await (await caches.open(name)).keys()).map(({ url }) => url);
      return found;
    });
    const names = Object.keys(kept);
    assert.equal(names.length, 2, String(names));
    const [own] = names.filter((name) => name.startsWith("isovec-demo "));
    assert.ok(kept[own].some((url) => url.endsWith(".wasm")));
    assert.ok(!kept[own].some((url) => /models\//.test(url)), "no model in the page's cache");
    assert.equal(kept.isovec.length, 2);
  });
  await context.setOffline(true);
  await server.close();
  await page.reload();
  await isReady(page);
  assert.match((await ask(page, "how do whales sleep"))[0], /^Whales/);
  await page.click("#check-run");
  await page.waitForSelector(".verdict:not(.bad)");
  assert.deepEqual(await problems(), []);
  await context.close();
});

test("a new version is fetched in the background, and taken when wanted", async () => {
  const site = mkdtempSync(join(tmpdir(), "isovec-demo-"));
  cpSync(SITE, site, { recursive: true });
  const server = await serve(site);
  const { page, context } = await open(browser, server.url, { context: { serviceWorkers: "allow" } });
  await controlled(page);
  appendFileSync(join(site, "css", "base.css"), "\n:root { --tested: yes; }\n");
  const hash = createHash("sha256").update(readFileSync(join(site, "css", "base.css"))).digest("hex");
  const list = readFileSync(join(site, "precache.js"), "utf8");
  const changed = list
    .replace(/("path": "css\/base\.css",\s*"sha256": ")[0-9a-f]+/, `$1${hash}`)
    .replace(/"version": "\w+"/, '"version": "tested"');
  writeFileSync(join(site, "precache.js"), changed);
  const wasm = () => server.asked.filter((path) => path.endsWith(".wasm")).length;
  const before = wasm();
  const tested = () => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--tested"));
  await page.reload();
  assert.equal(await tested(), "", "still the old one");
  await page.waitForSelector("#update button");
  assert.equal(wasm(), before, "what has not changed is not fetched again");
  await Promise.all([page.waitForNavigation(), page.click("#update button")]);
  assert.equal(await tested(), "yes");
  await isReady(page);
  const names = await page.evaluate(() => caches.keys());
  assert.equal(names.filter((name) => name.startsWith("isovec-demo ")).length, 1, String(names));

  await page.click("#forget");
  await page.waitForFunction(() => /Removed/.test(document.getElementById("forget-say").textContent));
  assert.deepEqual(await page.evaluate(() => caches.keys()), []);
  await context.close();
  await server.close();
  rmSync(site, { recursive: true });
});

test("the service worker answers for no other server", async () => {
  const server = await serve(SITE);
  const { page, context } = await open(browser, server.url, { context: { serviceWorkers: "allow" } });
  await controlled(page);
  await page.reload();
  const policy = await page.evaluate(async () => (await fetch("js/model-worker.js")).headers.get("content-security-policy"));
  assert.match(policy, /connect-src 'self'/, "the worker has a policy from the second visit on");
  await context.close();
  await server.close();
});
