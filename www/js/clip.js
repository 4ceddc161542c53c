// CLIP, both halves, in a worker of its own: images and words into one space.
import { createWorker } from "../isovec/worker.js";
import { BASE, watched } from "./settings.js";

const IMAGES = "clip-vit-base-patch32";
const WORDS = "clip-vit-base-patch32-text";

/** Where its files belong, for whoever deploys this page. */
export const PATHS = [
  `models/${IMAGES}/onnx/vision_model.onnx`,
  `models/${WORDS}/onnx/text_model.onnx`,
  `models/${WORDS}/tokenizer.json`,
];

/**
 * @typedef {object} Site What scripts/demo put beside the page.
 * @property {{ here: boolean, synthetic: boolean, builds: Record<string, Record<string, { sha256: string, size: number }>> }} clip
 */

/** @returns {Promise<Site>} */
export async function readSite() {
  return await (await fetch(new URL("site.json", document.baseURI))).json();
}

export class Clip {
  /** @type {import("../isovec/worker.js").IsovecWorker | undefined} */
  #api;
  /** @type {import("../isovec/image.js").ImageEmbedderLike | undefined} */
  #images;
  /** @type {import("../isovec/text.js").TextEmbedderLike | undefined} */
  #words;

  /** @param {(error: Error) => void} onEnd Called when what was ready is gone. */
  constructor(onEnd) {
    this.onEnd = onEnd;
  }

  get ready() {
    return this.#words !== undefined;
  }

  /**
   * @param {Site} site
   * @param {(progress: { loaded: number, total: number }) => void} onProgress
   * @param {AbortSignal} signal
   */
  async load({ clip: { builds } }, onProgress, signal) {
    this.close();
    this.#api = createWorker({ worker: () => watched((error) => this.#ended(error)) });
    try {
      const known = await this.#api.models();
      const specs = [IMAGES, WORDS].map((name) => {
        const spec = known.find((one) => one.name === name);
        if (!spec) throw new Error(`isovec does not know ${name}`);
        return fromHere(spec, builds[name]);
      });
      const total = specs.reduce((sum, spec) => sum + sizeOf(spec), 0);
      let before = 0;
      const options = {
        baseUrl: BASE,
        signal,
        onProgress: (/** @type {{ loaded: number }} */ { loaded }) =>
          onProgress({ loaded: Math.min(before + loaded, total), total }),
      };
      this.#images = await this.#api.ImageEmbedder.load(specs[0], options);
      before = sizeOf(specs[0]);
      this.#words = await this.#api.ClipTextEmbedder.load(specs[1], options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @param {string} text */
  async embed(text) {
    if (!this.#words) throw new Error("CLIP is not ready");
    return await this.#words.embed(text);
  }

  /** @param {Blob} file */
  async embedImage(file) {
    if (!this.#images) throw new Error("CLIP is not ready");
    return await this.#images.embed(file);
  }

  /** @param {Float32Array} vector @param {Float32Array} vectors @param {number} count */
  async nearest(vector, vectors, count) {
    if (!this.#api || count === 0) return { indices: new Uint32Array(), scores: new Float32Array() };
    return await this.#api.topK(vector, vectors, count);
  }

  /** @param {Error} error */
  #ended(error) {
    // While it is loaded, load() says it.
    if (!this.ready) return;
    this.#images = this.#words = undefined;
    this.onEnd(error);
  }

  close() {
    this.#api?.terminate();
    this.#api = this.#images = this.#words = undefined;
  }
}

/**
 * A model whose files come from this page's server alone.
 *
 * @param {import("../isovec/spec.js").ModelSpec} spec
 * @param {Record<string, { sha256: string, size: number }> | undefined} builds Other contents than the published ones.
 * @returns {import("../isovec/spec.js").ModelSpec}
 */
function fromHere(spec, builds) {
  const variant = spec.variants?.fp32;
  if (!variant) throw new Error(`${spec.name} has no fp32 variant`);
  const files = variant.files.map((file) => {
    const other = builds?.[file.role];
    const pinned = other ? [{ ...other, origin: "this server" }] : file.builds;
    return { ...file, builds: pinned.map(({ origin, sha256, size }) => ({ origin, sha256, size })) };
  });
  return { ...spec, variants: { fp32: { ...variant, files } } };
}

/** @param {import("../isovec/spec.js").ModelSpec} spec */
function sizeOf(spec) {
  const files = spec.variants?.fp32?.files ?? [];
  return files.reduce((sum, { builds }) => sum + Math.max(...builds.map(({ size }) => size)), 0);
}
