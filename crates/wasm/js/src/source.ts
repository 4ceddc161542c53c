import { makeAtOnce } from "./at-once.js";
import type { Bindings, RawFileModel } from "./bindings.js";
import { ownBytes } from "./bytes.js";
import { cancelled, checkCancelled } from "./errors.js";
import { platformSha256, sha256 } from "./hash.js";
import { type LoadOptions, loadFiles } from "./loader.js";
import { type Maker, noMaker, Resource } from "./resource.js";
import { type ModelKind, type ModelSpec, resolveSpec } from "./spec.js";
import { defaultVariant } from "./variant.js";

/** The files of a model, verified or as the caller gave them. */
export interface Files {
  readonly model: Uint8Array;
  /** The sha256 of `model`, where it is known already. */
  readonly modelSha256?: string | undefined;
  readonly tokenizer?: TokenizerFile | undefined;
}

/** A `tokenizer.json`, and its sha256 where the platform computed it. */
export interface TokenizerFile {
  readonly bytes: Uint8Array;
  readonly sha256: string | undefined;
}

/** The files that a caller has of a model. */
export interface GivenFiles {
  readonly model: Uint8Array;
  readonly tokenizer?: Uint8Array | undefined;
  /** Keep copies, so that the model can be made anew after a crash. */
  readonly keepBytes?: boolean | undefined;
}

/** How a model's object inside of WebAssembly is made. It reads the files, and has no use of them afterwards. */
export type Create<Raw> = (bindings: Bindings, specJson: string, files: Files) => Raw;

/** A model's object inside of WebAssembly, and what it was made of. */
export interface Opened<Raw extends RawFileModel> {
  readonly resource: Resource<Raw>;
  readonly spec: ModelSpec;
  /** The variant of a model that was loaded by its name. */
  readonly variant: string | undefined;
}

/** A model by its name or pinned spec. After a crash, its files are read again in the same way. */
export async function openNamed<Raw extends RawFileModel>(
  model: string | ModelSpec,
  kind: ModelKind,
  options: LoadOptions,
  create: Create<Raw>,
): Promise<Opened<Raw>> {
  const spec = await resolveSpec(model, kind);
  const variant = options.variant ?? defaultVariant(spec);
  const files = await loadFiles(spec, variant, options);
  checkCancelled(options.signal, `loading ${spec.name}`);
  // Nobody waits with a bar or a button when a model is loaded anew.
  const { onProgress: _, signal, ...quiet } = options;
  const resource = await make(spec, files, () => loadFiles(spec, variant, quiet), create);
  if (signal?.aborted) {
    resource.dispose();
    throw cancelled(signal, `loading ${spec.name}`);
  }
  return { resource, spec, variant };
}

/** A model whose files the caller has. */
export async function openGiven<Raw extends RawFileModel>(
  model: string | ModelSpec,
  kind: ModelKind,
  given: GivenFiles,
  create: Create<Raw>,
): Promise<Opened<Raw>> {
  const keepBytes = given.keepBytes ?? false;
  const made = keepBytes ? undefined : makeAtOnce(model, kind, given, create);
  if (made !== undefined) {
    const resource = Resource.of(nameOf(made.spec), made.live, noMaker);
    try {
      const sha256 = await made.sha256;
      await resource.use((raw) => raw.setModelSha256(sha256));
    } catch (error) {
      resource.dispose();
      throw error;
    }
    return { resource, spec: made.spec, variant: undefined };
  }
  const { spec, files } = await copied(model, kind, given);
  const resource = await make(spec, files, keepBytes ? constant(files) : undefined, create);
  return { resource, spec, variant: undefined };
}

/** Copies of a caller's files, made before the first wait: what is loaded, and kept, is what was hashed. */
async function copied(model: string | ModelSpec, kind: ModelKind, given: GivenFiles) {
  // The small file is hashed first, since the platform may have one thread for both.
  const json = kind === "image" ? undefined : ownBytes("tokenizer", given.tokenizer);
  const jsonSha256 = json && platformSha256(json);
  const bytes = ownBytes("model", given.model);
  const spec = await resolveSpec(model, kind);
  const tokenizer = json && { bytes: json, sha256: await jsonSha256 };
  return { spec, files: { model: bytes, tokenizer, modelSha256: await sha256(bytes) } };
}

async function make<Raw extends RawFileModel>(
  spec: ModelSpec,
  files: Files,
  again: (() => Promise<Files>) | undefined,
  create: Create<Raw>,
): Promise<Resource<Raw>> {
  const maker = makers(JSON.stringify(spec), create);
  const remake = again === undefined ? noMaker : maker(again);
  return await Resource.create(nameOf(spec), maker(constant(files)), remake);
}

// Functions of their own: a closure in `make` would keep its `files` alive as long as the model.
function makers<Raw>(
  specJson: string,
  create: Create<Raw>,
): (source: () => Promise<Files>) => Maker<Raw> {
  return (source) => async () => {
    const files = await source();
    return { make: (bindings) => create(bindings, specJson, files) };
  };
}

function nameOf({ name }: ModelSpec): string {
  return `model "${name}"`;
}

function constant<T>(value: T): () => Promise<T> {
  return () => Promise.resolve(value);
}
