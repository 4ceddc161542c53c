// Everything public that is the same in browsers and Node. The entries add the platform.

export type { BatchOptions, BatchProgress } from "./batch.js";
export { browserCache, type CacheKey, type ModelCache } from "./cache.js";
export { init, initSync } from "./engine.js";
export { type ErrorCode, IsovecError } from "./errors.js";
export {
  Fusion,
  type FusionInput,
  type FusionLike,
  type FusionSizes,
  type FusionWeights,
} from "./fusion.js";
export {
  type ImageBytes,
  ImageEmbedder,
  type ImageEmbedderLike,
  type ImageEmbedding,
  type ImageInput,
  type ImageLimits,
  type ImageOptions,
} from "./image.js";
export type { IndexSource } from "./index-file.js";
export type { LoadOptions, Progress } from "./loader.js";
export type { WasmSource } from "./platform.js";
export {
  type IndexHit,
  type IndexItem,
  type IndexOptions,
  type IndexSearchOptions,
  SearchIndex,
  type SearchIndexLike,
} from "./search-index.js";
export {
  type Build,
  type FileSpec,
  type ModelKind,
  type ModelSpec,
  models,
  type Precision,
  type Preprocessing,
  type Variant,
} from "./spec.js";
export {
  ClipTextEmbedder,
  type PromptOptions,
  type TextBytes,
  TextEmbedder,
  type TextEmbedderLike,
  type TextEmbedding,
  type TextOptions,
  type Tokens,
} from "./text.js";
export {
  cosineSimilarity,
  dot,
  type Hits,
  l2Normalize,
  topK,
  type Vector,
  type Vectors,
  type ZeroShot,
  zeroShot,
} from "./vector.js";
export { version } from "./version.js";
