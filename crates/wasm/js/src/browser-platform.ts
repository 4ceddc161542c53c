import { browserCache } from "./cache.js";
import { setPlatform } from "./platform.js";

setPlatform({
  // In this form bundlers find the file and put it beside their output.
  wasm: () => new URL("./wasm/isovec_bg.wasm", import.meta.url),
  startsAtOnce: false,
  smallDownloads: true,
  // Absent outside of secure contexts.
  cache: () => ("caches" in globalThis ? browserCache() : undefined),
  settings: () => ({}),
});
