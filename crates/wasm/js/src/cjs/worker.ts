// The entry `isovec/worker` for Node, as a CommonJS module.
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { nodeThread } from "../worker/node-thread.js";
import { type IsovecPool, start, startPool } from "../worker/start.js";
import type { IsovecWorker, WorkerOptions } from "../worker/types.js";

export type { IsovecPool } from "../worker/start.js";
export type * from "../worker/types.js";

const thread = () => nodeThread(join(__dirname, "worker-host.js"));

/**
 * A worker thread with the interface of the package, so that the event loop is never held up.
 *
 * @example
 * ```ts
 * const { createWorker } = require("isovec/worker");
 * const isovec = createWorker();
 * const model = await isovec.TextEmbedder.load("all-MiniLM-L6-v2");
 * const { vector } = await model.embed("Hello");
 * isovec.terminate();
 * ```
 */
export function createWorker(options: WorkerOptions = {}): IsovecWorker {
  return start(thread(), options).api;
}

/**
 * Several worker threads that share the work of batches, each with the model in memory of its own: by
 * default one less than the machine has cores, at most four.
 *
 * @example
 * ```ts
 * const { createPool } = require("isovec/worker");
 * const pool = createPool(2);
 * const model = await pool.TextEmbedder.load("all-MiniLM-L6-v2");
 * const embeddings = await model.embedBatch(texts);
 * pool.terminate();
 * ```
 */
export function createPool(size?: number, options: WorkerOptions = {}): IsovecPool {
  return startPool(size, availableParallelism(), thread, options);
}
