import type { RawModelBytes } from "./bindings.js";
import { tagOf } from "./bytes.js";
import { type Instance, newInstanceAtOnce } from "./engine.js";
import { IsovecError } from "./errors.js";
import { platformSha256 } from "./hash.js";

/**
 * A caller's ONNX file that was copied into WebAssembly at once, and nowhere else, for a model that is made of it there.
 * Its sha256 is computed by the platform, on another thread, while that is done.
 */
export class Held {
  private constructor(
    readonly instance: Instance,
    readonly bytes: RawModelBytes,
    readonly sha256: Promise<string>,
  ) {}

  /** None where it cannot be had without waiting. */
  static of(model: Uint8Array): Held | undefined {
    if (!canBeHashed(model)) return undefined;
    const instance = newInstanceAtOnce();
    if (instance === undefined) return undefined;
    const bytes = instance.call((bindings) => new bindings.ModelBytes(model));
    // It has taken a copy when the call is back, so both are of the same bytes.
    const sha256 = platformSha256(model).then((digest) => {
      if (digest !== undefined) return digest;
      throw new IsovecError("unsupported", "the platform did not compute the sha256 of the model");
    });
    // Where the model cannot be made, nobody waits for it.
    sha256.catch(() => undefined);
    return new Held(instance, bytes, sha256);
  }
}

/** Whether the platform computes a sha256, and of these bytes: not if their memory is shared, or may change its size. */
function canBeHashed(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  if ((globalThis.crypto as Crypto | undefined)?.subtle === undefined) return false;
  if (tagOf(bytes) !== "Uint8Array") return false;
  const { buffer } = bytes as { buffer: ArrayBufferLike & { resizable?: boolean } };
  return tagOf(buffer) === "ArrayBuffer" && buffer.resizable !== true;
}
