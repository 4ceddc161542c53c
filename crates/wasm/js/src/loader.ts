import type { CacheKey, ModelCache } from "./cache.js";
import { download, redact } from "./download.js";
import {
  CallbackError,
  callBack,
  checkCancelled,
  IsovecError,
  toIsovecError,
  unwrapped,
} from "./errors.js";
import { sha256 } from "./hash.js";
import { getPlatform } from "./platform.js";
import { type Build, type FileSpec, type ModelSpec, variantFiles } from "./spec.js";

/** How far loading has come, over all files together. */
export interface Progress {
  /** Bytes that are here. It falls only when a broken or wrong download starts again. */
  readonly loaded: number;
  /** Bytes in all. */
  readonly total: number;
  /** The path of the file that is being read. */
  readonly file: string;
}

/** Where a model's files come from, and who hears of it. */
export interface LoadOptions {
  /**
   * The weights to use. By default `fp32` in Node, as natively; in browsers `int8` for models that have
   * it, a quarter of the download. The same variant gives the same vector everywhere, another one does
   * not: name it where vectors of browsers and servers meet, or search a {@link SearchIndex}, which
   * names its own.
   */
  readonly variant?: string;
  /** A server of your own to ask first, for `<baseUrl>/<name>/<path>`. */
  readonly baseUrl?: string | URL;
  /** Called as bytes arrive. */
  readonly onProgress?: (progress: Progress) => void;
  /** Cancels loading: it then fails with the code `cancelled`. */
  readonly signal?: AbortSignal;
  /** `false` for none, or one of your own; by default that of the platform. */
  readonly cache?: boolean | ModelCache;
  /** Called where the cache failed, and the model is loaded without it. */
  readonly onWarning?: (warning: IsovecError) => void;
  /** Another `fetch`, say one that adds a header. */
  readonly fetch?: typeof fetch;
}

/** The verified files of a model, by role. */
export interface ModelFiles {
  readonly model: Uint8Array<ArrayBuffer>;
  readonly modelSha256: string;
  readonly tokenizer: Verified | undefined;
}

/** A file whose sha256 is one that is accepted. */
export interface Verified {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sha256: string;
}

/** The files of a model, each with a pinned sha256, from the cache or where they are served. */
export async function loadFiles(
  spec: ModelSpec,
  variant: string,
  options: LoadOptions,
): Promise<ModelFiles> {
  const files = variantFiles(spec, variant);
  const loader = new Loader(spec, variant, files, options);
  const found = new Map<string, Verified>();
  try {
    for (const file of files) found.set(file.role, await loader.load(file));
  } catch (error) {
    throw unwrapped(error);
  }
  const model = found.get("model");
  if (model === undefined) throw new IsovecError("invalid_config", "the variant has no model file");
  return {
    model: model.bytes,
    modelSha256: model.sha256,
    tokenizer: found.get("tokenizer"),
  };
}

interface Source {
  readonly url: string;
  readonly builds: readonly Build[];
}

class Loader {
  readonly #cache: ModelCache | undefined;
  readonly #sizes: Map<FileSpec, number>;
  #done = 0;

  constructor(
    readonly spec: ModelSpec,
    readonly variant: string,
    files: readonly FileSpec[],
    readonly options: LoadOptions,
  ) {
    this.#sizes = new Map(files.map((file) => [file, largest(file.builds)]));
    const { cache = true } = options;
    this.#cache = typeof cache === "boolean" ? this.#platformCache(cache) : cache;
  }

  #platformCache(wanted: boolean): ModelCache | undefined {
    return wanted ? getPlatform().cache() : undefined;
  }

  async load(file: FileSpec): Promise<Verified> {
    const { signal } = this.options;
    checkCancelled(signal, `loading ${this.spec.name}`);
    const key: CacheKey = { model: this.spec.name, path: file.path };
    let verified = await this.#fromCache(key, file);
    checkCancelled(signal, `loading ${this.spec.name}`);
    if (verified === undefined) {
      verified = await this.#fromSources(file);
      await this.#toCache(key, verified.bytes);
    }
    const { byteLength } = verified.bytes;
    this.#sizes.set(file, byteLength);
    this.#done += byteLength;
    this.#report(file, 0);
    return verified;
  }

  async #fromCache(key: CacheKey, file: FileSpec): Promise<Verified | undefined> {
    const cache = this.#cache;
    if (cache === undefined) return undefined;
    try {
      const bytes = await cache.get(key);
      if (bytes === undefined) return undefined;
      const checked = await verify(bytes, file.builds, `the cached ${key.path}`);
      if (!(checked instanceof IsovecError)) return checked;
      this.#warn(checked);
      await cache.delete(key);
    } catch (error) {
      if (error instanceof CallbackError) throw error;
      this.#warn(toIsovecError(error, "io"));
    }
    return undefined;
  }

  async #toCache(key: CacheKey, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await this.#cache?.put(key, bytes);
    } catch (error) {
      // No room, or no right to write: the model runs all the same.
      this.#warn(toIsovecError(error, "io"));
    }
  }

  async #fromSources(file: FileSpec): Promise<Verified> {
    const errors: IsovecError[] = [];
    for (const source of this.#sources(file)) {
      try {
        return await this.#fromSource(source, file);
      } catch (thrown) {
        const error = toIsovecError(thrown, "network");
        if (error instanceof CallbackError) throw error;
        if (error.code === "cancelled" || error.code === "out_of_memory") throw error;
        errors.push(error);
      }
    }
    throw this.#failure(file, errors);
  }

  #sources(file: FileSpec): Source[] {
    const { mirror, offline } = getPlatform().settings();
    const base = this.options.baseUrl ?? mirror;
    if (offline) {
      throw new IsovecError("offline", `${file.path} of ${this.spec.name} is not in the cache`);
    }
    const sources: Source[] = [];
    if (base !== undefined) {
      const url = `${String(base).replace(/\/+$/, "")}/${this.spec.name}/${file.path}`;
      sources.push({ url, builds: file.builds });
    }
    for (const build of file.builds) {
      for (const url of build.urls ?? []) sources.push({ url, builds: [build] });
    }
    return sources;
  }

  /** One source; what is wrong there is fetched once more, past all caches. */
  async #fromSource(source: Source, file: FileSpec): Promise<Verified> {
    let wrong: IsovecError | undefined;
    for (const fresh of [false, true]) {
      this.#report(file, 0);
      const bytes = await download(source.url, {
        fresh,
        limit: largest(source.builds),
        ofKnownSize: true,
        fetch: this.options.fetch ?? globalThis.fetch,
        signal: this.options.signal,
        received: (count) => this.#report(file, count),
      });
      const checked = await verify(bytes, source.builds, redact(source.url));
      if (!(checked instanceof IsovecError)) return checked;
      wrong = checked;
    }
    throw wrong;
  }

  #failure(file: FileSpec, errors: readonly IsovecError[]): IsovecError {
    const what = `${file.path} of ${this.spec.name}`;
    const [first] = errors;
    if (first === undefined) {
      return new IsovecError("not_found", `${what}: no address serves it; give a baseUrl${this.#hint}`);
    }
    const kinds = ["hash_mismatch", "network", "not_found"];
    const code = kinds.find((kind) => errors.some((error) => error.code === kind)) ?? first.code;
    const reasons = errors.map((error) => error.message).join("; ");
    const cause = errors.length === 1 ? first : new AggregateError(errors, reasons);
    const hint = code === "not_found" ? this.#hint : "";
    return new IsovecError(code, `${what}: ${reasons}${hint}`, { cause });
  }

  /** What else to try where the caller may not know which file is asked for. */
  get #hint(): string {
    const other = this.options.variant === undefined && this.variant !== "fp32";
    return other ? `; ${this.variant} is the default in browsers, variant: "fp32" is the whole file` : "";
  }

  #report(file: FileSpec, received: number): void {
    let total = 0;
    for (const size of this.#sizes.values()) total += size;
    const loaded = Math.min(this.#done + received, total);
    callBack(this.options.onProgress, { loaded, total, file: file.path });
  }

  #warn(warning: IsovecError): void {
    callBack(this.options.onWarning, warning);
  }
}

function largest(builds: readonly Build[]): number {
  return Math.max(...builds.map((build) => build.size));
}

/** `bytes` with their sha256, or what is wrong unless they are one of the contents that are accepted. */
async function verify(
  bytes: Uint8Array<ArrayBuffer>,
  builds: readonly Build[],
  subject: string,
): Promise<Verified | IsovecError> {
  const expected = builds
    .map((build) => `${build.sha256} (${build.size} bytes, ${build.origin})`)
    .join(" or ");
  if (bytes.byteLength > largest(builds)) {
    return new IsovecError(
      "hash_mismatch",
      `${subject} has more than ${largest(builds)} bytes, expected sha256 ${expected}`,
    );
  }
  const actual = await sha256(bytes);
  if (builds.some((build) => build.size === bytes.byteLength && build.sha256 === actual)) {
    return { bytes, sha256: actual };
  }
  return new IsovecError(
    "hash_mismatch",
    `${subject} has sha256 ${actual} (${bytes.byteLength} bytes), expected ${expected}`,
  );
}
