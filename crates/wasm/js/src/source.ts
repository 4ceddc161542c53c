import type { Bindings, RawFileModel, RawModelBytes } from "./bindings.js";
import { ownBytes } from "./bytes.js";
import { cancelled, checkCancelled } from "./errors.js";
import { platformSha256, sha256 } from "./hash.js";
import { Held } from "./held.js";
import { type LoadOptions, loadFiles } from "./loader.js";
import { type Maker, noMaker, Resource } from "./resource.js";
import { type ModelKind, type ModelSpec, resolveSpec } from "./spec.js";
import { defaultVariant } from "./variant.js";

/** The files of a model, verified or as the caller gave them. */
export interface Files {
  readonly model: Uint8Array | Held;
  /** The sha256 of `model`, unless it is held: then it is still computed. */
  readonly modelSha256?: string | undefined;
  readonly tokenizer?: TokenizerFile | undefined;
}

/** A `tokenizer.json`, and its sha256 where the platform computed it. */
export interface TokenizerFile {
  readonly bytes: Uint8Array;
  readonly sha256: string | undefined;
}

/** A model before it is made: its spec, its files, and a way to have them again. */
export interface ModelSource {
  readonly spec: ModelSpec;
  /** The variant of a model that was loaded by its name. */
  readonly variant: string | undefined;
  readonly files: Files;
  readonly again: (() => Promise<Files>) | undefined;
  /** Cancels making it. */
  readonly signal?: AbortSignal | undefined;
}

/** A model by its name or pinned spec. After a crash, its files are read again in the same way. */
export async function named(
  model: string | ModelSpec,
  kind: ModelKind,
  options: LoadOptions,
): Promise<ModelSource> {
  const spec = await resolveSpec(model, kind);
  const variant = options.variant ?? defaultVariant(spec);
  const files = await loadFiles(spec, variant, options);
  checkCancelled(options.signal, `loading ${spec.name}`);
  // Nobody waits with a bar or a button when a model is loaded anew.
  const { onProgress: _, signal, ...quiet } = options;
  return { spec, variant, files, again: () => loadFiles(spec, variant, quiet), signal };
}

/** A model whose files the caller has. */
export async function given(
  model: string | ModelSpec,
  kind: ModelKind,
  files: { readonly model: Uint8Array; readonly tokenizer?: Uint8Array | undefined },
  keepBytes: boolean,
): Promise<ModelSource> {
  // Copied before the first wait: what is loaded, and kept, is what was hashed. The small file is hashed first, since
  // the platform may have one thread for both.
  const json = kind === "image" ? undefined : ownBytes("tokenizer", files.tokenizer);
  const jsonSha256 = json && platformSha256(json);
  const held = keepBytes ? undefined : Held.of(files.model);
  const bytes = held ?? ownBytes("model", files.model);
  const spec = await resolveSpec(model, kind);
  const tokenizer = json && { bytes: json, sha256: await jsonSha256 };
  const modelSha256 = bytes instanceof Held ? undefined : await sha256(bytes);
  const copied = { model: bytes, tokenizer, modelSha256 };
  return { spec, variant: undefined, files: copied, again: keepBytes ? constant(copied) : undefined };
}

/** Makes a model's object inside of WebAssembly. */
export async function open<Raw extends RawFileModel>(
  { spec, files, again, signal }: ModelSource,
  create: Create<Raw>,
): Promise<Resource<Raw>> {
  const maker = makers(JSON.stringify(spec), create);
  const remake = again === undefined ? noMaker : maker(again);
  const resource = await Resource.create(`model "${spec.name}"`, maker(constant(files)), remake);
  try {
    if (files.model instanceof Held) {
      const sha256 = await files.model.sha256;
      await resource.use((raw) => raw.setModelSha256(sha256));
    }
    if (signal?.aborted) throw cancelled(signal, `loading ${spec.name}`);
  } catch (error) {
    resource.dispose();
    throw error;
  }
  return resource;
}

type Create<Raw> = (
  bindings: Bindings,
  specJson: string,
  model: RawModelBytes,
  tokenizer: TokenizerFile | undefined,
) => Raw;

// Functions of their own: a closure in `open` would keep its `files` alive as long as the model.
function makers<Raw>(
  specJson: string,
  create: Create<Raw>,
): (source: () => Promise<Files>) => Maker<Raw> {
  return (source) => async () => {
    const { model, modelSha256, tokenizer } = await source();
    const isHeld = model instanceof Held;
    return {
      instance: isHeld ? model.instance : undefined,
      make(bindings) {
        const bytes = isHeld ? model.bytes : new bindings.ModelBytes(model, modelSha256);
        return create(bindings, specJson, bytes, tokenizer);
      },
    };
  };
}

function constant<T>(value: T): () => Promise<T> {
  return () => Promise.resolve(value);
}
