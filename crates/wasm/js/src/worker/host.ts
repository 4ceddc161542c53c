import * as api from "../common.js";
import { toIsovecError } from "../errors.js";
import { type Answer, type Ask, type EventName, type Made, plainError, type Port } from "./protocol.js";

/** Anything with methods, by name. */
type Methods = Readonly<Record<string, (...args: unknown[]) => unknown>>;

const CREATE: Readonly<Record<string, readonly string[]>> = {
  TextEmbedder: ["load", "fromBytes"],
  ClipTextEmbedder: ["load", "fromBytes"],
  ImageEmbedder: ["load", "fromBytes"],
  Fusion: ["concat", "untrained", "fromSafetensors"],
  SearchIndex: ["open"],
};
const METHODS = ["embed", "embedBatch", "tokenize", "fuse", "search", "vectors"];

/** Serves one page: keeps the objects that it makes, and calls them. */
export function serve(port: Port<Answer, Ask>): void {
  const objects = new Map<number, { dispose(): void }>();
  const running = new Map<number, AbortController>();
  let lastObject = 0;
  let wasm: Extract<Ask, { do: "init" }>["wasm"];

  async function perform(ask: Ask, signal: AbortSignal): Promise<Omit<Answer, "id">> {
    switch (ask.do) {
      case "init":
        wasm = ask.wasm;
        await api.init(wasm);
        return { value: undefined };
      case "function":
        // Where the first time failed, the file that was asked for is tried again, and no other.
        await api.init(wasm);
        return { value: await (api as unknown as Methods)[ask.name]?.(...ask.args) };
      case "create": {
        if (!CREATE[ask.class]?.includes(ask.how)) {
          throw new TypeError(`no ${ask.class}.${ask.how}`);
        }
        await api.init(wasm);
        const args = ask.args.map((arg) => revive(arg, ask.id, signal));
        const made = await (api[ask.class] as unknown as Methods)[ask.how]?.(...args);
        return { object: keep(made), value: factsOf(made) };
      }
      case "call": {
        const object = objects.get(ask.object);
        if (object === undefined) throw new api.IsovecError("disposed", "it was disposed of");
        if (!METHODS.includes(ask.method)) throw new TypeError(`no method ${ask.method}`);
        const args = ask.args.map((arg) => revive(arg, ask.id, signal));
        return { value: await (object as unknown as Methods)[ask.method]?.(...args) };
      }
      default:
        return { value: undefined };
    }
  }

  function keep(made: unknown): number {
    lastObject += 1;
    objects.set(lastObject, made as { dispose(): void });
    return lastObject;
  }

  /** Its plain properties: `dims`, `fingerprint` and the like. */
  function factsOf(made: unknown): object {
    const facts = { ...(made as object) };
    if (!(made instanceof api.SearchIndex)) return facts;
    const { embedder } = made;
    // One that the page gave it has already.
    const given = [...objects.values()].includes(embedder);
    const also: Made | undefined = given
      ? undefined
      : { object: keep(embedder), facts: { ...embedder } };
    return { ...facts, embedder: also };
  }

  /** Options as the page had them: with callbacks, a signal, and the object that is meant. */
  function revive(arg: unknown, id: number, signal: AbortSignal): unknown {
    if (typeof arg !== "object" || arg === null || Array.isArray(arg)) return arg;
    const options = arg as Record<string, unknown>;
    if (options["signal"] === true) options["signal"] = signal;
    if (typeof options["model"] === "number") {
      const model = objects.get(options["model"]);
      if (model === undefined) throw new api.IsovecError("disposed", "the model was disposed of");
      options["model"] = model;
    }
    for (const event of ["onProgress", "onWarning"] satisfies EventName[]) {
      if (options[event] !== true) continue;
      options[event] = (value: unknown) => {
        const plain = value instanceof api.IsovecError ? plainError(value) : value;
        port.send({ id, event, value: plain });
      };
    }
    return options;
  }

  port.onMessage((ask) => {
    if (ask.do === "abort") return running.get(ask.id)?.abort();
    if (ask.do === "dispose") {
      objects.get(ask.object)?.dispose();
      objects.delete(ask.object);
      return;
    }
    const controller = new AbortController();
    running.set(ask.id, controller);
    perform(ask, controller.signal)
      .then(
        (answer) => {
          const transfer = "value" in answer ? buffersOf(answer.value) : [];
          port.send({ id: ask.id, ...answer } as Answer, transfer);
        },
        (thrown: unknown) => {
          port.send({ id: ask.id, error: plainError(toIsovecError(thrown, "invalid_input")) });
        },
      )
      .finally(() => running.delete(ask.id));
  });
}

/** The memory of arrays in a result. Results are copies, so it can be handed over. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) return [value.buffer as ArrayBuffer];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(buffersOf);
}
