import type { Bindings, RawObject } from "./bindings.js";
import { IsovecError } from "./errors.js";
import { platformSha256 } from "./hash.js";
import { type LoadOptions, loadFiles } from "./loader.js";
import { type Maker, noMaker, Resource } from "./resource.js";
import { type ModelKind, type ModelSpec, resolveSpec } from "./spec.js";
import { chooseVariant } from "./variant.js";

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
}

/** A model by its name or pinned spec. After a crash, its files are read again in the same way. */
export async function named(
  model: string | ModelSpec,
  kind: ModelKind,
  options: LoadOptions,
): Promise<ModelSource> {
  const spec = await resolveSpec(model, kind);
  const variant = chooseVariant(spec, options);
  const files = await loadFiles(spec, variant, options);
  // Nobody waits with a bar or a button when a model is loaded anew.
  const { onProgress: _, signal: __, ...quiet } = options;
  return { spec, variant, files, again: () => loadFiles(spec, variant, quiet) };
}

/** A model whose files the caller has. */
export async function given(
  model: string | ModelSpec,
  kind: ModelKind,
  files: Files,
  keepBytes: boolean,
): Promise<ModelSource> {
  checkBytes("model", files.model);
  if (kind !== "image") checkBytes("tokenizer", files.tokenizer);
  const spec = await resolveSpec(model, kind);
  const modelSha256 = await platformSha256(files.model as Uint8Array<ArrayBuffer>);
  const hashed = { model: files.model, tokenizer: files.tokenizer, modelSha256 };
  return { spec, variant: undefined, files: hashed, again: keepBytes ? constant(hashed) : undefined };
}

/** Makes a model's object inside of WebAssembly. */
export async function open<Raw extends RawObject>(
  { spec, files, again }: ModelSource,
  create: (bindings: Bindings, specJson: string, files: Files) => Raw,
): Promise<Resource<Raw>> {
  const maker = makers(JSON.stringify(spec), create);
  const remake = again === undefined ? noMaker : maker(again);
  return await Resource.create(`model "${spec.name}"`, maker(constant(files)), remake);
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

function checkBytes(name: string, bytes: unknown): void {
  // By its tag, since `instanceof` is false for arrays of another frame.
  if (Object.prototype.toString.call(bytes) === "[object Uint8Array]") return;
  throw new IsovecError("invalid_input", `${name}: expected a Uint8Array, not ${typeof bytes}`);
}
