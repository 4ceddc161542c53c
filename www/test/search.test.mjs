// Searching by meaning as one types; where the page comes from; what it does when that fails.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ask, isReady, launch, modelWorker, open, serve, SITE, until } from "./lib/page.mjs";

let browser;
let server;
before(async () => {
  browser = await launch();
  server = await serve(SITE, { path: "/some/where/" });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

test("below any path: queries find what they mean, and nothing is refused or asked elsewhere", async (t) => {
  const { page, problems, context } = await open(browser, server.url);
  for (const [query, start] of [
    ["how do whales sleep", "Whales and dolphins sleep"],
    ["a composer who could not hear", "Beethoven was almost deaf"],
    ["why do my eyes water when I chop vegetables", "Onions make us cry"],
    ["starvation made them leave their island", "The potato blight"],
    ["staying up late with a hot drink", "Tea and coffee"],
    ["insect language of directions", "Honeybees tell"],
    ["money lost on flowers", "Tulips once cost"],
    ["eyesight gets worse with age", "The lens of the eye"],
  ]) {
    await t.test(query, async () => {
      const [best] = await ask(page, query);
      assert.ok(best.startsWith(start), best);
    });
  }
  await t.test("each has a score, a bar of that length, and its topic", async () => {
    await ask(page, "how do whales sleep");
    const first = page.locator("#results > li").first();
    const score = Number((await first.locator(".score").textContent()).replace("score ", ""));
    assert.ok(score > 0.7 && score < 0.8, String(score));
    const share = await first.locator(".bar").evaluate((bar) => bar.firstChild.getBoundingClientRect().width / bar.clientWidth);
    assert.ok(Math.abs(share - score) < 0.25, `${share}, it may still be growing`);
    assert.equal(await first.locator(".topic").textContent(), "Sea");
    assert.match(await page.textContent("#timings"), /Query embedded in.*Searched in.*Tokens read/);
  });
  await t.test("more results come on request", async () => {
    const before = await page.locator("#results > li").count();
    await page.click("#more");
    assert.equal(await page.locator("#results > li").count(), 2 * before);
  });
  await t.test("a query that is too long says so", async () => {
    await page.evaluate(() => document.getElementById("query").removeAttribute("maxlength"));
    await ask(page, "many words about whales ".repeat(200).trim());
    assert.match(await page.textContent("#facts"), /Cut: the model read only the first 512 tokens/);
  });
  await t.test("the map says its nearest, and opens what is clicked", async () => {
    await ask(page, "how do whales sleep");
    await page.waitForFunction(() => /nearest to: Whales/.test(document.getElementById("map").getAttribute("aria-label")));
    await page.locator("#results > li").first().hover();
    const canvas = await page.locator("#map").boundingBox();
    // Somewhere there is a point: go over the canvas until the tip shows.
    let found = false;
    for (let y = 40; y < canvas.height - 20 && !found; y += 14) {
      for (let x = 40; x < canvas.width - 20 && !found; x += 20) {
        await page.mouse.move(canvas.x + x, canvas.y + y);
        found = await page.locator("#tip").isVisible();
        if (found) await page.mouse.click(canvas.x + x, canvas.y + y);
      }
    }
    assert.ok(found);
    assert.ok((await page.textContent("#reader-text")).length > 40);
    assert.match(await page.textContent("#reader-score"), /Score for your query: -?0\.\d{3}/);
    await page.click("#reader-close");
  });
  assert.deepEqual(await problems(), []);
  await context.close();
});

test("as you type: the latest wins, and not every letter is a search", async () => {
  const { page, context } = await open(browser, server.url);
  await page.evaluate(() => {
    globalThis.seen = [];
    new MutationObserver(() => seen.push(document.getElementById("results").dataset.query)).observe(
      document.getElementById("results"), { attributes: true, attributeFilter: ["data-query"] });
  });
  const text = "storms that spin because the earth turns";
  await page.locator("#query").pressSequentially(text, { delay: 12 });
  await page.waitForFunction((query) => document.getElementById("results").dataset.query === query, text);
  await page.waitForTimeout(300);
  const seen = await page.evaluate(() => seen);
  assert.equal(seen.at(-1), text);
  assert.ok(seen.length < text.length / 2, `${seen.length} searches`);
  assert.match((await page.locator("#results .passage").first().textContent()), /^Hurricanes/);
  await page.fill("#query", "");
  assert.equal(await page.locator("#results").isVisible(), false);
  assert.equal(await page.locator("#examples").isVisible(), true);
  await context.close();
});

test("what is typed before the model is ready is searched when it is", async () => {
  const { page, context } = await open(browser, server.url, { ready: false });
  await page.fill("#query", "how do whales sleep");
  await isReady(page);
  await page.waitForSelector("#results li");
  assert.match(await page.locator("#results .passage").first().textContent(), /^Whales/);
  await context.close();
});

test("the progress of the download is one total that grows", async () => {
  const { page, context } = await open(browser, server.url, {
    ready: false,
    init: () => {
      globalThis.shares = [];
      addEventListener("DOMContentLoaded", () => {
        const bar = document.getElementById("engine-bar");
        new MutationObserver(() => shares.push(bar.value)).observe(bar, { attributes: true });
      });
    },
  });
  await isReady(page);
  const shares = await page.evaluate(() => shares);
  assert.ok(shares.length > 3, String(shares.length));
  assert.deepEqual(shares, shares.toSorted((a, b) => a - b));
  await context.close();
});

/** The shipped index with the fingerprint of another model. */
function otherIndex() {
  const bytes = readFileSync(join(SITE, "passages.safetensors"));
  const at = bytes.indexOf('"fingerprint":"') + '"fingerprint":"'.length;
  bytes.write("0123456789abcdef", at);
  return bytes;
}

for (const [name, route, message] of [
  ["the index was made with another model", ["**/passages.safetensors", (route) => route.fulfill({ body: otherIndex() })], /made with another model/],
  ["the index is missing", ["**/passages.safetensors", (route) => route.fulfill({ status: 404 })], /The index of the passages is not on this server/],
  ["the model is missing", ["**/models/**", (route) => route.fulfill({ status: 404 })], /is not on this server/],
  ["the network fails", ["**/models/**", (route) => route.abort()], /The network failed/],
  ["the model is not the pinned one", ["**/models/**/*.onnx", (route) => route.fulfill({ body: "no model" })], /is not the file it should be/],
]) {
  test(`${name}: it is said, and a retry helps`, async () => {
    const { page, context } = await open(browser, server.url, { ready: false, route });
    await page.waitForSelector("#engine-retry");
    assert.match(await page.textContent("#engine-title"), message);
    await context.unroute(route[0]);
    await page.click("#engine-retry");
    await isReady(page);
    assert.match((await ask(page, "how do whales sleep"))[0], /^Whales/);
    await context.close();
  });
}

test("without WebAssembly it is said", async () => {
  const { page, context } = await open(browser, server.url, { ready: false, init: () => delete globalThis.WebAssembly });
  await page.waitForSelector("#engine-retry");
  assert.match(await page.textContent("#engine-title"), /This browser cannot run it/);
  await context.close();
});

test("the worker can ask no other server, whatever it is told", async () => {
  const { page, context } = await open(browser, server.url);
  const said = await page.evaluate(async () => {
    const { createWorker } = await import("./isovec/worker.js");
    const { worker } = await import("./js/settings.js");
    const api = createWorker({ worker });
    return await api.TextEmbedder.load("all-MiniLM-L6-v2", { baseUrl: "http://127.0.0.1:9/", cache: false, variant: "int8" }).catch((error) => `${error.code}: ${error.message}`);
  });
  assert.match(said, /not_found/);
  await context.close();
});

test("the worker's ways out are closed: redirects, and what asks without fetch", async (t) => {
  const other = await serve(SITE);
  const redirecting = await serve(SITE, {
    answer: (name, response) => {
      if (!name.startsWith("moved/")) return false;
      const to = { "moved/away": `${other.url}secret`, "moved/here": "/icon.svg" }[name];
      response.writeHead(302, { location: to }).end();
      return true;
    },
  });
  const { page, context } = await open(browser, redirecting.url);
  const worker = modelWorker(page);
  for (const name of ["moved/away", "moved/here"]) {
    await t.test(name, async () => {
      const said = await worker.evaluate((url) => fetch(url).then(({ status }) => status, String), redirecting.url + name);
      assert.match(String(said), /TypeError/);
      const request = await worker.evaluate((url) => fetch(new Request(url)).then(({ status }) => status, String), redirecting.url + name);
      assert.match(String(request), /TypeError/);
    });
  }
  await t.test("a file of the same server is read", async () => {
    assert.equal(await worker.evaluate((url) => fetch(url).then(({ status }) => status), `${redirecting.url}icon.svg`), 200);
  });
  await t.test("nothing else asks", async () => {
    const names = ["XMLHttpRequest", "WebSocket", "WebSocketStream", "WebTransport", "EventSource", "FontFace", "importScripts", "Worker", "SharedWorker"];
    assert.deepEqual(await worker.evaluate((all) => all.filter((name) => name in globalThis), names), []);
    assert.deepEqual(await worker.evaluate(() => ["add", "addAll"].filter((name) => name in Cache.prototype)), []);
    // The one that was there before cannot be had from a prototype.
    assert.equal(await worker.evaluate(() => "fetch" in Object.getPrototypeOf(globalThis)), false);
  });
  assert.deepEqual(other.asked, []);
  await context.close();
  await redirecting.close();
  await other.close();
});

test("the worker ends: it is said, and a retry helps", async () => {
  const { page, context } = await open(browser, server.url);
  await ask(page, "how do whales sleep");
  await page.fill("#own-text", "The spare key is under the flower pot.");
  await page.click("#own-add");
  await page.waitForSelector("#own-say .good");
  await modelWorker(page).evaluate(() => void setTimeout(() => { throw new Error("the end"); }));
  await page.waitForSelector("#engine-retry", { state: "visible" });
  assert.match(await page.textContent("#engine-title"), /The model crashed/);
  assert.equal(await page.getAttribute("#check-run", "aria-disabled"), "true");
  await page.click("#engine-retry");
  await isReady(page);
  assert.match((await ask(page, "a composer who could not hear"))[0], /^Beethoven/);
  assert.match((await ask(page, "where is the spare key hidden"))[0], /^The spare key/, "own texts are still there");
  assert.equal(await page.getAttribute("#check-run", "aria-disabled"), "false");
  await until(() => page.workers().length === 2);
  assert.equal(page.workers().length, 2, "the old worker is gone");
  await context.close();
});

test("without a secure context: no service worker, and all the rest", async () => {
  const url = server.url.replace("127.0.0.1", "insecure.test");
  const { page, context, problems } = await open(browser, url);
  assert.equal(await page.evaluate(() => isSecureContext), false);
  assert.match((await ask(page, "how do whales sleep"))[0], /^Whales/);
  await page.waitForFunction(() => /not a secure one/.test(document.getElementById("about-store").textContent));
  assert.deepEqual(await problems(), []);
  await context.close();
});

test("who saves data is asked first", async () => {
  const { page, context } = await open(browser, server.url, {
    ready: false,
    init: () => Object.defineProperty(navigator, "connection", { value: { saveData: true } }),
  });
  await page.waitForSelector("#engine-retry");
  assert.match(await page.textContent("#engine-title"), /23 MB/);
  const before = server.asked.filter((path) => /models/.test(path)).length;
  await page.waitForTimeout(300);
  assert.equal(server.asked.filter((path) => /models/.test(path)).length, before);
  await page.click("#engine-retry");
  await isReady(page);
  await context.close();
});
