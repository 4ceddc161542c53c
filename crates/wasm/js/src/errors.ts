/**
 * What went wrong, for programs. Codes are stable; more may be added.
 *
 * Most come from the engine and are the same in Rust (`ErrorKind`). Only JavaScript has these:
 * `crashed` (the WebAssembly instance trapped, and the next call starts a new one; or a worker ended,
 * for good), `out_of_memory`, `disposed` (the model was given back), `not_initialized` (a function that
 * cannot wait was called before `init()`), and `unsupported` (this platform lacks something).
 */
export type ErrorCode =
  | "invalid_model"
  | "invalid_tokenizer"
  | "invalid_config"
  | "invalid_image"
  | "unsupported_format"
  | "invalid_fusion"
  | "invalid_index"
  | "invalid_input"
  | "too_large"
  | "dimension_mismatch"
  | "fingerprint_mismatch"
  | "inference"
  | "non_finite"
  | "zero_vector"
  | "engine_panic"
  | "not_found"
  | "hash_mismatch"
  | "io"
  | "network"
  | "offline"
  | "forbidden_address"
  | "timed_out"
  | "cancelled"
  | "crashed"
  | "out_of_memory"
  | "disposed"
  | "not_initialized"
  | "unsupported"
  // Codes of a later version, without losing the completion of those above.
  | (string & {});

/**
 * The error that everything of isovec throws.
 *
 * @example
 * ```ts
 * try {
 *   await TextEmbedder.load("all-MiniLM-L6-v2");
 * } catch (error) {
 *   if (error instanceof IsovecError && error.code === "network") showRetryButton();
 *   else throw error;
 * }
 * ```
 */
export class IsovecError extends Error {
  /** What went wrong, for programs; the message is for people and may change. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "IsovecError";
    this.code = code;
  }
}

/** Any thrown value as an `IsovecError`: its own code where it has one, else `fallback`. */
export function toIsovecError(thrown: unknown, fallback: ErrorCode): IsovecError {
  if (thrown instanceof IsovecError) return thrown;
  const options = { cause: thrown };
  if (!(thrown instanceof Error)) return new IsovecError(fallback, String(thrown), options);
  const { code } = thrown as { code?: unknown };
  // Node's own errors have codes as well, in capitals.
  const known = typeof code === "string" && /^[a-z_]+$/.test(code);
  return new IsovecError(known ? code : fallback, thrown.message, options);
}

/** Throws `cancelled` if the signal says so. */
export function checkCancelled(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw cancelled(signal, what);
}

/** The error for work that was cancelled. */
export function cancelled(signal: AbortSignal | undefined, what: string): IsovecError {
  return new IsovecError("cancelled", `${what} was cancelled`, { cause: signal?.reason });
}

/** What a callback of the caller threw. Trying again would be wrong: nothing of isovec has failed. */
export class CallbackError extends IsovecError {
  constructor(thrown: unknown) {
    super("invalid_input", "a callback threw", { cause: thrown });
  }
}

/** Calls a callback of the caller. */
export function callBack<T>(callback: ((value: T) => void) | undefined, value: T): void {
  try {
    callback?.(value);
  } catch (thrown) {
    throw new CallbackError(thrown);
  }
}

/** What the caller is to see of an error: what a callback threw as it was. */
export function unwrapped(error: unknown): unknown {
  return error instanceof CallbackError ? error.cause : error;
}
