import { absolute } from "../address.js";
import type { BatchOptions } from "../batch.js";
import { IsovecError } from "../errors.js";
import type { FusionFacts, FusionInput, FusionLike } from "../fusion.js";
import type { ImageEmbedderLike, ImageEmbedding, ImageInput } from "../image.js";
import type { IndexFacts, IndexHit, SearchIndexLike } from "../search-index.js";
import type { PromptOptions, TextEmbedderLike, TextEmbedding, Tokens } from "../text.js";
import type { Client } from "./client.js";
import type { ClassName, FunctionName, Made } from "./protocol.js";
import type {
  FusionFactory,
  ImageEmbedderFactory,
  IsovecWorker,
  SearchIndexFactory,
  TextEmbedderFactory,
  WorkerOptions,
} from "./types.js";

/** Makes an object in the worker, and what stands for it on the page. */
async function create<T>(
  client: Client,
  className: ClassName,
  how: string,
  args: readonly unknown[],
  wrap: (remote: Remote, facts: unknown) => T,
): Promise<T> {
  const { object, value } = await client.ask({ do: "create", class: className, how, args });
  return wrap(new Remote(client, object ?? 0), value);
}

/** An object in a worker. */
class Remote {
  #disposed = false;

  /** @param owner - What disposes of this one, and so must live as long. */
  constructor(
    readonly client: Client,
    readonly object: number,
    readonly owner?: Remote,
  ) {
    client.watch(this, object);
  }

  async call(method: string, ...args: unknown[]): Promise<unknown> {
    const question = { do: "call", object: this.object, method, args } as const;
    return (await this.client.ask(question)).value;
  }

  dispose(): void {
    if (!this.#disposed) this.client.dispose(this.object);
    this.#disposed = true;
  }
}

type TextFacts = Pick<
  TextEmbedderLike,
  "spec" | "variant" | "dims" | "maxTokens" | "fingerprint"
>;
type ImageFacts = Pick<ImageEmbedderLike, "spec" | "variant" | "dims" | "fingerprint">;

/** What stands for a model of texts on the page, and where it is. */
const textModels = new WeakMap<object, Remote>();

/** The line to the worker that a model of texts is in. */
export function clientOf(model: object): Client | undefined {
  return textModels.get(model)?.client;
}

function textModel(remote: Remote, facts: unknown): TextEmbedderLike {
  const model: TextEmbedderLike = {
    ...(facts as TextFacts),
    embed: (text: string, options: PromptOptions = {}) =>
      remote.call("embed", text, options) as Promise<TextEmbedding>,
    embedBatch: (texts: readonly string[], options: BatchOptions & PromptOptions = {}) =>
      remote.call("embedBatch", texts, options) as Promise<TextEmbedding[]>,
    tokenize: (text: string) => remote.call("tokenize", text) as Promise<Tokens>,
    ...disposal(remote),
  };
  textModels.set(model, remote);
  return model;
}

function imageModel(remote: Remote, facts: unknown): ImageEmbedderLike {
  return {
    ...(facts as ImageFacts),
    embed: (image: ImageInput) => remote.call("embed", image) as Promise<ImageEmbedding>,
    embedBatch: (images: readonly ImageInput[], options: BatchOptions = {}) =>
      remote.call("embedBatch", images, options) as Promise<ImageEmbedding[]>,
    ...disposal(remote),
  };
}

function fusion(remote: Remote, facts: unknown): FusionLike {
  return {
    ...(facts as FusionFacts),
    fuse: (input: FusionInput) =>
      remote.call("fuse", input) as Promise<Float32Array<ArrayBuffer>>,
    ...disposal(remote),
  };
}

/** An index in the worker of `client`. A model that is given must be there as well. */
async function openIndex(
  client: Client,
  ...[source, { model, ...options } = {}]: Parameters<SearchIndexFactory["open"]>
): Promise<SearchIndexLike> {
  const given = model && textModels.get(model);
  if (model !== undefined && given?.client !== client) {
    throw new IsovecError("invalid_input", "model: expected an embedder of the same worker");
  }
  const file = typeof source === "string" || source instanceof URL ? absolute(source) : source;
  const args = [file, given ? { ...options, model: given.object } : options];
  return await create(client, "SearchIndex", "open", args, (remote, value) => {
    const { embedder, ...facts } = value as IndexFacts & { readonly embedder?: Made };
    const loaded = embedder && new Remote(client, embedder.object, remote);
    const dispose = () => {
      loaded?.dispose();
      remote.dispose();
    };
    return {
      ...facts,
      embedder: model ?? textModel(loaded!, embedder!.facts),
      search: (query, { k } = {}) =>
        remote.call("search", query, k === undefined ? {} : { k }) as Promise<IndexHit[]>,
      vectors: () => remote.call("vectors") as Promise<Float32Array<ArrayBuffer>>,
      dispose,
      [Symbol.dispose]: dispose,
    };
  });
}

function disposal(remote: Remote) {
  const dispose = () => remote.dispose();
  return { dispose, [Symbol.dispose]: dispose };
}

/** The interface of the package, in the worker at the other end of `client`. */
export function remoteApi(
  client: Client,
  { wasm }: WorkerOptions,
  terminate: () => void,
): IsovecWorker {
  const text = (name: "TextEmbedder" | "ClipTextEmbedder"): TextEmbedderFactory => ({
    load: (model, options = {}) => create(client, name, "load", [model, options], textModel),
    fromBytes: (bytes) => create(client, name, "fromBytes", [bytes], textModel),
  });
  const ImageEmbedder: ImageEmbedderFactory = {
    load: (model, options = {}) =>
      create(client, "ImageEmbedder", "load", [model, options], imageModel),
    fromBytes: (bytes) => create(client, "ImageEmbedder", "fromBytes", [bytes], imageModel),
  };
  const makeFusion = (how: string, arg: unknown) => create(client, "Fusion", how, [arg], fusion);
  const Fusion: FusionFactory = {
    concat: (sizes) => makeFusion("concat", sizes),
    untrained: (sizes) => makeFusion("untrained", sizes),
    fromSafetensors: (bytes) => makeFusion("fromSafetensors", bytes),
  };
  // What the function of this name returns is known to TypeScript from IsovecWorker.
  const run = async <T>(name: FunctionName, ...args: unknown[]): Promise<T> =>
    (await client.ask({ do: "function", name, args })).value as T;

  // First of all, so that everything else finds the module it should use.
  const source = wasm === undefined || wasm instanceof WebAssembly.Module ? wasm : absolute(wasm);
  const start = () => client.ask({ do: "init", wasm: source });
  start().catch(() => {}); // Whoever asks for something hears of it.

  return {
    TextEmbedder: text("TextEmbedder"),
    ClipTextEmbedder: text("ClipTextEmbedder"),
    ImageEmbedder,
    Fusion,
    SearchIndex: { open: (source, options) => openIndex(client, source, options) },
    init: async () => void (await start()),
    models: () => run("models"),
    version: () => run("version"),
    cosineSimilarity: (a, b) => run("cosineSimilarity", a, b),
    dot: (a, b) => run("dot", a, b),
    l2Normalize: (vector) => run("l2Normalize", vector),
    topK: (query, vectors, k) => run("topK", query, vectors, k),
    zeroShot: (image, labels, logitScale) => run("zeroShot", image, labels, logitScale),
    terminate,
    [Symbol.dispose]: terminate,
  };
}
