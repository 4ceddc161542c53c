// Two computations of the same vectors, number by number. Knows nothing of the page.

/** The bar: that of the tests of isovec. */
export const MOST_OFF = 1e-5;
export const LEAST_COSINE = 0.999999;

/**
 * @typedef {object} Row
 * @property {string} text
 * @property {number} tokens
 * @property {boolean} truncated
 * @property {number} off The largest difference of two numbers.
 * @property {number} cosine
 * @property {boolean} ok
 */

/**
 * @param {ArrayLike<number>} here
 * @param {ArrayLike<number>} there
 */
export function difference(here, there) {
  if (here.length !== there.length) return { off: Infinity, cosine: NaN };
  let [off, dot, a, b] = [0, 0, 0, 0];
  for (let at = 0; at < here.length; at += 1) {
    const distance = Math.abs(here[at] - there[at]);
    // Written so that NaN counts as being off.
    if (!(distance <= off)) off = distance;
    dot += here[at] * there[at];
    a += here[at] ** 2;
    b += there[at] ** 2;
  }
  return { off, cosine: dot / Math.sqrt(a * b) };
}

/**
 * @param {{ text: string, tokens: number, truncated: boolean, embedding: number[] }} native
 * @param {{ tokens: number, truncated: boolean, vector: Float32Array }} here
 * @returns {Row}
 */
export function compare(native, here) {
  const { off, cosine } = difference(here.vector, native.embedding);
  const same = here.tokens === native.tokens && here.truncated === native.truncated;
  const ok = off <= MOST_OFF && cosine >= LEAST_COSINE && same;
  return { text: native.text, tokens: here.tokens, truncated: here.truncated, off, cosine, ok };
}
