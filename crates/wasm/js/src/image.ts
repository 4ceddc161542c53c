/// <reference lib="esnext.disposable" preserve="true" />
import { type BatchOptions, runBatch } from "./batch.js";
import type { RawImageModel } from "./bindings.js";
import { tagOf } from "./bytes.js";
import { IsovecError } from "./errors.js";
import type { LoadOptions } from "./loader.js";
import type { Resource } from "./resource.js";
import { type Create, type Opened, openGiven, openNamed } from "./source.js";
import type { ModelSpec, Precision } from "./spec.js";

/** An image file: JPEG, PNG or WebP, in bytes. A `File` that was dropped on a page is a `Blob`. */
export type ImageInput = Uint8Array | ArrayBuffer | Blob;

/** The vector of one image, and what is known of its file. */
export interface ImageEmbedding {
  /** The vector, in memory of its own. */
  readonly vector: Float32Array<ArrayBuffer>;
  /** In pixels, after the orientation was applied if that was asked for. */
  readonly width: number;
  /** Likewise. */
  readonly height: number;
  /** As the first bytes of the file show it. */
  readonly format: "jpeg" | "png" | "webp";
  /** The length of the file. */
  readonly bytes: number;
  /** The sha256 of the file. */
  readonly sha256: string;
}

/** What an image may cost before it is refused with the code `too_large`. */
export interface ImageLimits {
  /** The longest file: 10 MiB by default. */
  readonly maxBytes?: number;
  /** The largest width or height: 16,384 pixels by default. */
  readonly maxSide?: number;
  /** The most pixels: 67 million by default. */
  readonly maxPixels?: number;
  /** The most bytes that decoding may need: 768 MiB by default. */
  readonly maxDecodedBytes?: number;
}

/** The settings of a model of images. */
export interface ImageOptions {
  /** Apply the orientation in the EXIF data. Changes the fingerprint; by default what the model says. */
  readonly exifOrientation?: boolean;
  /** Keep only the first so many dimensions, for a model that was trained for it. */
  readonly dimensions?: number;
  /**
   * What the model's products are computed in: `fp32` by default, or `int8`, which is faster and gives vectors that
   * are close. `bf16` is no faster here, and is for indices that a server made in it. Changes the fingerprint.
   */
  readonly precision?: Precision;
  readonly limits?: ImageLimits;
}

/** A model that comes as bytes, which are read at once. */
export interface ImageBytes extends ImageOptions {
  /** Its facts, or the name of a model that is known. */
  readonly spec: string | ModelSpec;
  /** The ONNX file. */
  readonly model: Uint8Array;
  /** Keep copies, so that the model can be made anew after a crash. */
  readonly keepBytes?: boolean;
}

/** What models of images share, on a page and in a worker. */
export interface ImageEmbedderLike {
  /** The model's facts. */
  readonly spec: ModelSpec;
  /** The variant of its weights, if it was loaded by its name or a pinned spec. */
  readonly variant: string | undefined;
  /** The number of dimensions of its vectors. */
  readonly dims: number;
  /** What identifies the vector space: vectors of one fingerprint can be compared. */
  readonly fingerprint: string;
  embed(image: ImageInput): Promise<ImageEmbedding>;
  embedBatch(images: readonly ImageInput[], options?: BatchOptions): Promise<ImageEmbedding[]>;
  dispose(): void;
  [Symbol.dispose](): void;
}

const MAX_IMAGE_BYTES = 10 << 20;

/**
 * Turns images into vectors, on the thread that calls it.
 *
 * @example
 * ```ts
 * using model = await ImageEmbedder.load("clip-vit-base-patch32", { baseUrl: "/models" });
 * const { vector, width, height } = await model.embed(input.files[0]);
 * ```
 */
export class ImageEmbedder implements ImageEmbedderLike {
  readonly spec: ModelSpec;
  readonly variant: string | undefined;
  readonly dims: number;
  readonly fingerprint: string;
  readonly #resource: Resource<RawImageModel>;
  readonly #maxBytes: number;

  private constructor(
    { resource, spec, variant }: Opened<RawImageModel>,
    facts: Pick<ImageEmbedderLike, "dims" | "fingerprint">,
    options: ImageOptions,
  ) {
    this.#resource = resource;
    this.#maxBytes = options.limits?.maxBytes ?? MAX_IMAGE_BYTES;
    this.spec = spec;
    this.variant = variant;
    this.dims = facts.dims;
    this.fingerprint = facts.fingerprint;
  }

  /** Loads a model by its name, or by a spec whose files are pinned. */
  static async load(
    model: string | ModelSpec,
    options: LoadOptions & ImageOptions = {},
  ): Promise<ImageEmbedder> {
    const opened = await openNamed(model, "image", options, ImageEmbedder.#creator(options));
    return await ImageEmbedder.#of(opened, options);
  }

  /** Loads a model from its file. */
  static async fromBytes(bytes: ImageBytes): Promise<ImageEmbedder> {
    const { spec, model, keepBytes } = bytes;
    const create = ImageEmbedder.#creator(bytes);
    return await ImageEmbedder.#of(await openGiven(spec, "image", { model, keepBytes }, create), bytes);
  }

  static #creator(options: ImageOptions): Create<RawImageModel> {
    const { exifOrientation, dimensions, precision, limits } = options;
    const settings = JSON.stringify({ exifOrientation, dimensions, precision, limits });
    return ({ ImageModel }, spec, { model, modelSha256 }) =>
      new ImageModel(spec, model, modelSha256, settings);
  }

  static async #of(opened: Opened<RawImageModel>, options: ImageOptions): Promise<ImageEmbedder> {
    const facts = await opened.resource.use(({ dims, fingerprint }) => ({ dims, fingerprint }));
    return new ImageEmbedder(opened, facts, options);
  }

  /**
   * The vector of an image file.
   *
   * @example
   * ```ts
   * const { vector } = await model.embed(await readFile("cat.jpg"));
   * ```
   */
  async embed(image: ImageInput): Promise<ImageEmbedding> {
    const file = await this.#bytes(image);
    return (await this.#resource.use((raw) => raw.embed(file))) as ImageEmbedding;
  }

  /** The vectors of many images, in their order, each the same as alone. */
  async embedBatch(
    images: readonly ImageInput[],
    options: BatchOptions = {},
  ): Promise<ImageEmbedding[]> {
    const groups = Array.from(images, (image) => [image]);
    return await runBatch(groups, options, (group) => Promise.all(group.map((image) => this.embed(image))));
  }

  /** Gives the model's memory back. Any further use fails with the code `disposed`. */
  dispose(): void {
    this.#resource.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The file's bytes. Its length is checked before it is read or copied into WebAssembly. */
  async #bytes(image: ImageInput): Promise<Uint8Array> {
    const size = sizeOf(image);
    if (size > this.#maxBytes) {
      throw new IsovecError(
        "too_large",
        `the image file has ${size} bytes, over the cap of ${this.#maxBytes}`,
      );
    }
    if (isBlob(image)) return new Uint8Array(await image.arrayBuffer());
    // Not `instanceof Uint8Array`, which is false for arrays of another frame.
    return ArrayBuffer.isView(image) ? (image as Uint8Array) : new Uint8Array(image);
  }
}

function isBlob(image: ImageInput): image is Blob {
  return ["Blob", "File"].includes(tagOf(image));
}

function sizeOf(image: ImageInput): number {
  if (typeof image === "object" && image !== null) {
    const { size, byteLength } = image as { size?: unknown; byteLength?: unknown };
    if (isBlob(image) && typeof size === "number") return size;
    if (typeof byteLength === "number") return byteLength;
  }
  throw new IsovecError(
    "invalid_input",
    `image: expected a Uint8Array, an ArrayBuffer or a Blob, not ${typeof image}`,
  );
}
