import { compiledModule, functionsInstance } from "./engine.js";

/**
 * The version of the WebAssembly module.
 *
 * @example
 * ```ts
 * console.log(await version()); // 0.1.0
 * ```
 */
export async function version(): Promise<string> {
  await compiledModule();
  return functionsInstance().call((bindings) => bindings.version());
}
