// The map: every passage a point, the query and its nearest joined.
import { byId, el, typed } from "./dom.js";
import { clip } from "./format.js";
import { groupOf } from "./groups.js";
import { FAINT_LINE, opacity, Palette, drawLabels } from "./map-ink.js";

/** How many hits are joined to the query. */
const JOINED = 5;
const PADDING = 26;
/** How near the pointer must be to a point, in pixels. */
const REACH = 16;

export class PassageMap {
  #canvas = typed("map", HTMLCanvasElement);
  #tip = byId("tip");
  #palette = new Palette(this.#canvas);
  /** @type {Float32Array} */
  #points = new Float32Array();
  /** Whose points they are: as texts come in, these are the first of the corpus. @type {readonly import("./corpus.js").Passage[]} */
  #laid = [];
  /** Of all points on the screen: x, y, x, y. @type {Float32Array} */
  #screen = new Float32Array();
  /** @type {import("./search.js").Found | undefined} */
  #found;
  /** The first passage of what was searched. @type {import("./corpus.js").Passage | undefined} */
  #searched;
  /** @type {[number, number] | undefined} */
  #query;
  /** By passage. @type {Float32Array | undefined} */
  #scores;
  /** @type {number | undefined} */
  #lit;
  #byScore = false;
  #drawing = false;

  /**
   * @param {import("./corpus.js").Corpus} corpus
   * @param {{ open(index: number): void, light(index: number | undefined): void }} actions
   */
  constructor(corpus, actions) {
    this.corpus = corpus;
    this.actions = actions;
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
    this.#canvas.addEventListener("pointermove", (event) => this.#hover(this.#nearest(event)));
    this.#canvas.addEventListener("pointerleave", () => this.#hover(undefined));
    this.#canvas.addEventListener("click", (event) => {
      const index = this.#nearest(event);
      this.#hover(index);
      // What is drawn may be older than the texts.
      if (index !== undefined && corpus.passages[index]) actions.open(index);
    });
    for (const input of document.querySelectorAll('input[name="colour"]')) {
      input.addEventListener("change", () => {
        this.#byScore = /** @type {HTMLInputElement} */ (input).value === "score";
        this.draw();
      });
    }
  }

  /**
   * New points.
   *
   * @param {Float32Array} points @param {number} kept The share of the variance that they show.
   * @param {readonly import("./corpus.js").Passage[]} passages Whose points they are.
   */
  lay(points, kept, passages) {
    this.#laid = passages;
    this.#points = points;
    this.#canvas.parentElement?.classList.add("laid");
    const percent = Math.round(100 * kept);
    byId("map-about").textContent =
      `Every passage as a point: near means alike. Two of 384 directions, with ${percent} % of the variance, so take it as a sketch.`;
    this.draw();
  }

  /**
   * @param {import("./search.js").Found | undefined} found
   * @param {[number, number]} [query] Where the query lies.
   */
  show(found, query) {
    this.#found = found;
    this.#searched = this.corpus.passages[0];
    this.#query = query;
    this.#scores = found && new Float32Array(found.indices.length);
    found?.indices.forEach((index, rank) => {
      if (this.#scores) this.#scores[index] = found.scores[rank];
    });
    this.draw();
  }

  /** Marks a passage. @param {number | undefined} index */
  light(index) {
    this.#lit = index;
    this.draw();
  }

  /** Draws with the next frame. @param {boolean} [newColours] */
  draw(newColours = false) {
    if (newColours) this.#palette.forget();
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#paint();
    });
  }

  #paint() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    if (width === 0) return;
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    const ink = this.#canvas.getContext("2d");
    if (!ink) return;
    ink.scale(ratio, ratio);
    this.#describe();
    const [first] = this.corpus.passages;
    const count = Math.min(this.#laid.length, this.corpus.passages.length);
    // Other texts are shown than those that were laid out: their points are on the way, or too few for
    // a map. Where nothing is drawn, there is nothing to point at.
    if (count === 0 || this.#laid[0] !== first) {
      this.#screen = new Float32Array();
      this.#tip.hidden = true;
      return;
    }
    if (this.#searched !== first) this.#found = this.#scores = undefined;
    const place = this.#fit(width, height);
    const screen = this.#points.map((_, at) => place(this.#points[at & ~1], this.#points[at | 1])[at & 1]);
    this.#screen = screen.subarray(0, 2 * count);
    const passages = this.#laid.slice(0, count);
    this.#dots(ink, passages);
    if (!this.#found) drawLabels(ink, this.#palette, passages, this.#screen, width, height);
    if (this.#found && this.#query) this.#spokes(ink, place(...this.#query));
    if (this.#lit !== undefined && this.#lit < count) this.#ring(ink, this.#lit, 7, "ink", 2);
  }

  /** From the plane onto the canvas: one scale for both axes. @param {number} width @param {number} height */
  #fit(width, height) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = 0; at < this.#points.length; at += 2) {
      left = Math.min(left, this.#points[at]);
      right = Math.max(right, this.#points[at]);
      top = Math.min(top, this.#points[at + 1]);
      bottom = Math.max(bottom, this.#points[at + 1]);
    }
    const scale = Math.min((width - 2 * PADDING) / (right - left || 1), (height - 2 * PADDING) / (bottom - top || 1));
    const [x0, y0] = [width / 2 - (scale * (left + right)) / 2, height / 2 + (scale * (top + bottom)) / 2];
    return (/** @type {number} */ x, /** @type {number} */ y) =>
      /** @type {[number, number]} */ ([x0 + scale * x, y0 - scale * y]);
  }

  /** @param {CanvasRenderingContext2D} ink @param {readonly import("./corpus.js").Passage[]} passages */
  #dots(ink, passages) {
    const best = this.#found?.scores[0] ?? 1;
    passages.forEach((passage, index) => {
      const score = this.#scores?.[index] ?? 0;
      const share = this.#found ? Math.max(0, score / best) ** 1.5 : 1;
      const byScore = this.#byScore && this.#found !== undefined;
      ink.globalAlpha = this.#found ? opacity(share, byScore) : 0.85;
      ink.fillStyle = byScore ? this.#palette.mix(share) : this.#palette.of(groupOf(passage));
      const [x, y] = this.#at(index);
      const size = passage.own ? 3.6 : this.#found ? 2.8 + 1.8 * share : 3.2;
      ink.beginPath();
      if (passage.own) ink.rect(x - size, y - size, 2 * size, 2 * size);
      else ink.arc(x, y, size, 0, 7);
      ink.fill();
    });
    ink.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} ink @param {[number, number]} from */
  #spokes(ink, from) {
    const hits = [...(this.#found?.indices.slice(0, JOINED) ?? [])].filter((index) => 2 * index < this.#screen.length);
    ink.strokeStyle = this.#palette.of("accent");
    hits.forEach((index, rank) => {
      ink.lineWidth = rank === 0 ? 1.8 : 1;
      ink.globalAlpha = rank === 0 ? 1 : FAINT_LINE;
      ink.beginPath();
      ink.moveTo(...from);
      ink.lineTo(...this.#at(index));
      ink.stroke();
    });
    ink.globalAlpha = 1;
    hits.forEach((index, rank) => this.#ring(ink, index, 6.5, "accent", rank === 0 ? 2.4 : 1.5));
    // The query: a filled diamond, with its name.
    ink.fillStyle = this.#palette.of("accent");
    ink.beginPath();
    for (const [x, y] of [[0, -8], [8, 0], [0, 8], [-8, 0]]) ink.lineTo(from[0] + x, from[1] + y);
    ink.fill();
    this.#palette.label(ink, "query", from[0], from[1] - 14, "accent");
  }

  /**
   * @param {CanvasRenderingContext2D} ink @param {number} index @param {number} radius
   * @param {string} colour @param {number} width
   */
  #ring(ink, index, radius, colour, width) {
    ink.strokeStyle = this.#palette.of(colour);
    ink.lineWidth = width;
    ink.beginPath();
    ink.arc(...this.#at(index), radius, 0, 7);
    ink.stroke();
  }

  /** @param {number} index @returns {[number, number]} */
  #at(index) {
    return [this.#screen[2 * index], this.#screen[2 * index + 1]];
  }

  /** @param {MouseEvent} event */
  #nearest({ offsetX, offsetY }) {
    let best;
    let least = REACH ** 2;
    for (let at = 0; at < this.#screen.length; at += 2) {
      const distance = (this.#screen[at] - offsetX) ** 2 + (this.#screen[at + 1] - offsetY) ** 2;
      if (distance < least) [best, least] = [at / 2, distance];
    }
    return best;
  }

  /** @param {number | undefined} index */
  #hover(index) {
    const passage = index === undefined ? undefined : this.corpus.passages[index];
    if (this.#lit !== index) {
      this.light(index);
      this.actions.light(index);
    }
    this.#canvas.style.cursor = passage ? "pointer" : "crosshair";
    this.#tip.hidden = passage === undefined;
    if (!passage || index === undefined) return;
    const score = this.#scores?.[index];
    const head = score === undefined ? passage.topic : `${passage.topic}, ${score.toFixed(3)}`;
    this.#tip.replaceChildren(el("b", {}, head), clip(passage.text, 220));
    const [x, y] = this.#at(index);
    const { width, height } = this.#canvas.getBoundingClientRect();
    const box = this.#tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(x - box.width / 2, width - box.width - 8));
    const above = y - box.height - 14;
    const top = above > 8 ? above : Math.min(y + 14, height - box.height - 8);
    this.#tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  /** The map in words. */
  #describe() {
    const { passages } = this.corpus;
    const found = this.#found;
    const nearest = found && passages[found.indices[0]];
    const text = nearest
      ? `A map of ${passages.length} passages. The query lies nearest to: ${clip(nearest.text, 120)} The list of results has the same hits.`
      : `A map of ${passages.length} passages by meaning, coloured by topic. The list of results has the same in words.`;
    if (this.#canvas.getAttribute("aria-label") !== text) this.#canvas.setAttribute("aria-label", text);
  }
}
