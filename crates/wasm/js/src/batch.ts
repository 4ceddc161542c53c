import { checkCancelled } from "./errors.js";
import { otherTasks } from "./tasks.js";

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
