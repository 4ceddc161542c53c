/// <reference lib="esnext.disposable" preserve="true" />
import type { FusionLike, FusionSizes } from "../fusion.js";
import type { ImageBytes, ImageEmbedderLike, ImageOptions } from "../image.js";
import type { IndexSource } from "../index-file.js";
import type { LoadOptions } from "../loader.js";
import type { IndexOptions, SearchIndexLike } from "../search-index.js";
import type { ModelSpec } from "../spec.js";
import type { TextBytes, TextEmbedderLike, TextOptions } from "../text.js";
import type { Hits, Vector, Vectors, ZeroShot } from "../vector.js";

/** {@link LoadOptions} that can be sent to a worker: no cache or `fetch` of your own. */
export type WorkerLoadOptions = Omit<LoadOptions, "cache" | "fetch"> & {
  /** `false` for none; by default that of the platform. */
  readonly cache?: boolean;
};

/** Makes models of texts that run in a worker. */
export interface TextEmbedderFactory {
  load(
    model: string | ModelSpec,
    options?: WorkerLoadOptions & TextOptions,
  ): Promise<TextEmbedderLike>;
  fromBytes(bytes: TextBytes): Promise<TextEmbedderLike>;
}

/** Makes models of images that run in a worker. */
export interface ImageEmbedderFactory {
  load(
    model: string | ModelSpec,
    options?: WorkerLoadOptions & ImageOptions,
  ): Promise<ImageEmbedderLike>;
  fromBytes(bytes: ImageBytes): Promise<ImageEmbedderLike>;
}

/** Makes fusions that run in a worker. */
export interface FusionFactory {
  concat(sizes: FusionSizes): Promise<FusionLike>;
  untrained(
    sizes: FusionSizes & { readonly dims: number; readonly seed?: number | bigint },
  ): Promise<FusionLike>;
  fromSafetensors(bytes: Uint8Array): Promise<FusionLike>;
}

/** Opens indices in a worker. A model that is given must be one of the same worker. */
export interface SearchIndexFactory {
  open(
    source: IndexSource,
    options?: Omit<WorkerLoadOptions, "variant"> & Pick<IndexOptions, "model">,
  ): Promise<SearchIndexLike>;
}

/** The same interface as that of the package, in a worker. What did not wait does so here. */
export interface IsovecWorker {
  readonly TextEmbedder: TextEmbedderFactory;
  readonly ClipTextEmbedder: TextEmbedderFactory;
  readonly ImageEmbedder: ImageEmbedderFactory;
  readonly Fusion: FusionFactory;
  readonly SearchIndex: SearchIndexFactory;
  /** Resolves when the worker runs. Calling it is optional. */
  init(): Promise<void>;
  models(): Promise<readonly ModelSpec[]>;
  version(): Promise<string>;
  cosineSimilarity(a: Vector, b: Vector): Promise<number>;
  dot(a: Vector, b: Vector): Promise<number>;
  l2Normalize(vector: Vector): Promise<Float32Array<ArrayBuffer>>;
  topK(query: Vector, vectors: Vectors, k: number): Promise<Hits>;
  zeroShot(image: Vector, labels: Vectors, logitScale?: number): Promise<ZeroShot>;
  /** Ends the worker, and with it all of its models. Pending calls fail with the code `disposed`. */
  terminate(): void;
  [Symbol.dispose](): void;
}

/** How a worker is started. */
export interface WorkerOptions {
  /**
   * Where the WebAssembly file is, or the compiled module; by default the file that comes with the
   * package.
   */
  readonly wasm?: string | URL | WebAssembly.Module;
}
