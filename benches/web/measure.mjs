// Both sides in one Node process, page or worker, by turns. Plain JavaScript without imports of Node.

/** How long one timing lasts at least. Short ones alternate often, and what else the machine does hits both sides. */
const TIMING_MS = 100;
/** How long each side runs before anything counts; by then the engine has optimised what is hot. */
const WARM_UP_MS = 2000;
/** One token each in the model's vocabulary; verified below. */
const WORDS = "the cat sat on a mat and saw an old dog run by house with green trees".split(" ");
const IMAGE = 224;

/** A line of the table as it is measured: milliseconds of each round, of each side. */
function newRow(name) {
  return { name, isovec: [], peer: [], worstCosine: 1 };
}

/**
 * Measures one model in this process, page or worker.
 *
 * @param sides - `iso`, the package; `ort`, onnxruntime-web; `read`, the bytes of a file by its id.
 * @param job - `model`, `rounds`, `loads`, and `png` where the model is one of images.
 */
export async function measure({ iso, ort, read }, { model, rounds, loads, png }) {
  await iso.init(await read("isovec-wasm"));
  await startPeer(ort, read);
  const theirModel = await read(model.id);
  const bytes = { model: theirModel, png };
  if (model.kind === "text") bytes.tokenizer = await read("tokenizer");
  const make = model.kind === "text" ? textCases : imageCases;

  const again = newRow(`${model.title}, loaded again`);
  let sides;
  // The first two warm up: after them the loader's code is optimised too, and both have had memory once.
  for (let turn = 0; turn < loads + 2; turn++) {
    await sides?.close();
    sides = { close: async () => Promise.all([sides.ours?.dispose(), sides.theirs?.release()]) };
    await alternate(turn, [
      async () => {
        const start = performance.now();
        sides.ours = await openOurs(iso, model, bytes);
        await firstOurs(sides.ours, model, bytes);
        if (turn > 1) again.isovec.push(performance.now() - start);
      },
      async () => {
        const feeds = firstFeeds(ort, model);
        const start = performance.now();
        sides.theirs = await openTheirs(ort, theirModel);
        await sides.theirs.run(feeds(sides.theirs));
        if (turn > 1) again.peer.push(performance.now() - start);
      },
    ]);
  }

  const cases = await make(ort, sides, model, bytes);
  for (const test of cases) {
    test.row.worstCosine = await agree(test, model);
    test.repeats = [];
    for (const work of [test.ours, ...test.theirs]) test.repeats.push(await warmUp(work));
  }
  for (let round = 0; round < rounds; round++) {
    for (const { ours, theirs, repeats, row } of cases) {
      row.candidates ??= theirs.map(() => []);
      await alternate(round, [ours, ...theirs].map((work, i) => async () => {
        const times = i === 0 ? row.isovec : row.candidates[i - 1];
        times.push(await time(work, repeats[i]));
      }));
    }
  }
  await sides.close();
  for (const { row } of cases) {
    // Their best way to do it.
    row.peer = row.candidates.reduce((best, other) => (median(other) < median(best) ? other : best));
    delete row.candidates;
  }
  again.worstCosine = Math.min(...cases.map(({ row }) => row.worstCosine));
  return { cases: cases.map(({ row }) => row), again };
}

/**
 * How long one side takes with bytes that are in memory, in a process, worker or page that has run nothing.
 *
 * @param job - `from`, "nothing" or "wasm", which then is started already; `to`, "wasm" or "vector", the first one.
 */
export async function once({ iso, ort, read }, { model, side, from, to, png }) {
  const bytes = { model: await read(model.id), png };
  if (model.kind === "text") bytes.tokenizer = await read("tokenizer");
  const wasm = await read(side === "isovec" ? "isovec-wasm" : "peer-wasm");
  const feeds = firstFeeds(ort, model);
  let start = performance.now();
  if (side === "isovec") {
    await iso.init(wasm);
    if (from === "wasm") start = performance.now();
    if (to === "vector") await firstOurs(await openOurs(iso, model, bytes), model, bytes);
  } else {
    // Its first session starts it, if nothing else does.
    if (from === "wasm" || to === "wasm") await startPeer(ort, async () => wasm);
    else setUpPeer(ort, wasm);
    if (from === "wasm") start = performance.now();
    if (to === "vector") {
      const session = await openTheirs(ort, bytes.model);
      await session.run(feeds(session));
    }
  }
  return performance.now() - start;
}

/** Compiles and starts their wasm: a session of a graph of one node does no more. */
async function startPeer(ort, read) {
  setUpPeer(ort, await read("peer-wasm"));
  const session = await openTheirs(ort, identityModel());
  await session.release();
}

function setUpPeer(ort, wasm) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm;
}

async function openTheirs(ort, model) {
  return await ort.InferenceSession.create(model, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
}

async function openOurs(iso, model, bytes) {
  const { spec, precision } = model;
  return model.kind === "text"
    ? await iso.TextEmbedder.fromBytes({ spec, precision, model: bytes.model, tokenizer: bytes.tokenizer })
    : await iso.ImageEmbedder.fromBytes({ spec, precision, model: bytes.model });
}

async function firstOurs(embedder, model, bytes) {
  return await embedder.embed(model.kind === "text" ? textOf(16) : bytes.png);
}

function firstFeeds(ort, model) {
  // Which ids and pixels does not matter to how long it takes.
  const ids = Array.from({ length: 16 }, (_, i) => 1000 + i);
  const pixels = model.kind === "text" ? undefined : pixelValues(model.preprocessing);
  return (session) => (pixels ? pixelFeeds(ort, pixels) : textFeeds(ort, session, [ids]));
}

function textOf(tokens, shift = 0) {
  return Array.from({ length: tokens - 2 }, (_, i) => WORDS[(i + shift) % WORDS.length]).join(" ");
}

async function textCases(ort, { ours, theirs }, model) {
  const shapes = [
    ["1 text of 16 tokens", 1, 16],
    ["1 text of 128 tokens", 1, 128],
    ["8 texts of 32 tokens", 8, 32],
  ];
  const cases = [];
  for (const [name, count, tokens] of shapes) {
    const texts = Array.from({ length: count }, (_, i) => textOf(tokens, i));
    const ids = [];
    for (const text of texts) {
      const read = await ours.tokenize(text);
      if (read.ids.length !== tokens) throw new Error(`${read.ids.length} tokens, not ${tokens}`);
      ids.push(Array.from(read.ids));
    }
    const whole = textFeeds(ort, theirs, ids);
    const single = ids.map((one) => textFeeds(ort, theirs, [one]));
    const alone = async () => {
      const outputs = [];
      for (const feeds of single) outputs.push(await theirs.run(feeds));
      return outputs.flatMap(meanPooled);
    };
    const together = async () => meanPooled(await theirs.run(whole));
    cases.push({
      row: newRow(`${model.title}, ${name}`),
      ours: count === 1 ? () => ours.embed(texts[0]) : () => ours.embedBatch(texts),
      theirs: count === 1 ? [together] : [together, alone],
      vectors: async () => (await ours.embedBatch(texts)).map(({ vector }) => vector),
      // The batch shares a range of dynamic quantisation, which ours never does.
      peerVectors: alone,
    });
  }
  return cases;
}

function textFeeds(ort, session, ids) {
  const shape = [ids.length, ids[0].length];
  const flat = ids.flat();
  const tensor = (value) => new ort.Tensor("int64", BigInt64Array.from(flat, value), shape);
  const feeds = { input_ids: tensor(BigInt), attention_mask: tensor(() => 1n) };
  if (session.inputNames.includes("token_type_ids")) feeds.token_type_ids = tensor(() => 0n);
  return feeds;
}

/** The vectors of an output [texts, tokens, dims] in which nothing is padded. */
function meanPooled(outputs) {
  const [{ data, dims }] = Object.values(outputs);
  const [texts, tokens, size] = dims;
  return Array.from({ length: texts }, (_, text) => {
    const sum = new Float32Array(size);
    for (let token = 0; token < tokens; token++) {
      const at = (text * tokens + token) * size;
      for (let i = 0; i < size; i++) sum[i] += data[at + i];
    }
    return sum;
  });
}

async function imageCases(ort, { ours, theirs }, model, { png }) {
  const feeds = pixelFeeds(ort, pixelValues(model.preprocessing));
  const run = async () => {
    const outputs = await theirs.run(feeds);
    return [(outputs.image_embeds ?? Object.values(outputs)[0]).data];
  };
  return [
    {
      row: newRow(`${model.title}, 1 image`),
      ours: () => ours.embed(png),
      theirs: [run],
      vectors: async () => [(await ours.embed(png)).vector],
      peerVectors: run,
    },
  ];
}

/** The image that both embed: of the model's own size, so that nothing is resized. */
export function imagePixel(x, y, channel) {
  const wave = Math.sin(x / (9 + 4 * channel)) * Math.cos(y / (14 - 3 * channel));
  return Math.round(127.5 + 100 * wave + ((x * 31 + y * 17 + channel * 7) % 23));
}

export const imageSize = IMAGE;

function pixelValues({ mean, std }) {
  const values = new Float32Array(3 * IMAGE * IMAGE);
  let at = 0;
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < IMAGE; y++) {
      for (let x = 0; x < IMAGE; x++) values[at++] = (imagePixel(x, y, c) / 255 - mean[c]) / std[c];
    }
  }
  return values;
}

function pixelFeeds(ort, values) {
  return { pixel_values: new ort.Tensor("float32", values, [1, 3, IMAGE, IMAGE]) };
}

/** The lowest cosine between vectors of both sides; too low a one ends the measurement. */
async function agree({ row, vectors, peerVectors }, model) {
  const [ours, theirs] = [await vectors(), await peerVectors()];
  if (ours.length !== theirs.length) throw new Error(`${row.name}: ${ours.length} vectors`);
  const worst = Math.min(...ours.map((vector, i) => cosine(vector, theirs[i])));
  if (!(worst > model.agree)) {
    throw new Error(`${row.name}: the sides disagree, cosine ${worst}, expected over ${model.agree}`);
  }
  return worst;
}

function cosine(a, b) {
  if (a.length !== b.length) throw new Error(`${a.length} dimensions beside ${b.length}`);
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / Math.sqrt(aa * bb);
}

/** Runs it until it is warm; returns how often to run it for one timing. */
async function warmUp(work) {
  const start = performance.now();
  let last = start;
  let fastest = Infinity;
  for (let runs = 0; runs < 5 || last - start < WARM_UP_MS; runs++) {
    await work();
    const now = performance.now();
    fastest = Math.min(fastest, now - last);
    last = now;
  }
  return Math.max(1, Math.ceil(TIMING_MS / Math.max(fastest, 0.1)));
}

async function time(work, repeats) {
  const start = performance.now();
  for (let i = 0; i < repeats; i++) await work();
  return (performance.now() - start) / repeats;
}

/** In turn, and who goes first changes, so that neither always inherits the other's warm caches. */
export async function alternate(turn, works) {
  for (const work of turn % 2 ? works : works.toReversed()) await work();
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The smallest ONNX model: one number through `Identity`. */
function identityModel() {
  const text = (string) => [...new TextEncoder().encode(string)];
  const field = (number, bytes) => [(number << 3) | 2, bytes.length, ...bytes];
  const varint = (number, value) => [number << 3, value];
  const shape = field(2, field(1, varint(1, 1)));
  const type = field(2, field(1, [...varint(1, 1), ...shape]));
  const value = (name) => [...field(1, text(name)), ...type];
  const node = [...field(1, text("x")), ...field(2, text("y")), ...field(4, text("Identity"))];
  const graph = [
    ...field(1, node),
    ...field(2, text("g")),
    ...field(11, value("x")),
    ...field(12, value("y")),
  ];
  return new Uint8Array([...varint(1, 8), ...field(7, graph), ...field(8, varint(2, 13))]);
}
