// The map's colours and its lettering.
import { groupOf } from "./groups.js";

/**
 * How opaque a dot is, from far (0) to near (1). The farthest too stand out from the background, by at
 * least 3 to 1. Colours of the score are opaque: they fade by themselves.
 *
 * @param {number} share @param {boolean} byScore
 */
export const opacity = (share, byScore) => (byScore ? 1 : 0.75 + 0.25 * share);

/** Of the lines from the query to its nearest, but for the first. */
export const FAINT_LINE = 0.7;

/** Colours as the style sheet has them now. */
export class Palette {
  /** @type {Map<string, string>} */
  #known = new Map();
  #probe = document.createElement("span");

  /** @param {HTMLElement} beside */
  constructor(beside) {
    this.#probe.hidden = true;
    beside.after(this.#probe);
  }

  /** The theme has changed. */
  forget() {
    this.#known.clear();
  }

  /** @param {string} name Of a CSS variable. */
  of(name) {
    let colour = this.#known.get(name);
    if (colour === undefined) {
      this.#probe.style.color = `var(--${name === "group-own" ? "ink" : name})`;
      colour = getComputedStyle(this.#probe).color;
      this.#known.set(name, colour);
    }
    return colour;
  }

  /** From far (0) to near (1). @param {number} share */
  mix(share) {
    const name = `mix-${Math.round(20 * share)}`;
    let colour = this.#known.get(name);
    if (colour === undefined) {
      this.#probe.style.color = `color-mix(in oklab, var(--accent) ${Math.round(20 * share) * 5}%, var(--edge))`;
      colour = getComputedStyle(this.#probe).color;
      this.#known.set(name, colour);
    }
    return colour;
  }

  /**
   * Lettering with a halo, so that it can be read on points.
   *
   * @param {CanvasRenderingContext2D} ink @param {string} text @param {number} x @param {number} y
   * @param {string} colour
   */
  label(ink, text, x, y, colour) {
    ink.font = "600 13px system-ui, sans-serif";
    ink.textAlign = "center";
    ink.textBaseline = "middle";
    ink.lineJoin = "round";
    ink.lineWidth = 5;
    ink.strokeStyle = this.of("raised");
    ink.strokeText(text, x, y);
    ink.fillStyle = this.of(colour);
    ink.fillText(text, x, y);
  }
}

/**
 * The name of each group at the middle of its points, moved apart where two would overlap.
 *
 * @param {CanvasRenderingContext2D} ink
 * @param {Palette} palette
 * @param {readonly import("./corpus.js").Passage[]} passages
 * @param {Float32Array} screen
 * @param {number} width
 * @param {number} height
 */
export function drawLabels(ink, palette, passages, screen, width, height) {
  /** @type {Map<string, { colour: string, xs: number[], ys: number[] }>} */
  const groups = new Map();
  passages.forEach((passage, index) => {
    const group = groups.get(passage.topic) ?? { colour: groupOf(passage), xs: [], ys: [] };
    group.xs.push(screen[2 * index]);
    group.ys.push(screen[2 * index + 1]);
    groups.set(passage.topic, group);
  });
  const labels = [...groups].map(([text, { colour, xs, ys }]) => ({ text, colour, x: median(xs), y: median(ys) }));
  labels.sort((a, b) => a.y - b.y);
  /** @type {typeof labels} */
  const placed = [];
  for (const label of labels) {
    for (const other of placed) {
      const near = Math.abs(other.x - label.x) < 5 * (other.text.length + label.text.length);
      if (near && label.y < other.y + 19) label.y = other.y + 19;
    }
    placed.push(label);
    const margin = 5 * label.text.length;
    const x = Math.max(margin, Math.min(width - margin, label.x));
    palette.label(ink, label.text, x, Math.min(height - 12, label.y), label.colour);
  }
}

/** @param {number[]} values */
function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}
