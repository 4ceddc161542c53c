import { CallbackError, cancelled, checkCancelled, IsovecError } from "./errors.js";

/** How one address is read. */
export interface DownloadOptions {
  /** The most bytes that are worth reading. */
  readonly limit: number;
  /** Whether the content has about `limit` bytes, so that there is room for it at once. */
  readonly ofKnownSize: boolean;
  /** Past the HTTP cache, which may be what holds a wrong content. */
  readonly fresh: boolean;
  readonly fetch: typeof fetch;
  readonly signal: AbortSignal | undefined;
  /** Called for each piece with the bytes so far and, as far as the server says it, in all. */
  readonly received: (bytes: number, total: number) => void;
}

const PAUSES_MS = [300, 1500];

/**
 * The content at an address, tried up to three times where the network or the server is at fault.
 * It may have one byte more than `limit`, by which the caller knows that it is too long.
 */
export async function download(
  url: string,
  options: DownloadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  for (const pause of PAUSES_MS) {
    try {
      return await downloadOnce(url, options);
    } catch (error) {
      const again = error instanceof IsovecError && error.code === "network" && !isFinal(error);
      if (!again) throw error;
    }
    await sleep(pause, options.signal);
    options.received(0, 0);
  }
  return await downloadOnce(url, options);
}

async function downloadOnce(url: string, options: DownloadOptions) {
  const { limit, signal } = options;
  checkCancelled(signal, "the download");
  // Not called as a method: the fetch of browsers refuses any `this` but the window.
  const { fetch } = options;
  try {
    const response = await fetch(url, {
      signal: signal ?? null,
      cache: options.fresh ? "reload" : "default",
    });
    if (!response.ok) {
      // Frees the connection; what it says is of no interest.
      response.body?.cancel().catch(() => {});
      throw statusError(url, response.status);
    }
    return await readBody(response, options);
  } catch (error) {
    if (error instanceof CallbackError) throw error;
    if (signal?.aborted) throw cancelled(signal, "the download");
    if (error instanceof IsovecError) throw error;
    if (error instanceof RangeError) {
      throw new IsovecError("out_of_memory", `no memory for ${limit} bytes`, { cause: error });
    }
    const why = reason(error);
    // Some platforms quote the address, and what is secret in it, as it was given.
    if (why.includes(url)) throw new IsovecError("network", why.replaceAll(url, redact(url)));
    throw new IsovecError("network", `${redact(url)}: ${why}`, { cause: error });
  }
}

async function readBody(
  response: Response,
  { limit, ofKnownSize, received }: DownloadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  // A hint only: of a compressed content it is another length.
  const announced = Math.min(Number(response.headers.get("content-length")) || 0, limit);
  // One allocation: gathering pieces and joining them would need the file's size twice.
  let bytes = new Uint8Array((ofKnownSize ? limit : announced || 1 << 20) + 1);
  let length = 0;
  if (response.body === null) return bytes.subarray(0, 0);
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return bytes.subarray(0, length);
      if (length + value.length > bytes.length && bytes.length <= limit) {
        const larger = Math.max(2 * bytes.length, length + value.length);
        const copy = new Uint8Array(Math.min(larger, limit + 1));
        copy.set(bytes.subarray(0, length));
        bytes = copy;
      }
      const piece = value.subarray(0, bytes.length - length);
      bytes.set(piece, length);
      length += piece.length;
      if (length > limit) return bytes;
      received(length, Math.max(announced, length));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function statusError(url: string, status: number): IsovecError {
  const missing = status === 404 || status === 410;
  const code = missing ? "not_found" : "network";
  return new IsovecError(code, `${redact(url)}: HTTP status ${status}`, { cause: { status } });
}

/** Whether asking again is pointless: the server has understood and refuses. */
function isFinal(error: IsovecError): boolean {
  const { status } = (error.cause ?? {}) as { status?: unknown };
  if (typeof status !== "number" || status === 408 || status === 429) return false;
  return status >= 400 && status < 500;
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Node says only "fetch failed", and why in the cause.
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** An address without what may be secret in it: user, password, query. */
export function redact(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return url.replace(/[?#].*$/, "");
  }
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(cancelled(signal, "the download"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
