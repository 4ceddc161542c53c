import type { Bindings, RawObject } from "./bindings.js";
import { type Instance, newInstance } from "./engine.js";
import { IsovecError, toIsovecError } from "./errors.js";

/** How an object inside of WebAssembly is made: a call that may be repeated after a crash. */
export type Maker<Raw> = () => Promise<Making<Raw>>;

/** One such call. */
export interface Making<Raw> {
  make(bindings: Bindings): Raw;
}

/** An object, and the instance that it was made in. */
export interface Live<Raw> {
  readonly instance: Instance;
  readonly raw: Raw;
}

/**
 * An object inside of WebAssembly, in an instance of its own. After a crash the next use makes both
 * anew.
 */
export class Resource<Raw extends RawObject> {
  #live: Live<Raw> | undefined;
  #remaking: Promise<void> | undefined;
  #disposed = false;

  private constructor(
    readonly name: string,
    private readonly remake: Maker<Raw>,
  ) {}

  /**
   * @param name - What errors call it.
   * @param first - Makes it now.
   * @param again - Makes it after a crash.
   */
  static async create<Raw extends RawObject>(
    name: string,
    first: Maker<Raw>,
    again: Maker<Raw>,
  ): Promise<Resource<Raw>> {
    const resource = new Resource(name, again);
    await resource.#make(first);
    return resource;
  }

  /** One that was made already. */
  static of<Raw extends RawObject>(name: string, live: Live<Raw>, again: Maker<Raw>): Resource<Raw> {
    const resource = new Resource(name, again);
    resource.#live = live;
    return resource;
  }

  /** Calls the object. Work must be synchronous and return nothing that points into WebAssembly. */
  async use<T>(work: (raw: Raw) => T): Promise<T> {
    this.#checkNotDisposed();
    while (this.#live === undefined) {
      this.#remaking ??= this.#make(this.remake).finally(() => (this.#remaking = undefined));
      try {
        await this.#remaking;
      } catch (error) {
        const { code, message } = toIsovecError(error, "crashed");
        throw new IsovecError(code, `${this.name} crashed, and cannot be loaded anew: ${message}`, {
          cause: error,
        });
      }
      this.#checkNotDisposed();
    }
    const { instance, raw } = this.#live;
    try {
      return instance.call(() => work(raw));
    } finally {
      if (!instance.alive) this.#forget(raw);
    }
  }

  /** Frees the object and its memory. Calls after the first do nothing. */
  dispose(): void {
    this.#disposed = true;
    const live = this.#live;
    if (live === undefined) return;
    this.#live = undefined;
    try {
      live.instance.call(() => live.raw.free());
    } catch {
      // It is gone either way.
    }
    live.instance.release();
  }

  async #make(maker: Maker<Raw>): Promise<void> {
    const making = await maker();
    const instance = await newInstance();
    const raw = instance.call((bindings) => making.make(bindings));
    this.#live = { instance, raw };
    if (this.#disposed) this.dispose();
  }

  /** Lets go of an object whose instance is dead: freeing it would be a call into that instance. */
  #forget(raw: Raw): void {
    this.#live = undefined;
    raw.__destroy_into_raw?.();
  }

  #checkNotDisposed(): void {
    if (this.#disposed) throw new IsovecError("disposed", `${this.name} was disposed of`);
  }
}

/** A maker for after a crash that says why there is none. */
export function noMaker(): Promise<never> {
  return Promise.reject(
    new IsovecError(
      "crashed",
      "it was made from bytes, which were not kept; make it again, or set keepBytes",
    ),
  );
}
