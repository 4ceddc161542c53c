// The test table: the same cases in Node and in browsers, on the page's thread, in a worker and in a
// pool. Plain JavaScript with no imports, so that a page can load it as it is.

/**
 * @param iso - The package, or a worker with the same interface.
 * @param fixtures - What test/lib/prepare.mjs made.
 * @param read - The bytes of a file that fixtures name.
 * @param baseUrl - Where MiniLM is served, or nothing if it is in the cache.
 * @returns A line for each case, and digests of all vectors: the same wherever this runs.
 */
export async function runTable(iso, { fixtures, read, baseUrl, minilm = true }) {
  const results = [];
  const digest = new Digest();
  const run = async (name, test) => {
    try {
      results.push({ name, detail: (await test()) ?? "", ok: true });
    } catch (error) {
      results.push({ name, ok: false, detail: `${error?.code ?? ""} ${error?.stack ?? error}` });
    }
  };
  const context = { iso, fixtures, read, digest, baseUrl };
  for (const entry of fixtures.small) {
    await run(`text model ${entry.spec.name} agrees with native`, () => smallText(context, entry));
  }
  for (const [name, test] of Object.entries(CASES)) await run(name, () => test(context));
  const digests = { small: await digest.value() };
  if (minilm) {
    context.digest = new Digest();
    await run("MiniLM agrees with native", () => miniLm(context));
    digests.minilm = await context.digest.value();
  }
  return { results, digests };
}

async function textBytes({ read }, entry) {
  const [model, tokenizer] = await Promise.all([read(entry.model), read(entry.tokenizer)]);
  return { spec: entry.spec, model, tokenizer };
}

async function smallText(context, entry) {
  const model = await context.iso.TextEmbedder.fromBytes(await textBytes(context, entry));
  try {
    equal(model.dims, entry.spec.dims, "dims");
    equal(model.maxTokens, entry.spec.max_tokens, "maxTokens");
    equal(/^[0-9a-f]{64}$/.test(model.fingerprint), true, "fingerprint");
    // Where activations are rounded, a difference in the last bit can become one of a whole step.
    const close = entry.spec.name === "int8-dynamic" ? { difference: 5e-3, cosine: 0.9999 } : CLOSE;
    const embeddings = await model.embedBatch(entry.texts);
    const worst = compare(embeddings, entry.expected, context.digest, close);
    const prompted = entry.prompted
      ? compare(await model.embedBatch(entry.texts, { prompt: "query" }), entry.prompted, context.digest)
      : 0;
    return `worst difference ${Math.max(worst, prompted).toExponential(1)}`;
  } finally {
    model.dispose();
  }
}

async function miniLm({ iso, fixtures, baseUrl, digest }) {
  const seen = [];
  const onProgress = (progress) => seen.push(progress);
  const options = { variant: "fp32", onProgress, ...(baseUrl && { baseUrl }) };
  const model = await iso.TextEmbedder.load("all-MiniLM-L6-v2", options);
  try {
    const last = seen.at(-1);
    equal(last.loaded, last.total, "progress at the end");
    const loaded = seen.map((progress) => progress.loaded);
    equal(loaded.every((n, i) => i === 0 || n >= loaded[i - 1]), true, "progress never falls");
    const { texts, expected } = fixtures.minilm;
    const worst = compare(await model.embedBatch(texts), expected, digest);
    return `worst difference ${worst.toExponential(1)}`;
  } finally {
    model.dispose();
  }
}

/** How close a precision's vectors are to those of fp32, by the lowest cosine. */
async function rounded(context, precision, [from, to]) {
  const entry = context.fixtures.small[0];
  const bytes = await textBytes(context, entry);
  const full = await context.iso.TextEmbedder.fromBytes(bytes);
  const model = await context.iso.TextEmbedder.fromBytes({ ...bytes, precision });
  equal(model.fingerprint === full.fingerprint, false, "the same fingerprint");
  const batch = await model.embedBatch(entry.texts);
  let worst = 1;
  for (const [i, text] of entry.texts.entries()) {
    sameBits((await model.embed(text)).vector, batch[i].vector, text);
    const { vector } = await full.embed(text);
    worst = Math.min(worst, await context.iso.cosineSimilarity(vector, batch[i].vector));
  }
  equal(worst > from && worst < to, true, `a cosine of ${worst}`);
  await fails("invalid_config", () => context.iso.TextEmbedder.fromBytes({ ...bytes, precision: "int4" }));
  full.dispose();
  model.dispose();
  return `lowest cosine ${worst.toFixed(6)}`;
}

const CASES = {
  async "a batch equals its texts alone, bit for bit"(context) {
    const entry = context.fixtures.small[0];
    const model = await context.iso.TextEmbedder.fromBytes(await textBytes(context, entry));
    const long = "a bridge over the river and ".repeat(40);
    const texts = [...entry.texts, "", long, ...Array.from({ length: 70 }, (_, i) => `${i} cats`), long];
    const batch = await model.embedBatch(texts);
    equal(batch.length, texts.length, "vectors");
    for (const [i, text] of texts.entries()) {
      const { vector, tokens, truncated } = await model.embed(text);
      sameBits(vector, batch[i].vector, text);
      equal(`${tokens} ${truncated}`, `${batch[i].tokens} ${batch[i].truncated}`, text);
    }
    model.dispose();
  },

  async "bf16 is close to fp32, and a batch in it equals its texts alone"(context) {
    return rounded(context, "bf16", [0.9999, 0.9999999]);
  },

  async "int8 is close to fp32, and a batch in it equals its texts alone"(context) {
    return rounded(context, "int8", [0.99, 0.999999]);
  },

  async "lone surrogates are U+FFFD"(context) {
    const entry = context.fixtures.small[0];
    const model = await context.iso.TextEmbedder.fromBytes(await textBytes(context, entry));
    for (const text of ["a \ud800 b", "\udc00", "\ud83d", "\udc00\ud800 x"]) {
      const plain = text.replace(/[\ud800-\udfff]/g, "\ufffd");
      const [a, b] = [await model.embed(text), await model.embed(plain)];
      sameBits(a.vector, b.vector, JSON.stringify(text));
      equal(String((await model.tokenize(text)).ids), String((await model.tokenize(plain)).ids), "ids");
    }
    model.dispose();
  },

  async "results are copies of their own"(context) {
    const entry = context.fixtures.small[0];
    const model = await context.iso.TextEmbedder.fromBytes(await textBytes(context, entry));
    const first = await model.embed("hello world");
    const kept = Float32Array.from(first.vector);
    equal(first.vector.buffer.byteLength, 4 * first.vector.length, "the whole buffer is the vector");
    // Longer texts, and other models, grow the memory of WebAssembly and overwrite what was there.
    for (let i = 0; i < 20; i++) await model.embed("river house green ".repeat(2000));
    sameBits(first.vector, kept, "after more work");
    first.vector.fill(0);
    sameBits((await model.embed("hello world")).vector, kept, "after the caller's change");
    model.dispose();
  },

  async "texts at the edges give a vector or an error"(context) {
    const entry = context.fixtures.small[0];
    const model = await context.iso.TextEmbedder.fromBytes(await textBytes(context, entry));
    for (const text of ["", "\0", "\u0301\u0301", "\u202e\u05d0", "x".repeat(1 << 20)]) {
      const { vector } = await model.embed(text);
      equal(vector.every(Number.isFinite), true, "finite");
    }
    equal((await model.embed("word ".repeat(500))).truncated, true, "truncated");
    await fails("too_large", () => model.embed("x".repeat((1 << 20) + 1)));
    await fails("too_large", () => model.embed("é".repeat(1 << 20)));
    for (const wrong of [undefined, null, 3, {}, ["a"]]) {
      await fails("invalid_input", () => model.embed(wrong));
    }
    for (const wrong of [["a", 3], Object.assign(["a"], { length: 2 })]) {
      await fails("invalid_input", () => model.embedBatch(wrong));
    }
    equal((await model.embedBatch([])).length, 0, "no texts");
    model.dispose();
  },

  async "options change what they say"(context) {
    const entry = context.fixtures.small[0];
    const bytes = await textBytes(context, entry);
    const all = await context.iso.TextEmbedder.fromBytes(bytes);
    const few = await context.iso.TextEmbedder.fromBytes({ ...bytes, maxTokens: 8 });
    equal(few.maxTokens, 8, "maxTokens");
    equal(few.fingerprint === all.fingerprint, false, "another fingerprint");
    const long = entry.texts.at(-1);
    const embedding = await few.embed(long);
    equal(`${embedding.tokens} ${embedding.truncated}`, "8 true", "tokens");
    equal((await few.tokenize(long)).ids.length, 8, "ids");
    await fails("invalid_config", () => context.iso.TextEmbedder.fromBytes({ ...bytes, maxTokens: 0 }));
    await fails("invalid_config", () => context.iso.TextEmbedder.fromBytes({ ...bytes, dimensions: 5 }));
    await fails("not_found", () => all.embed("x", { prompt: "nothing" }), ["invalid_input", "invalid_config"]);
    all.dispose();
    few.dispose();
  },

  async "files that are no model are refused"(context) {
    const entry = context.fixtures.small[0];
    const bytes = await textBytes(context, entry);
    const make = (change) => () => context.iso.TextEmbedder.fromBytes({ ...bytes, ...change });
    const random = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) >> 3);
    await fails("invalid_model", make({ model: new Uint8Array(0) }));
    await fails("invalid_model", make({ model: random }));
    await fails("invalid_model", make({ model: bytes.model.slice(0, bytes.model.length / 2) }));
    await fails("invalid_tokenizer", make({ tokenizer: random }));
    await fails("invalid_input", make({ model: "text" }));
    await fails("invalid_input", make({ tokenizer: undefined }));
    await fails("not_found", make({ spec: "no-such-model" }));
    await fails("invalid_config", make({ spec: { ...entry.spec, pooling: "max" } }));
    await fails("invalid_config", make({ spec: { ...entry.spec, kind: "image" } }));
    for (const [name, code] of [["bad-nan", "non_finite"], ["bad-zero", "zero_vector"]]) {
      const model = await context.read(`models/${name}/model.onnx`);
      const tokenizer = await context.read(`models/${name}/tokenizer.json`);
      const bad = await context.iso.TextEmbedder.fromBytes({ spec: { ...entry.spec, dims: 32 }, model, tokenizer }).catch(() => undefined);
      if (bad === undefined) continue;
      await fails(code, () => bad.embed("hello"));
      await fails(code, () => bad.embed("hello"));
      bad.dispose();
    }
  },

  async "disposed models say so"(context) {
    const entry = context.fixtures.small[0];
    const model = await context.iso.TextEmbedder.fromBytes(await textBytes(context, entry));
    model[Symbol.dispose]();
    model.dispose();
    await fails("disposed", () => model.embed("x"));
    await fails("disposed", () => model.embedBatch(["x"]));
  },

  async "images agree with native"({ iso, fixtures, read, digest }) {
    const { image, images } = fixtures.clip;
    const model = await iso.ImageEmbedder.fromBytes({ spec: image.spec, model: await read(image.model) });
    const files = await Promise.all(images.map(({ file }) => read(file)));
    const embeddings = await model.embedBatch(files);
    images.forEach(({ file, expected }, i) => {
      const { width, height, format, bytes, sha256 } = embeddings[i];
      equal(`${width} ${height} ${format}`, `${expected.width} ${expected.height} ${expected.format}`, file);
      equal(bytes, files[i].length, file);
      equal(sha256.length, 64, file);
    });
    const worst = compare(embeddings, images.map(({ expected }) => expected), digest);
    const blob = await model.embed(new Blob([files[1]]));
    sameBits(blob.vector, embeddings[1].vector, "a Blob");
    const { buffer, byteOffset, byteLength } = files[1];
    const loose = buffer.slice(byteOffset, byteOffset + byteLength);
    sameBits((await model.embed(loose)).vector, embeddings[1].vector, "an ArrayBuffer");
    model.dispose();
    return `worst difference ${worst.toExponential(1)}`;
  },

  async "files that are no image are refused"({ iso, fixtures, read }) {
    const { image } = fixtures.clip;
    const bytes = { spec: image.spec, model: await read(image.model) };
    const model = await iso.ImageEmbedder.fromBytes(bytes);
    for (const [file, code] of [
      ["empty", "unsupported_format"],
      ["gif.png", "unsupported_format"],
      ["bomb.png", "too_large"],
      ["bomb.jpg", "too_large"],
      ["bomb-vp8l.webp", "too_large"],
    ]) {
      const data = await read(`images/${file}`);
      await fails(code, () => model.embed(data), [], file);
    }
    await fails("too_large", () => model.embed(new Uint8Array((10 << 20) + 1)));
    await fails("invalid_input", () => model.embed("cat.jpg"));
    model.dispose();
    const strict = await iso.ImageEmbedder.fromBytes({ ...bytes, limits: { maxSide: 100 } });
    const wide = await read("images/jpeg-420-413x307.jpg");
    await fails("too_large", () => strict.embed(wide));
    strict.dispose();
  },

  async "texts and images share CLIP's space"({ iso, fixtures, read, digest }) {
    const { text, image, texts, embeddings } = fixtures.clip;
    const [clipText, vision] = [await textBytes({ read }, text), await read(image.model)];
    const [textModel, imageModel] = await Promise.all([
      iso.ClipTextEmbedder.fromBytes(clipText),
      iso.ImageEmbedder.fromBytes({ spec: image.spec, model: vision }),
    ]);
    const vectors = await textModel.embedBatch(texts);
    const worst = compare(vectors, embeddings.map((vector) => ({ vector })), digest);
    const photo = await imageModel.embed(await read(fixtures.clip.images[1].file));
    const rows = vectors.map(({ vector }) => vector);
    const fits = await iso.zeroShot(photo.vector, rows, 14.285);
    const sum = fits.probabilities.reduce((a, b) => a + b, 0);
    equal(Math.abs(sum - 1) < 1e-5, true, "probabilities sum to one");
    equal(fits.labels.length, texts.length, "labels");
    textModel.dispose();
    imageModel.dispose();
    return `worst difference ${worst.toExponential(1)}`;
  },

  async "functions of vectors"({ iso }) {
    await iso.init();
    equal(await iso.dot([1, 2, 3], [4, 5, 6]), 32, "dot");
    equal(await iso.cosineSimilarity([1, 0], [1, 0]), 1, "cosine");
    equal(String(await iso.l2Normalize(new Float32Array([3, 4]))), "0.6000000238418579,0.800000011920929", "l2");
    const rows = [[1, 0], [0, 1], [0.6, 0.8], [0, 1]];
    const { indices, scores } = await iso.topK([0, 1], rows, 3);
    equal(`${indices} ${scores[0]}`, "1,3,2 1", "topK");
    const flat = await iso.topK(new Float32Array([0, 1]), Float32Array.from(rows.flat()), 100);
    equal(String(flat.indices), "1,3,2,0", "topK of flat rows");
    await fails("dimension_mismatch", async () => await iso.dot([1], [1, 2]));
    await fails("dimension_mismatch", async () => await iso.topK([1, 0], [[1, 0], [1]], 1));
    await fails("invalid_input", async () => await iso.topK([1, 0], rows, 1.5));
    await fails("invalid_input", async () => await iso.dot("a", [1]));
    equal((await iso.models()).some((model) => model.name === "all-MiniLM-L6-v2"), true, "models");
    equal(/^\d+\.\d+\.\d+/.test(await iso.version()), true, "version");
  },

  async "fusions"({ iso, digest }) {
    const concat = await iso.Fusion.concat({ textDims: 2, imageDims: 3 });
    equal(`${concat.kind} ${concat.dims} ${concat.textDims}`, "concat 5 2", "concat");
    const both = await concat.fuse({ text: [1, 0], image: [0, 1, 0] });
    equal(Math.abs(both[0] - Math.sqrt(0.6)) < 1e-6, true, "the weight of text");
    equal(String(await concat.fuse({ text: [2, 0] })), "1,0,0,0,0", "text alone");
    const untrained = await iso.Fusion.untrained({ textDims: 24, imageDims: 32, dims: 16, seed: 7n });
    const text = Float32Array.from({ length: 24 }, (_, i) => Math.sin(i));
    digest.add(await untrained.fuse({ text, image: null }));
    await fails("invalid_config", () => iso.Fusion.concat({ textDims: 0, imageDims: 3 }));
    await fails("invalid_config", () => iso.Fusion.concat({ textDims: 1.5, imageDims: 3 }));
    await fails("invalid_config", () => iso.Fusion.untrained({ textDims: 2, imageDims: 3, dims: 2, seed: 0.5 }));
    await fails("invalid_fusion", () => iso.Fusion.fromSafetensors(new Uint8Array(100)));
    await fails("dimension_mismatch", () => concat.fuse({ text: [1] }));
    await fails("invalid_input", () => concat.fuse({}));
    concat.dispose();
    untrained.dispose();
  },

  async "a batch can be watched and stopped"(context) {
    const entry = context.fixtures.small[0];
    const model = await context.iso.TextEmbedder.fromBytes(await textBytes(context, entry));
    const texts = Array.from({ length: 400 }, (_, i) => `${i} words about the river`);
    const seen = [];
    await model.embedBatch(texts.slice(0, 30), { onProgress: ({ done }) => seen.push(done) });
    // A pool tells of some at a time.
    equal(seen.at(-1) === 30 && seen.every((done, i) => done > (seen[i - 1] ?? 0)), true, `progress: ${seen}`);
    const controller = new AbortController();
    let heard = 0;
    const onProgress = ({ done }) => {
      heard = done;
      if (done >= 8) controller.abort(new Error("enough"));
    };
    await fails("cancelled", () => model.embedBatch(texts, { onProgress, signal: controller.signal }));
    // A worker hears of it a little later.
    equal(heard < texts.length, true, `${heard} of ${texts.length} were told of`);
    await fails("cancelled", () => model.embedBatch(texts, { signal: AbortSignal.abort() }));
    equal((await model.embed("still here")).vector.length, model.dims, "after it");
    model.dispose();
  },
};

function equal(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: ${actual}, expected ${expected}`);
}

/** How close vectors of a build must be to native ones. */
const CLOSE = { difference: 1e-5, cosine: 0.999999 };

/** Checks vectors (and tokens, where they are known) against native ones. */
function compare(embeddings, expected, digest, close = CLOSE) {
  equal(embeddings.length, expected.length, "how many");
  let worst = 0;
  embeddings.forEach((embedding, i) => {
    const { vector } = embedding;
    const other = expected[i].vector;
    equal(vector.length, other.length, `dims of ${i}`);
    let [ab, aa, bb, difference] = [0, 0, 0, 0];
    vector.forEach((a, j) => {
      const b = other[j];
      difference = Math.max(difference, Math.abs(a - b));
      [ab, aa, bb] = [ab + a * b, aa + a * a, bb + b * b];
    });
    const cosine = ab / Math.sqrt(aa * bb);
    if (!(difference <= close.difference && cosine >= close.cosine)) {
      throw new Error(`vector ${i}: difference ${difference}, cosine ${cosine}`);
    }
    for (const key of ["tokens", "truncated"]) {
      if (expected[i][key] !== undefined) equal(embedding[key], expected[i][key], `${key} of ${i}`);
    }
    worst = Math.max(worst, difference);
    digest.add(vector);
  });
  return worst;
}

function sameBits(a, b, what) {
  const bits = (vector) => String(new Uint32Array(Float32Array.from(vector).buffer));
  equal(bits(a), bits(b), what);
}

async function fails(code, work, others = [], what = "") {
  let value;
  try {
    value = await work();
  } catch (error) {
    if (![code, ...others].includes(error?.code)) {
      throw new Error(`${what} failed with ${error?.code}, expected ${code}: ${error?.stack}`);
    }
    equal(error.name, "IsovecError", "the error's name");
    return;
  }
  throw new Error(`${what} expected ${code}, and it went well: ${value}`);
}

class Digest {
  #parts = [];

  add(vector) {
    this.#parts.push(vector.slice());
  }

  async value() {
    const bytes = new Uint8Array(await new Blob(this.#parts).arrayBuffer());
    // FNV, since a page without a secure context has no other hash.
    let hash = 0xcbf29ce484222325n;
    for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    return hash.toString(16);
  }
}
