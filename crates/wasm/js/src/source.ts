import type { Bindings, RawObject } from "./bindings.js";
import { ownBytes } from "./bytes.js";
import { cancelled, checkCancelled } from "./errors.js";
import { platformSha256 } from "./hash.js";
import { type LoadOptions, loadFiles } from "./loader.js";
import { type Maker, noMaker, Resource } from "./resource.js";
import { type ModelKind, type ModelSpec, resolveSpec } from "./spec.js";
import { defaultVariant } from "./variant.js";

/** The files of a model, verified or as the caller gave them. */
export interface Files {
  readonly model: Uint8Array;
  /** The sha256 of `model`, where the platform could compute it. */
  readonly modelSha256?: string | undefined;
  readonly tokenizer?: Uint8Array | undefined;
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
  files: Files,
  keepBytes: boolean,
): Promise<ModelSource> {
  // Copied before the first wait: what is loaded, and kept, is what was hashed.
  const bytes = ownBytes("model", files.model);
  const tokenizer = kind === "image" ? undefined : ownBytes("tokenizer", files.tokenizer);
  const spec = await resolveSpec(model, kind);
  const hashed = { model: bytes, tokenizer, modelSha256: await platformSha256(bytes) };
  return { spec, variant: undefined, files: hashed, again: keepBytes ? constant(hashed) : undefined };
}

/** Makes a model's object inside of WebAssembly. */
export async function open<Raw extends RawObject>(
  { spec, files, again, signal }: ModelSource,
  create: (bindings: Bindings, specJson: string, files: Files) => Raw,
): Promise<Resource<Raw>> {
  const maker = makers(JSON.stringify(spec), create);
  const remake = again === undefined ? noMaker : maker(again);
  const resource = await Resource.create(`model "${spec.name}"`, maker(constant(files)), remake);
  if (!signal?.aborted) return resource;
  resource.dispose();
  throw cancelled(signal, `loading ${spec.name}`);
}

// Functions of their own: a closure in `open` would keep its `files` alive as long as the model.
function makers<Raw>(
  specJson: string,
  create: (bindings: Bindings, specJson: string, files: Files) => Raw,
): (source: () => Promise<Files>) => Maker<Raw> {
  return (source) => async () => {
    const files = await source();
    return (bindings) => create(bindings, specJson, files);
  };
}

function constant<T>(value: T): () => Promise<T> {
  return () => Promise.resolve(value);
}
