import { Worker } from "node:worker_threads";

import type { Thread } from "./start.js";

/** A thread of Node. It keeps the process alive only while it has something to do. */
export function nodeThread(script: string | URL): Thread {
  const worker = new Worker(script);
  let open = 0;
  worker.unref();
  return {
    send(message, transfer = []) {
      const answered = message.do !== "abort" && message.do !== "dispose";
      worker.postMessage(message, transfer);
      if (answered && ++open === 1) worker.ref();
    },
    onMessage(listener) {
      worker.on("message", (answer) => {
        if (!("event" in answer) && --open === 0) worker.unref();
        listener(answer);
      });
    },
    onEnd(listener) {
      worker.on("error", (error) => {
        listener(error instanceof Error ? error.message : String(error), error);
      });
      worker.on("exit", (code) => listener(`exit code ${code}`, undefined));
    },
    terminate: () => void worker.terminate(),
  };
}
