import { compiledModule, functionsInstance, type Instance } from "./engine.js";
import { IsovecError } from "./errors.js";

/** What a model takes. */
export type ModelKind = "text" | "image" | "clip-text";

/** What a model's products are computed in. */
export type Precision = "fp32" | "bf16" | "int8";

/**
 * A model's facts: the same table, with the same keys, as in a manifest of the Rust crate.
 *
 * A model of your own needs `name`, `dims`, `pooling` and, where it reads text, `max_tokens`;
 * `variants` only if it is to be loaded by {@link TextEmbedder.load} and not from bytes.
 */
export interface ModelSpec {
  /** The name that users type. */
  readonly name: string;
  /** What it takes; `text` by default. */
  readonly kind?: ModelKind;
  /** The number of dimensions of its vectors. */
  readonly dims: number;
  /** The most tokens that it reads of one text, special tokens included. */
  readonly max_tokens?: number;
  /** How one vector is made of a vector per token. */
  readonly pooling: "mean" | "cls" | "none";
  /** Whether vectors are scaled to length one; they are by default. */
  readonly normalize?: boolean;
  /** What is done to an image before the model sees it. */
  readonly preprocessing?: Preprocessing;
  /** The name of the vector space that it shares with another model. */
  readonly space?: string;
  /** What cosines are multiplied with before a softmax; see {@link zeroShot}. */
  readonly logit_scale?: number;
  /** The ONNX output to read, where it is not found by shape and customary name. */
  readonly output?: string;
  /** The smaller numbers of dimensions that the model was trained to be cut to. */
  readonly matryoshka?: readonly number[];
  /** Texts that the model wants put before an input, by name. */
  readonly prompts?: Readonly<Record<string, string>>;
  /** The name of the prompt that applies where none is named. */
  readonly default_prompt?: string;
  /** What people must know before they trust the vectors. */
  readonly note?: string;
  /** The SPDX name of the licence of the weights. */
  readonly licence?: string;
  /** The files, for each variant of the weights: `fp32`, `int8`. */
  readonly variants?: Readonly<Record<string, Variant>>;
}

/** What is done to an image before the model sees it: the keys of a manifest. */
export interface Preprocessing {
  readonly resize?: { readonly shortest_edge: number } | Readonly<Record<string, number>>;
  readonly resample?: string;
  readonly pass_order?: string;
  readonly center_crop?: readonly [number, number];
  readonly rescale?: number;
  readonly normalize?: {
    readonly mean: readonly [number, number, number];
    readonly std: readonly [number, number, number];
  };
  readonly exif_orientation?: boolean;
}

/** One set of weights of a model. */
export interface Variant {
  /** One line on what it costs and gains. */
  readonly about?: string;
  readonly files: readonly FileSpec[];
}

/** One file of a variant. */
export interface FileSpec {
  readonly role: "model" | "tokenizer";
  /** Where it lies below the model's folder. */
  readonly path: string;
  /** The contents that are accepted. */
  readonly builds: readonly Build[];
}

/** One accepted content of a file. */
export interface Build {
  /** Who made it, in a word. */
  readonly origin: string;
  /** The sha256 of the content, in lower-case hexadecimal digits. */
  readonly sha256: string;
  /** Its length in bytes. */
  readonly size: number;
  /** Addresses that serve it, tried in order. */
  readonly urls?: readonly string[];
}

let builtIn: readonly ModelSpec[] | undefined;

/**
 * The models that isovec knows by name.
 *
 * @example
 * ```ts
 * for (const { name, kind, dims } of await models()) console.log(name, kind, dims);
 * ```
 */
export async function models(): Promise<readonly ModelSpec[]> {
  await compiledModule();
  return structuredClone(known(functionsInstance()));
}

function known(instance: Instance): readonly ModelSpec[] {
  builtIn ??= JSON.parse(instance.call((b) => b.builtInModels())) as ModelSpec[];
  return builtIn;
}

/** The spec of this name, or `model` itself if it is a spec; of one of these kinds. */
export async function resolveSpec(
  model: string | ModelSpec,
  kind: ModelKind,
): Promise<ModelSpec> {
  if (typeof model === "string") await compiledModule();
  return specOf(model, kind, functionsInstance);
}

/** The same without waiting. The names are known to any instance. */
export function specOf(
  model: string | ModelSpec,
  kind: ModelKind,
  instance: () => Instance,
): ModelSpec {
  const spec = structuredClone(typeof model === "string" ? byName(model, instance()) : model);
  const actual = spec.kind ?? "text";
  if (actual !== kind) {
    throw new IsovecError(
      "invalid_config",
      `model "${spec.name}" is of the kind ${actual}; expected ${kind}`,
    );
  }
  return spec;
}

function byName(name: string, instance: Instance): ModelSpec {
  const candidates = known(instance);
  const spec = candidates.find((candidate) => candidate.name === name);
  if (spec !== undefined) return spec;
  const names = candidates.map((candidate) => candidate.name).join(", ");
  throw new IsovecError("not_found", `no model is named "${name}"; there are: ${names}`);
}

// Paths are joined to folders and addresses: they must not be able to leave them.
const PLAIN = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** The files of a variant, with the names checked that paths are made of. */
export function variantFiles(spec: ModelSpec, variant: string): readonly FileSpec[] {
  const files = spec.variants?.[variant]?.files;
  if (files === undefined) {
    const names = Object.keys(spec.variants ?? {}).join(", ") || "none";
    throw new IsovecError(
      "not_found",
      `model "${spec.name}" has no variant "${variant}"; there are: ${names}`,
    );
  }
  for (const part of [spec.name, ...files.flatMap((file) => file.path.split("/"))]) {
    if (!PLAIN.test(part)) {
      throw new IsovecError("invalid_config", `"${part}" is not a plain name`);
    }
  }
  for (const { path, builds } of files) {
    if (builds.length === 0) {
      throw new IsovecError("invalid_config", `${path}: no build, so nothing could be verified`);
    }
  }
  return files;
}
