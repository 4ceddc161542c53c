import type { BatchOptions } from "../batch.js";
import { ownBytes } from "../bytes.js";
import { cancelled, checkCancelled } from "../errors.js";
import type { ImageBytes, ImageEmbedderLike } from "../image.js";
import type { SearchIndexLike } from "../search-index.js";
import type { TextEmbedderLike } from "../text.js";
import type { Client } from "./client.js";
import { clientOf } from "./remote.js";
import type { IsovecPool, Member } from "./start.js";
import type { ImageEmbedderFactory, SearchIndexFactory, TextEmbedderFactory } from "./types.js";

/** How many inputs of a batch a worker takes at a time: few, so that all are done together. */
const PIECE = 8;

/** One interface over several workers. */
export function poolApi(members: readonly Member[]): IsovecPool {
  const apis = members.map((member) => member.api);
  const any = () => idlest(members).api;
  const terminate = () => apis.forEach((api) => api.terminate());
  return {
    // Fusions and functions are quick: whichever worker has the least to do runs them.
    get Fusion() {
      return any().Fusion;
    },
    TextEmbedder: textFactory(members, (member) => member.api.TextEmbedder),
    ClipTextEmbedder: textFactory(members, (member) => member.api.ClipTextEmbedder),
    ImageEmbedder: imageFactory(members),
    SearchIndex: { open: (source, options) => openIndex(members, source, options) },
    size: members.length,
    init: async () => void (await Promise.all(alive(members).map(({ api }) => api.init()))),
    models: () => any().models(),
    version: () => any().version(),
    cosineSimilarity: (a, b) => any().cosineSimilarity(a, b),
    dot: (a, b) => any().dot(a, b),
    l2Normalize: (vector) => any().l2Normalize(vector),
    topK: (query, vectors, k) => any().topK(query, vectors, k),
    zeroShot: (image, labels, logitScale) => any().zeroShot(image, labels, logitScale),
    terminate,
    [Symbol.dispose]: terminate,
  };
}

function textFactory(
  members: readonly Member[],
  factory: (member: Member) => TextEmbedderFactory,
): TextEmbedderFactory {
  return {
    load: async (model, options = {}) =>
      pooledText(
        await inEach(members, (member, first) =>
          factory(member).load(model, first ? options : quiet(options)),
        ),
      ),
    fromBytes: async (bytes) => {
      const own = {
        ...bytes,
        ...ownFiles(bytes),
        tokenizer: ownBytes("tokenizer", bytes.tokenizer),
      };
      return pooledText(await inEach(members, (member) => factory(member).fromBytes(own)));
    },
  };
}

function imageFactory(members: readonly Member[]): ImageEmbedderFactory {
  return {
    load: async (model, options = {}) =>
      pooledImage(
        await inEach(members, ({ api }, first) =>
          api.ImageEmbedder.load(model, first ? options : quiet(options)),
        ),
      ),
    fromBytes: async (bytes) => {
      const own = { ...bytes, ...ownFiles(bytes) };
      return pooledImage(await inEach(members, ({ api }) => api.ImageEmbedder.fromBytes(own)));
    },
  };
}

/** Copies: the second worker gets them after a wait, in which the caller may change his. */
function ownFiles({ spec, model }: ImageBytes): Pick<ImageBytes, "spec" | "model"> {
  return { spec: structuredClone(spec), model: ownBytes("model", model) };
}

function quiet<T extends { onProgress?: unknown }>(options: T): Omit<T, "onProgress"> {
  const { onProgress: _, ...rest } = options;
  return rest;
}

/**
 * Makes a model in each worker: first in one, which fills the cache, then in the others. If one
 * fails, the rest are disposed of.
 */
async function inEach<T extends { dispose(): void }>(
  members: readonly Member[],
  make: (member: Member, first: boolean) => Promise<T>,
): Promise<readonly Placed<T>[]> {
  const place = async (member: Member, first: boolean) => {
    return { client: member.client, model: await make(member, first) };
  };
  const [first, ...others] = alive(members);
  const made = await Promise.allSettled([place(first!, true)]);
  if (made[0]?.status === "fulfilled") {
    made.push(...(await Promise.allSettled(others.map((member) => place(member, false)))));
  }
  const failed = made.find((result) => result.status === "rejected");
  const places = made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failed === undefined) return places;
  for (const { model } of places) model.dispose();
  throw failed.reason;
}

/** A model, and the line to the worker that it is in. */
interface Placed<T> {
  readonly client: Client;
  readonly model: T;
}

function pooledText(places: readonly Placed<TextEmbedderLike>[]): TextEmbedderLike {
  const { spec, variant, dims, maxTokens, fingerprint } = places[0]!.model;
  const pooled: TextEmbedderLike = {
    spec,
    variant,
    dims,
    maxTokens,
    fingerprint,
    embed: (text, options) => idlest(places).model.embed(text, options),
    tokenize: (text) => idlest(places).model.tokenize(text),
    embedBatch: async (texts, { prompt, ...options } = {}) =>
      await shared(texts, places, options, (model, piece, signal) =>
        model.embedBatch(piece, prompt === undefined ? { signal } : { prompt, signal }),
      ),
    ...disposal(places),
  };
  pooledTexts.set(pooled, places);
  return pooled;
}

/** The models, one in each worker, that a pooled one stands for. */
const pooledTexts = new WeakMap<object, readonly Placed<TextEmbedderLike>[]>();

/** An index in one of the workers: that of the model if one is given, any of its if it is pooled. */
async function openIndex(
  members: readonly Member[],
  ...[source, options = {}]: Parameters<SearchIndexFactory["open"]>
): Promise<SearchIndexLike> {
  const { model } = options;
  const places = model && pooledTexts.get(model);
  const place = places && idlest(places);
  const client = place?.client ?? (model && clientOf(model));
  const member = members.find((one) => one.client === client) ?? idlest(members);
  if (place === undefined) return await member.api.SearchIndex.open(source, options);
  const index = await member.api.SearchIndex.open(source, { ...options, model: place.model });
  return { ...index, embedder: model! };
}

function pooledImage(places: readonly Placed<ImageEmbedderLike>[]): ImageEmbedderLike {
  const { spec, variant, dims, fingerprint } = places[0]!.model;
  return {
    spec,
    variant,
    dims,
    fingerprint,
    embed: (image) => idlest(places).model.embed(image),
    embedBatch: async (images, options = {}) =>
      await shared(images, places, options, (model, piece, signal) =>
        model.embedBatch(piece, { signal }),
      ),
    ...disposal(places),
  };
}

function disposal(places: readonly Placed<{ dispose(): void }>[]) {
  const dispose = () => places.forEach(({ model }) => model.dispose());
  return { dispose, [Symbol.dispose]: dispose };
}

/** A batch in pieces: each model takes the next one when it is done. Outputs keep their order. */
async function shared<Model, Input, Output>(
  inputs: readonly Input[],
  places: readonly Placed<Model>[],
  { signal, onProgress }: BatchOptions,
  embed: (model: Model, piece: readonly Input[], signal: AbortSignal) => Promise<Output[]>,
): Promise<Output[]> {
  checkCancelled(signal, "the batch");
  const outputs = new Array<Output>(inputs.length);
  // The failure of one ends the others.
  const controller = new AbortController();
  const stop = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  let next = 0;
  let done = 0;
  const work = async ({ model }: Placed<Model>): Promise<void> => {
    while (next < inputs.length) {
      const start = next;
      next += PIECE;
      const piece = await embed(model, inputs.slice(start, next), controller.signal);
      piece.forEach((output, index) => (outputs[start + index] = output));
      done += piece.length;
      onProgress?.({ done, total: inputs.length });
    }
  };
  try {
    await Promise.all(alive(places).map(work));
    return outputs;
  } catch (error) {
    controller.abort();
    throw signal?.aborted ? cancelled(signal, "the batch") : error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Those whose worker runs; if none is left, one whose calls fail and say why. */
function alive<T extends { readonly client: Client }>(all: readonly T[]): readonly T[] {
  const running = all.filter(({ client }) => !client.ended);
  return running.length > 0 ? running : all.slice(0, 1);
}

function idlest<T extends { readonly client: Client }>(all: readonly T[]): T {
  return alive(all).reduce((best, one) => (one.client.load < best.client.load ? one : best));
}
