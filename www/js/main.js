// Puts the parts together.
import { allowCheck, startCheck } from "./check.js";
import { Corpus } from "./corpus.js";
import { byId, el, sayLater, typed } from "./dom.js";
import { startDrop } from "./drop.js";
import { Engine } from "./engine.js";
import { nameGroups } from "./groups.js";
import { clip, counted, duration, whole } from "./format.js";
import { Layout } from "./layout.js";
import { askFirst, onRetry, showEngine } from "./loading.js";
import { PassageMap } from "./map.js";
import { keepOffline, showStored, watchOffline } from "./offline.js";
import { OwnTexts } from "./own.js";
import { explain } from "./problems.js";
import { openReader } from "./reader.js";
import { Results } from "./results.js";
import { Searcher } from "./search.js";
import { startTheme } from "./theme.js";

const EXAMPLES = [
  "how do whales sleep",
  "a composer who could not hear",
  "why do my eyes water when I chop vegetables",
  "starvation made them leave their island",
  "staying up late with a hot drink",
  "cheating a clock",
];

const query = typed("query", HTMLInputElement);
const clear = byId("clear");
const facts = byId("facts");
const sayFound = sayLater(byId("found-say"));

const corpus = new Corpus();
let loadMs = 0;
const engine = new Engine((state) => {
  showEngine(state);
  allowCheck(state.state === "ready");
  if (state.state !== "ready") return;
  loadMs = state.ms;
  timings([["Model ready in", duration(loadMs)]]);
  void showStored();
});

const results = new Results(corpus, {
  light: (index) => map.light(index),
  similar: (text) => search(text),
});
const map = new PassageMap(corpus, {
  light: (index) => results.light(index),
  open: (index) => {
    const score = lastScores?.get(index);
    openReader(corpus.passages[index], score, search);
  },
});
const layout = new Layout(corpus, ({ points, kept, passages }) => {
  map.lay(points, kept, passages);
  if (lastFound) map.show(lastFound, layout.place(lastFound.vector));
});

/** @type {import("./search.js").Found | undefined} */
let lastFound;
/** @type {Map<number, number> | undefined} */
let lastScores;

const finder = {
  ready: () => engine.ready,
  embed: (/** @type {string} */ text) => engine.embed(text),
  nearest: (/** @type {Float32Array} */ vector) => corpus.nearest(engine, vector),
  version: () => corpus.version,
};
const searcher = new Searcher(finder, {
  found(found) {
    lastFound = found;
    lastScores = new Map([...found.indices].map((index, rank) => [index, found.scores[rank]]));
    results.show(found);
    map.show(found, layout.place(found.vector));
    const cut = found.truncated
      ? [el("span", { class: "warn" }, `Cut: the model read only the first ${whole(found.tokens)} tokens. `)]
      : [];
    facts.replaceChildren(
      ...cut,
      `${counted(found.indices.length, "text")} compared with `,
      el("b", {}, counted(found.tokens, "token")),
      ` of yours, in ${duration(found.embedMs + found.searchMs)}.`,
    );
    announce(found);
    timings([
      ["Query embedded in", duration(found.embedMs)],
      ["Searched in", duration(found.searchMs)],
      ["Texts compared", whole(found.indices.length)],
      ["Tokens read", `${whole(found.tokens)}${found.truncated ? ", cut" : ""}`],
      ["Model ready in", duration(loadMs)],
    ]);
  },
  cleared() {
    lastFound = lastScores = undefined;
    results.clear();
    map.show(undefined);
    facts.replaceChildren();
    announce(undefined);
  },
  failed(error) {
    const { title, text } = explain(error);
    sayFound(`${title} ${text}`);
    facts.replaceChildren(el("span", { class: "warn" }, title), ` ${text}`);
  },
});

// The same words, in other texts.
corpus.onChange(() => searcher.again());

let announced = "";

/**
 * The count and the first hit, for those who do not see the list. Not again where both the query and
 * the first hit are the same, as while more texts come in.
 *
 * @param {import("./search.js").Found | undefined} found
 */
function announce(found) {
  const first = found && corpus.passages[found.indices[0]];
  const key = found && first ? `${found.query}\n${first.text}` : "";
  if (key === announced) return;
  announced = key;
  sayFound(found && first ? `${counted(found.indices.length, "text")} compared. First: ${clip(first.text, 120)}` : "");
}

/** @param {[string, string][]} rows */
function timings(rows) {
  byId("timings").replaceChildren(
    ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

/** Searches for a text as if it had been typed. @param {string} text */
function search(text) {
  query.value = text;
  clear.hidden = text === "";
  searcher.type(text, 0);
  query.focus({ preventScroll: true });
  byId("form").scrollIntoView({ block: "nearest" });
}

query.addEventListener("input", () => {
  clear.hidden = query.value === "";
  searcher.type(query.value);
});
byId("form").addEventListener("submit", (event) => event.preventDefault());
clear.addEventListener("click", () => search(""));
byId("examples").replaceChildren(
  ...EXAMPLES.map((text) => el("li", {}, el("button", { type: "button", click: () => search(text) }, text))),
);

const own = new OwnTexts(engine, corpus);
startDrop({ texts: (files) => void own.addFiles(files), images: (files) => void imagesModule(files) });
startTheme(() => map.draw(true));
startCheck(engine);
watchOffline();

/** The images are a module of their own, fetched when somebody wants it. */
async function imagesModule(/** @type {File[]} */ files = []) {
  const { startImages } = await import("./images.js");
  await startImages().add(files);
}
byId("images-load").addEventListener("click", () => {
  void import("./images.js").then(async ({ startImages }) => await startImages().load());
});

async function open() {
  const shipped = await engine.open();
  if (!shipped) return;
  nameGroups(shipped.index.items.map(({ topic }) => String(topic)));
  corpus.setShipped(shipped);
}
onRetry(() => void open());
const { saveData } = /** @type {{ connection?: { saveData?: boolean } }} */ (navigator).connection ?? {};
if (saveData) askFirst();
// Only then, so that what is kept for later does not slow down what is wanted now.
void (saveData ? Promise.resolve() : open()).then(keepOffline);
