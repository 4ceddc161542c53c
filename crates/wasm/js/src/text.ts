/// <reference lib="esnext.disposable" preserve="true" />
import { type BatchOptions, runBatch } from "./batch.js";
import type { RawClipTextModel, RawTextModel } from "./bindings.js";
import { IsovecError } from "./errors.js";
import type { LoadOptions } from "./loader.js";
import type { Resource } from "./resource.js";
import {
  type Create,
  type Opened,
  openGiven,
  openNamed,
  type TokenizerFile,
} from "./source.js";
import type { ModelSpec, Precision } from "./spec.js";

/** The vector of one text. */
export interface TextEmbedding {
  /** The vector, in memory of its own. */
  readonly vector: Float32Array<ArrayBuffer>;
  /** How many tokens the model read, special tokens included. */
  readonly tokens: number;
  /** Whether the text was longer than `maxTokens`, so that its end was not read. */
  readonly truncated: boolean;
}

/** What a model reads of a text. */
export interface Tokens {
  /** The ids, special tokens included. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** Whether the text was longer than `maxTokens`. */
  readonly truncated: boolean;
}

/** The settings of a model of texts. Each changes its fingerprint. */
export interface TextOptions {
  /** Cut texts after this many tokens; by default, and at most, what the model can read. */
  readonly maxTokens?: number;
  /** Keep only the first so many dimensions, for a model that was trained for it. */
  readonly dimensions?: number;
  /**
   * What the model's products are computed in: `fp32` by default, or `int8`, which is faster and gives vectors that
   * are close. `bf16` is no faster here, and is for indices that a server made in it. Changes the fingerprint.
   */
  readonly precision?: Precision;
}

/** How one text, or a batch of them, is embedded. */
export interface PromptOptions {
  /** The name of the model's prompt to put before the text. */
  readonly prompt?: string;
}

/** A model that comes as bytes, which are read at once. */
export interface TextBytes extends TextOptions {
  /** Its facts, or the name of a model that is known. */
  readonly spec: string | ModelSpec;
  /** The ONNX file. */
  readonly model: Uint8Array;
  /** The `tokenizer.json`. */
  readonly tokenizer: Uint8Array;
  /** Keep copies, so that the model can be made anew after a crash. */
  readonly keepBytes?: boolean;
}

/** What models of texts share, on a page and in a worker. */
export interface TextEmbedderLike {
  /** The model's facts. */
  readonly spec: ModelSpec;
  /** The variant of its weights, if it was loaded by its name or a pinned spec. */
  readonly variant: string | undefined;
  /** The number of dimensions of its vectors. */
  readonly dims: number;
  /** The most tokens that are read of one text. */
  readonly maxTokens: number;
  /** What identifies the vector space: vectors of one fingerprint can be compared. */
  readonly fingerprint: string;
  embed(text: string, options?: PromptOptions): Promise<TextEmbedding>;
  embedBatch(
    texts: readonly string[],
    options?: BatchOptions & PromptOptions,
  ): Promise<TextEmbedding[]>;
  tokenize(text: string): Promise<Tokens>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** The longest text, in bytes of UTF-8, of which a text has at least one for each UTF-16 unit. */
const MAX_TEXT_BYTES = 1 << 20;

/**
 * How many UTF-16 units are run together. On a page some 64 tokens of English, which hold it up for tens of milliseconds;
 * three times as many where there is none, which takes 5 to 12% less time.
 */
const UNITS_TOGETHER = "document" in globalThis ? 256 : 768;
/** What each text counts for beside its own: its special tokens. */
const UNITS_PER_TEXT = 8;

type Facts = Pick<TextEmbedderLike, "dims" | "maxTokens" | "fingerprint">;

abstract class TextModelBase<Raw extends RawClipTextModel> implements TextEmbedderLike {
  readonly spec: ModelSpec;
  readonly variant: string | undefined;
  readonly dims: number;
  readonly maxTokens: number;
  readonly fingerprint: string;

  readonly #resource: Resource<Raw>;

  /** @internal */
  protected constructor({ resource, spec, variant }: Opened<Raw>, facts: Facts) {
    this.#resource = resource;
    this.spec = spec;
    this.variant = variant;
    this.dims = facts.dims;
    this.maxTokens = facts.maxTokens;
    this.fingerprint = facts.fingerprint;
  }

  /** @internal */
  protected abstract run(raw: Raw, text: string, options: PromptOptions): TextEmbedding;

  /** @internal Texts that are worth running together. */
  protected groups(texts: readonly string[]): string[][] {
    return texts.map((text) => [text]);
  }

  /** @internal */
  protected runEach(raw: Raw, texts: readonly string[], options: PromptOptions): TextEmbedding[] {
    return texts.map((text) => this.run(raw, text, options));
  }

  /**
   * The vector of a text. Halves of surrogate pairs are read as U+FFFD.
   *
   * @example
   * ```ts
   * const { vector, truncated } = await model.embed("Hello");
   * ```
   */
  async embed(text: string, options: PromptOptions = {}): Promise<TextEmbedding> {
    checkText(text);
    return await this.#resource.use((raw) => this.run(raw, text, options));
  }

  /**
   * The vectors of many texts, in their order, each the same as alone. It runs on this thread, and lets other
   * tasks run every few texts, or after each that is long; a worker does not hold the page up at all.
   *
   * @example
   * ```ts
   * const vectors = await model.embedBatch(texts, {
   *   onProgress: ({ done, total }) => (bar.value = done / total),
   * });
   * ```
   */
  async embedBatch(
    texts: readonly string[],
    options: BatchOptions & PromptOptions = {},
  ): Promise<TextEmbedding[]> {
    // A copy: what is run later is what was checked.
    const own = [...texts];
    own.forEach(checkText);
    return await runBatch(this.groups(own), options, (group) =>
      this.#resource.use((raw) => this.runEach(raw, group, options)),
    );
  }

  /** The ids that the model would read of a text, without a prompt. */
  async tokenize(text: string): Promise<Tokens> {
    checkText(text);
    return (await this.#resource.use((raw) => raw.tokenize(text))) as Tokens;
  }

  /** Gives the model's memory back. Any further use fails with the code `disposed`. */
  dispose(): void {
    this.#resource.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Turns texts into vectors, on the thread that calls it.
 *
 * @example
 * ```ts
 * using model = await TextEmbedder.load("all-MiniLM-L6-v2", { baseUrl: "/models" });
 * const { vector, tokens, truncated } = await model.embed("Hello");
 * ```
 */
export class TextEmbedder extends TextModelBase<RawTextModel> {
  /** Loads a model by its name, or by a spec whose files are pinned. */
  static async load(
    model: string | ModelSpec,
    options: LoadOptions & TextOptions = {},
  ): Promise<TextEmbedder> {
    const opened = await openNamed(model, "text", options, TextEmbedder.#creator(options));
    return new TextEmbedder(opened, await factsOf(opened));
  }

  /**
   * Loads a model from its files.
   *
   * @example
   * ```ts
   * const spec = { name: "mine", dims: 384, max_tokens: 512, pooling: "mean" } as const;
   * const model = await TextEmbedder.fromBytes({ spec, model: onnxBytes, tokenizer: jsonBytes });
   * ```
   */
  static async fromBytes(bytes: TextBytes): Promise<TextEmbedder> {
    const opened = await openGiven(bytes.spec, "text", bytes, TextEmbedder.#creator(bytes));
    return new TextEmbedder(opened, await factsOf(opened));
  }

  static #creator(options: TextOptions): Create<RawTextModel> {
    const settings = optionsJson(options);
    return ({ TextModel }, spec, { model, modelSha256, tokenizer }) => {
      const { bytes, sha256 } = present(tokenizer);
      return new TextModel(spec, model, modelSha256, bytes, sha256, settings);
    };
  }

  /** @internal */
  protected override run(raw: RawTextModel, text: string, { prompt }: PromptOptions) {
    const embedding = prompt === undefined ? raw.embed(text) : raw.embedPrompted(prompt, text);
    return embedding as TextEmbedding;
  }

  /** @internal */
  protected override groups(texts: readonly string[]) {
    return inGroups(texts);
  }

  /** @internal They read the model's weights together, which is much of the time that short texts take. */
  protected override runEach(raw: RawTextModel, texts: readonly string[], { prompt }: PromptOptions) {
    return raw.embedEach([...texts], prompt) as TextEmbedding[];
  }
}

/**
 * Turns texts into vectors of an image model's space, so that they can be compared with images.
 *
 * @example
 * ```ts
 * const model = await ClipTextEmbedder.load("clip-vit-base-patch32-text");
 * const { vector } = await model.embed("a photo of a cat");
 * ```
 */
export class ClipTextEmbedder extends TextModelBase<RawClipTextModel> {
  /** Loads a model by its name, or by a spec whose files are pinned. */
  static async load(
    model: string | ModelSpec,
    options: LoadOptions & TextOptions = {},
  ): Promise<ClipTextEmbedder> {
    const opened = await openNamed(model, "clip-text", options, ClipTextEmbedder.#creator(options));
    return new ClipTextEmbedder(opened, await factsOf(opened));
  }

  /** Loads a model from its files. */
  static async fromBytes(bytes: TextBytes): Promise<ClipTextEmbedder> {
    const opened = await openGiven(bytes.spec, "clip-text", bytes, ClipTextEmbedder.#creator(bytes));
    return new ClipTextEmbedder(opened, await factsOf(opened));
  }

  static #creator(options: TextOptions): Create<RawClipTextModel> {
    const settings = optionsJson(options);
    return ({ ClipTextModel }, spec, { model, modelSha256, tokenizer }) => {
      const { bytes, sha256 } = present(tokenizer);
      return new ClipTextModel(spec, model, modelSha256, bytes, sha256, settings);
    };
  }

  /** @internal */
  protected override run(raw: RawClipTextModel, text: string, { prompt }: PromptOptions) {
    if (prompt !== undefined) {
      throw new IsovecError("invalid_input", `prompt: "${this.spec.name}" has no prompts`);
    }
    return raw.embed(text) as TextEmbedding;
  }
}

/** Splits texts into groups that are as long together as one may be, or of one that is longer. */
function inGroups(texts: readonly string[]): string[][] {
  const groups: string[][] = [];
  let units = Infinity;
  for (const text of texts) {
    units += UNITS_PER_TEXT + text.length;
    if (units > UNITS_TOGETHER) {
      groups.push([]);
      units = UNITS_PER_TEXT + text.length;
    }
    groups.at(-1)?.push(text);
  }
  return groups;
}

async function factsOf({ resource }: Opened<RawClipTextModel>): Promise<Facts> {
  return await resource.use(({ dims, maxTokens, fingerprint }) => {
    return { dims, maxTokens, fingerprint };
  });
}

function optionsJson({ maxTokens, dimensions, precision }: TextOptions): string {
  return JSON.stringify({ maxTokens, dimensions, precision });
}

function present(tokenizer: TokenizerFile | undefined): TokenizerFile {
  if (tokenizer !== undefined) return tokenizer;
  throw new IsovecError("invalid_config", "the variant has no tokenizer file");
}

function checkText(text: unknown): void {
  if (typeof text !== "string") {
    throw new IsovecError("invalid_input", `text: expected a string, not ${typeof text}`);
  }
  // Before it is copied into WebAssembly, which has no room for just any text.
  if (text.length > MAX_TEXT_BYTES) {
    throw new IsovecError(
      "too_large",
      `the text has more than ${MAX_TEXT_BYTES} bytes, the cap before tokenising`,
    );
  }
}
