// The passages that come with the page: an index that the native program made. It names its model, and
// opens only with the model that made its vectors.
import { megabytes } from "./format.js";
import { BASE } from "./settings.js";

/** The index is a small part of the download, and comes first. */
const INDEX_SHARE = 0.02;

/**
 * @param {import("../isovec/worker.js").IsovecWorker} api
 * @param {(what: string, share: number, detail: string) => void} onProgress
 */
export async function openShipped(api, onProgress) {
  const index = await api.SearchIndex.open(new URL("passages.safetensors", document.baseURI).href, {
    baseUrl: BASE,
    onProgress: ({ loaded, total, file }) => {
      const share = total > 0 ? Math.min(1, loaded / total) : 0;
      if (file.endsWith(".safetensors")) onProgress("Loading the passages", INDEX_SHARE * share, "");
      else if (loaded < total) {
        onProgress("Loading the model", INDEX_SHARE + (1 - INDEX_SHARE) * share, `${megabytes(loaded)} of ${megabytes(total)}`);
      } else onProgress("Preparing the model", 1, "");
    },
  });
  return { index, vectors: await index.vectors() };
}

/** @typedef {Awaited<ReturnType<typeof openShipped>>} Shipped */
