import { Worker } from "node:worker_threads";

import type { Thread } from "./start.js";

/** A thread of Node. It keeps the process alive only while it has something to do. */
export function nodeThread(script: string | URL): Thread {
  const worker = newWorker(script);
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
      worker.on("messageerror", (error) => listener("it sent what cannot be read", error));
      worker.on("exit", (code) => listener(`exit code ${code}`, undefined));
    },
    terminate: () => void worker.terminate(),
  };
}

/** Options that say what Node runs, in place of a file. A worker would take them for its own. */
const INSTEAD_OF_A_FILE = /^(--input-type|-e|--eval|-p|-pe|--print)(=|$)/;

function newWorker(script: string | URL): Worker {
  const { execArgv } = process;
  // Not unless they must go: a list that is given may not have options of V8, one that is inherited may.
  if (!execArgv.some((arg) => INSTEAD_OF_A_FILE.test(arg))) return new Worker(script);
  try {
    return new Worker(script, { execArgv: withoutProgram(execArgv) });
  } catch {
    // There are options of V8 among the others.
    return new Worker(script, { execArgv: [] });
  }
}

function withoutProgram(args: readonly string[]): string[] {
  return args.filter((arg, i) => {
    const before = args[i - 1] ?? "";
    const isValue =
      !arg.startsWith("-") && INSTEAD_OF_A_FILE.test(before) && !before.includes("=");
    return !isValue && !INSTEAD_OF_A_FILE.test(arg);
  });
}
