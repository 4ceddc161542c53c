import { readFile } from "node:fs/promises";

import { IsovecError } from "../errors.js";
import { setPlatform } from "../platform.js";
import { defaultFolder, folderCache } from "./cache.js";

/** Node: the WebAssembly file from disk, the model store of the native program as the cache. */
export function setNodePlatform(wasm: string | URL): void {
  setPlatform({
    wasm: () => readFile(wasm),
    startsAtOnce: true,
    smallDownloads: false,
    cache: () => {
      const folder = defaultFolder();
      return folder === undefined ? undefined : folderCache(folder);
    },
    settings: () => ({
      mirror: process.env["ISOVEC_MIRROR"] || undefined,
      offline: flag("ISOVEC_OFFLINE"),
    }),
  });
}

function flag(name: string): boolean {
  const value = process.env[name];
  if (value === undefined || ["", "0", "false"].includes(value)) return false;
  if (["1", "true"].includes(value)) return true;
  throw new IsovecError("invalid_config", `${name}: "${value}" must be one of 1, true, 0, false`);
}
