// What the page is made for.

/** Where the model's files lie: beside the page. */
export const BASE = new URL("models", document.baseURI).href;

/** isovec's worker, behind the guard of same-origin.js. */
export const worker = () => new Worker(new URL("./model-worker.js", import.meta.url), { type: "module" });
