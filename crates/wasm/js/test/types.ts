// Compiled, never run: what wasm-bindgen made is what src/bindings.ts says it is.
import type { Bindings } from "../src/bindings.js";
import type * as generated from "../wasm/isovec.js";

declare const made: typeof generated;
export const bindings: Bindings = made;
