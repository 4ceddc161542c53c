// Is it the same vector? What the native program computed is compared with what this browser computes.
import { byId, el, enable, isEnabled, say, svg } from "./dom.js";
import { clip, duration, tiny } from "./format.js";
import { compare, LEAST_COSINE, MOST_OFF } from "./compare.js";
import { explain } from "./problems.js";

/**
 * @typedef {object} Native
 * @property {string} by The program and machine.
 * @property {string} fingerprint
 * @property {{ text: string, tokens: number, truncated: boolean, embedding: number[] }[]} texts
 */

const button = byId("check-run");
let running = false;
let allowed = false;

/** @param {import("./engine.js").Engine} engine */
export function startCheck(engine) {
  button.addEventListener("click", async () => {
    if (!isEnabled(button)) return;
    running = true;
    show();
    byId("check-result").replaceChildren();
    say(byId("check-say"), "Comparing …");
    try {
      await check(engine);
    } catch (error) {
      const { title, text } = explain(error, "The comparison");
      say(byId("check-say"), text, "bad", title);
    } finally {
      running = false;
      show();
      button.textContent = "Compare again";
    }
  });
}

/** Whether there is a model to compare. @param {boolean} ready */
export function allowCheck(ready) {
  allowed = ready;
  show();
}

function show() {
  enable(button, allowed && !running);
}

/** @param {import("./engine.js").Engine} engine */
async function check(engine) {
  const native = await load();
  byId("check-count").textContent = String(native.texts.length);
  const start = performance.now();
  const here = await engine.model.embedBatch(native.texts.map(({ text }) => text));
  const took = performance.now() - start;
  const rows = native.texts.map((text, at) => compare(text, here[at]));
  const sameSpace = native.fingerprint === engine.model.fingerprint;
  draw(rows, sameSpace, native, engine.model.fingerprint, took);
}

/** @returns {Promise<Native>} */
async function load() {
  const response = await fetch(new URL("vectors.json", document.baseURI)).catch((cause) => {
    throw Object.assign(new Error(String(cause)), { code: "network" });
  });
  if (!response.ok) throw new Error(`vectors.json: the server says ${response.status}. scripts/demo makes this file.`);
  const native = await response.json();
  if (!Array.isArray(native?.texts) || native.texts.length === 0) throw new Error("vectors.json holds no texts.");
  return native;
}

/**
 * @param {import("./compare.js").Row[]} rows
 * @param {boolean} sameSpace
 * @param {Native} native
 * @param {string} fingerprint
 * @param {number} took
 */
function draw(rows, sameSpace, native, fingerprint, took) {
  const failed = rows.filter(({ ok }) => !ok).length;
  const good = failed === 0 && sameSpace;
  // Not Math.max and min alone: they must not lose a NaN.
  const off = rows.reduce((most, row) => (row.off <= most ? most : row.off), 0);
  const cosine = rows.reduce((least, row) => (row.cosine >= least ? least : row.cosine), 1);
  const reasons = [
    ...(sameSpace ? [] : ["the fingerprints differ, so that model or settings are not the same"]),
    ...(failed ? [`${failed} of ${rows.length} texts are over the bar`] : []),
  ];
  const title = good ? "Yes: the same vector." : "No: not the same vector.";
  const because = good
    ? `All ${rows.length} texts are within the bar; this browser took ${duration(took)} for them.`
    : `Because ${reasons.join(", and ")}.`;
  say(byId("check-say"), "");
  byId("check-say").append(
    el("div", { class: good ? "verdict" : "verdict bad" }, el("h3", {}, title), el("p", {}, because)),
  );
  byId("check-result").replaceChildren(
    el(
      "dl",
      { class: "figures" },
      figure("Largest difference", tiny(off), off <= MOST_OFF),
      figure("Smallest cosine", cosine.toFixed(9), cosine >= LEAST_COSINE),
      figure("Fingerprint", `${fingerprint.slice(0, 12)}… ${sameSpace ? "equal" : `not ${native.fingerprint.slice(0, 12)}…`}`, sameSpace),
      figure("Native", native.by, true),
    ),
    plot(rows),
    table(rows),
  );
}

/** @param {string} name @param {string} value @param {boolean} ok */
function figure(name, value, ok) {
  return el("div", {}, el("dt", {}, name), el("dd", { class: ok ? "" : "off" }, value));
}

/** Each text as a point by its largest difference, on a logarithmic axis. @param {import("./compare.js").Row[]} rows */
function plot(rows) {
  const [from, to] = [-9, -3];
  const place = (/** @type {number} */ value) => {
    const power = Number.isFinite(value) ? Math.log10(Math.max(value, 1e-12)) : to;
    return 12 + 576 * Math.max(0, Math.min(1, (power - from) / (to - from)));
  };
  const limit = place(MOST_OFF);
  const ticks = Array.from({ length: to - from + 1 }, (_, at) => from + at).map((power) =>
    svg("text", { x: String(place(10 ** power)), y: "152", "text-anchor": "middle" }, `1e${power}`),
  );
  /** Where points are already: those that would touch are stacked. @type {{ x: number, level: number }[]} */
  const taken = [];
  const dots = rows.map(({ off, ok }) => {
    const x = place(off);
    const levels = new Set(taken.filter((other) => Math.abs(other.x - x) < 8).map(({ level }) => level));
    let level = 0;
    while (levels.has(level)) level += 1;
    taken.push({ x, level });
    return svg("circle", { cx: x.toFixed(1), cy: String(126 - 8 * level), r: "3.6", class: ok ? "" : "off" });
  });
  return svg(
    "svg",
    { class: "plot", viewBox: "0 0 600 160", role: "img", "aria-label": "The largest difference of each text, beside the bar of 0.00001. The table below has the numbers." },
    svg("path", { class: "axis", d: "M12 134H588" }),
    svg("path", { class: "limit", d: `M${limit} 8V134` }),
    svg("text", { class: "limit-text", x: String(limit + 6), y: "16" }, "the bar"),
    ...dots,
    ...ticks,
  );
}

/** @param {import("./compare.js").Row[]} rows */
function table(rows) {
  const head = ["Text", "Tokens", "Largest difference", "Cosine"].map((name, at) =>
    el("th", { scope: "col", ...(at ? { class: "number" } : {}) }, name),
  );
  const body = rows.map((row) =>
    el(
      "tr",
      { class: row.ok ? "" : "off" },
      el("td", { dir: "auto" }, clip(row.text, 60)),
      el("td", { class: "number" }, `${row.tokens}${row.truncated ? ", cut" : ""}`),
      el("td", { class: "number" }, tiny(row.off)),
      el("td", { class: "number" }, row.cosine.toFixed(9)),
    ),
  );
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Each text" },
    el("table", {}, el("caption", {}, "Each text, native beside this browser"), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)),
  );
}
