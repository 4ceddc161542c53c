// Where each passage lies on the map; computed in a worker, one change at a time.
import { project } from "./pca.js";

export class Layout {
  #worker = new Worker(new URL("./pca-worker.js", import.meta.url), { type: "module" });
  /** @type {import("./pca.js").Plane | undefined} */
  #plane;
  /** @type {(() => void) | undefined} */
  #waiting;
  #busy = false;
  /** What is being laid out. @type {readonly import("./corpus.js").Passage[]} */
  #passages = [];

  /**
   * @param {import("./corpus.js").Corpus} corpus
   * @param {(laid: { points: Float32Array, kept: number, passages: readonly import("./corpus.js").Passage[] }) => void} onLaid
   */
  constructor(corpus, onLaid) {
    corpus.onChange(() => this.#ask(corpus));
    this.#worker.addEventListener("message", ({ data: { points, plane } }) => {
      this.#plane = plane;
      this.#busy = false;
      onLaid({ points, kept: plane.kept, passages: this.#passages });
      const next = this.#waiting;
      this.#waiting = undefined;
      next?.();
    });
  }

  /** @param {import("./corpus.js").Corpus} corpus */
  #ask(corpus) {
    if (this.#busy) {
      this.#waiting = () => this.#ask(corpus);
      return;
    }
    const { passages, vectors, shipped } = corpus;
    if (passages.length < 3) return;
    this.#busy = true;
    this.#passages = passages;
    const dims = vectors.length / passages.length;
    const fit = shipped.shown && shipped.passages.length > 2 ? shipped.passages.length : passages.length;
    this.#worker.postMessage({ vectors, dims, fit });
  }

  /** Where a query lies. @param {Float32Array} vector @returns {[number, number] | undefined} */
  place(vector) {
    if (!this.#plane) return undefined;
    const [x, y] = project(this.#plane, vector);
    return [x, y];
  }
}
