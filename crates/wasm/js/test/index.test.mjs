// An index that the native program made, searched in Node; test/browser.test.mjs does the same in Chromium.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as esm from "isovec";
import { createPool, createWorker } from "isovec/worker";

import { serveFolders } from "./lib/chromium.mjs";
import { runIndex } from "./lib/indices.mjs";
import { FOLDERS, prepare } from "./lib/prepare.mjs";

const require = createRequire(import.meta.url);
const fixtures = prepare();
let server;

before(async () => {
  server = await serveFolders(FOLDERS);
});
after(async () => await server?.close());

async function read(path) {
  const [folder, ...rest] = path.split("/");
  return new Uint8Array(await readFile(join(FOLDERS[folder], ...rest)));
}

for (const [name, make] of [
  ["ES module", () => esm],
  ["CommonJS module", () => require("isovec")],
  ["worker thread", () => createWorker()],
  ["pool of two", () => createPool(2)],
]) {
  test(name, async (t) => {
    const iso = make();
    for (const { name, ok, detail } of await runIndex(iso, { fixtures, read, files: server.url })) {
      await t.test(name, () => assert.ok(ok, detail));
    }
    iso.terminate?.();
  });
}

async function promptsModel(iso) {
  const { spec, model, tokenizer } = fixtures.small.find((entry) => entry.spec.name === "prompts");
  const bytes = { spec, model: await read(model), tokenizer: await read(tokenizer) };
  return await iso.TextEmbedder.fromBytes(bytes);
}

test("a model of another worker, or of none, is refused", async () => {
  const [one, two] = [createWorker(), createWorker()];
  const bytes = await read(fixtures.index.prompts.file);
  const expected = { code: "invalid_input", message: /of the same worker/ };
  for (const model of [await promptsModel(two), await promptsModel(esm)]) {
    await assert.rejects(one.SearchIndex.open(bytes, { model }), expected);
  }
  const model = await promptsModel(one);
  model.dispose();
  await assert.rejects(one.SearchIndex.open(bytes, { model }), { code: "disposed" });
  one.terminate();
  two.terminate();
});

test("the model of a pool's index opens another in the same worker, whatever that has to do", async () => {
  const pool = createPool(2);
  const bytes = await read(fixtures.index.minilm.file);
  const [query] = fixtures.index.queries;
  const first = await pool.SearchIndex.open(bytes);
  const hits = await first.search(query);
  // With nothing to do, and with more than the other.
  for (const count of [0, 3]) {
    const busy = Array.from({ length: count }, () => first.search(query));
    const second = await pool.SearchIndex.open(bytes, { model: first.embedder });
    assert.equal(second.embedder, first.embedder);
    assert.deepEqual(await second.search(query), hits);
    await Promise.all(busy);
    second.dispose();
  }
  pool.terminate();
});

test("the bytes of an index are copied at once", async () => {
  const model = await promptsModel(esm);
  const bytes = await read(fixtures.index.prompts.file);
  for (const source of [bytes.slice(), bytes.slice().buffer, Buffer.from(bytes)]) {
    const opening = esm.SearchIndex.open(source, { model });
    new Uint8Array(source.buffer ?? source).fill(0);
    const index = await opening;
    assert.equal(index.length, fixtures.index.prompts.items.length);
    index.dispose();
  }
  model.dispose();
});

test("opening can be cancelled late, and what a callback throws comes out as it is", async () => {
  const model = await promptsModel(esm);
  const url = `${server.url}/made/${fixtures.index.prompts.file.split("/").at(-1)}`;
  const bytes = await read(fixtures.index.prompts.file);
  const stopped = new Error("stopped");
  const expected = { code: "cancelled", cause: stopped };
  for (const [source, when] of [
    [url, (abort) => abort()],
    [url, (abort) => setImmediate(abort)],
    [new Blob([bytes]), undefined],
    [bytes, undefined],
  ]) {
    const controller = new AbortController();
    const abort = () => controller.abort(stopped);
    const onProgress = ({ loaded, total }) => loaded === total && when(abort);
    const opening = esm.SearchIndex.open(source, { model, onProgress, signal: controller.signal });
    if (when === undefined) abort();
    await assert.rejects(opening, expected);
  }
  const thrown = new Error("bar is undefined");
  const onProgress = () => {
    throw thrown;
  };
  await assert.rejects(esm.SearchIndex.open(url, { model, onProgress }), (error) => error === thrown);
  assert.equal((await model.embed("it lives")).vector.length, model.dims);
  model.dispose();
});

test("after a crash the index is made anew", async () => {
  const model = await promptsModel(esm);
  const bytes = await read(fixtures.index.prompts.file);
  const index = await esm.SearchIndex.open(bytes, { model });
  // Nobody else's business from now on.
  bytes.fill(0);
  const [query] = fixtures.index.queries;
  const before = await index.search(query);
  // An exception that goes through WebAssembly leaves it half-way, as a trap does.
  class Crashing extends Float32Array {
    get length() {
      throw new Error("on purpose");
    }
  }
  for (let i = 0; i < 3; i++) {
    const crash = { code: "crashed", message: /on purpose/ };
    await assert.rejects(index.search(new Crashing(index.dims)), crash);
    assert.deepEqual(await index.search(query), before);
  }
  index.dispose();
  await assert.rejects(index.search(query), { code: "disposed" });
  model.dispose();
});

test("in Node a path is no address", async () => {
  for (const source of ["passages.safetensors", "/a/b.safetensors", new URL("file:///a/b")]) {
    await assert.rejects(esm.SearchIndex.open(source), {
      code: "invalid_input",
      message: /cannot be fetched; read the file and give its bytes/,
    });
  }
});

test("a file of any length is read, whatever the server says of it", async () => {
  const model = await promptsModel(esm);
  const bytes = await read(fixtures.index.prompts.file);
  for (const length of [undefined, bytes.length]) {
    const odd = createServer((request, response) => {
      response.writeHead(200, length === undefined ? {} : { "content-length": length });
      const half = bytes.length >> 1;
      response.write(bytes.subarray(0, half), () => response.end(bytes.subarray(half)));
    });
    await new Promise((resolve) => odd.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${odd.address().port}/x?token=SECRET`;
    const seen = [];
    const onProgress = (progress) => seen.push(progress);
    const index = await esm.SearchIndex.open(url, { model, onProgress });
    assert.equal(index.length, fixtures.index.prompts.items.length);
    assert.deepEqual(seen.at(-1), { loaded: bytes.length, total: bytes.length, file: "x" });
    index.dispose();
    odd.closeAllConnections();
    odd.close();
  }
  // Larger than what there is room for at first.
  const large = createServer((request, response) => response.end(Buffer.alloc(5_000_000, 1)));
  await new Promise((resolve) => large.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${large.address().port}/x?token=SECRET`;
  const seen = [];
  const onProgress = ({ loaded }) => seen.push(loaded);
  await assert.rejects(esm.SearchIndex.open(url, { model, onProgress }), { code: "invalid_index" });
  assert.equal(seen.at(-1), 5_000_000);
  large.closeAllConnections();
  large.close();
  model.dispose();
});

test("too large is an error before anything is read", async () => {
  const blob = Object.defineProperty(new Blob([]), "size", { value: 2 ** 30 + 1 });
  await assert.rejects(esm.SearchIndex.open(blob), { code: "too_large" });
});

test("embedders say their variant", async () => {
  const int8 = await esm.TextEmbedder.load("all-MiniLM-L6-v2", { variant: "int8" });
  assert.equal(int8.variant, "int8");
  int8.dispose();
  const model = await promptsModel(esm);
  assert.equal(model.variant, undefined);
  model.dispose();
});
