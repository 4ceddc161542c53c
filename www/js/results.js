// The list of what was found. It is also the map in words: everything there can be reached here.
import { byId, el } from "./dom.js";
import { groupOf } from "./groups.js";

const PAGE = 6;
/** Longer passages are cut to some lines, and open on request. */
const LONG = 600;

export class Results {
  #shown = PAGE;
  /** @type {import("./search.js").Found | undefined} */
  #found;
  /** What is listed: as texts come in, it is mostly the same again. */
  #key = "";
  #list = byId("results");
  #more = byId("more");

  /**
   * @param {import("./corpus.js").Corpus} corpus
   * @param {{ light(index: number | undefined): void, similar(text: string): void }} actions
   */
  constructor(corpus, actions) {
    this.corpus = corpus;
    this.actions = actions;
    this.#more.addEventListener("click", () => {
      const first = this.#shown;
      this.#shown += PAGE;
      this.#draw();
      // The button may be gone now, and reading goes on here anyway.
      const next = this.#list.children[first];
      if (next instanceof HTMLElement) {
        next.tabIndex = -1;
        next.focus();
      }
    });
  }

  /** How many are listed. */
  get shown() {
    return Math.min(this.#shown, this.#found?.indices.length ?? 0);
  }

  /** @param {import("./search.js").Found} found */
  show(found) {
    if (found.query !== this.#found?.query) this.#shown = PAGE;
    this.#found = found;
    byId("found-title").textContent = "Nearest in meaning";
    byId("examples").hidden = true;
    this.#list.hidden = false;
    this.#draw();
  }

  clear() {
    this.#found = undefined;
    byId("found-title").textContent = "Try one of these";
    byId("examples").hidden = false;
    this.#list.hidden = this.#more.hidden = true;
    this.#key = "";
    delete this.#list.dataset.query;
    this.#list.replaceChildren();
  }

  /** Marks the result of a passage. @param {number | undefined} index */
  light(index) {
    for (const item of this.#list.children) {
      item.classList.toggle("lit", item instanceof HTMLElement && item.dataset.index === String(index));
    }
  }

  #draw() {
    const found = this.#found;
    if (!found) return;
    this.#more.hidden = this.shown >= found.indices.length;
    this.#list.dataset.query = found.query;
    const key = [...found.indices.slice(0, this.shown)].map((index) => this.corpus.passages[index]?.text).join("\n") + found.query;
    if (key === this.#key) return;
    this.#key = key;
    const items = [];
    for (let rank = 0; rank < this.shown; rank += 1) {
      items.push(this.#item(found.indices[rank] ?? 0, found.scores[rank] ?? 0));
    }
    this.#list.replaceChildren(...items);
  }

  /** @param {number} index @param {number} score */
  #item(index, score) {
    const passage = this.corpus.passages[index];
    if (!passage) throw new Error(`no passage ${index}`);
    const text = el("p", { class: "passage" }, passage.text);
    const foot = el("div", { class: "hit-foot" });
    if (passage.text.length > LONG) {
      text.classList.add("cut");
      const open = el("button", { type: "button", class: "link", "aria-expanded": "false" }, "Read in full");
      open.addEventListener("click", () => {
        const cut = text.classList.toggle("cut");
        open.setAttribute("aria-expanded", String(!cut));
        open.textContent = cut ? "Read in full" : "Show less";
      });
      foot.append(open);
    }
    foot.append(
      el("button", { type: "button", class: "link", click: () => this.actions.similar(passage.text) }, "More like this"),
    );
    if (passage.source) foot.append(el("span", {}, passage.source));
    if (passage.truncated) foot.append(el("span", {}, "only its beginning was read"));
    const light = () => this.actions.light(index);
    const dim = () => this.actions.light(undefined);
    return el(
      "li",
      {
        class: groupOf(passage), "data-index": String(index),
        pointerenter: light, pointerleave: dim, focusin: light, focusout: dim,
      },
      scoreLine(passage.topic, score),
      text,
      foot,
    );
  }
}

/** A name, a bar and the number. @param {string} name @param {number} score */
export function scoreLine(name, score) {
  const bar = el("i");
  bar.style.setProperty("--share", String(Math.max(0, Math.min(1, score))));
  return el(
    "div",
    { class: "hit-head" },
    el("span", { class: "topic" }, name),
    el("span", { class: "bar", "aria-hidden": "true" }, bar),
    el("span", { class: "score" }, el("span", { class: "hidden" }, "score "), score.toFixed(3)),
  );
}
