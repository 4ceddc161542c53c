import type { LoadOptions } from "./loader.js";
import { getPlatform } from "./platform.js";
import type { ModelSpec } from "./spec.js";

/**
 * The variant to load: the one that is named, or the platform's.
 *
 * In browsers that is `int8` where it can be had, a quarter of the download: weights are rounded to 8
 * bits and computed in fp32, so that it is as fast, and its vectors are close to those of `fp32`, but not
 * the same. Elsewhere, as natively, it is `fp32`.
 */
export function chooseVariant(spec: ModelSpec, { variant, baseUrl }: LoadOptions): string {
  if (variant !== undefined) return variant;
  const { smallDownloads } = getPlatform();
  const small = spec.variants?.["int8"];
  if (!smallDownloads || small === undefined) return "fp32";
  const isPublic = small.files.every(({ builds }) => builds.some((build) => build.urls?.length));
  return isPublic || baseUrl !== undefined ? "int8" : "fp32";
}
