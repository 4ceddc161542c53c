// Numbers as people read them.

/** @param {number} count */
export const whole = (count) => count.toLocaleString("en");

/** @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;

/** @param {number} bytes */
export function megabytes(bytes) {
  const mb = bytes / 1e6;
  return `${mb < 10 ? mb.toFixed(1) : whole(Math.round(mb))} MB`;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1) return "< 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** A tiny number: 3.0e-8. @param {number} value */
export function tiny(value) {
  if (value === 0) return "0";
  return Number.isFinite(value) ? value.toExponential(1) : "not a number";
}

/** @param {string} text @param {number} most */
export function clip(text, most) {
  return text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text;
}
