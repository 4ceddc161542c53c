// The entry `isovec/worker` for browsers.
import { browserThread } from "./worker/browser-thread.js";
import { type IsovecPool, start, startPool } from "./worker/start.js";
import type { IsovecWorker, WorkerOptions } from "./worker/types.js";

export type { IsovecPool } from "./worker/start.js";
export type * from "./worker/types.js";

/** How a worker is started in a browser. */
export interface BrowserWorkerOptions extends WorkerOptions {
  /** Starts the script `isovec/worker-host` where the bundler does not find it by itself. */
  readonly worker?: () => Worker;
}

/**
 * A worker with the interface of the package, so that a page never freezes. Needs no cross-origin
 * isolation.
 *
 * @example
 * ```ts
 * const isovec = createWorker();
 * const model = await isovec.TextEmbedder.load("all-MiniLM-L6-v2", { baseUrl: "/models" });
 * const { vector } = await model.embed("Hello");
 * isovec.terminate();
 * ```
 */
export function createWorker(options: BrowserWorkerOptions = {}): IsovecWorker {
  return start(browserThread((options.worker ?? newWorker)()), options).api;
}

/**
 * Several workers that share the work of batches, each with the model in memory of its own: by
 * default one less than the machine has cores, at most four.
 *
 * @example
 * ```ts
 * const pool = createPool(2);
 * const model = await pool.TextEmbedder.load("all-MiniLM-L6-v2", { baseUrl: "/models" });
 * const embeddings = await model.embedBatch(texts, { onProgress });
 * ```
 */
export function createPool(size?: number, options: BrowserWorkerOptions = {}): IsovecPool {
  const newThread = () => browserThread((options.worker ?? newWorker)());
  return startPool(size, navigator.hardwareConcurrency, newThread, options);
}

function newWorker(): Worker {
  // In this form bundlers find the script and put it beside their output.
  return new Worker(new URL("./worker-host.js", import.meta.url), { type: "module" });
}
