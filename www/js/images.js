// Images, searched by words. Fetched only when somebody wants it.
import { Clip, PATHS, readSite } from "./clip.js";
import { byId, el, enable, hide, say, sayLater, typed } from "./dom.js";
import { counted, duration, megabytes } from "./format.js";
import { explain } from "./problems.js";
import { scoreLine } from "./results.js";
import { Searcher } from "./search.js";

const MOST_IMAGES = 500;

/** @typedef {{ name: string, url: string, vector: Float32Array }} Picture */

class Images {
  #clip = new Clip((error) => {
    this.#button.hidden = false;
    this.#failed(error);
  });
  #loading = /** @type {AbortController | undefined} */ (undefined);
  #button = byId("images-load");
  #cancel = byId("images-cancel");
  #sayFound = sayLater(byId("images-found"));
  #query = typed("images-query", HTMLInputElement);
  #bar = typed("images-bar", HTMLProgressElement);
  #say = byId("images-say");
  /** Files that came before the model, or while others are read. @type {File[]} */
  #waiting = [];
  #reading = false;
  /** Where the weights are random, the order means nothing, and that is said beside every order. */
  #warning = "";
  /** @type {Picture[]} */
  #pictures = [];
  /** Of all pictures, one after the other. @type {Float32Array} */
  #vectors = new Float32Array();
  #searcher = new Searcher(
    {
      ready: () => this.#clip.ready,
      embed: (text) => this.#clip.embed(text),
      nearest: (vector) => this.#clip.nearest(vector, this.#vectors, this.#pictures.length),
      version: () => this.#pictures.length,
    },
    {
      found: (found) => {
        this.#draw(found.indices, found.scores);
        const took = duration(found.embedMs + found.searchMs);
        const first = this.#pictures[found.indices[0]]?.name ?? "none";
        this.#sayFound(`${counted(found.indices.length, "image")} compared. First: ${first}.${this.#warning}`);
        byId("images-facts").textContent = `${counted(found.indices.length, "image")} compared in ${took}, best first.${this.#warning}`;
      },
      cleared: () => {
        this.#draw();
        this.#sayFound("");
      },
      failed: (error) => this.#failed(error),
    },
  );

  constructor() {
    const files = typed("images-files", HTMLInputElement);
    files.addEventListener("change", () => {
      void this.add([...(files.files ?? [])]);
      files.value = "";
    });
    this.#query.addEventListener("input", () => this.#searcher.type(this.#query.value));
    byId("images-form").addEventListener("submit", (event) => event.preventDefault());
    this.#cancel.addEventListener("click", () => this.#loading?.abort());
  }

  async load() {
    if (this.#loading || this.#clip.ready) return;
    const loading = (this.#loading = new AbortController());
    const start = performance.now();
    enable(this.#button, false);
    this.#cancel.hidden = byId("images-progress").hidden = false;
    say(this.#say, "");
    this.#doing("Loading the image model …", 0);
    try {
      const site = await readSite();
      await this.#clip.load(
        site,
        ({ loaded, total }) => this.#doing(`Loading the image model: ${megabytes(loaded)} of ${megabytes(total)}`, loaded / total),
        loading.signal,
      );
      byId("images-ready").hidden = false;
      hide(this.#button, true, byId("images-files"));
      hide(this.#cancel, true, byId("images-files"));
      const took = `Ready, after ${duration(performance.now() - start)}.`;
      if (site.clip.synthetic) {
        this.#warning = " Random weights: the order means nothing.";
        say(this.#say, "It serves to test this page.", "bad", `${took} This CLIP has random weights: the order of images means nothing.`);
      } else say(this.#say, "Choose some images.", "good", took);
    } catch (error) {
      if (loading.signal.aborted) say(this.#say, "What had arrived in full is kept for the next time.", "", "Cancelled.");
      else this.#failed(error);
    } finally {
      this.#loading = undefined;
      enable(this.#button, true);
      hide(this.#cancel, true, this.#button);
      byId("images-progress").hidden = true;
    }
    await this.#read();
    // What has been typed while there was no model.
    this.#searcher.again();
  }

  /** @param {readonly File[]} files */
  async add(files) {
    this.#waiting.push(...files);
    if (this.#clip.ready) return await this.#read();
    if (files.length > 0) {
      say(this.#say, "Load the model, and they are read at once.", "", `${counted(this.#waiting.length, "image")} waiting.`);
      byId("images").scrollIntoView();
    }
  }

  async #read() {
    if (this.#reading || !this.#clip.ready) return;
    this.#reading = true;
    const total = () => this.#pictures.length + this.#waiting.length;
    const bad = [];
    byId("images-progress").hidden = false;
    for (let file = this.#waiting.shift(); file; file = this.#waiting.shift()) {
      this.#doing(`Looking at ${file.name}`, this.#pictures.length / (total() + 1));
      try {
        if (this.#pictures.length >= MOST_IMAGES) throw new Error(`there is room for ${MOST_IMAGES} images`);
        const { vector } = await this.#clip.embedImage(file);
        this.#keep({ name: file.name, url: URL.createObjectURL(file), vector });
      } catch (error) {
        // Its worker has ended: the others wait for a new one.
        if (!this.#clip.ready) break;
        bad.push(`${file.name}: ${error instanceof Error ? error.message : error}.`);
      }
    }
    byId("images-progress").hidden = true;
    this.#reading = false;
    if (bad.length > 0 && this.#clip.ready) say(this.#say, bad.join(" "), "bad", "Not all could be read.");
  }

  /** @param {Picture} picture */
  #keep(picture) {
    const larger = new Float32Array(this.#vectors.length + picture.vector.length);
    larger.set(this.#vectors);
    larger.set(picture.vector, this.#vectors.length);
    this.#vectors = larger;
    this.#pictures.push(picture);
    if (this.#query.value.trim() === "") this.#draw();
    else this.#searcher.again();
  }

  /** @param {Uint32Array} [indices] @param {Float32Array} [scores] */
  #draw(indices, scores) {
    const pictures = this.#pictures;
    const order = indices ? [...indices] : pictures.map((_, index) => index);
    if (!indices) byId("images-facts").textContent = pictures.length ? `${counted(pictures.length, "image")}. Say what to look for.` : "";
    byId("images-list").replaceChildren(
      ...order.map((index, rank) => {
        const { name, url } = pictures[index];
        const score = scores?.[rank];
        return el(
          "li",
          {},
          el("img", { src: url, alt: name, loading: "lazy", decoding: "async" }),
          ...(score === undefined ? [el("span", { class: "name" }, name)] : [scoreLine(name, score)]),
        );
      }),
    );
  }

  /** @param {string} text @param {number} share */
  #doing(text, share) {
    byId("images-doing").textContent = text;
    this.#bar.value = share;
  }

  /** @param {unknown} error */
  #failed(error) {
    const { title, text } = explain(error, "The image model");
    const how = /** @type {{ code?: string }} */ (error).code === "not_found";
    say(this.#say, how ? "Whoever runs this page can add it: scripts/demo --clip DIR, or these files of CLIP ViT-B/32 in ONNX:" : text, "bad", title);
    if (how) this.#say.append(el("ul", { class: "paths" }, ...PATHS.map((path) => el("li", {}, el("code", {}, path)))));
  }
}

/** @type {Images | undefined} */
let images;

export function startImages() {
  images ??= new Images();
  return images;
}
