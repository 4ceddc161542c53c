import type { RawFileModel } from "./bindings.js";
import { ownBytes, plainView, tagOf } from "./bytes.js";
import { newInstanceAtOnce } from "./engine.js";
import { IsovecError } from "./errors.js";
import { platformSha256 } from "./hash.js";
import type { Live } from "./resource.js";
import type { Create, GivenFiles } from "./source.js";
import { type ModelKind, type ModelSpec, specOf } from "./spec.js";

/** A model's object, whose sha256 the platform still computes on another thread. */
export interface MadeAtOnce<Raw> {
  readonly live: Live<Raw>;
  readonly spec: ModelSpec;
  readonly sha256: Promise<string>;
}

/**
 * Makes a model of a caller's ONNX file before the first wait, so that nobody can change the file between: it is read
 * where it is, and copied as a whole only by the platform, which hashes it. None where that cannot be had without waiting.
 */
export function makeAtOnce<Raw extends RawFileModel>(
  model: string | ModelSpec,
  kind: ModelKind,
  files: GivenFiles,
  create: Create<Raw>,
): MadeAtOnce<Raw> | undefined {
  const { model: given, tokenizer: json } = files;
  if (!canBeHashed(given)) return undefined;
  const instance = newInstanceAtOnce();
  if (instance === undefined) return undefined;
  const spec = specOf(model, kind, () => instance);
  const tokenizer =
    kind === "image" ? undefined : { bytes: ownBytes("tokenizer", json), sha256: undefined };
  const bytes = plainView(given);
  // From here on no code of the caller's runs.
  // The platform has taken what it hashes when the call is back.
  const sha256 = platformSha256(bytes).then((digest) => {
    if (digest !== undefined) return digest;
    throw new IsovecError("unsupported", "the platform did not compute the sha256 of the model");
  });
  // Where the model cannot be made, nobody waits for it.
  sha256.catch(() => undefined);
  const raw = instance.call((bindings) =>
    create(bindings, JSON.stringify(spec), { model: bytes, tokenizer }),
  );
  return { live: { instance, raw }, spec, sha256 };
}

/** Whether the platform computes a sha256, and of these bytes: not if their memory is shared, or may change its size. */
function canBeHashed(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  if ((globalThis.crypto as Crypto | undefined)?.subtle === undefined) return false;
  if (tagOf(bytes) !== "Uint8Array") return false;
  const { buffer } = bytes as { buffer: ArrayBufferLike & { resizable?: boolean } };
  return tagOf(buffer) === "ArrayBuffer" && buffer.resizable !== true;
}
