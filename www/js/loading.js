// The panel that shows the model coming in, or why it does not.
import { byId, hide, typed } from "./dom.js";
import { duration } from "./format.js";
import { explain } from "./problems.js";

const panel = byId("engine");
const title = byId("engine-title");
const detail = byId("engine-detail");
const bar = typed("engine-bar", HTMLProgressElement);
const retry = byId("engine-retry");

/** @param {import("./engine.js").EngineState} state */
export function showEngine(state) {
  const failed = state.state === "failed";
  const waited = document.activeElement === panel;
  hide(retry, !failed, panel);
  hide(panel, state.state === "ready", byId("query"));
  panel.classList.toggle("bad", failed);
  bar.hidden = failed;
  retry.textContent = "Try again";
  // Who has waited for another try since pressing the button is back at it.
  if (failed && waited) retry.focus();
  if (state.state === "loading") {
    title.textContent = `${state.what} …`;
    detail.textContent = state.detail;
    bar.value = state.share;
  } else if (failed) {
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
