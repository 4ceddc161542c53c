// What is searched: the shipped passages, the visitor's own texts, or both.

/**
 * @typedef {object} Passage
 * @property {string} text
 * @property {string} topic Its group.
 * @property {boolean} own
 * @property {boolean} truncated Whether the model read only its beginning.
 * @property {string} [source] The file it came from.
 */

class Part {
  /** @type {Passage[]} */
  passages = [];
  shown = true;
  #numbers = new Float32Array();

  /**
   * @param {readonly Passage[]} passages
   * @param {readonly Float32Array[]} vectors
   */
  add(passages, vectors) {
    const used = this.vectors.length;
    const added = vectors.reduce((sum, { length }) => sum + length, 0);
    if (used + added > this.#numbers.length) {
      const larger = new Float32Array(Math.max(used + added, 2 * this.#numbers.length));
      larger.set(this.vectors);
      this.#numbers = larger;
    }
    let at = used;
    for (const vector of vectors) {
      this.#numbers.set(vector, at);
      at += vector.length;
    }
    this.used = at;
    this.passages.push(...passages);
  }

  used = 0;
  get vectors() {
    return this.#numbers.subarray(0, this.used);
  }

  clear() {
    this.passages = [];
    this.used = 0;
    this.#numbers = new Float32Array();
  }
}

export class Corpus {
  shipped = new Part();
  own = new Part();
  /** Of what is shown. @type {Passage[]} */
  passages = [];
  /** Of what is shown, one after the other. @type {Float32Array<ArrayBuffer>} */
  vectors = new Float32Array();
  /** Changes with each change. */
  version = 0;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  /** @param {() => void} listener */
  onChange(listener) {
    this.#listeners.add(listener);
  }

  /**
   * @param {import("./shipped.js").Shipped} shipped
   */
  setShipped({ index, vectors }) {
    this.shipped.clear();
    const passages = index.items.map(({ text, topic }) => ({ text, topic: String(topic), own: false, truncated: false }));
    this.shipped.add(passages, [vectors]);
    this.#changed();
  }

  /**
   * @param {readonly Passage[]} passages
   * @param {readonly Float32Array[]} vectors
   */
  addOwn(passages, vectors) {
    this.own.add(passages, vectors);
    this.#changed();
  }

  clearOwn() {
    this.own.clear();
    this.own.shown = this.shipped.shown = true;
    this.#changed();
  }

  /** @param {boolean} shipped @param {boolean} own */
  show(shipped, own) {
    this.shipped.shown = shipped;
    this.own.shown = own;
    this.#changed();
  }

  /**
   * All that is shown, the nearest first.
   *
   * @param {import("./engine.js").Engine} engine
   * @param {Float32Array} vector
   * @returns {Promise<import("./engine.js").Ranked>}
   */
  async nearest(engine, vector) {
    const { shipped, own } = this;
    const [some, others] = await Promise.all([
      shipped.shown ? engine.nearestShipped(vector) : undefined,
      own.shown && own.used > 0 ? engine.nearest(vector, own.vectors.slice(), own.passages.length) : undefined,
    ]);
    if (!some || !others) return some ?? others ?? { indices: new Uint32Array(), scores: new Float32Array() };
    return merge(some, others, shipped.passages.length);
  }

  #changed() {
    const parts = [this.shipped, this.own].filter(({ shown }) => shown);
    this.passages = parts.flatMap(({ passages }) => passages);
    this.vectors = new Float32Array(parts.reduce((sum, { used }) => sum + used, 0));
    let at = 0;
    for (const part of parts) {
      this.vectors.set(part.vectors, at);
      at += part.used;
    }
    this.version += 1;
    for (const listener of this.#listeners) listener();
  }
}

/**
 * Two rankings as one. The second's positions come after the `count` of the first.
 *
 * @param {import("./engine.js").Ranked} some
 * @param {import("./engine.js").Ranked} others
 * @param {number} count
 */
function merge(some, others, count) {
  const size = some.indices.length + others.indices.length;
  const merged = { indices: new Uint32Array(size), scores: new Float32Array(size) };
  let [a, b] = [0, 0];
  for (let at = 0; at < size; at += 1) {
    const first = b === others.scores.length || some.scores[a] >= others.scores[b];
    merged.indices[at] = first ? some.indices[a] : count + others.indices[b];
    merged.scores[at] = first ? some.scores[a++] : others.scores[b++];
  }
  return merged;
}
