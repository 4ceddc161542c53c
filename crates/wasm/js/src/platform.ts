import { IsovecError } from "./errors.js";
import type { ModelCache } from "./cache.js";

/** What `init` takes: where the WebAssembly file is, or the thing itself. */
export type WasmSource =
  | string
  | URL
  | Request
  | Response
  | Promise<Response>
  | BufferSource
  | WebAssembly.Module;

/** What differs between browsers and Node. Each entry of the package sets it once. */
export interface Platform {
  /** The WebAssembly file that belongs to the package. */
  readonly wasm: () => WasmSource | Promise<WasmSource>;
  /** Whether a module of this size may be started without waiting, which browsers refuse on a page's main thread. */
  readonly startsAtOnce: boolean;
  /** Whether visitors wait for each download, and a model of a quarter of the size is preferred. */
  readonly smallDownloads: boolean;
  /** The model cache where the caller names none. */
  readonly cache: () => ModelCache | undefined;
  /** Settings of the surroundings, such as `ISOVEC_MIRROR`. */
  readonly settings: () => { readonly mirror?: string | undefined; readonly offline?: boolean };
}

let current: Platform | undefined;

export function setPlatform(platform: Platform): void {
  current = platform;
}

export function getPlatform(): Platform {
  if (current === undefined) {
    throw new IsovecError("unsupported", "isovec was loaded past its entry points");
  }
  return current;
}

/** Compiles `source`, streaming where that is possible. */
export async function compile(source: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return await WebAssembly.compile(source);
  }
  const response = await fetched(source);
  if (!response.ok) {
    throw new IsovecError("network", `the WebAssembly file: HTTP status ${response.status}`);
  }
  const type = response.headers.get("content-type")?.split(";")[0]?.trim();
  // Streaming demands this type, which not every server sends.
  if (type === "application/wasm") {
    return await WebAssembly.compileStreaming(response).catch((error: unknown) => {
      throw isRefusal(error) ? error : notFetched(error);
    });
  }
  const bytes = await response.arrayBuffer().catch((error: unknown) => {
    throw notFetched(error);
  });
  return await WebAssembly.compile(bytes);
}

/** Whether all has arrived: it is no module, a policy forbids it, or there is no memory for it. */
function isRefusal(error: unknown): boolean {
  const { CompileError, LinkError } = WebAssembly;
  return [CompileError, LinkError, EvalError, RangeError].some((kind) => error instanceof kind);
}

function notFetched(cause: unknown): IsovecError {
  return new IsovecError("network", "the WebAssembly file could not be fetched", { cause });
}

async function fetched(source: string | URL | Request | Response | Promise<Response>) {
  try {
    if (typeof source === "string" || source instanceof URL || source instanceof Request) {
      return await fetch(source);
    }
    return await source;
  } catch (error) {
    throw notFetched(error);
  }
}
