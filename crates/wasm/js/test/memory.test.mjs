// R45: rounds of load, embed and dispose do not grow memory.
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { TextEmbedder } from "isovec";

import { FOLDERS } from "./lib/prepare.mjs";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

/** What the process holds when all that is unreachable is gone. */
async function settled() {
  for (let i = 0; i < 3; i++) {
    gc();
    await sleep(20);
  }
  const { rss, external, arrayBuffers, heapUsed } = process.memoryUsage();
  return { rss, arrayBuffers, held: external + arrayBuffers + heapUsed };
}

async function rounds(count, make) {
  const seen = [];
  for (let i = 0; i < count; i++) {
    const model = await make();
    await model.embed("hello world");
    model.dispose();
    if (i % 5 === 4) seen.push(await settled());
  }
  return seen;
}

const MB = 2 ** 20;
const show = (seen) => seen.map(({ rss, held }) => `${Math.round(rss / MB)}/${Math.round(held / MB)}`);

test("50 rounds with a small model", async (t) => {
  const folder = join(FOLDERS.models, "wide");
  const bytes = {
    spec: { name: "wide", dims: 192, max_tokens: 64, pooling: "mean" },
    model: new Uint8Array(await readFile(join(folder, "model.onnx"))),
    tokenizer: new Uint8Array(await readFile(join(folder, "tokenizer.json"))),
  };
  const seen = await rounds(50, () => TextEmbedder.fromBytes(bytes));
  t.diagnostic(`resident / held MB every 5 rounds: ${show(seen).join(" ")}`);
  const [, second] = seen;
  assert.ok(seen.at(-1).held - second.held < 5 * MB, "held memory grows");
  assert.ok(seen.at(-1).rss - second.rss < 80 * MB, "resident memory grows");
});

test("10 rounds with MiniLM", async (t) => {
  const seen = await rounds(10, () => TextEmbedder.load("all-MiniLM-L6-v2"));
  t.diagnostic(`resident / held MB every 5 rounds: ${show(seen).join(" ")}`);
  assert.ok(seen.at(-1).held - seen[0].held < 20 * MB, "held memory grows");
  assert.ok(seen.at(-1).rss - seen[0].rss < 200 * MB, "resident memory grows");
});

test("a loaded model keeps none of its files, and a disposed one nothing", async (t) => {
  const before = await settled();
  const model = await TextEmbedder.load("all-MiniLM-L6-v2");
  await model.embed("hello");
  const loaded = await settled();
  model.dispose();
  const after = await settled();
  t.diagnostic(show([before, loaded, after]).join(" "));
  assert.ok(after.held - before.held < 10 * MB, "something is held");
  // Words and weights, as large as the file, and what the rest of the model needs: no copy of the file beside them.
  const { size } = await stat(join(FOLDERS.store, "all-MiniLM-L6-v2", "onnx", "model.onnx"));
  assert.ok(loaded.held - before.held < 1.8 * size, "the file is in memory, too");
});

test("a model from bytes keeps no copy of them, unless it is asked to", async (t) => {
  const folder = join(FOLDERS.store, "all-MiniLM-L6-v2");
  const model = new Uint8Array(await readFile(join(folder, "onnx", "model.onnx")));
  const tokenizer = new Uint8Array(await readFile(join(folder, "tokenizer.json")));
  const held = [];
  for (const keepBytes of [false, true]) {
    const before = await settled();
    const made = await TextEmbedder.fromBytes({ spec: "all-MiniLM-L6-v2", model, tokenizer, keepBytes });
    held.push((await settled()).arrayBuffers - before.arrayBuffers);
    made.dispose();
  }
  const times = held.map((bytes) => (bytes / model.length).toFixed(2));
  t.diagnostic(`copies: ${times.join(", and with keepBytes ")}`);
  assert.ok(held[0] < 0.1 * model.length, "a copy is kept");
  assert.ok(held[1] > 0.9 * model.length && held[1] < 1.2 * model.length, "one copy is kept");
});
