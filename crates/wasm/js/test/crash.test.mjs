// R39 and R41: after a trap, and when memory runs out.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { cosineSimilarity, IsovecError, TextEmbedder } from "isovec";
import { createWorker } from "isovec/worker";

import { browserThread } from "../dist/worker/browser-thread.js";
import { Client } from "../dist/worker/client.js";
import { nodeThread } from "../dist/worker/node-thread.js";
import { start, startPool } from "../dist/worker/start.js";
import { CRASHES, crashingBytes, RUNS } from "./lib/crash.mjs";
import { FOLDERS } from "./lib/prepare.mjs";
import { memoryCache, tinySpec } from "./lib/server.mjs";

async function read(path) {
  const [folder, ...rest] = path.split("/");
  return new Uint8Array(await readFile(join(FOLDERS[folder], ...rest)));
}

const bytes = await crashingBytes(read);
const CRASHED = { name: "IsovecError", code: "crashed", message: /panicked at .*gather/ };

test("a trap is reported with what the engine said, and the next call starts anew", async () => {
  const model = await TextEmbedder.fromBytes({ ...bytes, keepBytes: true });
  const before = await model.embed(RUNS);
  for (let i = 0; i < 5; i++) {
    await assert.rejects(model.embed(CRASHES), CRASHED);
    assert.deepEqual((await model.embed(RUNS)).vector, before.vector);
  }
  await assert.rejects(model.embed(CRASHES), CRASHED);
  // Several at once, on a model that is down.
  const all = await Promise.all([1, 2, 3].map(() => model.embed(RUNS)));
  for (const { vector } of all) assert.deepEqual(vector, before.vector);
  model.dispose();
});

test("words that the model has not are an error, and no crash", async () => {
  const spec = { ...bytes.spec, dims: 32 };
  const found = await read("models/mean-opset11/model.onnx");
  const model = await TextEmbedder.fromBytes({ ...bytes, spec, model: found });
  for (let i = 0; i < 2; i++) {
    await assert.rejects(model.embed(CRASHES), { code: "inference", message: /id 7592 in a table of/ });
  }
  assert.equal((await model.embed(RUNS)).vector.length, 32);
  model.dispose();
});

test("other models and functions do not notice", async () => {
  const other = await TextEmbedder.fromBytes({
    spec: bytes.spec,
    model: bytes.model,
    tokenizer: await read("models/mean-opset11/tokenizer.json"),
  });
  const model = await TextEmbedder.fromBytes(bytes);
  const { vector } = await other.embed("hello world");
  await assert.rejects(model.embed(CRASHES), CRASHED);
  assert.deepEqual((await other.embed("hello world")).vector, vector);
  assert.equal(cosineSimilarity([1, 0], [1, 0]), 1);
  other.dispose();
});

test("without the bytes, the error says what to do", async () => {
  const model = await TextEmbedder.fromBytes(bytes);
  await assert.rejects(model.embed(CRASHES), CRASHED);
  for (let i = 0; i < 2; i++) {
    await assert.rejects(model.embed(RUNS), { code: "crashed", message: /keepBytes/ });
  }
  model.dispose();
  await assert.rejects(model.embed(RUNS), { code: "disposed" });
});

test("a batch fails as a whole, and a crashed model can be disposed of", async () => {
  const model = await TextEmbedder.fromBytes({ ...bytes, keepBytes: true });
  await assert.rejects(model.embedBatch([RUNS, CRASHES, RUNS]), CRASHED);
  model.dispose();
  model[Symbol.dispose]();
});

test("a model that was loaded is read again from the cache", async () => {
  const spec = { ...tinySpec(), ...bytes.spec };
  for (const file of spec.variants.fp32.files) {
    const content = bytes[file.role];
    file.builds[0].size = content.length;
    file.builds[0].sha256 = createHash("sha256").update(content).digest("hex");
  }
  const cache = memoryCache();
  cache.files.set("mismatched/onnx/model.onnx", bytes.model);
  cache.files.set("mismatched/tokenizer.json", bytes.tokenizer);
  const model = await TextEmbedder.load(spec, { cache, signal: AbortSignal.timeout(60_000) });
  const { vector } = await model.embed(RUNS);
  await assert.rejects(model.embed(CRASHES), CRASHED);
  assert.deepEqual((await model.embed(RUNS)).vector, vector);

  await assert.rejects(model.embed(CRASHES), CRASHED);
  cache.files.clear();
  await assert.rejects(model.embed(RUNS), { code: "not_found", message: /cannot be loaded anew/ });
  cache.files.set("mismatched/onnx/model.onnx", bytes.model);
  cache.files.set("mismatched/tokenizer.json", bytes.tokenizer);
  assert.deepEqual((await model.embed(RUNS)).vector, vector, "and works when they are back");
  model.dispose();
});

test("in a worker it is the same", async () => {
  const worker = createWorker();
  const model = await worker.TextEmbedder.fromBytes({ ...bytes, keepBytes: true });
  const { vector } = await model.embed(RUNS);
  await assert.rejects(model.embed(CRASHES), CRASHED);
  assert.deepEqual((await model.embed(RUNS)).vector, vector);
  worker.terminate();
});

test("a pool goes on without the workers that have ended", async () => {
  const threads = [];
  const newThread = () => {
    threads.push(nodeThread(new URL("../dist/worker-host-node.js", import.meta.url)));
    return threads.at(-1);
  };
  const pool = startPool(3, 4, newThread, {});
  const given = { ...bytes, tokenizer: await read("models/mean-opset11/tokenizer.json") };
  const model = await pool.TextEmbedder.fromBytes(given);
  const { vector } = await model.embed("hello");
  const texts = Array.from({ length: 50 }, () => "hello");
  for (const thread of [threads[0], threads[2]]) {
    // The calls that it has at this time fail; others do not notice.
    const last = model.embed("hello");
    thread.terminate();
    await last.catch(({ code }) => assert.equal(code, "crashed"));
    await pool.init().catch(({ code }) => assert.equal(code, "crashed"));
    await new Promise((resolve) => setTimeout(resolve, 100));

    await pool.init();
    for (let i = 0; i < 5; i++) assert.deepEqual((await model.embed("hello")).vector, vector);
    const seen = [];
    const onProgress = ({ done }) => seen.push(done);
    for (const one of await model.embedBatch(texts, { onProgress })) assert.deepEqual(one.vector, vector);
    assert.equal(seen.at(-1), texts.length);
    assert.equal((await pool.topK([1], [[1]], 1)).indices.length, 1);
    const another = await pool.TextEmbedder.fromBytes(given);
    assert.deepEqual((await another.embed("hello")).vector, vector);
    another.dispose();
  }
  threads[1].terminate();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const ended = { code: "crashed", message: /the worker ended/ };
  for (const call of [
    () => model.embed("hello"),
    () => model.embedBatch(texts),
    () => pool.version(),
    () => pool.TextEmbedder.fromBytes(given),
  ]) {
    await assert.rejects(call, ended);
  }
  model.dispose();
  pool.terminate();
});

/** What a browser's Worker looks like from outside. */
function fakeWorker() {
  const sent = [];
  return { sent, terminated: 0, postMessage: (message) => sent.push(message), terminate() { this.terminated++; } };
}

test("a browser's worker that has ended is terminated", async () => {
  for (const end of [
    (worker) => worker.onerror({ preventDefault() {}, message: "out of luck" }),
    (worker) => worker.onmessageerror(),
  ]) {
    const worker = fakeWorker();
    const { api } = start(browserThread(worker), {});
    const pending = api.version();
    end(worker);
    await assert.rejects(pending, { code: "crashed", message: /the worker ended/ });
    await assert.rejects(api.version(), { code: "crashed" });
    await assert.rejects(api.init(), { code: "crashed" });
    assert.equal(worker.terminated, 1);
  }
});

test("what was made for a call that was cancelled is disposed of, with what it brought", async () => {
  const worker = fakeWorker();
  const client = new Client(browserThread(worker));
  const controller = new AbortController();
  const args = ["x", { signal: controller.signal }];
  const opening = client.ask({ do: "create", class: "SearchIndex", how: "open", args });
  controller.abort();
  await assert.rejects(opening, { code: "cancelled" });
  const [{ id }] = worker.sent;
  worker.onmessage({ data: { id, object: 5, value: { length: 0, embedder: { object: 6, facts: {} } } } });
  const disposed = worker.sent.filter((message) => message.do === "dispose");
  assert.deepEqual(disposed.map(({ object }) => object), [5, 6]);
});

test("a model that does not fit into 4 GiB is out_of_memory, and the process lives", async () => {
  const { model, spec } = bytes;
  const tokenizer = await read("models/mean-opset11/tokenizer.json");
  for (const size of [2047 * 2 ** 20, 3900 * 2 ** 20]) {
    await assert.rejects(TextEmbedder.fromBytes({ spec, tokenizer, model: padded(model, size) }), (e) => {
      assert.ok(e instanceof IsovecError);
      assert.ok(["out_of_memory", "too_large"].includes(e.code), `${e.code}: ${e.message}`);
      return true;
    });
  }
  const small = await TextEmbedder.fromBytes({ spec, tokenizer, model });
  assert.equal((await small.embed("hello world")).vector.length, 64);
  small.dispose();
});

/** The model with one more tensor of `size` bytes, and a node that takes it: what no node takes is never copied. */
function padded(model, size) {
  const varint = (n) => {
    const out = [];
    for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) + 128);
    return [...out, n];
  };
  const name = [...Buffer.from("padding")];
  // TensorProto: dims, data_type (float), name, and last raw_data, whose bytes follow.
  const tensor = [0x08, ...varint(size / 4), 0x10, 1, 0x42, name.length, ...name, 0x4a, ...varint(size)];
  const text = (field, value) => [field, value.length, ...Buffer.from(value)];
  // NodeProto: input, output, op_type.
  const node = [...text(0x0a, "padding"), ...text(0x12, "padded"), ...text(0x22, "Identity")];
  // GraphProto: node, initializer.
  const graph = [0x0a, node.length, ...node, 0x2a, ...varint(tensor.length + size), ...tensor];
  const head = [0x3a, ...varint(graph.length + size), ...graph]; // ModelProto.graph, merged
  const all = new Uint8Array(model.length + head.length + size);
  all.set(model);
  all.set(head, model.length);
  return all;
}
