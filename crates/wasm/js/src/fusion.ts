/// <reference lib="esnext.disposable" preserve="true" />
import type { Bindings, RawFusionModel } from "./bindings.js";
import { ownBytes } from "./bytes.js";
import { IsovecError } from "./errors.js";
import { Resource } from "./resource.js";
import { floats, type Vector } from "./vector.js";

/** How much text and image count in a fused vector: 0.6 and 0.4 by default. */
export interface FusionWeights {
  readonly text: number;
  readonly image: number;
}

/** The sizes of the vectors that are fused. */
export interface FusionSizes {
  readonly textDims: number;
  readonly imageDims: number;
  readonly weights?: FusionWeights;
}

/** What is fused; one of the two may be missing. */
export interface FusionInput {
  readonly text?: Vector | null | undefined;
  readonly image?: Vector | null | undefined;
}

/** What a fusion is, on a page and in a worker. */
export interface FusionLike {
  /** `concat`, `learned` or `untrained`. */
  readonly kind: string;
  /** The number of dimensions of a fused vector. */
  readonly dims: number;
  /** That of the vectors of texts which it takes. */
  readonly textDims: number;
  /** That of the vectors of images which it takes. */
  readonly imageDims: number;
  /** The fingerprint of the text model that it was fitted for, if it says so. */
  readonly textModel: string | undefined;
  /** The fingerprint of the image model that it was fitted for, if it says so. */
  readonly imageModel: string | undefined;
  /** What identifies the map. */
  readonly fingerprint: string;
  /** One line for people. */
  readonly about: string;
  fuse(input: FusionInput): Promise<Float32Array<ArrayBuffer>>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** The facts of a fusion. */
export type FusionFacts = Pick<
  FusionLike,
  | "kind"
  | "dims"
  | "textDims"
  | "imageDims"
  | "textModel"
  | "imageModel"
  | "fingerprint"
  | "about"
>;

const WEIGHTS: FusionWeights = { text: 0.6, image: 0.4 };

/**
 * Fuses the vector of a text and the vector of an image that belong together into one vector.
 *
 * Only a learned fusion relates a text to an image. In the other kinds the dot product of two fused
 * vectors is (nearly, if `untrained`) the weighted mean of the cosine of their texts and that of
 * their images.
 *
 * @example
 * ```ts
 * const fusion = await Fusion.concat({ textDims: 384, imageDims: 512 });
 * const vector = await fusion.fuse({ text: caption.vector, image: photo.vector });
 * ```
 */
export class Fusion implements FusionLike {
  readonly kind!: string;
  readonly dims!: number;
  readonly textDims!: number;
  readonly imageDims!: number;
  readonly textModel!: string | undefined;
  readonly imageModel!: string | undefined;
  readonly fingerprint!: string;
  readonly about!: string;
  readonly #resource: Resource<RawFusionModel>;

  private constructor(resource: Resource<RawFusionModel>, facts: FusionFacts) {
    this.#resource = resource;
    Object.assign(this, facts);
  }

  /** The two vectors side by side, each scaled by the square root of its weight. */
  static async concat({ textDims, imageDims, weights = WEIGHTS }: FusionSizes): Promise<Fusion> {
    checkDims({ textDims, imageDims });
    return await Fusion.#open((b) =>
      b.FusionModel.concat(textDims, imageDims, weights.text, weights.image),
    );
  }

  /**
   * A random projection of the two side by side to `dims` dimensions, which has learned nothing. The
   * same seed gives the same map everywhere. It takes some seconds to make; keep it.
   */
  static async untrained(
    sizes: FusionSizes & { readonly dims: number; readonly seed?: number | bigint },
  ): Promise<Fusion> {
    const { textDims, imageDims, dims, seed = 0, weights = WEIGHTS } = sizes;
    checkDims({ textDims, imageDims, dims });
    return await Fusion.#open((b) =>
      b.FusionModel.untrained(textDims, imageDims, dims, seed, weights.text, weights.image),
    );
  }

  /** Reads the file of a fusion, as the command `isovec fuse fit` writes it. */
  static async fromSafetensors(bytes: Uint8Array): Promise<Fusion> {
    const copy = ownBytes("fusion", bytes);
    return await Fusion.#open((b) => b.FusionModel.fromSafetensors(copy));
  }

  static async #open(make: (bindings: Bindings) => RawFusionModel): Promise<Fusion> {
    const maker = () => Promise.resolve({ make });
    const resource = await Resource.create("the fusion", maker, maker);
    return new Fusion(resource, await resource.use(factsOf));
  }

  /** The fused vector. Only the directions of the two count, not their lengths. */
  async fuse({ text, image }: FusionInput): Promise<Float32Array<ArrayBuffer>> {
    const [t, i] = [text && floats("text", text), image && floats("image", image)];
    return (await this.#resource.use((raw) => raw.fuse(t, i))) as Float32Array<ArrayBuffer>;
  }

  /** Gives its memory back. Any further use fails with the code `disposed`. */
  dispose(): void {
    this.#resource.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function factsOf(raw: RawFusionModel): FusionFacts {
  const { kind, dims, textDims, imageDims, textModel, imageModel, fingerprint, about } = raw;
  return { kind, dims, textDims, imageDims, textModel, imageModel, fingerprint, about };
}

// WebAssembly would take a fraction or a negative number for some other one.
function checkDims(sizes: Record<string, number>): void {
  for (const [name, value] of Object.entries(sizes)) {
    if (!Number.isInteger(value) || value < 1 || value > 65536) {
      throw new IsovecError("invalid_config", `${name}: ${value} is outside of 1 to 65536`);
    }
  }
}
