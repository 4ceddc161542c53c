// The panel that shows the model coming in, or why it does not.
import { byId, typed } from "./dom.js";
import { duration } from "./format.js";
import { explain } from "./problems.js";

const panel = byId("engine");
const title = byId("engine-title");
const detail = byId("engine-detail");
const bar = typed("engine-bar", HTMLProgressElement);
const retry = byId("engine-retry");

/** @param {import("./engine.js").EngineState} state */
export function showEngine(state) {
  panel.hidden = state.state === "ready";
  panel.classList.toggle("bad", state.state === "failed");
  bar.hidden = state.state === "failed";
  retry.hidden = state.state !== "failed";
  if (state.state === "loading") {
    title.textContent = `${state.what} …`;
    detail.textContent = state.detail;
    bar.value = state.share;
  } else if (state.state === "failed") {
    const { title: what, text } = explain(state.error, state.what);
    title.textContent = what;
    detail.textContent = text;
  }
  announce(state);
}

/** Only what changed: not every percent is worth hearing. @param {import("./engine.js").EngineState} state */
function announce(state) {
  const text =
    state.state === "loading"
      ? `${state.what}.`
      : state.state === "ready"
        ? `Ready, after ${duration(state.ms)}.`
        : `${title.textContent} ${detail.textContent}`;
  const region = byId("engine-say");
  if (region.textContent !== text) region.textContent = text;
}

/** Asks before a download, for those who save data. @param {() => void} load */
export function onRetry(load) {
  retry.addEventListener("click", load);
}

export function askFirst() {
  title.textContent = "The model is a download of 23 MB.";
  detail.textContent = "Your browser asks to save data, so it waits for you.";
  bar.hidden = true;
  retry.hidden = false;
  retry.textContent = "Load it";
}
