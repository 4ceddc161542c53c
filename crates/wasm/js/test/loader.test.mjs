// Where model files come from: servers that fail in every way, and caches that do.
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";

import { folderCache, TextEmbedder } from "isovec";
import { createPool, createWorker } from "isovec/worker";

import { root } from "./lib/paths.mjs";
import { BYTES, memoryCache, serveModel, tinySpec } from "./lib/server.mjs";

const closing = [];
after(() => Promise.all(closing.map((close) => close())));

async function server(behave) {
  const started = await serveModel(behave);
  closing.push(started.close);
  return started;
}

async function folder() {
  const made = await mkdtemp(join(tmpdir(), "isovec-test-"));
  closing.push(() => rm(made, { recursive: true }));
  return made;
}

const MODEL = "onnx/model.onnx";
const load = (options, spec = tinySpec()) => TextEmbedder.load(spec, { cache: false, ...options });

async function loads(options, spec) {
  const model = await load(options, spec);
  assert.equal((await model.embed("hello world")).vector.length, 32);
  model.dispose();
}

test("one progress figure over all files", async () => {
  const { baseUrl } = await server();
  const seen = [];
  await loads({ baseUrl, onProgress: (progress) => seen.push(progress) });
  const total = BYTES[MODEL].length + BYTES["tokenizer.json"].length;
  assert.ok(seen.every((progress) => progress.total === total));
  assert.deepEqual(seen.at(-1), { loaded: total, total, file: "tokenizer.json" });
  assert.ok(seen.every(({ loaded }, i) => i === 0 || loaded >= seen[i - 1].loaded));
});

test("baseUrl may end in a slash, and be a URL", async () => {
  const { baseUrl, asked } = await server();
  await loads({ baseUrl: new URL(`${baseUrl}/`) });
  assert.deepEqual(asked, ["/models/tiny/onnx/model.onnx", "/models/tiny/tokenizer.json"]);
});

test("sources are asked in order: baseUrl, then the manifest's addresses", async () => {
  const first = await server(({ response }) => response.writeHead(404).end());
  const second = await server();
  const spec = tinySpec((path) => [`${second.baseUrl}/tiny/${path}?token=SECRET`]);
  await loads({ baseUrl: first.baseUrl }, spec);
  assert.equal(first.asked.length, 2);
  assert.equal(second.asked.length, 2);
});

test("a wrong content is fetched once more", async () => {
  const wrongOnce = ({ path, before, bytes, response }) =>
    path === MODEL && before === 0 && response.end(bytes.map((byte) => byte ^ 1));
  const { baseUrl, asked } = await server(wrongOnce);
  await loads({ baseUrl });
  assert.equal(asked.filter((path) => path.endsWith("onnx")).length, 2);
});

for (const [name, change] of [
  ["flipped", (bytes) => bytes.map((byte, i) => (i === 1000 ? byte ^ 1 : byte))],
  ["truncated", (bytes) => bytes.slice(0, 1000)],
  ["empty", () => new Uint8Array(0)],
  ["too long", (bytes) => Buffer.concat([bytes, Buffer.alloc(5000)])],
]) {
  test(`${name} content fails with hash_mismatch, and is never used or cached`, async () => {
    const { baseUrl, asked } = await server(
      ({ path, bytes, response }) => path === MODEL && response.end(change(bytes)),
    );
    const cache = memoryCache();
    await assert.rejects(load({ baseUrl, cache }), (error) => {
      assert.equal(error.code, "hash_mismatch");
      assert.match(error.message, /expected (sha256 )?[0-9a-f]{64}/);
      return true;
    });
    assert.equal(asked.length, 2);
    assert.equal(cache.files.size, 0);
  });
}

test("a broken transfer is tried again", async () => {
  const { baseUrl, asked } = await server(({ path, before, bytes, response }) => {
    if (path !== MODEL || before > 1) return false;
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.slice(0, 5000), () => response.destroy());
    return true;
  });
  await loads({ baseUrl });
  assert.equal(asked.filter((path) => path.endsWith("onnx")).length, 3);
});

test("a server in trouble is asked three times, and then it is a network error", async () => {
  const { baseUrl, asked } = await server(({ response }) => response.writeHead(503).end());
  await assert.rejects(load({ baseUrl }), { code: "network", message: /HTTP status 503/ });
  assert.equal(asked.length, 3);
});

test("a server that refuses is asked once", async () => {
  const { baseUrl, asked } = await server(({ response }) => response.writeHead(403).end());
  await assert.rejects(load({ baseUrl }), { code: "network" });
  assert.equal(asked.length, 1);
});

test("missing files, models, variants and addresses are not_found", async () => {
  const { baseUrl } = await server(({ response }) => response.writeHead(404).end());
  await assert.rejects(load({ baseUrl }), { code: "not_found", message: /HTTP status 404/ });
  await assert.rejects(load({}), { code: "not_found", message: /give a baseUrl/ });
  await assert.rejects(load({ variant: "int4" }), { code: "not_found", message: /there are: fp32/ });
  await assert.rejects(TextEmbedder.load("nothing"), { code: "not_found", message: /all-MiniLM/ });
});

test("secrets of addresses stay out of errors", async () => {
  const spec = tinySpec(() => ["http://user:SECRET@127.0.0.1:1/x?token=SECRET"]);
  await assert.rejects(load({}, spec), (error) => {
    assert.equal(error.code, "network");
    assert.doesNotMatch(inspect(error), /SECRET/);
    return true;
  });
});

test("loading can be cancelled: before, while waiting, and while bytes arrive", async () => {
  const stalls = ({ bytes, response }) => {
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.slice(0, 100));
    return true;
  };
  const { baseUrl } = await server(stalls);
  const silent = await server(() => true);
  const dead = await server(({ response }) => response.writeHead(503).end());
  await assert.rejects(load({ baseUrl, signal: AbortSignal.abort() }), { code: "cancelled" });
  for (const base of [baseUrl, silent.baseUrl, dead.baseUrl]) {
    const started = performance.now();
    const signal = AbortSignal.timeout(100);
    await assert.rejects(load({ baseUrl: base, signal }), { code: "cancelled" });
    assert.ok(performance.now() - started < 1000);
  }
});

test("loading can be cancelled late: with the last byte, and while the model is made", async (t) => {
  const { baseUrl } = await server();
  const stopped = new Error("stopped");
  const expected = { code: "cancelled", cause: stopped };
  // Fills the cache, and has fetch start the WebAssembly of its own.
  const cache = memoryCache();
  await loads({ baseUrl, cache });
  const last = new AbortController();
  const onProgress = ({ loaded, total }) => loaded === total && last.abort(stopped);
  const made = t.mock.method(WebAssembly, "Instance");
  await assert.rejects(load({ cache, onProgress, signal: last.signal }), expected);
  assert.equal(made.mock.callCount(), 0, "nothing is made any more");
  const late = new AbortController();
  const { Instance } = WebAssembly;
  t.mock.method(WebAssembly, "Instance", function (...args) {
    late.abort(stopped);
    return new Instance(...args);
  });
  await assert.rejects(load({ cache, signal: late.signal }), expected);
});

test("what a callback throws comes out as it is, at once", async () => {
  const { baseUrl, asked } = await server();
  const thrown = new TypeError("bar is undefined");
  const fails = () => {
    throw thrown;
  };
  const own = (error) => error === thrown;
  await assert.rejects(load({ baseUrl, onProgress: fails }), own);
  assert.equal(asked.length, 0);
  const onProgress = ({ loaded }) => loaded > 0 && fails();
  await assert.rejects(load({ baseUrl, onProgress }), own);
  assert.equal(asked.length, 1);
  const cache = memoryCache();
  cache.files.set(`tiny/${MODEL}`, new Uint8Array(5));
  await assert.rejects(load({ baseUrl, cache, onWarning: fails }), own);
  await assert.rejects(
    load({ baseUrl, cache: memoryCache({ put: new Error("full") }), onWarning: fails }),
    own,
  );
});

test("what is cached is not asked for again", async () => {
  const { baseUrl, asked } = await server();
  const cache = memoryCache();
  await loads({ baseUrl, cache });
  await loads({ baseUrl, cache });
  assert.equal(asked.length, 2);
});

test("a corrupt cache entry is dropped and fetched again", async () => {
  const { baseUrl, asked } = await server();
  const cache = memoryCache();
  for (const corrupt of [new Uint8Array(0), BYTES[MODEL].map((byte) => byte ^ 1)]) {
    cache.files.set(`tiny/${MODEL}`, corrupt);
    const warnings = [];
    await loads({ baseUrl, cache, onWarning: ({ code }) => warnings.push(code) });
    assert.deepEqual(warnings, ["hash_mismatch"]);
    assert.deepEqual(cache.files.get(`tiny/${MODEL}`), BYTES[MODEL]);
  }
  assert.equal(asked.filter((path) => path.endsWith("onnx")).length, 2);
});

test("a cache may give memory that the platform's hash refuses", async () => {
  const cache = memoryCache();
  for (const [path, bytes] of Object.entries(BYTES)) {
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    cache.files.set(`tiny/${path}`, { slice: () => shared });
  }
  const warnings = [];
  await loads({ cache, onWarning: (warning) => warnings.push(warning) });
  assert.deepEqual(warnings, []);
});

test("a cache that fails means running without it", async () => {
  const { baseUrl } = await server();
  const full = new DOMException("full", "QuotaExceededError");
  for (const fail of [{ put: full }, { get: full, put: full }, { get: new Error("no right") }]) {
    const warnings = [];
    await loads({ baseUrl, cache: memoryCache(fail), onWarning: ({ code }) => warnings.push(code) });
    assert.equal(new Set(warnings).has("io"), true);
  }
});

test("the folder of Node: the native layout, no halves, corrupt files replaced", async () => {
  const { baseUrl, asked } = await server();
  const home = await folder();
  const cache = folderCache(home);
  await loads({ baseUrl, cache });
  const place = join(home, "models", "tiny", "onnx");
  assert.deepEqual(await readdir(place), ["model.onnx"]);
  assert.deepEqual(new Uint8Array(await readFile(join(place, "model.onnx"))), BYTES[MODEL]);
  await writeFile(join(place, "model.onnx"), "half");
  await loads({ baseUrl, cache });
  assert.deepEqual(new Uint8Array(await readFile(join(place, "model.onnx"))), BYTES[MODEL]);
  assert.equal(asked.length, 3);
  await loads({ cache });
});

test("a folder that cannot be written means running without it", async () => {
  const { baseUrl } = await server();
  const home = await folder();
  await writeFile(join(home, "models"), "a file where a folder should be");
  const warnings = [];
  await loads({ baseUrl, cache: folderCache(home), onWarning: (e) => warnings.push(e.code) });
  assert.deepEqual(warnings, ["io", "io"]);
});

test("the environment: ISOVEC_HOME, ISOVEC_MIRROR, ISOVEC_OFFLINE", async (t) => {
  const { baseUrl, asked } = await server();
  const home = await folder();
  t.after(() => {
    for (const name of ["HOME", "MIRROR", "OFFLINE"]) delete process.env[`ISOVEC_${name}`];
  });
  process.env.ISOVEC_HOME = home;
  process.env.ISOVEC_OFFLINE = "1";
  await assert.rejects(loads({ cache: true, baseUrl }), { code: "offline" });
  delete process.env.ISOVEC_OFFLINE;
  process.env.ISOVEC_MIRROR = baseUrl;
  await loads({ cache: true });
  process.env.ISOVEC_OFFLINE = "true";
  await loads({ cache: true });
  assert.equal(asked.length, 2);
  process.env.ISOVEC_OFFLINE = "perhaps";
  await assert.rejects(load({ cache: false }), { code: "invalid_config" });
});

test("paths cannot leave the cache", async () => {
  for (const path of ["../x", "/etc/x", "a//b", "a/.hidden", "c:\\x"]) {
    const spec = tinySpec();
    spec.variants.fp32.files[0].path = path;
    await assert.rejects(load({}, spec), { code: "invalid_config" });
  }
  await assert.rejects(load({}, { ...tinySpec(), name: ".." }), { code: "invalid_config" });
});

test("without crypto.subtle, WebAssembly hashes", async (t) => {
  const { baseUrl } = await server();
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  const insecure = { getRandomValues: (array) => webcrypto.getRandomValues(array) };
  Object.defineProperty(globalThis, "crypto", { value: insecure, configurable: true });
  t.after(() => Object.defineProperty(globalThis, "crypto", descriptor));
  await loads({ baseUrl });
});

const given = () => ({ spec: { ...tinySpec(), variants: {} }, model: BYTES[MODEL].slice(), tokenizer: BYTES["tokenizer.json"].slice() });

test("bytes of the caller are read or copied at once: what is loaded and kept is what was hashed", async (t) => {
  const right = await TextEmbedder.fromBytes(given());
  const { vector } = await right.embed("hello world");
  const digest = t.mock.method(crypto.subtle, "digest");
  const changes = [
    (bytes) => bytes.fill(0),
    (bytes) => structuredClone(bytes.buffer, { transfer: [bytes.buffer] }),
  ];
  // What is not kept is made into a model at once, and its hash is computed meanwhile; that of the tokenizer inside.
  for (const [change, keepBytes] of changes.flatMap((one) => [[one, true], [one, false]])) {
    const bytes = { ...given(), keepBytes };
    const loading = TextEmbedder.fromBytes(bytes);
    assert.equal(digest.mock.callCount(), 1);
    change(bytes.model);
    change(bytes.tokenizer);
    const model = await loading;
    assert.equal(digest.mock.callCount(), keepBytes ? 2 : 1);
    digest.mock.resetCalls();
    assert.equal(model.fingerprint, right.fingerprint);
    assert.deepEqual((await model.embed("hello world")).vector, vector);
    model.dispose();
  }
  // Where the platform fails to hash it, there is no fingerprint, and so no model.
  const fails = () => Promise.reject(new Error("not today"));
  digest.mock.mockImplementationOnce(fails, 0);
  await assert.rejects(TextEmbedder.fromBytes(given()), { name: "IsovecError", code: "unsupported" });
  // A Buffer's own `slice` would be no copy, and the platform's hash refuses shared memory.
  const { spec, model, tokenizer } = given();
  // A class of the caller's own, whose `subarray` would make an array of another length, or change the bytes.
  class Odd extends Uint8Array {
    constructor(buffer) {
      super(buffer);
    }
    subarray() {
      return this.fill(0);
    }
  }
  for (const keepBytes of [false, true]) {
    const files = { spec, model: new Odd(model.slice().buffer), tokenizer: new Odd(tokenizer.slice().buffer) };
    const made = await TextEmbedder.fromBytes({ ...files, keepBytes });
    assert.equal(made.fingerprint, right.fingerprint);
    assert.deepEqual((await made.embed("hello world")).vector, vector);
    made.dispose();
  }
  const shared = new Uint8Array(new SharedArrayBuffer(model.length));
  shared.set(model);
  const loading = TextEmbedder.fromBytes({ spec, model: shared, tokenizer: Buffer.from(tokenizer) });
  shared.fill(0);
  const odd = await loading;
  assert.equal(odd.fingerprint, right.fingerprint);
  odd.dispose();
  right.dispose();
  const gone = given();
  structuredClone(gone.model.buffer, { transfer: [gone.model.buffer] });
  await assert.rejects(TextEmbedder.fromBytes(gone), { name: "IsovecError", code: "invalid_input" });
});

test("each worker of a pool gets the same bytes", async () => {
  const pool = createPool(2);
  const bytes = given();
  const loading = pool.TextEmbedder.fromBytes(bytes);
  bytes.model.fill(0);
  bytes.spec.dims = 5;
  const model = await loading;
  const texts = Array.from({ length: 30 }, () => "hello world");
  assert.equal((await model.embedBatch(texts)).length, texts.length);
  pool.terminate();
});

test("what a callback throws in a worker's call comes out as it is, and stops the call", async () => {
  const { baseUrl, asked } = await server();
  const worker = createWorker();
  const thrown = new Error("bar is undefined");
  const fails = () => {
    throw thrown;
  };
  const own = (error) => error === thrown;
  const options = { baseUrl, cache: false };
  await assert.rejects(worker.TextEmbedder.load(tinySpec(), { ...options, onProgress: fails }), own);
  const model = await worker.TextEmbedder.load(tinySpec(), options);
  const before = asked.length;
  assert.ok(before < 4, `stopped after ${before - 2} files`);
  const texts = Array.from({ length: 2000 }, () => "hello world ".repeat(20));
  const alone = performance.now();
  await model.embedBatch(texts.slice(0, 200));
  const time = performance.now() - alone;
  await assert.rejects(model.embedBatch(texts, { onProgress: fails }), own);
  const started = performance.now();
  await model.embed("hello world");
  assert.ok(performance.now() - started < 3 * time, "the batch has not stopped");
  worker.terminate();
});

const WASM = join(root, "dist", "wasm", "isovec_bg.wasm");

/** A server of the WebAssembly file that does as it is told. */
async function wasmServer(behave) {
  const bytes = await readFile(WASM);
  const started = createServer((request, response) => {
    response.setHeader("content-type", request.url === "/streaming" ? "application/wasm" : "text/plain");
    response.setHeader("content-length", bytes.length);
    behave(response, bytes);
  });
  await new Promise((resolve) => started.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    started.closeAllConnections();
    started.close();
  });
  return `http://127.0.0.1:${started.address().port}`;
}

test("a WebAssembly file that does not arrive is a network error, one that is none is unsupported", async () => {
  const { compile } = await import("../dist/platform.js");
  const { init } = await import("../dist/engine.js?another");
  const breaks = (response, bytes) =>
    response.write(bytes.subarray(0, 100_000), () => response.destroy());
  const broken = await wasmServer(breaks);
  const wrong = await wasmServer((response, bytes) => response.end(bytes.map((byte) => byte ^ 1)));
  for (const path of ["streaming", "whole"]) {
    await assert.rejects(compile(`${broken}/${path}`), { code: "network" }, path);
    await assert.rejects(init(`${broken}/${path}`), { name: "IsovecError", code: "network" });
    await assert.rejects(compile(`${wrong}/${path}`), WebAssembly.CompileError);
    await assert.rejects(init(`${wrong}/${path}`), { name: "IsovecError", code: "unsupported" });
  }
  for (const source of ["http://127.0.0.1:1/x", fetch("http://127.0.0.1:1/x")]) {
    await assert.rejects(init(source), { name: "IsovecError", code: "network" });
  }
});

test("a worker keeps to the WebAssembly file that it was given", async () => {
  let there = false;
  let served = 0;
  const url = await wasmServer((response, bytes) => {
    if (!there) return response.writeHead(503, { "content-length": 0 }).end();
    served += 1;
    return response.end(bytes);
  });
  const worker = createWorker({ wasm: `${url}/streaming` });
  for (const call of [
    () => worker.init(),
    () => worker.version(),
    () => worker.TextEmbedder.fromBytes(given()),
    () => worker.init(),
  ]) {
    await assert.rejects(call, { code: "network", message: /HTTP status 503/ });
  }
  there = true;
  await worker.init();
  (await worker.TextEmbedder.fromBytes(given())).dispose();
  assert.match(await worker.version(), /^0\./);
  assert.equal(served, 1);
  worker.terminate();
});
