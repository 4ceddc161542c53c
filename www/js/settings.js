// What the page is made for.

/** Where the model's files lie: beside the page. */
export const BASE = new URL("models", document.baseURI).href;

/** isovec's worker, behind the guard of same-origin.js. */
export const worker = () => new Worker(new URL("./model-worker.js", import.meta.url), { type: "module" });

/** The same; `onEnd` is called when it has ended by itself. @param {(error: Error) => void} onEnd */
export function watched(onEnd) {
  const made = worker();
  for (const type of ["error", "messageerror"]) {
    made.addEventListener(type, (event) => {
      const why = event instanceof ErrorEvent ? event.message : type;
      onEnd(Object.assign(new Error(`the worker ended: ${why}`), { code: "crashed" }));
    });
  }
  return made;
}
