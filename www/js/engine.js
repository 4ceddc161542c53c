// The model and the shipped index, in a worker, so that the page never waits.
import { createPool, createWorker } from "../isovec/worker.js";
import { BASE, watched, worker } from "./settings.js";
import { openShipped } from "./shipped.js";

/** From so many texts on, the time to start more workers is worth it. */
const MANY = 64;

/**
 * @typedef {object} Embedded
 * @property {Float32Array<ArrayBuffer>} vector
 * @property {number} tokens
 * @property {boolean} truncated
 */

/**
 * @typedef {object} Ranked
 * @property {Uint32Array} indices Positions, the nearest first.
 * @property {Float32Array} scores In the same order.
 */

/**
 * @typedef {{ state: "loading", what: string, share: number, detail: string }
 *   | { state: "ready", ms: number } | { state: "failed", what: string, error: unknown }} EngineState
 */

export class Engine {
  /** @type {import("../isovec/worker.js").IsovecWorker | undefined} */
  #api;
  /** @type {import("./shipped.js").Shipped | undefined} */
  #shipped;
  #opening = false;

  /** @param {(state: EngineState) => void} onState */
  constructor(onState) {
    this.onState = onState;
  }

  get ready() {
    return this.#shipped !== undefined;
  }

  get #index() {
    if (!this.#shipped) throw new Error("the model is not ready");
    return this.#shipped.index;
  }

  /** What embeds texts; only when it is ready. */
  get model() {
    return this.#index.embedder;
  }

  /** Loads the model and the index. May be called again after a failure. */
  async open() {
    if (this.#opening) return undefined;
    this.#opening = true;
    this.#api?.terminate();
    this.#shipped = undefined;
    this.onState({ state: "loading", what: "Starting", share: 0, detail: "" });
    const started = performance.now();
    let what = "The index of the passages";
    try {
      if (typeof WebAssembly !== "object") {
        throw Object.assign(new Error("there is no WebAssembly"), { code: "unsupported" });
      }
      this.#api = createWorker({ worker: () => watched((error) => this.#ended(error)) });
      this.#shipped = await openShipped(this.#api, (doing, share, detail) => {
        if (doing !== "Loading the passages") what = "The model";
        this.onState({ state: "loading", what: doing, share, detail });
      });
      this.onState({ state: "ready", ms: performance.now() - started });
      return this.#shipped;
    } catch (error) {
      this.#api?.terminate();
      this.onState({ state: "failed", what, error });
      return undefined;
    } finally {
      this.#opening = false;
    }
  }

  /**
   * The worker has ended, for good: the page says so, and offers to load the model anew. A model that
   * crashes inside of its worker is another matter: isovec starts it again with the next call.
   *
   * @param {unknown} error
   */
  #ended(error) {
    // While it is loaded, open() says it.
    if (!this.#shipped) return;
    this.#shipped = undefined;
    this.onState({ state: "failed", what: "The model", error });
  }

  /**
   * The vector of a query.
   *
   * @param {string} text
   * @returns {Promise<Embedded>}
   */
  embed(text) {
    const { queryPrompt: prompt } = this.#index;
    return this.model.embed(text, prompt === undefined ? {} : { prompt });
  }

  /** All shipped passages, the nearest first. @param {Float32Array} vector @returns {Promise<Ranked>} */
  async nearestShipped(vector) {
    const hits = await this.#index.search(vector, { k: this.#index.length });
    return {
      indices: Uint32Array.from(hits, ({ index }) => index),
      scores: Float32Array.from(hits, ({ score }) => score),
    };
  }

  /**
   * All of some other vectors, the nearest first.
   *
   * @param {Float32Array} vector
   * @param {Float32Array} vectors One after the other.
   * @param {number} count
   * @returns {Promise<Ranked>}
   */
  async nearest(vector, vectors, count) {
    if (!this.#api || count === 0) return { indices: new Uint32Array(), scores: new Float32Array() };
    return await this.#api.topK(vector, vectors, count);
  }

  /**
   * What embeds `count` texts soonest: where there are cores to spare, workers of their own. They
   * read the model from the browser's store.
   *
   * @param {number} count
   * @returns {Promise<{ embedder: import("../isovec/text.js").TextEmbedderLike, width: number, done: () => void }>}
   */
  async forMany(count) {
    const { modelName, variant, maxTokens, dimensions } = this.#index;
    const width = Math.min(4, (navigator.hardwareConcurrency || 1) - 1);
    if (count < MANY || width < 2) return { embedder: this.model, width: 1, done: () => {} };
    const pool = createPool(width, { worker });
    try {
      const embedder = await pool.TextEmbedder.load(modelName, {
        ...(variant ? { variant } : {}),
        ...(dimensions ? { dimensions } : {}),
        maxTokens,
        baseUrl: BASE,
      });
      if (embedder.fingerprint !== this.model.fingerprint) throw new Error("not the same model");
      return { embedder, width, done: () => pool.terminate() };
    } catch {
      // Say, no memory for so many: the one that is there does it alone.
      pool.terminate();
      return { embedder: this.model, width: 1, done: () => {} };
    }
  }
}
