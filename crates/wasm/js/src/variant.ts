import { getPlatform } from "./platform.js";
import type { ModelSpec } from "./spec.js";

/**
 * The variant to load where none is named.
 *
 * In browsers that is `int8` for models that have it, a quarter of the download: weights are rounded to 8
 * bits and computed in fp32, so that it is as fast, and its vectors are close to those of `fp32`, but not
 * the same. Elsewhere, as natively, it is `fp32`. It depends on nothing else: neither on where files come
 * from nor on what is cached.
 */
export function defaultVariant(spec: ModelSpec): string {
  return getPlatform().smallDownloads && spec.variants?.["int8"] !== undefined ? "int8" : "fp32";
}
