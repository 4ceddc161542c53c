// The two directions in which vectors differ most, by power iteration: small, and the same every time.

/**
 * @typedef {object} Plane
 * @property {Float64Array} mean
 * @property {Float64Array[]} axes Two, of length one, at right angles.
 * @property {number} kept The share of the variance that lies in the plane.
 */

const ROUNDS = 300;

/**
 * @param {Float32Array} vectors One after the other.
 * @param {number} dims
 * @returns {Plane}
 */
export function fitPlane(vectors, dims) {
  const count = vectors.length / dims;
  const mean = new Float64Array(dims);
  for (let at = 0; at < vectors.length; at += 1) mean[at % dims] += vectors[at] / count;
  const centred = new Float64Array(vectors.length);
  let total = 0;
  for (let at = 0; at < vectors.length; at += 1) {
    const value = vectors[at] - mean[at % dims];
    centred[at] = value;
    total += value * value;
  }
  /** @type {Float64Array[]} */
  const axes = [];
  let inPlane = 0;
  for (let number = 0; number < 2; number += 1) {
    const axis = strongest(centred, count, dims, axes);
    axes.push(axis.direction);
    inPlane += axis.variance;
  }
  return { mean, axes, kept: total > 0 ? inPlane / total : 0 };
}

/**
 * Where each vector lies in the plane: x, y, x, y and so on.
 *
 * @param {Plane} plane
 * @param {Float32Array} vectors
 */
export function project({ mean, axes }, vectors) {
  const dims = mean.length;
  const count = vectors.length / dims;
  const found = new Float32Array(2 * count);
  for (let row = 0; row < count; row += 1) {
    for (let number = 0; number < 2; number += 1) {
      const axis = axes[number];
      let sum = 0;
      for (let at = 0; at < dims; at += 1) sum += (vectors[row * dims + at] - mean[at]) * axis[at];
      found[2 * row + number] = sum;
    }
  }
  return found;
}

/**
 * The direction of most variance at right angles to those before.
 *
 * @param {Float64Array} rows
 * @param {number} count
 * @param {number} dims
 * @param {readonly Float64Array[]} before
 */
function strongest(rows, count, dims, before) {
  // A start that no data is at right angles to, and the same each time.
  let direction = Float64Array.from({ length: dims }, (_, at) => Math.sin(1 + at * 1.618) + 1e-3);
  clean(direction, before);
  let variance = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const next = new Float64Array(dims);
    for (let row = 0; row < count; row += 1) {
      const start = row * dims;
      let sum = 0;
      for (let at = 0; at < dims; at += 1) sum += rows[start + at] * direction[at];
      for (let at = 0; at < dims; at += 1) next[at] += sum * rows[start + at];
    }
    const length = clean(next, before);
    if (length === 0) break;
    direction = next;
    if (Math.abs(length - variance) <= 1e-10 * length) {
      variance = length;
      break;
    }
    variance = length;
  }
  // A direction and its opposite are the same: the largest number shall be positive.
  let largest = 0;
  for (const value of direction) if (Math.abs(value) > Math.abs(largest)) largest = value;
  if (largest < 0) direction = direction.map((value) => -value);
  return { direction, variance };
}

/** Takes out what lies along `before`, and scales to length one; returns the length it had. */
function clean(/** @type {Float64Array} */ vector, /** @type {readonly Float64Array[]} */ before) {
  for (const other of before) {
    let along = 0;
    for (let at = 0; at < vector.length; at += 1) along += vector[at] * other[at];
    for (let at = 0; at < vector.length; at += 1) vector[at] -= along * other[at];
  }
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (length > 0) for (let at = 0; at < vector.length; at += 1) vector[at] /= length;
  return length;
}
