// What the native program makes of the test models and images, for test/lib/table.mjs to compare with.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { work } from "./paths.mjs";

const { env } = process;
// Where the scripts of the repository put what they make, unless they say so by variables.
const WORK = join(homedir(), ".cache", "isovec");
const NATIVE = env.ISOVEC_NATIVE ?? join(env.CARGO_TARGET_DIR ?? join(WORK, "target"), "release", "isovec");

/** Folders that tests read from, by the name under which a page asks for them. */
export const FOLDERS = {
  models: env.ISOVEC_TEST_MODELS ?? join(WORK, "test-models"),
  images: join(env.ISOVEC_TEST_IMAGES ?? join(WORK, "test-images"), "files"),
  store: join(env.ISOVEC_HOME ?? WORK, "models"),
  made: work,
};

const SMALL = [
  "mean-opset11",
  "mean-opset13",
  "mean-opset14",
  "mean-opset17",
  "cls-no-token-type-ids",
  "pooling-inside",
  "pooling-inside-only",
  "fp16",
  "fp16-float32-output",
  "int8-weights",
  "int8-dynamic",
  "wide",
  "prompts",
];

const IMAGES = [
  "1.png",
  "exif-6.jpg",
  "i16.png",
  "interlaced-rgba.png",
  "jpeg-420-413x307.jpg",
  "jpeg-420-17x9-progressive.jpg",
  "jpeg-cmyk.jpg",
  "jpeg-grey.jpg",
  "exif-5.webp",
  "l-trns.png",
];

const TEXTS = [
  "Hello",
  "The quick brown fox jumps over the lazy dog.",
  "How many bridges cross the river between the mill and the sea?",
  "L’été dernier, nous avons mangé des crêpes près de la forêt.",
  "日本語の文章も、絵文字 🙂 も読めます。",
  "مرحبا بالعالم",
  "e\u0301 and é",
  "0123456789 ".repeat(40),
  "a long text is cut in the end ".repeat(120),
  " ",
  "tabs\tand\u0000nothing",
];

const CLIP = {
  name: "clip-both",
  dims: 24,
  pooling: "none",
  space: "clip-both",
  licence: "MIT",
};
const CLIP_IMAGE = {
  ...CLIP,
  kind: "image",
  logit_scale: 14.285,
  preprocessing: {
    resize: { shortest_edge: 48 },
    resample: "bicubic",
    pass_order: "pillow13",
    center_crop: [48, 48],
    rescale: 0.00392156862745098,
    normalize: {
      mean: [0.48145466, 0.4578275, 0.40821073],
      std: [0.26862954, 0.26130258, 0.27577711],
    },
  },
};

function native(args, input) {
  const options = { input, maxBuffer: 1 << 28, stdio: ["pipe", "pipe", "inherit"] };
  const output = execFileSync(NATIVE, [...args, "--quiet", "--format", "jsonl"], options);
  return output.toString().trim().split("\n").map((line) => JSON.parse(line));
}

function nativeTexts(model, texts, extra = []) {
  const lines = texts.map((text) => JSON.stringify({ text })).join("\n") + "\n";
  const args = ["embed", "--input", "-", "--input-format", "jsonl", "--model", model, ...extra];
  return native(args, lines).map(({ embedding, tokens, truncated }) => ({
    vector: embedding,
    tokens,
    truncated,
  }));
}

function textModel(name) {
  const folder = join(FOLDERS.models, name);
  const reference = JSON.parse(readFileSync(join(folder, "reference.json"), "utf8"));
  const { dims, max_tokens, pooling, texts } = reference;
  const spec = { name, kind: "text", dims, max_tokens, pooling: pooling ?? "none" };
  // Their blanks and line breaks are the tokenizer's business, so all of them go through.
  const entry = { spec, model: `models/${name}/model.onnx`, tokenizer: `models/${name}/tokenizer.json` };
  if (name === "prompts") {
    spec.prompts = { query: "query: ", passage: "passage: " };
    entry.prompted = nativeTexts(folder, texts, ["--prompt", "query"]);
  }
  return { ...entry, texts, expected: nativeTexts(folder, texts) };
}

const PASSAGES = [
  "Whales sleep upright, half of their brain at a time.",
  "Bread needs flour, water, salt and patience.",
  "Au printemps, les oiseaux reviennent près du fleuve.",
  "The committee will decide on the tax in June.",
  "日本語の文章も、絵文字 🙂 も読めます。",
  "",
];
const QUERIES = ["how do whales sleep", "baking", "politics", "oiseaux"];

/** An index that the native program makes, and what it finds there. */
function index(name, model, opened) {
  const file = join(work, `${name}.safetensors`);
  const lines = PASSAGES.map((text, i) => JSON.stringify({ id: `no. ${i}`, n: [i, null], text }));
  const input = ["--input", "-", "--input-format", "jsonl", "--quiet", "--output", file];
  execFileSync(NATIVE, ["index", ...input, ...model], { input: `${lines.join("\n")}\n` });
  const options = ["--index", file, "--top", "4", ...opened];
  const hits = QUERIES.map((query) => native(["search", query, ...options]));
  return { file: `made/${name}.safetensors`, items: lines.map((line) => JSON.parse(line)), hits };
}

/** Makes the fixtures, and says where the files are that they name. */
export function prepare() {
  if (!existsSync(NATIVE)) throw new Error(`${NATIVE} is not there: build the native program first`);
  const clip = join(FOLDERS.models, "clip-both");
  const reference = JSON.parse(readFileSync(join(clip, "reference.json"), "utf8"));
  const images = native([
    "embed-image",
    "--model",
    clip,
    ...IMAGES.map((name) => join(FOLDERS.images, name)),
  ]);
  mkdirSync(work, { recursive: true });
  const prompts = join(FOLDERS.models, "prompts");
  const fixtures = {
    index: {
      queries: QUERIES,
      minilm: index("index-minilm", ["--variant", "int8", "--max-tokens", "128"], []),
      prompts: index("index-prompts", ["--model", prompts], ["--model", prompts]),
    },
    small: SMALL.map(textModel),
    minilm: { texts: TEXTS, expected: nativeTexts("all-MiniLM-L6-v2", TEXTS) },
    clip: {
      image: { spec: CLIP_IMAGE, model: "models/clip-both/onnx/vision_model.onnx" },
      text: {
        spec: { ...CLIP, name: "clip-both-text", kind: "clip-text", max_tokens: 77 },
        model: "models/clip-both/onnx/text_model.onnx",
        tokenizer: "models/clip-both/tokenizer.json",
      },
      images: IMAGES.map((name, index) => {
        const { embedding, width, height, format } = images[index];
        return { file: `images/${name}`, expected: { vector: embedding, width, height, format } };
      }),
      texts: reference.texts,
      embeddings: reference.embeddings ?? reference.text_embeds,
    },
  };
  writeFileSync(join(work, "fixtures.json"), JSON.stringify(fixtures));
  return fixtures;
}
