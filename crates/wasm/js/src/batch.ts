import { checkCancelled } from "./errors.js";

/** How a batch is watched and stopped. */
export interface BatchOptions {
  /** Called after each input, by a pool after every few. */
  readonly onProgress?: (progress: BatchProgress) => void;
  /** Stops the batch, between inputs: it then fails with the code `cancelled`. */
  readonly signal?: AbortSignal;
}

/** How far a batch has come. */
export interface BatchProgress {
  readonly done: number;
  readonly total: number;
}

/** Does `work` on each group of the inputs, in order, and lets other tasks run now and then. */
export async function runBatch<Input, Output>(
  groups: readonly (readonly Input[])[],
  { onProgress, signal }: BatchOptions,
  work: (group: readonly Input[]) => Promise<readonly Output[]>,
): Promise<Output[]> {
  const total = groups.reduce((sum, group) => sum + group.length, 0);
  const outputs: Output[] = [];
  let rested = performance.now();
  for (const group of groups) {
    checkCancelled(signal, "the batch");
    for (const output of await work(group)) {
      outputs.push(output);
      onProgress?.({ done: outputs.length, total });
      checkCancelled(signal, "the batch");
    }
    if (performance.now() - rested > 10) {
      await otherTasks();
      rested = performance.now();
    }
  }
  checkCancelled(signal, "the batch");
  return outputs;
}

/** Waits until tasks that are due have run: clicks, messages, timers. */
function otherTasks(): Promise<void> {
  // Node's own way. A channel costs it a millisecond, and keeps its process alive.
  if (typeof globalThis.setImmediate === "function") {
    return new Promise((resolve) => void globalThis.setImmediate(resolve));
  }
  channel ??= new Channel();
  return channel.wait();
}

let channel: Channel | undefined;

/** Messages to itself: nested timeouts wait four milliseconds, and `scheduler.yield` goes before messages of others. */
class Channel {
  readonly #waiting: (() => void)[] = [];
  readonly #port: MessagePort;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => this.#waiting.shift()?.();
    this.#port = port2;
  }

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#port.postMessage(undefined);
    });
  }
}
