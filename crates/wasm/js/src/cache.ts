/** Which file: the model's name and the file's path, made of plain names joined by `/`. */
export interface CacheKey {
  readonly model: string;
  readonly path: string;
}

/**
 * Where model files are kept between visits or runs. What it returns is verified before use, so it
 * need not be trusted; if it throws, the model loads without it.
 *
 * @example
 * ```ts
 * const files = new Map<string, Uint8Array>();
 * const id = (key: CacheKey) => `${key.model}/${key.path}`;
 * const cache: ModelCache = {
 *   get: async (key) => files.get(id(key)),
 *   put: async (key, bytes) => void files.set(id(key), bytes.slice()),
 *   delete: async (key) => void files.delete(id(key)),
 * };
 * await TextEmbedder.load("all-MiniLM-L6-v2", { cache });
 * ```
 */
export interface ModelCache {
  /** The whole file, if it is there. The caller may keep and change the bytes. */
  get(key: CacheKey): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /**
   * Keeps a file. The caller may change the bytes when this is done. They are verified already and the
   * model is made of them, so this must neither change nor transfer them, nor keep them without a copy.
   */
  put(key: CacheKey, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Forgets a file, if it is there. */
  delete(key: CacheKey): Promise<void>;
}

/**
 * The model cache of browsers: the Cache API, under the name `isovec`. It needs a secure context.
 *
 * @example
 * ```ts
 * await browserCache().delete({ model: "all-MiniLM-L6-v2", path: "onnx/model.onnx" });
 * ```
 */
export function browserCache(name = "isovec"): ModelCache {
  // An address that no server has: the Cache API wants one, and pages of extensions have none that
  // it takes.
  const address = (key: CacheKey) => `https://isovec.invalid/models/${key.model}/${key.path}`;
  return {
    async get(key) {
      const cache = await caches.open(name);
      const response = await cache.match(address(key));
      return response && new Uint8Array(await response.arrayBuffer());
    },
    async put(key, bytes) {
      const cache = await caches.open(name);
      const headers = {
        "content-type": "application/octet-stream",
        "content-length": String(bytes.byteLength),
      };
      await cache.put(address(key), new Response(bytes, { headers }));
    },
    async delete(key) {
      const cache = await caches.open(name);
      await cache.delete(address(key));
    },
  };
}
