// One passage, to be read in full.
import { byId, typed } from "./dom.js";
import { groupOf } from "./groups.js";

const dialog = typed("reader", HTMLDialogElement);
let similar = () => {};
byId("reader-close").addEventListener("click", () => dialog.close());
byId("reader-similar").addEventListener("click", () => {
  dialog.close();
  similar();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

/**
 * @param {import("./corpus.js").Passage} passage
 * @param {number | undefined} score
 * @param {(text: string) => void} search
 */
export function openReader(passage, score, search) {
  dialog.className = groupOf(passage);
  byId("reader-topic").textContent = passage.source ?? passage.topic;
  byId("reader-text").textContent = passage.text;
  const cut = passage.truncated ? "The model read only its beginning. " : "";
  byId("reader-score").textContent = cut + (score === undefined ? "" : `Score for your query: ${score.toFixed(3)}`);
  similar = () => search(passage.text);
  dialog.showModal();
}
