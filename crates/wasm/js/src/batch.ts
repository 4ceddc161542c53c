import { checkCancelled } from "./errors.js";

/** How a batch is watched and stopped. */
export interface BatchOptions {
  /** Called after each input. */
  readonly onProgress?: (progress: BatchProgress) => void;
  /** Stops the batch between two inputs: it then fails with the code `cancelled`. */
  readonly signal?: AbortSignal;
}

/** How far a batch has come. */
export interface BatchProgress {
  readonly done: number;
  readonly total: number;
}

/** Does `work` on each input, in order, and lets other tasks run now and then. */
export async function runBatch<Input, Output>(
  inputs: readonly Input[],
  { onProgress, signal }: BatchOptions,
  work: (input: Input) => Promise<Output>,
): Promise<Output[]> {
  const outputs: Output[] = [];
  let rested = performance.now();
  for (const input of inputs) {
    checkCancelled(signal, "the batch");
    outputs.push(await work(input));
    onProgress?.({ done: outputs.length, total: inputs.length });
    if (performance.now() - rested > 10) {
      await otherTasks();
      rested = performance.now();
    }
  }
  checkCancelled(signal, "the batch");
  return outputs;
}

/** Waits until tasks that are due have run: clicks, messages, timers. */
async function otherTasks(): Promise<void> {
  // A message, since nested timeouts wait four milliseconds.
  await new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
