import { absolute } from "./address.js";
import { ownCopy, tagOf } from "./bytes.js";
import { download, redact } from "./download.js";
import { callBack, checkCancelled, IsovecError, unwrapped } from "./errors.js";
import type { LoadOptions } from "./loader.js";
import { getPlatform } from "./platform.js";

/** The file of an index: its address, or its bytes. A `File` that was dropped on a page is a `Blob`. */
export type IndexSource = string | URL | Blob | ArrayBuffer | Uint8Array;

/** The largest file of an index: 1 GiB. */
const MAX_INDEX_BYTES = 1 << 30;

/** The bytes of an index's file. Their number is checked before they are read. */
export async function readIndexFile(
  source: IndexSource,
  options: LoadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  checkCancelled(options.signal, "opening the index");
  const bytes = await read(source, options);
  checkCancelled(options.signal, "opening the index");
  return bytes;
}

async function read(source: IndexSource, options: LoadOptions): Promise<Uint8Array<ArrayBuffer>> {
  const tag = tagOf(source);
  if (typeof source === "string" || tag === "URL") {
    return await fetchIndexFile(source as string | URL, options);
  }
  if (tag === "Blob" || tag === "File") {
    const blob = source as Blob;
    checkSize(blob.size);
    return new Uint8Array(await blob.arrayBuffer());
  }
  if (tag === "ArrayBuffer" || tag === "Uint8Array") {
    const bytes = source as ArrayBuffer | Uint8Array;
    checkSize(bytes.byteLength);
    // The caller may change them while this waits.
    return ownCopy(bytes);
  }
  const found = typeof source === "object" ? tag : typeof source;
  throw new IsovecError(
    "invalid_input",
    `index: expected an address, a Blob, an ArrayBuffer or a Uint8Array, not ${found}`,
  );
}

async function fetchIndexFile(source: string | URL, options: LoadOptions) {
  const url = checkedAddress(source);
  if (getPlatform().settings().offline) {
    throw new IsovecError("offline", `${redact(url)}: the offline setting forbids fetching it`);
  }
  const file = new URL(url).pathname.split("/").at(-1) ?? "";
  const bytes = await download(url, {
    fresh: false,
    limit: MAX_INDEX_BYTES,
    ofKnownSize: false,
    fetch: options.fetch ?? globalThis.fetch,
    signal: options.signal,
    received: (loaded, total) => callBack(options.onProgress, { loaded, total, file }),
  }).catch((error: unknown) => {
    throw unwrapped(error);
  });
  checkSize(bytes.byteLength, redact(url));
  return bytes;
}

function checkedAddress(source: string | URL): string {
  let url: string;
  try {
    url = new URL(absolute(source)).href;
  } catch (error) {
    throw notAnAddress(String(source), error);
  }
  if (url.startsWith("file:")) throw notAnAddress(url);
  return url;
}

function notAnAddress(source: string, cause?: unknown): IsovecError {
  return new IsovecError(
    "invalid_input",
    `index: "${redact(source)}" cannot be fetched; read the file and give its bytes`,
    { cause },
  );
}

function checkSize(size: number, name = "the index"): void {
  if (size <= MAX_INDEX_BYTES) return;
  throw new IsovecError("too_large", `${name} has more than ${MAX_INDEX_BYTES} bytes, the cap`);
}
