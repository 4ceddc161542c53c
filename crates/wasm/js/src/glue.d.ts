import type { Glue } from "./bindings.js";

/**
 * A set of bindings of its own, for one WebAssembly instance. `scripts/build.mjs` makes the module
 * out of wasm-bindgen's output, whose code and state it puts into this function as they are.
 */
export function createGlue(): Glue;
