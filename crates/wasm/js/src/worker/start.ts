import { IsovecError } from "../errors.js";
import { Client } from "./client.js";
import { poolApi } from "./pool.js";
import type { Answer, Ask, Port } from "./protocol.js";
import { remoteApi } from "./remote.js";
import type { IsovecWorker, WorkerOptions } from "./types.js";

/** A worker of the platform. */
export interface Thread extends Port<Ask, Answer> {
  /** Called if it could not start, or ended by itself. */
  onEnd(listener: (reason: string, cause: unknown) => void): void;
  terminate(): void;
}

/** A worker, and what counts its open questions. */
export interface Member {
  readonly api: IsovecWorker;
  readonly client: Client;
}

/** The interface of the package in a new thread. */
export function start(thread: Thread, options: WorkerOptions): Member {
  const client = new Client(thread);
  thread.onEnd((reason, cause) => {
    client.end(new IsovecError("crashed", `the worker ended: ${reason}`, { cause }));
    // A browser lets a worker live on after an error.
    thread.terminate();
  });
  const terminate = () => {
    client.end(new IsovecError("disposed", "the worker was terminated"));
    thread.terminate();
  };
  return { api: remoteApi(client, options, terminate), client };
}

/** A pool of `size` threads. */
export function startPool(
  size: number | undefined,
  cores: number,
  newThread: () => Thread,
  options: WorkerOptions,
): IsovecPool {
  // One core is left for the thread that asks.
  const count = size ?? Math.max(1, Math.min(4, cores - 1));
  if (!Number.isInteger(count) || count < 1 || count > 64) {
    throw new IsovecError("invalid_config", `size: ${count} is outside of 1 to 64`);
  }
  const members = Array.from({ length: count }, () => start(newThread(), options));
  return poolApi(members);
}

/** Several workers that share the work of batches. */
export interface IsovecPool extends IsovecWorker {
  /** How many workers there are. */
  readonly size: number;
}
