// The visitor's own texts: taken in, embedded, and searchable as they come.
import { byId, hide, say, typed } from "./dom.js";
import { counted, duration, whole } from "./format.js";
import { explain } from "./problems.js";
import { BadFile, fromLines, MAX_TEXTS, readFile } from "./read-texts.js";

/** So many texts for each worker become searchable together. */
const PIECE = 16;

export class OwnTexts {
  #text = typed("own-text", HTMLTextAreaElement);
  #files = typed("own-files", HTMLInputElement);
  #bar = typed("own-bar", HTMLProgressElement);
  #useShipped = typed("use-shipped", HTMLInputElement);
  #useOwn = typed("use-own", HTMLInputElement);
  #say = byId("own-say");
  /** @type {AbortController | undefined} */
  #running;

  /**
   * @param {import("./engine.js").Engine} engine
   * @param {import("./corpus.js").Corpus} corpus
   */
  constructor(engine, corpus) {
    this.engine = engine;
    this.corpus = corpus;
    byId("own-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#pasted();
    });
    this.#files.addEventListener("change", () => {
      void this.addFiles([...(this.#files.files ?? [])]);
      this.#files.value = "";
    });
    byId("own-cancel").addEventListener("click", () => this.#running?.abort());
    byId("own-remove").addEventListener("click", () => {
      this.#running?.abort();
      corpus.clearOwn();
      say(this.#say, "Your texts are removed.");
      this.#text.focus();
    });
    for (const box of [this.#useShipped, this.#useOwn]) {
      box.addEventListener("change", () => {
        // Something must be searched.
        if (!this.#useShipped.checked && !this.#useOwn.checked) {
          (box === this.#useOwn ? this.#useShipped : this.#useOwn).checked = true;
        }
        corpus.show(this.#useShipped.checked, this.#useOwn.checked);
      });
    }
    corpus.onChange(() => this.#show());
  }

  async #pasted() {
    try {
      const texts = fromLines(this.#text.value);
      if (texts.length === 0) {
        say(this.#say, "There is no text yet: type or paste some lines.", "bad");
        this.#text.focus();
        return;
      }
      if (await this.#add(texts)) this.#text.value = "";
    } catch (error) {
      this.#failed(error);
    }
  }

  /** @param {readonly File[]} files */
  async addFiles(files) {
    if (!this.#running) say(this.#say, "");
    const read = await Promise.allSettled(files.map(readFile));
    const bad = read.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    const texts = read.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
    try {
      if (texts.length > 0) await this.#add(texts);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (bad.length > 0) {
      const reasons = bad.map((error) => (error instanceof BadFile ? error.message : String(error))).join(" ");
      const title = texts.length > 0 ? `${counted(texts.length, "text")} read, but not all files.` : "Nothing was added.";
      say(this.#say, reasons, "bad", title);
    }
  }

  /**
   * @param {readonly import("./read-texts.js").OwnText[]} texts
   * @returns {Promise<boolean>} Whether all of them are in.
   */
  async #add(texts) {
    const room = MAX_TEXTS - this.corpus.own.passages.length;
    if (this.#running) throw new BadFile("Another batch is being read. Wait for it, or cancel it.");
    if (!this.engine.ready) throw new BadFile("The model is not ready yet.");
    if (texts.length > room) {
      throw new BadFile(`These are ${counted(texts.length, "text")}; there is room for ${whole(room)} (${whole(MAX_TEXTS)} in all).`);
    }
    this.#running = new AbortController();
    const { signal } = this.#running;
    say(this.#say, "");
    byId("own-work").hidden = false;
    this.#progress(0, texts.length);
    const start = performance.now();
    let done = 0;
    try {
      const { embedder, width, done: finish } = await this.engine.forMany(texts.length);
      try {
        while (done < texts.length) {
          const piece = texts.slice(done, done + PIECE * width);
          const before = done;
          const made = await embedder.embedBatch(piece.map(({ text }) => text), {
            signal,
            onProgress: (progress) => this.#progress(before + progress.done, texts.length),
          });
          const passages = piece.map(({ text, source }, at) => {
            const passage = { text, topic: "Your texts", own: true, truncated: made[at].truncated };
            return source ? { ...passage, source } : passage;
          });
          this.corpus.addOwn(passages, made.map(({ vector }) => vector));
          done += piece.length;
        }
      } finally {
        finish();
      }
      const took = duration(performance.now() - start);
      say(this.#say, `Read in ${took}. Search them above.`, "good", `${counted(texts.length, "text")} added.`);
      return true;
    } catch (error) {
      if (!signal.aborted) throw error;
      say(this.#say, `${whole(done)} of ${counted(texts.length, "text")} were read and can be searched.`, "", "Cancelled.");
      return false;
    } finally {
      this.#running = undefined;
      hide(byId("own-work"), true, byId("own-add"));
    }
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof BadFile) return say(this.#say, error.message, "bad", "Nothing was added.");
    const { title, text } = explain(error);
    say(this.#say, text, "bad", title);
  }

  /** @param {number} done @param {number} total */
  #progress(done, total) {
    this.#bar.max = total;
    this.#bar.value = done;
    byId("own-doing").textContent = `Reading ${whole(done)} of ${counted(total, "text")}`;
  }

  #show() {
    const own = this.corpus.own.passages.length;
    byId("sources").hidden = own === 0;
    byId("own-remove").hidden = own === 0;
    byId("own-count").textContent = own === 1 ? "your text" : `your ${whole(own)} texts`;
    byId("shipped-count").textContent = `the ${whole(this.corpus.shipped.passages.length)} passages`;
    this.#useShipped.checked = this.corpus.shipped.shown;
    this.#useOwn.checked = this.corpus.own.shown;
    const label = document.querySelector('label[for="query"]');
    if (label) label.textContent = `Search ${counted(this.corpus.passages.length, "short passage")}`;
  }
}
