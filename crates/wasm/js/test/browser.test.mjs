// The package in Chromium: the test table under a strict policy, on a page, in workers, in a service
// worker and without a secure context; the browser's cache; a page that stays responsive.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as node from "isovec";

import { launch, openPage, serveFolders } from "./lib/chromium.mjs";
import { root, work } from "./lib/paths.mjs";
import { FOLDERS, prepare } from "./lib/prepare.mjs";
import { runTable } from "./lib/table.mjs";

const fixtures = prepare();
let browser;
let server;

const folders = {
  pkg: join(root, "dist"),
  lib: join(root, "test", "lib"),
  "": join(root, "test", "browser"),
};

/** Test files, and what tests made. */
async function readFixture(request, response) {
  const [, first, folder, ...rest] = new URL(request.url, "http://x").pathname.split("/");
  const path = first === "files" ? join(FOLDERS[folder], ...rest) : join(work, "fixtures.json");
  const bytes = await readFile(path).catch(() => undefined);
  response.writeHead(bytes ? 200 : 404, { "content-length": bytes?.length ?? 0 }).end(bytes);
}

function answer(request, response) {
  if (!/^\/(files\/|fixtures\.json)/.test(request.url)) return false;
  void readFixture(request, response);
  return true;
}

before(async () => {
  browser = await launch();
  server = await serveFolders(folders, { answer });
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Runs `test` on a fresh page, which must not complain in the end. */
async function onPage(test, { url = server.url, quiet = true } = {}) {
  const { page, context, problems } = await openPage(browser, `${url}/index.html`);
  await page.waitForFunction(() => globalThis.tests);
  try {
    await test(page, context);
    const serious = problems.filter((problem) => !/favicon/.test(problem));
    if (quiet) assert.deepEqual(serious, []);
  } finally {
    await context.close();
  }
}

async function check(t, { results, digests }, expected) {
  for (const { name, ok, detail } of results) {
    await t.test(name, () => assert.ok(ok, detail));
  }
  assert.deepEqual(digests, expected, "the same bits as in Node");
}

let inNode;
async function nodeDigests(minilm) {
  const read = async (path) => {
    const [folder, ...rest] = path.split("/");
    return new Uint8Array(await readFile(join(FOLDERS[folder], ...rest)));
  };
  inNode ??= (await runTable(node, { fixtures, read })).digests;
  return minilm ? inNode : { small: inNode.small };
}

for (const [where, minilm] of [["page", true], ["worker", true], ["pool", false]]) {
  test(`the table: ${where}`, async (t) => {
    await onPage(async (page) => {
      const result = await page.evaluate(([w, m]) => tests.table(w, m), [where, minilm]);
      await check(t, result, await nodeDigests(minilm));
    });
  });
}

for (const where of ["page", "worker", "pool"]) {
  test(`an index: ${where}`, async (t) => {
    // That of a file which is not there is an error in the console.
    await onPage(async (page) => {
      const results = await page.evaluate((w) => tests.index(w), where);
      for (const { name, ok, detail } of results) {
        await t.test(name, () => assert.ok(ok, detail));
      }
    }, { quiet: false });
  });
}

test("the table: service worker", { timeout: 300_000 }, async (t) => {
  await onPage(async (page) => {
    const result = await page.evaluate(() => tests.serviceWorker());
    await check(t, result, await nodeDigests(false));
  });
});

test("the table: without a secure context", async (t) => {
  const url = `http://insecure.test:${server.port}`;
  await onPage(async (page) => {
    assert.equal(await page.evaluate(() => tests.secure()), false);
    const result = await page.evaluate(() => tests.table("page", false));
    await check(t, result, await nodeDigests(false));
    const loaded = await page.evaluate(() => tests.load());
    assert.deepEqual(loaded, { value: 384, warnings: [] });
  }, { url });
});

test("int8 is the default in browsers, whatever else is given", async () => {
  await onPage(async (page) => {
    const { found, missing, named } = await page.evaluate(() => tests.variants());
    assert.deepEqual(found, ["int8", "int8", "fp32"]);
    assert.equal(missing.code, "not_found");
    assert.match(missing.message, /int8 is the default in browsers, variant: "fp32" is the whole file/);
    assert.equal(named.code, "not_found");
    assert.doesNotMatch(named.message, /default/);
  });
});

test("the cache: kept, verified on reading, replaced when corrupt", async () => {
  await onPage(async (page) => {
    const load = () => page.evaluate(() => tests.load());
    const files = () => server.asked.filter((path) => path.startsWith("/files/store/")).length;
    const start = files();
    assert.deepEqual(await load(), { value: 384, warnings: [] });
    assert.equal(files() - start, 2);
    assert.deepEqual(await load(), { value: 384, warnings: [] });
    assert.equal(files() - start, 2, "the second time from the cache");
    const keys = await page.evaluate(() => tests.corruptCache());
    assert.equal(keys.length, 2);
    assert.deepEqual(await load(), { value: 384, warnings: ["hash_mismatch", "hash_mismatch"] });
    assert.equal(files() - start, 4);
    assert.deepEqual(await load(), { value: 384, warnings: [] });
  });
});

test("the cache: no room means running without it", async () => {
  await onPage(async (page, context) => {
    const session = await context.newCDPSession(page);
    const quota = { origin: server.url, quotaSize: 1_000_000 };
    await session.send("Storage.overrideQuotaForOrigin", quota);
    const { value, warnings } = await page.evaluate(() => tests.load());
    assert.equal(value, 384);
    assert.ok(warnings.includes("io"), String(warnings));
  });
});

test("a crash on a page", async () => {
  await onPage(async (page) => {
    const { code, same, message } = await page.evaluate(() => tests.crash());
    assert.equal(code, "crashed");
    assert.match(message, /panicked at/);
    assert.equal(same, true);
  });
});

test("init: the first call counts, a wrong content type is no hindrance", async () => {
  await onPage(async (page) => {
    assert.match((await page.evaluate(() => tests.init("/pkg/wasm/isovec_bg.wasm"))).value, /^0\./);
  });
  const plain = await serveFolders(folders, { answer, type: { ".wasm": "text/plain" } });
  await onPage(async (page) => {
    assert.match((await page.evaluate(() => tests.init())).value, /^0\./);
  }, { url: plain.url });
  await plain.close();
  await onPage(async (page) => {
    assert.equal((await page.evaluate(() => tests.init("/missing.wasm"))).code, "network");
    assert.match((await page.evaluate(() => tests.init())).value ?? "", /^0\./, "tried again");
  }, { quiet: false });
});

test("a policy that forbids WebAssembly is an error with a code", async () => {
  const strict = await serveFolders(folders, {
    answer,
    policy: "default-src 'none'; script-src 'self'; connect-src 'self'",
  });
  await onPage(async (page) => {
    assert.equal((await page.evaluate(() => tests.init())).code, "unsupported");
    const { code } = await page.evaluate(() => tests.load());
    assert.equal(code, "unsupported");
  }, { url: strict.url, quiet: false });
  await strict.close();
});

test("a page stays responsive while a worker embeds 1,000 texts", async (t) => {
  await onPage(async (page) => {
    const found = await page.evaluate(() => tests.responsive(1000));
    t.diagnostic(JSON.stringify(found));
    assert.equal(found.embedded, 1000);
    assert.equal(found.progress, 1000);
    assert.ok(found.longest <= 50, `a task of ${found.longest} ms`);
  });
});
