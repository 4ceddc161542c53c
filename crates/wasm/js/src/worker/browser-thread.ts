import type { Answer } from "./protocol.js";
import type { Thread } from "./start.js";

/** A `Worker` of the browser. */
export function browserThread(worker: Worker): Thread {
  return {
    send: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage(listener) {
      worker.onmessage = (event: MessageEvent<Answer>) => listener(event.data);
    },
    onEnd(listener) {
      worker.onerror = (event) => {
        event.preventDefault();
        // Browsers say nothing where the file is missing or forbidden by the page's policy.
        listener(event.message || "its script could not be loaded", event.error);
      };
      worker.onmessageerror = () => listener("it sent what cannot be read", undefined);
    },
    terminate: () => worker.terminate(),
  };
}
