// Search as you type: waits for a pause in typing, runs one search at a time, and of all that was
// typed in the meantime only the latest.

const PAUSE_MS = 90;

/**
 * @typedef {object} Found
 * @property {string} query
 * @property {Float32Array} vector
 * @property {number} tokens
 * @property {boolean} truncated
 * @property {number} embedMs
 * @property {number} searchMs
 * @property {Uint32Array} indices All passages, best first.
 * @property {Float32Array} scores In the same order.
 * @property {number} version Of the corpus that was searched.
 */

/**
 * @typedef {object} Finder What is searched, and with what.
 * @property {() => boolean} ready
 * @property {(text: string) => Promise<import("./engine.js").Embedded>} embed
 * @property {(vector: Float32Array) => Promise<import("./engine.js").Ranked>} nearest
 * @property {() => number} version Changes when other things are searched.
 */

export class Searcher {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {string | undefined} */
  #wanted;
  #busy = false;
  /** @type {Pick<Found, "query" | "vector" | "tokens" | "truncated" | "embedMs"> | undefined} */
  #embedded;
  #text = "";

  /**
   * @param {Finder} finder
   * @param {{ found(found: Found): void, cleared(): void, failed(error: unknown): void }} view
   */
  constructor(finder, view) {
    this.finder = finder;
    this.view = view;
  }

  /** @param {string} text @param {number} [pause] */
  type(text, pause = PAUSE_MS) {
    clearTimeout(this.#timer);
    this.#text = text.trim();
    if (this.#text === "") {
      this.#wanted = undefined;
      this.#embedded = undefined;
      this.view.cleared();
      return;
    }
    this.#timer = setTimeout(() => this.again(), pause);
  }

  /** Searches for what was typed last, now; also when what is searched has changed. */
  again() {
    if (this.#text === "" || !this.finder.ready()) return;
    this.#wanted = this.#text;
    if (!this.#busy) void this.#run();
  }

  async #run() {
    this.#busy = true;
    try {
      while (this.#wanted !== undefined) {
        const query = this.#wanted;
        this.#wanted = undefined;
        try {
          await this.#search(query);
        } catch (error) {
          if (this.#wanted === undefined) this.view.failed(error);
        }
      }
    } finally {
      this.#busy = false;
    }
  }

  /** @param {string} query */
  async #search(query) {
    if (this.#embedded?.query !== query) {
      const start = performance.now();
      const { vector, tokens, truncated } = await this.finder.embed(query);
      if (this.#superseded(query)) return;
      this.#embedded = { query, vector, tokens, truncated, embedMs: performance.now() - start };
    }
    const embedded = this.#embedded;
    const version = this.finder.version();
    const start = performance.now();
    const hits = await this.finder.nearest(embedded.vector);
    // What has changed meanwhile asks for a search of its own.
    if (this.#superseded(query) || version !== this.finder.version()) return;
    this.view.found({ ...embedded, ...hits, version, searchMs: performance.now() - start });
  }

  /** @param {string} query */
  #superseded(query) {
    return this.#wanted !== undefined || this.#text !== query;
  }
}
