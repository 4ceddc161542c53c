import type { Bindings } from "./bindings.js";
import { IsovecError, toIsovecError } from "./errors.js";
import { createGlue } from "./glue.js";
import { compile, getPlatform, type WasmSource } from "./platform.js";
import { otherTasks } from "./tasks.js";

/**
 * One WebAssembly instance with a memory of its own.
 *
 * Every model has one to itself: a trap ends that model alone, disposing of it gives its whole
 * memory back, and each may use the 4 GiB that a 32-bit memory can have.
 */
export class Instance {
  #bindings: Bindings | undefined;

  private constructor(bindings: Bindings) {
    this.#bindings = bindings;
  }

  static async create(module: WebAssembly.Module): Promise<Instance> {
    // The other way asks what a `Response` is, for which Node loads all of its `fetch`: 40 ms.
    if (getPlatform().startsAtOnce) {
      const instance = Instance.createSync(module);
      // Whoever wants to cancel what it is for can do so now, as with the other way.
      await otherTasks();
      return instance;
    }
    const glue = createGlue();
    try {
      await glue.init({ module_or_path: module });
      return new Instance(glue);
    } catch (error) {
      throw instantiationError(error);
    }
  }

  /** Without waiting. Browsers refuse it on a page's main thread for a module of this size. */
  static createSync(module: WebAssembly.Module): Instance {
    const glue = createGlue();
    try {
      glue.initSync({ module });
      return new Instance(glue);
    } catch (error) {
      throw instantiationError(error);
    }
  }

  /** Whether calls are possible: it has not trapped and was not given up. */
  get alive(): boolean {
    return this.#bindings !== undefined;
  }

  /** Calls into the instance. A trap ends it: it is never called again. */
  call<T>(work: (bindings: Bindings) => T): T {
    const bindings = this.#bindings;
    if (bindings === undefined) throw new IsovecError("crashed", "the instance has crashed");
    try {
      return work(bindings);
    } catch (error) {
      if (!isTrap(error)) throw toIsovecError(error, "inference");
      this.#bindings = undefined;
      throw crash(error, bindings);
    }
  }

  /** Gives the instance up, so that its memory can be collected. */
  release(): void {
    this.#bindings = undefined;
  }
}

/**
 * Whether an error is the end of the instance. What the module throws on purpose has a code. All else
 * has left it half-way: a trap, a stack overflow, an exception of JavaScript that went through it.
 */
function isTrap(error: unknown): boolean {
  return typeof (error as { code?: unknown } | undefined)?.code !== "string";
}

function crash(error: unknown, bindings: Bindings): IsovecError {
  let panic: string | undefined;
  try {
    panic = bindings.lastPanic();
  } catch {
    // The instance is too far gone to say why.
  }
  const reason = panic ?? (error instanceof Error ? error.message : String(error));
  const options = { cause: error };
  // Rust aborts in two cases: a panic, which leaves its text, and a failed allocation, which cannot; but those of
  // tract's tensors are panics.
  if (/failed to allocate/.test(panic ?? "") || (panic === undefined && /unreachable/i.test(reason))) {
    return new IsovecError("out_of_memory", "WebAssembly ran out of memory", options);
  }
  return new IsovecError("crashed", `the WebAssembly instance crashed: ${reason}`, options);
}

function instantiationError(error: unknown): IsovecError {
  if (error instanceof RangeError && /memory|allocat/i.test(error.message)) {
    return new IsovecError("out_of_memory", `cannot start WebAssembly: ${error.message}`, {
      cause: error,
    });
  }
  return toIsovecError(error, "unsupported");
}

let compiled: WebAssembly.Module | undefined;
let functions: Instance | undefined;
let pending: Promise<void> | undefined;

/**
 * Compiles and starts the WebAssembly module. Calling it is optional: everything that can wait does
 * it by itself. The first call counts; all others, however many and whatever they are given, wait
 * for that one. If it fails, the next call tries again.
 *
 * @param source - Where the `.wasm` file is: an address, a `Response`, its bytes, or a compiled
 * `WebAssembly.Module`. By default the file that comes with the package.
 *
 * @example
 * ```ts
 * await init(new URL("/assets/isovec_bg.wasm", location.href));
 * ```
 */
export async function init(source?: WasmSource): Promise<void> {
  if (functions?.alive) return;
  pending ??= start(source).finally(() => (pending = undefined));
  await pending;
}

async function start(source: WasmSource | undefined): Promise<void> {
  try {
    const found = compiled ?? (await compile(source ?? (await getPlatform().wasm())));
    const created = await Instance.create(found);
    // initSync may have been faster.
    compiled ??= found;
    if (!functions?.alive) functions = created;
  } catch (error) {
    throw toIsovecError(error, "unsupported");
  }
}

/**
 * Like {@link init}, without waiting, from bytes or a compiled module. Meant for workers and Node:
 * browsers refuse to compile a module of this size on a page's main thread without waiting.
 *
 * @example
 * ```ts
 * initSync(readFileSync("node_modules/isovec/dist/wasm/isovec_bg.wasm"));
 * ```
 */
export function initSync(source: BufferSource | WebAssembly.Module): void {
  if (functions?.alive) return;
  try {
    compiled ??= source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source);
  } catch (error) {
    throw toIsovecError(error, "unsupported");
  }
  functions = Instance.createSync(compiled);
}

/** The compiled module, to be shared with workers. */
export async function compiledModule(): Promise<WebAssembly.Module> {
  await init();
  if (compiled === undefined) throw new IsovecError("not_initialized", "init() has not finished");
  return compiled;
}

/** A new instance, for one model. */
export async function newInstance(): Promise<Instance> {
  return await Instance.create(await compiledModule());
}

/**
 * A new instance without waiting, where that can be: the module is compiled, and neither a page's main thread nor the
 * memory refuses it.
 */
export function newInstanceAtOnce(): Instance | undefined {
  if (compiled === undefined) return undefined;
  try {
    return Instance.createSync(compiled);
  } catch {
    return undefined;
  }
}

/** The instance that plain functions run in. */
export function functionsInstance(): Instance {
  if (functions?.alive) return functions;
  if (compiled === undefined) {
    throw new IsovecError("not_initialized", "call `await init()` first, or load a model");
  }
  try {
    functions = Instance.createSync(compiled);
  } catch (error) {
    throw new IsovecError("crashed", "call `await init()` to start the crashed instance anew", {
      cause: error,
    });
  }
  return functions;
}
