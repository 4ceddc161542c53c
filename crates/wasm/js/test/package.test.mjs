// The packed package in fresh projects: Node in both module systems, and TypeScript.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, test } from "node:test";

import { root } from "./lib/paths.mjs";
import { addModel, project, SPEC } from "./lib/projects.mjs";

const removing = [];
after(() => removing.forEach((remove) => remove()));

function make(files, settings) {
  const made = project(files, settings);
  removing.push(made.remove);
  addModel(made.folder);
  return made.folder;
}

const BODY = `
  const bytes = (name) => new Uint8Array(readFileSync("model/" + name));
  const files = { spec: ${JSON.stringify(SPEC)}, model: bytes("model.onnx"), tokenizer: bytes("tokenizer.json") };
  const model = await TextEmbedder.fromBytes(files);
  const worker = createWorker();
  const remote = await worker.TextEmbedder.fromBytes(files);
  const [a, b] = [await model.embed("hello"), await remote.embed("hello")];
  console.log(a.vector.length, cosineSimilarity(a.vector, b.vector).toFixed(3), model.fingerprint === remote.fingerprint);
`;

const run = (folder, file) => execFileSync(process.execPath, [file], { cwd: folder }).toString();

test("Node, ES module", () => {
  const folder = make({
    "main.mjs": `import { readFileSync } from "node:fs";
import { TextEmbedder, cosineSimilarity } from "isovec";
import { createWorker } from "isovec/worker";
${BODY}`,
  });
  assert.equal(run(folder, "main.mjs"), "32 1.000 true\n");
});

test("Node, CommonJS module", () => {
  const folder = make({
    "main.cjs": `const { readFileSync } = require("node:fs");
const { TextEmbedder, cosineSimilarity } = require("isovec");
const { createWorker } = require("isovec/worker");
(async () => {${BODY}})();`,
    "sync.cjs": `const { initSync, cosineSimilarity, dot } = require("isovec");
const { readFileSync } = require("node:fs");
try { dot([1], [1]); } catch (error) { console.log(error.code); }
const wasm = readFileSync(require.resolve("isovec/wasm"));
initSync(wasm); initSync(wasm);
console.log(cosineSimilarity([1, 0], [1, 0]));`,
  });
  assert.equal(run(folder, "main.cjs"), "32 1.000 true\n");
  assert.equal(run(folder, "sync.cjs"), "not_initialized\n1\n");
});

test("Node, a program that is no file", () => {
  const folder = make({});
  const esm = 'import { createWorker } from "isovec/worker";';
  const cjs = 'const { createWorker } = require("isovec/worker");';
  const body = "const worker = createWorker(); worker.version().then((v) => { console.log(v.split('.').length); worker.terminate(); });";
  const node = (args, input) => execFileSync(process.execPath, args, { cwd: folder, input }).toString();
  const module = "--input-type=module";
  for (const [args, input] of [
    [[module, "-e", esm + body]],
    [["--max-old-space-size=500", module, `--eval=${esm}${body}`]],
    [["--no-warnings", "-e", cjs + body, module.replace("module", "commonjs")]],
    [["-p", `${cjs}${body} 0`]],
    [[module, "-"], esm + body],
  ]) {
    assert.match(node(args, input), /^(0\n)?(Promise[^\n]*\n)?3\n$/, args.join(" "));
  }
});

const TYPED = `import { Fusion, ImageEmbedder, IsovecError, TextEmbedder, topK, type ModelSpec } from "isovec";
import { createPool, createWorker } from "isovec/worker";

const spec: ModelSpec = { name: "x", dims: 32, max_tokens: 48, pooling: "mean" };
export async function main(): Promise<number> {
  const model = await TextEmbedder.load(spec, {
    baseUrl: "/models",
    variant: "fp32",
    signal: AbortSignal.timeout(1000),
    onProgress: ({ loaded, total, file }) => void (file + loaded / total),
  });
  const { vector, tokens, truncated } = await model.embed("Hello", { prompt: "query" });
  const all: Float32Array[] = (await model.embedBatch(["a"])).map((e) => e.vector);
  const { indices } = topK(vector, all, 3);
  const image = await ImageEmbedder.load("clip-vit-base-patch32", { limits: { maxBytes: 5 } });
  const format: "jpeg" | "png" | "webp" = (await image.embed(new Blob([]))).format;
  const fusion = await Fusion.concat({ textDims: 2, imageDims: 3 });
  await fusion.fuse({ text: [1, 2] });
  const worker = createWorker();
  const remote = await worker.TextEmbedder.load("all-MiniLM-L6-v2");
  const batch = await createPool(2).ImageEmbedder.fromBytes({ spec, model: new Uint8Array() });
  batch.dispose();
  // @ts-expect-error a text is a string
  await model.embed(3);
  // @ts-expect-error a cache cannot be sent to a worker
  await worker.TextEmbedder.load("x", { cache: { get: async () => undefined } });
  // @ts-expect-error there are no other poolings
  const wrong: ModelSpec = { ...spec, pooling: "max" };
  const error = new IsovecError("network", String(wrong) + format);
  if (error.code === "network" && truncated) return tokens;
  return (await remote.embed("x")).vector.length + (indices[0] ?? 0);
}
`;

for (const [name, options, settings] of [
  ["nodenext, ES module", ["--module", "nodenext"], { type: "module" }],
  ["nodenext, CommonJS", ["--module", "nodenext"], { type: "commonjs" }],
  ["bundler", ["--module", "esnext", "--moduleResolution", "bundler"], { type: "module" }],
]) {
  test(`TypeScript: ${name}`, () => {
    const folder = make({ "main.ts": TYPED }, settings);
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const args = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom", "--types", ""];
    try {
      execFileSync(process.execPath, [tsc, ...args, ...options, "main.ts"], { cwd: folder });
    } catch (error) {
      assert.fail(error.stdout.toString());
    }
  });
}

test("TypeScript: the generated bindings are what the sources say", () => {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const options = ["--ignoreConfig", "--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom,esnext.disposable"];
  const modules = ["--module", "esnext", "--moduleResolution", "bundler", "--types", ""];
  try {
    execFileSync(process.execPath, [tsc, ...options, ...modules, "test/types.ts"], { cwd: root });
  } catch (error) {
    assert.fail(error.stdout.toString());
  }
});

test("publint and arethetypeswrong have no complaint", () => {
  const npx = (...args) => execFileSync("npx", args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  npx("publint", "--strict", "--pack", "false");
  npx("attw", "--pack", ".", "--exclude-entrypoints", "wasm", "worker-host");
});
