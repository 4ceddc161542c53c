import { absolute } from "../address.js";
import { cancelled, IsovecError } from "../errors.js";
import { type Answer, type Ask, type EventName, type Made, type Port } from "./protocol.js";

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** A question without its number. */
export type Question = Without<Ask, "id">;

interface Pending {
  resolve(answer: Answered): void;
  reject(error: unknown): void;
  readonly listeners: Partial<Record<EventName, (value: unknown) => void>>;
}

/** What came back: the value, and for an object that was made its number. */
export interface Answered {
  readonly value: unknown;
  readonly object?: number;
}

/** The page's end of the line to one worker. */
export class Client {
  readonly #port: Port<Ask, Answer>;
  readonly #pending = new Map<number, Pending>();
  readonly #unused: FinalizationRegistry<number> | undefined;
  #last = 0;
  #ended: IsovecError | undefined;

  constructor(port: Port<Ask, Answer>) {
    this.#port = port;
    port.onMessage((answer) => this.#receive(answer));
    if (typeof FinalizationRegistry !== "undefined") {
      this.#unused = new FinalizationRegistry((object) => this.dispose(object));
    }
  }

  /** Whether it can answer no more. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** How many questions are open. */
  get load(): number {
    return this.#pending.size;
  }

  /** Asks, and waits. Options among the arguments may have callbacks and a signal. */
  async ask(question: Question): Promise<Answered> {
    if (this.#ended) throw this.#ended;
    this.#last += 1;
    const id = this.#last;
    const args = "args" in question ? question.args.map(sendable) : [];
    const { signal, ...listeners } = callbacks("args" in question ? question.args : []);
    if (signal?.aborted) throw cancelled(signal, "the call");
    const stop = () => {
      this.#pending.get(id)?.reject(cancelled(signal, "the call"));
      this.#pending.delete(id);
      this.#port.send({ id, do: "abort" });
    };
    try {
      return await new Promise<Answered>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject, listeners });
        signal?.addEventListener("abort", stop, { once: true });
        this.#port.send({ ...question, id, ...("args" in question ? { args } : {}) } as Ask);
      });
    } catch (error) {
      this.#pending.delete(id);
      if (!(error instanceof DOMException) || error.name !== "DataCloneError") throw error;
      throw new IsovecError("invalid_input", `cannot be sent to a worker: ${error.message}`, {
        cause: error,
      });
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Has an object disposed of when the page forgets `holder`. */
  watch(holder: object, object: number): void {
    this.#unused?.register(holder, object);
  }

  dispose(object: number): void {
    if (!this.#ended) this.#port.send({ id: 0, do: "dispose", object });
  }

  /** Fails everything that is open and to come. */
  end(error: IsovecError): void {
    this.#ended ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }

  #receive(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) {
      // It was cancelled, too late: nobody will ever use what was made.
      if ("object" in answer && answer.object !== undefined) {
        this.dispose(answer.object);
        const { embedder } = answer.value as { readonly embedder?: Made };
        if (embedder) this.dispose(embedder.object);
      }
      return;
    }
    if ("event" in answer) {
      try {
        pending.listeners[answer.event]?.(answer.value);
      } catch (thrown) {
        this.#pending.delete(answer.id);
        this.#port.send({ id: answer.id, do: "abort" });
        pending.reject(thrown);
      }
      return;
    }
    this.#pending.delete(answer.id);
    if ("error" in answer) {
      pending.reject(new IsovecError(answer.error.code, answer.error.message));
    } else {
      pending.resolve(answer);
    }
  }
}

interface Callbacks extends Partial<Record<EventName, (value: unknown) => void>> {
  signal?: AbortSignal;
}

/** The callbacks and the signal in the options among some arguments. */
function callbacks(args: readonly unknown[]): Callbacks {
  const found: Callbacks = {};
  for (const arg of args.filter(isOptions)) {
    const { onProgress, onWarning, signal } = arg as {
      onProgress?: (value: unknown) => void;
      onWarning?: (warning: IsovecError) => void;
      signal?: AbortSignal;
    };
    if (onProgress) found.onProgress = onProgress;
    if (onWarning) {
      found.onWarning = (value) => {
        const { code, message } = value as { code: string; message: string };
        onWarning(new IsovecError(code, message));
      };
    }
    if (signal) found.signal = signal;
  }
  return found;
}

/** An argument as it can be sent: `true` for callbacks, whole addresses. */
function sendable(arg: unknown): unknown {
  if (!isOptions(arg)) return arg;
  const options: Record<string, unknown> = { ...arg };
  for (const name of ["onProgress", "onWarning", "signal"]) {
    if (options[name] === undefined) continue;
    options[name] = true;
    // A callback that throws stops the call as well.
    options["signal"] = true;
  }
  if (options["baseUrl"] !== undefined) options["baseUrl"] = absolute(options["baseUrl"]);
  return options;
}

function isOptions(arg: unknown): arg is object {
  return typeof arg === "object" && arg !== null && Object.getPrototypeOf(arg) === Object.prototype;
}
