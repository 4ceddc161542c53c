import { IsovecError, toIsovecError } from "./errors.js";

/** What an object is, by its tag: `instanceof` is false for objects of another frame. */
export function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** A copy in memory of its own, which no caller can change while something waits. */
export function ownCopy(bytes: Uint8Array | ArrayBuffer): Uint8Array<ArrayBuffer> {
  try {
    // Not `slice`: that of Node's Buffer is a view of the same memory.
    return new Uint8Array(tagOf(bytes) === "ArrayBuffer" ? new Uint8Array(bytes) : bytes);
  } catch (error) {
    throw toIsovecError(error, error instanceof RangeError ? "out_of_memory" : "invalid_input");
  }
}

/** The same bytes, in an array of no class of the caller's, whose methods may be other ones. */
export function plainView(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    throw toIsovecError(error, "invalid_input");
  }
}

/** A copy of an argument that must be a `Uint8Array`. */
export function ownBytes(name: string, bytes: unknown): Uint8Array<ArrayBuffer> {
  if (tagOf(bytes) === "Uint8Array") return ownCopy(bytes as Uint8Array);
  throw new IsovecError("invalid_input", `${name}: expected a Uint8Array, not ${typeof bytes}`);
}
