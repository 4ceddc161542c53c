import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

import type { CacheKey, ModelCache } from "../cache.js";

/**
 * The model cache of Node: files in a folder, laid out as the store of the native program, which may
 * share it: `<folder>/models/<name>/<path>`. By default the folder that `ISOVEC_HOME` names, or
 * `isovec` in the platform's cache folder.
 *
 * @example
 * ```ts
 * await TextEmbedder.load("all-MiniLM-L6-v2", { cache: folderCache("/var/cache/isovec") });
 * ```
 */
export function folderCache(folder: string): ModelCache {
  const place = ({ model, path }: CacheKey) => join(folder, "models", model, ...path.split("/"));
  return {
    async get(key) {
      try {
        return (await readFile(place(key))) as Uint8Array<ArrayBuffer>;
      } catch (error) {
        if (isAbsent(error)) return undefined;
        throw error;
      }
    },
    async put(key, bytes) {
      const path = place(key);
      await mkdir(dirname(path), { recursive: true });
      // Never half a file under a whole one's name.
      const part = `${path}.${process.pid}-${randomBytes(6).toString("hex")}.part`;
      try {
        const file = await open(part, "wx");
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(part, path);
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    },
    async delete(key) {
      await rm(place(key), { force: true });
    },
  };
}

/** The folder of the native program's store, unless this user has none. */
export function defaultFolder(): string | undefined {
  const { env, platform } = process;
  if (env["ISOVEC_HOME"]) return env["ISOVEC_HOME"];
  if (platform === "win32") return env["LOCALAPPDATA"] && join(env["LOCALAPPDATA"], "isovec");
  const home = homedir();
  if (!home) return undefined;
  if (platform === "darwin") return join(home, "Library", "Caches", "isovec");
  const cache = env["XDG_CACHE_HOME"];
  return join(cache?.startsWith("/") ? cache : join(home, ".cache"), "isovec");
}

function isAbsent(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === "ENOENT" || code === "ENOTDIR";
}
