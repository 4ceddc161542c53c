// What runs in a worker of a browser. Start it with `createWorker()`, or bundle it by its name,
// `isovec/worker-host`, where the bundler does not find it by itself.
import "./browser-platform.js";

import { serve } from "./worker/host.js";
import type { Ask } from "./worker/protocol.js";

const scope = globalThis as unknown as DedicatedWorkerGlobalScopeLike;

interface DedicatedWorkerGlobalScopeLike {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Ask>) => void): void;
}

serve({
  send: (message, transfer = []) => scope.postMessage(message, transfer),
  onMessage: (listener) => scope.addEventListener("message", (event) => listener(event.data)),
});
