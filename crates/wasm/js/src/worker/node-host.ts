import { parentPort } from "node:worker_threads";

import { serve } from "./host.js";

/** Serves the thread that started this one. */
export function serveParent(): void {
  const port = parentPort;
  if (port === null) throw new Error("this file is to be started as a worker");
  serve({
    send: (message, transfer = []) => port.postMessage(message, transfer),
    onMessage: (listener) => void port.on("message", listener),
  });
}
