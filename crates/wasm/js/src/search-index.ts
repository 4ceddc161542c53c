/// <reference lib="esnext.disposable" preserve="true" />
import type { RawIndexModel } from "./bindings.js";
import { checkCancelled, IsovecError, toIsovecError } from "./errors.js";
import { type IndexSource, readIndexFile } from "./index-file.js";
import type { LoadOptions } from "./loader.js";
import { type Maker, Resource } from "./resource.js";
import { type ModelKind, type Precision, resolveSpec } from "./spec.js";
import { ClipTextEmbedder, TextEmbedder, type TextEmbedderLike } from "./text.js";
import { floats, type Vector } from "./vector.js";

/** What an index holds: a text, and whatever else stood beside it when the index was made. */
export interface IndexItem {
  readonly text: string;
  readonly [key: string]: unknown;
}

/** What a search of an index finds. */
export interface IndexHit {
  /** The position of the item. */
  readonly index: number;
  /** The dot product of its vector and the query's: for models that normalise, their cosine. */
  readonly score: number;
  readonly item: IndexItem;
}

/** How an index is searched. */
export interface IndexSearchOptions {
  /** How many items to find: 5 by default. */
  readonly k?: number;
}

/** How an index is opened: where its model's files come from, or a model that is loaded already. */
export interface IndexOptions extends Omit<LoadOptions, "variant"> {
  /** An embedder of texts. It must have the fingerprint of the index. */
  readonly model?: TextEmbedderLike | undefined;
}

/** What an index is, on a page and in a worker. */
export interface SearchIndexLike {
  /** The name of the model that made the vectors. */
  readonly modelName: string;
  /** The variant of its weights; `undefined` for a model that has only one. */
  readonly variant: string | undefined;
  /** What the model takes: `text` or `clip-text`. */
  readonly kind: ModelKind;
  /** What identifies the space of the vectors. */
  readonly fingerprint: string;
  /** The most tokens that were read of one text. */
  readonly maxTokens: number;
  /** How many dimensions were kept of the model's, if not all. */
  readonly dimensions: number | undefined;
  /** What the model's products were computed in. */
  readonly precision: Precision;
  /** The name of the prompt that is put before a query. */
  readonly queryPrompt: string | undefined;
  /** The name of the prompt that was put before each text. */
  readonly passagePrompt: string | undefined;
  /** The number of items. */
  readonly length: number;
  /** The number of dimensions of the vectors. */
  readonly dims: number;
  readonly items: readonly IndexItem[];
  /** What embeds the queries. */
  readonly embedder: TextEmbedderLike;
  search(query: string | Vector, options?: IndexSearchOptions): Promise<IndexHit[]>;
  vectors(): Promise<Float32Array<ArrayBuffer>>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** The plain properties of an index. */
export type IndexFacts = Omit<
  SearchIndexLike,
  "embedder" | "search" | "vectors" | "dispose" | typeof Symbol.dispose
>;

/**
 * Texts with their vectors, as `isovec index` of the native program writes them.
 *
 * The file says which model made the vectors, in which variant and with which settings. That model is
 * loaded to embed queries, and its fingerprint compared with the file's: vectors of another one may
 * have as many dimensions and still mean something else.
 *
 * @example
 * ```ts
 * using index = await SearchIndex.open("passages.safetensors", { baseUrl: "/models" });
 * for (const { score, item } of await index.search("how do whales sleep", { k: 5 })) {
 *   console.log(score.toFixed(3), item.text);
 * }
 * ```
 */
export class SearchIndex implements SearchIndexLike {
  readonly modelName!: string;
  readonly variant!: string | undefined;
  readonly kind!: ModelKind;
  readonly fingerprint!: string;
  readonly maxTokens!: number;
  readonly dimensions!: number | undefined;
  readonly precision!: Precision;
  readonly queryPrompt!: string | undefined;
  readonly passagePrompt!: string | undefined;
  readonly length!: number;
  readonly dims!: number;
  readonly items!: readonly IndexItem[];
  readonly embedder: TextEmbedderLike;
  readonly #resource: Resource<RawIndexModel>;
  readonly #ownsEmbedder: boolean;

  private constructor(
    resource: Resource<RawIndexModel>,
    facts: IndexFacts,
    embedder: TextEmbedderLike,
    ownsEmbedder: boolean,
  ) {
    this.#resource = resource;
    this.#ownsEmbedder = ownsEmbedder;
    this.embedder = embedder;
    Object.assign(this, facts);
  }

  /**
   * Reads an index, and loads the model that it names unless one is given.
   *
   * Fails with the code `fingerprint_mismatch` if the model is not the one that made the vectors.
   * `onProgress` is called for the index's file first, and then for those of the model.
   *
   * @param source - The file: its address, or its bytes.
   *
   * @example
   * ```ts
   * const index = await SearchIndex.open(await readFile("passages.safetensors"), { model });
   * ```
   */
  static async open(source: IndexSource, options: IndexOptions = {}): Promise<SearchIndex> {
    const { model, ...load } = options;
    const resource = await openFile(await readIndexFile(source, load));
    let loaded: TextEmbedderLike | undefined;
    try {
      const { json, ...plain } = await resource.use(factsOf);
      const facts = { ...plain, items: parse(json) };
      if (model === undefined) loaded = await loadModel(facts, load);
      const embedder = model ?? (loaded as TextEmbedderLike);
      const { fingerprint } = embedder;
      if (typeof fingerprint !== "string" || typeof embedder.embed !== "function") {
        throw new IsovecError("invalid_input", "model: expected an embedder of texts");
      }
      const specJson = JSON.stringify(embedder.spec);
      await resource.use((raw) => raw.checkModel(specJson, fingerprint));
      checkCancelled(load.signal, "opening the index");
      return new SearchIndex(resource, facts, embedder, model === undefined);
    } catch (error) {
      loaded?.dispose();
      resource.dispose();
      throw error;
    }
  }

  /**
   * The items that fit a query best, best first; of equal ones the earlier first. Exact: it compares
   * every item.
   *
   * @param query - A text, or the vector of one or of whatever else lies in the same space.
   *
   * @example
   * ```ts
   * const [{ index: position, score, item }] = await index.search("how do whales sleep", { k: 1 });
   * ```
   */
  async search(
    query: string | Vector,
    { k = 5 }: IndexSearchOptions = {},
  ): Promise<IndexHit[]> {
    if (!Number.isInteger(k) || k < 0) {
      throw new IsovecError("invalid_input", `k: ${k} is not a whole number`);
    }
    const count = Math.min(k, 0xffffffff);
    const vector = typeof query === "string" ? await this.#embed(query) : floats("query", query);
    const found = await this.#resource.use((raw) => raw.search(vector, count));
    return Array.from(found.indices, (index, i) => {
      return { index, score: found.scores[i]!, item: this.items[index]! };
    });
  }

  /** A copy of all vectors, one after the other: `length` times `dims` numbers. */
  async vectors(): Promise<Float32Array<ArrayBuffer>> {
    return (await this.#resource.use((raw) => raw.vectors())) as Float32Array<ArrayBuffer>;
  }

  /**
   * Gives its memory back, and that of the model if the index loaded it. Any further use fails with
   * the code `disposed`.
   */
  dispose(): void {
    this.#resource.dispose();
    if (this.#ownsEmbedder) this.embedder.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async #embed(text: string): Promise<Float32Array> {
    const { queryPrompt: prompt } = this;
    const options = prompt === undefined ? {} : { prompt };
    return (await this.embedder.embed(text, options)).vector;
  }
}

async function openFile(bytes: Uint8Array<ArrayBuffer>): Promise<Resource<RawIndexModel>> {
  // For after a crash. A browser may keep it on disk, and no caller can change it.
  const copy = new Blob([bytes]);
  const first = maker(() => Promise.resolve(bytes));
  const again = maker(async () => new Uint8Array(await copy.arrayBuffer()));
  return await Resource.create("the index", first, again);
}

// A function of its own: a closure in `openFile` would keep `bytes` alive as long as the index.
function maker(read: () => Promise<Uint8Array>): Maker<RawIndexModel> {
  return async () => {
    const bytes = await read();
    return { make: (bindings) => bindings.IndexModel.fromSafetensors(bytes) };
  };
}

function factsOf(raw: RawIndexModel): Omit<IndexFacts, "items"> & { readonly json: string } {
  const { variant, fingerprint, maxTokens, dimensions, queryPrompt, passagePrompt } = raw;
  const { model: modelName, length, dims, items: json } = raw;
  const [kind, precision] = [raw.kind as ModelKind, raw.precision as Precision];
  return {
    modelName,
    variant,
    kind,
    fingerprint,
    maxTokens,
    dimensions,
    precision,
    queryPrompt,
    passagePrompt,
    length,
    dims,
    json,
  };
}

function parse(items: string): readonly IndexItem[] {
  try {
    return JSON.parse(items) as IndexItem[];
  } catch (error) {
    throw toIsovecError(error, "invalid_index");
  }
}

/** Loads the model that an index names. */
async function loadModel(facts: IndexFacts, load: LoadOptions): Promise<TextEmbedderLike> {
  const { modelName, kind, variant, maxTokens, dimensions, precision } = facts;
  const spec = await resolveSpec(modelName, kind).catch((error: unknown) => {
    const { code, message } = toIsovecError(error, "not_found");
    throw new IsovecError(code, `the index's model: ${message}. Load it, and give it as "model".`);
  });
  const options = {
    ...load,
    maxTokens,
    precision,
    ...(variant === undefined ? {} : { variant }),
    ...(dimensions === undefined ? {} : { dimensions }),
  };
  if (kind === "clip-text") return await ClipTextEmbedder.load(spec, options);
  return await TextEmbedder.load(spec, options);
}
