import type { BatchOptions } from "../batch.js";
import { cancelled, checkCancelled } from "../errors.js";
import type { ImageEmbedderLike } from "../image.js";
import type { SearchIndexLike } from "../search-index.js";
import type { TextEmbedderLike } from "../text.js";
import type { IsovecPool, Member } from "./start.js";
import type { ImageEmbedderFactory, SearchIndexFactory, TextEmbedderFactory } from "./types.js";

/** How many inputs of a batch a worker takes at a time: few, so that all are done together. */
const PIECE = 8;

/** One interface over several workers. */
export function poolApi(members: readonly Member[]): IsovecPool {
  const apis = members.map((member) => member.api);
  const idlest = () => members[leastLoaded(members)]!.api;
  const terminate = () => apis.forEach((api) => api.terminate());
  return {
    // Fusions and functions are quick: whichever worker has the least to do runs them.
    get Fusion() {
      return idlest().Fusion;
    },
    TextEmbedder: textFactory(members, (member) => member.api.TextEmbedder),
    ClipTextEmbedder: textFactory(members, (member) => member.api.ClipTextEmbedder),
    ImageEmbedder: imageFactory(members),
    SearchIndex: { open: (source, options) => openIndex(members, source, options) },
    size: members.length,
    init: async () => void (await Promise.all(apis.map((api) => api.init()))),
    models: () => idlest().models(),
    version: () => idlest().version(),
    cosineSimilarity: (a, b) => idlest().cosineSimilarity(a, b),
    dot: (a, b) => idlest().dot(a, b),
    l2Normalize: (vector) => idlest().l2Normalize(vector),
    topK: (query, vectors, k) => idlest().topK(query, vectors, k),
    zeroShot: (image, labels, logitScale) => idlest().zeroShot(image, labels, logitScale),
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
        members,
        await inEach(members, (member, first) =>
          factory(member).load(model, first ? options : quiet(options)),
        ),
      ),
    fromBytes: async (bytes) =>
      pooledText(members, await inEach(members, (member) => factory(member).fromBytes(bytes))),
  };
}

function imageFactory(members: readonly Member[]): ImageEmbedderFactory {
  return {
    load: async (model, options = {}) =>
      pooledImage(
        members,
        await inEach(members, ({ api }, first) =>
          api.ImageEmbedder.load(model, first ? options : quiet(options)),
        ),
      ),
    fromBytes: async (bytes) =>
      pooledImage(members, await inEach(members, ({ api }) => api.ImageEmbedder.fromBytes(bytes))),
  };
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
): Promise<readonly T[]> {
  const [first, ...others] = members;
  const made = await Promise.allSettled([make(first!, true)]);
  if (made[0]?.status === "fulfilled") {
    made.push(...(await Promise.allSettled(others.map((member) => make(member, false)))));
  }
  const failed = made.find((result) => result.status === "rejected");
  const models = made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failed === undefined) return models;
  for (const model of models) model.dispose();
  throw failed.reason;
}

function pooledText(
  members: readonly Member[],
  models: readonly TextEmbedderLike[],
): TextEmbedderLike {
  const { spec, variant, dims, maxTokens, fingerprint } = models[0]!;
  const idlest = () => models[leastLoaded(members)]!;
  const pooled: TextEmbedderLike = {
    spec,
    variant,
    dims,
    maxTokens,
    fingerprint,
    embed: (text, options) => idlest().embed(text, options),
    tokenize: (text) => idlest().tokenize(text),
    embedBatch: async (texts, { prompt, ...options } = {}) =>
      await shared(texts, models, options, (model, piece, signal) =>
        model.embedBatch(piece, prompt === undefined ? { signal } : { prompt, signal }),
      ),
    ...disposal(models),
  };
  pooledTexts.set(pooled, models);
  return pooled;
}

/** The models, one in each worker, that a pooled one stands for. */
const pooledTexts = new WeakMap<object, readonly TextEmbedderLike[]>();

/** An index in one of the workers, with that worker's model if a pooled one is given. */
async function openIndex(
  members: readonly Member[],
  ...[source, options = {}]: Parameters<SearchIndexFactory["open"]>
): Promise<SearchIndexLike> {
  const member = leastLoaded(members);
  const { SearchIndex } = members[member]!.api;
  const models = options.model && pooledTexts.get(options.model);
  if (options.model === undefined || models === undefined) {
    return await SearchIndex.open(source, options);
  }
  const index = await SearchIndex.open(source, { ...options, model: models[member] });
  return { ...index, embedder: options.model };
}

function pooledImage(
  members: readonly Member[],
  models: readonly ImageEmbedderLike[],
): ImageEmbedderLike {
  const { spec, variant, dims, fingerprint } = models[0]!;
  return {
    spec,
    variant,
    dims,
    fingerprint,
    embed: (image) => models[leastLoaded(members)]!.embed(image),
    embedBatch: async (images, options = {}) =>
      await shared(images, models, options, (model, piece, signal) =>
        model.embedBatch(piece, { signal }),
      ),
    ...disposal(models),
  };
}

function disposal(models: readonly { dispose(): void }[]) {
  const dispose = () => models.forEach((model) => model.dispose());
  return { dispose, [Symbol.dispose]: dispose };
}

/** A batch in pieces: each model takes the next one when it is done. Outputs keep their order. */
async function shared<Model, Input, Output>(
  inputs: readonly Input[],
  models: readonly Model[],
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
  const work = async (model: Model): Promise<void> => {
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
    await Promise.all(models.map(work));
    return outputs;
  } catch (error) {
    controller.abort();
    throw signal?.aborted ? cancelled(signal, "the batch") : error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

function leastLoaded(members: readonly Member[]): number {
  let best = 0;
  members.forEach(({ client }, index) => {
    if (client.load < members[best]!.client.load) best = index;
  });
  return best;
}
