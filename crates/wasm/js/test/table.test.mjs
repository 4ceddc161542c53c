// The test table in Node: as an ES module, as a CommonJS module, in a worker thread and in a pool.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import * as esm from "isovec";
import { createPool, createWorker } from "isovec/worker";

import { FOLDERS, prepare } from "./lib/prepare.mjs";
import { runTable } from "./lib/table.mjs";

const require = createRequire(import.meta.url);
const fixtures = prepare();
const digests = new Map();

async function read(path) {
  const [folder, ...rest] = path.split("/");
  return new Uint8Array(await readFile(join(FOLDERS[folder], ...rest)));
}

async function table(t, iso) {
  const { results, digests: found } = await runTable(iso, { fixtures, read });
  for (const { name, ok, detail } of results) {
    await t.test(name, (t) => {
      if (detail && ok) t.diagnostic(detail);
      assert.ok(ok, detail);
    });
  }
  digests.set(t.name, JSON.stringify(found));
}

test("ES module", (t) => table(t, esm));
test("CommonJS module", (t) => table(t, require("isovec")));

test("worker thread", async (t) => {
  const worker = createWorker();
  await table(t, worker);
  worker.terminate();
  await assert.rejects(worker.models(), { code: "disposed" });
});

test("worker thread of CommonJS", async (t) => {
  const worker = require("isovec/worker").createWorker();
  await table(t, worker);
  worker.terminate();
});

test("pool of two", async (t) => {
  const pool = createPool(2);
  assert.equal(pool.size, 2);
  await table(t, pool);
  pool.terminate();
});

test("a File of another frame is read as one of this", async () => {
  const { image, images } = fixtures.clip;
  const model = await esm.ImageEmbedder.fromBytes({ spec: image.spec, model: await read(image.model) });
  const bytes = await read(images[1].file);
  // Not an instance of this frame's Blob, and with the same tag.
  const other = (tag) => ({
    [Symbol.toStringTag]: tag,
    size: bytes.length,
    arrayBuffer: async () => bytes.slice().buffer,
  });
  const { vector } = await model.embed(bytes);
  for (const tag of ["File", "Blob"]) assert.deepEqual((await model.embed(other(tag))).vector, vector);
  await assert.rejects(model.embed({ ...other("File"), size: 2 ** 30 }), { code: "too_large" });
  await assert.rejects(model.embed(other("Object")), { code: "invalid_input" });
  model.dispose();
});

test("all of them give the same bits", () => {
  assert.equal(new Set(digests.values()).size, 1, JSON.stringify([...digests]));
});
