import { newInstance } from "./engine.js";

/** The sha256 of `bytes`, in lower-case hexadecimal digits. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return (await platformSha256(bytes)) ?? (await sha256InWasm(bytes));
}

/** The same, where the platform computes it: faster than WebAssembly, but absent outside of secure contexts. */
export async function platformSha256(bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle;
  if (subtle === undefined) return undefined;
  let digest: Uint8Array;
  try {
    digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
  } catch {
    // It refuses memory that is shared or may change its size.
    return undefined;
  }
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The same without the platform's help, in an instance of its own: the bytes are copied into it. */
export async function sha256InWasm(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const instance = await newInstance();
  try {
    return instance.call((bindings) => bindings.sha256(bytes));
  } finally {
    instance.release();
  }
}
