// What the tests in test/browser.test.mjs call on a page.
import * as iso from "/pkg/browser.js";
import { createPool, createWorker } from "/pkg/worker.js";
import { CRASHES, crashingBytes, RUNS } from "/lib/crash.mjs";
import { runIndex } from "/lib/indices.mjs";
import { runTable } from "/lib/table.mjs";

async function read(path) {
  const response = await fetch(`/files/${path}`);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

const fixtures = async () => await (await fetch("/fixtures.json")).json();

async function attempt(work) {
  try {
    return { value: await work() };
  } catch (error) {
    return { code: error.code, message: error.message };
  }
}

const fetchOf = (status) => async () => new Response(null, { status });

globalThis.tests = {
  secure: () => globalThis.isSecureContext,

  async table(where, minilm) {
    const api = { page: () => iso, worker: createWorker, pool: () => createPool(2) }[where]();
    const options = { fixtures: await fixtures(), read, baseUrl: "/files/store", minilm };
    const result = await runTable(api, options);
    api.terminate?.();
    return result;
  },

  async index(where) {
    const api = { page: () => iso, worker: createWorker, pool: () => createPool(2) }[where]();
    const options = { fixtures: await fixtures(), read, files: "/files", baseUrl: "/files/store" };
    const results = await runIndex(api, options);
    api.terminate?.();
    return results;
  },

  async serviceWorker() {
    await navigator.serviceWorker.register("/service-worker.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    active.postMessage("run", [port2]);
    return await answer;
  },

  /** The variants that are loaded where none is named, and where one is; and what is said if it is not there. */
  async variants() {
    const worker = createWorker();
    const base = { baseUrl: "/files/store" };
    const load = async (api, options) => {
      using model = await api.TextEmbedder.load("all-MiniLM-L6-v2", options);
      return model.variant;
    };
    const found = [
      await load(iso, base),
      await load(worker, base),
      await load(iso, { ...base, variant: "fp32" }),
    ];
    worker.terminate();
    const nowhere = fetchOf(404);
    const missing = await attempt(() => load(iso, { cache: false, fetch: nowhere, ...base }));
    const named = await attempt(() => load(iso, { cache: false, fetch: nowhere, ...base, variant: "int8" }));
    return { found, missing, named };
  },

  /** Loads MiniLM and says what it cost. */
  async load(options = {}) {
    const warnings = [];
    const onWarning = ({ code }) => warnings.push(code);
    const outcome = await attempt(async () => {
      const base = { baseUrl: "/files/store", onWarning };
      const model = await iso.TextEmbedder.load("all-MiniLM-L6-v2", { ...base, ...options });
      const { vector } = await model.embed("hello");
      model.dispose();
      return vector.length;
    });
    return { ...outcome, warnings };
  },

  async corruptCache() {
    const cache = await caches.open("isovec");
    const keys = await cache.keys();
    for (const key of keys) await cache.put(key, new Response("not what it was"));
    return keys.map(({ url }) => url);
  },

  async crash() {
    const model = await iso.TextEmbedder.fromBytes({ ...(await crashingBytes(read)), keepBytes: true });
    const before = (await model.embed(RUNS)).vector;
    const crash = await attempt(() => model.embed(CRASHES));
    const after = (await model.embed(RUNS)).vector;
    return { ...crash, same: String(before) === String(after) };
  },

  async init(source) {
    return await attempt(async () => {
      await Promise.all([iso.init(source), iso.init("/nowhere.wasm"), iso.init()]);
      return await iso.version();
    });
  },

  initSync: async (url) => {
    const bytes = await (await fetch(url)).arrayBuffer();
    return await attempt(() => iso.initSync(bytes));
  },

  /** The longest task and the longest wait for a frame, while a worker embeds many texts. */
  async responsive(count) {
    const worker = createWorker();
    const { small } = await fixtures();
    const entry = small.find(({ spec }) => spec.name === "wide");
    const [model, tokenizer] = await Promise.all([read(entry.model), read(entry.tokenizer)]);
    const tasks = [];
    const observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) tasks.push(duration);
    });
    observer.observe({ entryTypes: ["longtask"] });
    const embedder = await worker.TextEmbedder.fromBytes({ spec: entry.spec, model, tokenizer });
    const texts = Array.from({ length: count }, (_, i) => `${i} words about the river and the house`);
    const started = performance.now();
    let progress = 0;
    const embeddings = await embedder.embedBatch(texts, { onProgress: () => progress++ });
    const ms = performance.now() - started;
    await new Promise((resolve) => setTimeout(resolve, 200));
    worker.terminate();
    return { embedded: embeddings.length, progress, ms, longest: Math.max(0, ...tasks) };
  },
};
