/**
 * What wasm-bindgen makes of `crates/wasm`: its classes and functions, as this package calls them.
 * Checked against the generated `isovec.d.ts` by `test/types.ts`.
 */

export interface RawEmbedding {
  readonly vector: Float32Array;
  readonly tokens: number;
  readonly truncated: boolean;
}

export interface RawTokens {
  readonly ids: Uint32Array;
  readonly truncated: boolean;
}

export interface RawImageEmbedding {
  readonly vector: Float32Array;
  readonly width: number;
  readonly height: number;
  readonly format: "jpeg" | "png" | "webp";
  readonly bytes: number;
  readonly sha256: string;
}

/** An object that lives in the memory of a WebAssembly instance. */
export interface RawObject {
  free(): void;
  /** Generated: forgets the object without a call into the instance, which may be dead. */
  __destroy_into_raw?(): unknown;
}

export interface RawModel extends RawObject {
  readonly dims: number;
  readonly fingerprint: string;
}

/** A model that is made of an ONNX file, whose sha256 it may be told afterwards. */
export interface RawFileModel extends RawModel {
  setModelSha256(sha256: string): void;
}

export interface RawClipTextModel extends RawFileModel {
  readonly maxTokens: number;
  embed(text: string): RawEmbedding;
  tokenize(text: string): RawTokens;
}

export interface RawTextModel extends RawClipTextModel {
  embedPrompted(prompt: string, text: string): RawEmbedding;
  embedEach(texts: string[], prompt?: string): RawEmbedding[];
}

export interface RawImageModel extends RawFileModel {
  embed(file: Uint8Array): RawImageEmbedding;
}

export interface RawFusionModel extends RawModel {
  readonly kind: string;
  readonly textDims: number;
  readonly imageDims: number;
  readonly textModel: string | undefined;
  readonly imageModel: string | undefined;
  readonly about: string;
  fuse(text?: Float32Array | null, image?: Float32Array | null): Float32Array;
}

export interface RawIndexModel extends RawModel {
  readonly model: string;
  readonly variant: string | undefined;
  readonly kind: string;
  readonly maxTokens: number;
  readonly dimensions: number | undefined;
  readonly precision: string;
  readonly queryPrompt: string | undefined;
  readonly passagePrompt: string | undefined;
  readonly length: number;
  readonly items: string;
  checkModel(specJson: string, fingerprint: string): void;
  search(query: Float32Array, k: number): RawHits;
  vectors(): Float32Array;
}

export interface RawHits {
  readonly indices: Uint32Array;
  readonly scores: Float32Array;
}

export interface Bindings {
  readonly TextModel: new (
    specJson: string,
    model: Uint8Array,
    modelSha256: string | undefined,
    tokenizer: Uint8Array,
    tokenizerSha256: string | undefined,
    optionsJson: string,
  ) => RawTextModel;
  readonly ClipTextModel: new (
    specJson: string,
    model: Uint8Array,
    modelSha256: string | undefined,
    tokenizer: Uint8Array,
    tokenizerSha256: string | undefined,
    optionsJson: string,
  ) => RawClipTextModel;
  readonly ImageModel: new (
    specJson: string,
    model: Uint8Array,
    modelSha256: string | undefined,
    optionsJson: string,
  ) => RawImageModel;
  readonly FusionModel: {
    concat(
      textDims: number,
      imageDims: number,
      textWeight: number,
      imageWeight: number,
    ): RawFusionModel;
    untrained(
      textDims: number,
      imageDims: number,
      dims: number,
      seed: number | bigint,
      textWeight: number,
      imageWeight: number,
    ): RawFusionModel;
    fromSafetensors(bytes: Uint8Array): RawFusionModel;
  };
  readonly IndexModel: {
    fromSafetensors(bytes: Uint8Array): RawIndexModel;
  };
  builtInModels(): string;
  version(): string;
  sha256(bytes: Uint8Array): string;
  cosineSimilarity(a: Float32Array, b: Float32Array): number;
  dot(a: Float32Array, b: Float32Array): number;
  l2Normalize(vector: Float32Array): Float32Array;
  topK(query: Float32Array, rows: Float32Array, k: number): RawHits;
  zeroShot(
    image: Float32Array,
    labels: Float32Array,
    logitScale: number,
  ): {
    readonly labels: Uint32Array;
    readonly scores: Float32Array;
    readonly probabilities: Float32Array;
  };
  lastPanic(): string | undefined;
}

/** What the generated glue exports besides. */
export interface Glue extends Bindings {
  initSync(options: { module: WebAssembly.Module | BufferSource }): unknown;
  init(options: { module_or_path: WebAssembly.Module }): Promise<unknown>;
}
