import { functionsInstance } from "./engine.js";
import { IsovecError } from "./errors.js";

/** A vector: what embedders return, or plain numbers. */
export type Vector = Float32Array | readonly number[];

/** Vectors of one size: a list of them, or all numbers one after the other. */
export type Vectors = Float32Array | readonly Vector[];

/** What a search finds, best first. */
export interface Hits {
  /** The positions in the list. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** The dot products with the query. */
  readonly scores: Float32Array<ArrayBuffer>;
}

/** How well labels fit an image, best first. */
export interface ZeroShot {
  /** The positions of the labels. */
  readonly labels: Uint32Array<ArrayBuffer>;
  /** The cosines of the image and each label. */
  readonly scores: Float32Array<ArrayBuffer>;
  /** The share of each label among all. */
  readonly probabilities: Float32Array<ArrayBuffer>;
}

/**
 * The cosine of the angle between two vectors. Like all functions here it cannot wait, so a model
 * must have been loaded or {@link init} called before.
 *
 * @example
 * ```ts
 * const [a, b] = await model.embedBatch(["a cat", "a kitten"]);
 * cosineSimilarity(a.vector, b.vector); // 0.79
 * ```
 */
export function cosineSimilarity(a: Vector, b: Vector): number {
  const [x, y] = [floats("a", a), floats("b", b)];
  return functionsInstance().call((bindings) => bindings.cosineSimilarity(x, y));
}

/**
 * The dot product of two vectors: for vectors of length one, their cosine.
 *
 * @example
 * ```ts
 * dot([1, 0], [0.5, 0.5]); // 0.5
 * ```
 */
export function dot(a: Vector, b: Vector): number {
  const [x, y] = [floats("a", a), floats("b", b)];
  return functionsInstance().call((bindings) => bindings.dot(x, y));
}

/**
 * A copy of a vector, scaled to length one.
 *
 * @example
 * ```ts
 * l2Normalize([3, 4]); // Float32Array [0.6, 0.8]
 * ```
 */
export function l2Normalize(vector: Vector): Float32Array<ArrayBuffer> {
  const x = floats("vector", vector);
  const result = functionsInstance().call((bindings) => bindings.l2Normalize(x));
  return result as Float32Array<ArrayBuffer>;
}

/**
 * The `k` vectors with the largest dot products with `query`, best first; of equal ones the earlier
 * first. Exact: it looks at every one.
 *
 * @example
 * ```ts
 * const { indices, scores } = topK(query.vector, passages.map((p) => p.vector), 10);
 * console.log(texts[indices[0]], scores[0]);
 * ```
 */
export function topK(query: Vector, vectors: Vectors, k: number): Hits {
  if (!Number.isInteger(k) || k < 0) {
    throw new IsovecError("invalid_input", `k: ${k} is not a whole number`);
  }
  const x = floats("query", query);
  const rows = flat("vectors", vectors, x.length);
  const count = Math.min(k, 0xffffffff);
  return functionsInstance().call((bindings) => bindings.topK(x, rows, count)) as Hits;
}

/**
 * How well each label fits an image, without training: the softmax of their cosines.
 *
 * @param logitScale - What cosines are multiplied with first: the image model's `spec.logit_scale`.
 *
 * @example
 * ```ts
 * const labels = await texts.embedBatch(["a photo of a cat", "a photo of a dog"]);
 * const vectors = labels.map((label) => label.vector);
 * const { labels: best, probabilities } = zeroShot(photo.vector, vectors, images.spec.logit_scale);
 * ```
 */
export function zeroShot(image: Vector, labels: Vectors, logitScale = 100): ZeroShot {
  const x = floats("image", image);
  const rows = flat("labels", labels, x.length);
  return functionsInstance().call((b) => b.zeroShot(x, rows, logitScale)) as ZeroShot;
}

/** A vector as WebAssembly takes it. */
export function floats(name: string, vector: Vector): Float32Array {
  if (Array.isArray(vector)) return Float32Array.from(vector as readonly number[]);
  if (ArrayBuffer.isView(vector)) return vector;
  throw new IsovecError("invalid_input", `${name}: expected a Float32Array or an array of numbers`);
}

/** Vectors of `dims` numbers, one after the other. */
function flat(name: string, vectors: Vectors, dims: number): Float32Array {
  if (!Array.isArray(vectors)) return floats(name, vectors as Float32Array);
  const rows = new Float32Array(vectors.length * dims);
  (vectors as readonly Vector[]).forEach((vector, index) => {
    const row = floats(`${name}[${index}]`, vector);
    if (row.length !== dims) {
      throw new IsovecError(
        "dimension_mismatch",
        `${name}[${index}] has ${row.length} dimensions, expected ${dims}`,
      );
    }
    rows.set(row, index * dims);
  });
  return rows;
}
