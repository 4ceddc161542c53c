// After the first visit the page needs no network; nothing is kept twice; a new version is offered.
import assert from "node:assert/strict";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ask, isReady, launch, open, serve, SITE, until } from "./lib/page.mjs";

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

/** A copy of the page on a host that lets browsers keep files, and what makes a new version of it. */
async function changingSite() {
  const site = mkdtempSync(join(tmpdir(), "isovec-demo-"));
  cpSync(SITE, site, { recursive: true });
  const server = await serve(site, { headers: { "cache-control": "max-age=600" } });
  const change = () => {
    appendFileSync(join(site, "css", "base.css"), "\n:root { --tested: yes; }\n");
    const hash = createHash("sha256").update(readFileSync(join(site, "css", "base.css"))).digest("hex");
    const list = readFileSync(join(site, "precache.js"), "utf8");
    const changed = list
      .replace(/("path": "css\/base\.css",\s*"sha256": ")[0-9a-f]+/, `$1${hash}`)
      .replace(/"version": "\w+"/, '"version": "tested"');
    writeFileSync(join(site, "precache.js"), changed);
  };
  const close = async () => {
    await server.close();
    rmSync(site, { recursive: true });
  };
  return { server, change, close };
}

const isChanged = async (page) =>
  (await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--tested"))) === "yes";

test("a new version is fetched in the background, and taken when wanted", async () => {
  const { server, change, close } = await changingSite();
  const { page, context } = await open(browser, server.url, { context: { serviceWorkers: "allow" } });
  await controlled(page);
  assert.equal(await page.textContent("#update"), "", "the first visit is no update");
  change();
  const wasm = () => server.asked.filter((path) => path.endsWith(".wasm")).length;
  const before = wasm();
  await page.reload();
  assert.equal(await isChanged(page), false, "still the old one");
  await page.waitForSelector("#update button");
  assert.equal(wasm(), before, "what has not changed is not fetched again");
  await Promise.all([page.waitForNavigation(), page.click("#update button")]);
  assert.equal(await isChanged(page), true);
  await isReady(page);
  const names = await page.evaluate(() => caches.keys());
  assert.equal(names.filter((name) => name.startsWith("isovec-demo ")).length, 1, String(names));

  await page.click("#forget");
  await page.waitForFunction(() => /Removed/.test(document.getElementById("forget-say").textContent));
  assert.deepEqual(await page.evaluate(() => caches.keys()), []);
  await context.close();
  await close();
});

test("two tabs: where one takes a new version, the other is told, and keeps what was typed", async () => {
  const { server, change, close } = await changingSite();
  const { page: one, context } = await open(browser, server.url, { context: { serviceWorkers: "allow" } });
  await controlled(one);
  const other = await context.newPage();
  await other.goto(server.url);
  await isReady(other);
  await other.fill("#own-text", "A text of mine.");
  change();
  await one.reload();
  await one.waitForSelector("#update button");
  await Promise.all([one.waitForNavigation(), one.click("#update button")]);
  assert.equal(await isChanged(one), true);
  await other.waitForFunction(() => /A new version of this page is active/.test(document.getElementById("update").textContent));
  assert.equal(await other.inputValue("#own-text"), "A text of mine.");
  await Promise.all([other.waitForNavigation(), other.click("#update button")]);
  assert.equal(await isChanged(other), true);
  assert.equal(await other.textContent("#update"), "");
  await context.close();
  await close();
});

test("removed while the model loads: nothing is kept, not even what comes later", async () => {
  const server = await serve(SITE);
  let release = () => {};
  const released = new Promise((resolve) => (release = resolve));
  const { page, context, problems } = await open(browser, server.url, {
    ready: false,
    context: { serviceWorkers: "allow" },
    route: [
      "**/models/**",
      async (route) => {
        await released;
        await route.continue();
      },
    ],
  });
  await page.click("#forget");
  await page.waitForFunction(() => /Removed/.test(document.getElementById("forget-say").textContent));
  release();
  await isReady(page);
  const kept = () =>
    page.evaluate(async () => [...(await caches.keys()), ...(await navigator.serviceWorker.getRegistrations()).map(({ scope }) => scope)]);
  await until(async () => (await kept()).length === 0);
  // A service worker would be registered about now.
  await page.waitForTimeout(1000);
  assert.deepEqual(await kept(), []);
  assert.deepEqual(await problems(), []);
  await context.close();
  await server.close();
});

test("the service worker gives workers their policy from the second visit on", async () => {
  const server = await serve(SITE);
  const { page, context } = await open(browser, server.url, { context: { serviceWorkers: "allow" } });
  await controlled(page);
  await page.reload();
  const policy = await page.evaluate(async () => (await fetch("js/model-worker.js")).headers.get("content-security-policy"));
  assert.match(policy, /connect-src 'self'/);
  await context.close();
  await server.close();
});

test("the service worker answers for no other server, also where no policy holds", async (t) => {
  const other = await serve(SITE);
  // A page of the same folder that has no policy, and that is not among those the service worker keeps.
  const server = await serve(SITE, {
    answer: (name, response) => {
      if (name !== "bare.html") return false;
      response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>bare</title>");
      return true;
    },
  });
  const { page, context } = await open(browser, server.url, { context: { serviceWorkers: "allow" } });
  await controlled(page);
  const bare = await context.newPage();
  await bare.goto(`${server.url}bare.html`);
  const asking = () =>
    bare.evaluate(async (url) => {
      const fetched = await fetch(`${url}fetched`, { mode: "no-cors" }).then(() => "answered", () => "refused");
      const shown = await new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve("answered");
        image.onerror = () => resolve("refused");
        image.src = `${url}icon.svg`;
      });
      return { fetched, shown };
    }, other.url);
  await t.test("under its control", async () => {
    assert.equal(await bare.evaluate(() => navigator.serviceWorker.controller?.state), "activated");
    assert.deepEqual(await asking(), { fetched: "refused", shown: "refused" });
    assert.deepEqual(other.asked, []);
  });
  await t.test("without it, the other server would be asked", async () => {
    await bare.evaluate(async () => (await navigator.serviceWorker.getRegistration()).unregister());
    await page.close();
    await bare.goto("about:blank");
    await bare.goto(`${server.url}bare.html`);
    assert.equal(await bare.evaluate(() => navigator.serviceWorker.controller), null);
    assert.deepEqual(await asking(), { fetched: "answered", shown: "answered" });
    assert.equal(other.asked.length, 2);
  });
  await context.close();
  await server.close();
  await other.close();
});
