// The packed package through bundlers and without one, each result run in Chromium under the policy.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, openPage, POLICY, serveFolders } from "./lib/chromium.mjs";
import { addModel, project, SPEC } from "./lib/projects.mjs";

const APP = `import { cosineSimilarity, TextEmbedder } from "isovec";
import { createWorker } from "isovec/worker";

async function read(name) {
  return new Uint8Array(await (await fetch("/model/" + name)).arrayBuffer());
}

async function main() {
  const [model, tokenizer] = [await read("model.onnx"), await read("tokenizer.json")];
  const files = { spec: ${JSON.stringify(SPEC)}, model, tokenizer };
  const here = await TextEmbedder.fromBytes(files);
  const worker = createWorker();
  const there = await worker.TextEmbedder.fromBytes(files);
  const [a, b] = [await here.embed("hello"), await there.embed("hello")];
  return [a.vector.length, cosineSimilarity(a.vector, b.vector).toFixed(3), here.fingerprint === there.fingerprint];
}

main().then((value) => (globalThis.result = value.join(" ")), (error) => (globalThis.result = String(error.stack)));
`;
const PAGE = (script) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>x</title><link rel="icon" href="/icon.svg">
<script type="module" src="${script}"></script></html>
`;

let browser;
const removing = [];
before(async () => (browser = await launch()));
after(async () => {
  await browser?.close();
  removing.forEach((remove) => remove());
});

function make(script) {
  const files = { "app.js": APP, "index.html": PAGE(script), "icon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>" };
  const { folder, remove } = project(files, { type: "module" });
  removing.push(remove);
  return folder;
}

async function runs(url) {
  const { page, context, problems } = await openPage(browser, url);
  await page.waitForFunction(() => globalThis.result, undefined, { timeout: 60_000 }).catch(() => {});
  const result = await page.evaluate(() => globalThis.result);
  await context.close();
  const serious = problems.filter((problem) => !/icon|404/.test(problem));
  assert.deepEqual({ result, serious }, { result: "32 1.000 true", serious: [] });
}

async function runsIn(folder) {
  addModel(folder);
  const server = await serveFolders({ "": folder }, { policy: `${POLICY}; img-src 'self'` });
  try {
    await runs(`${server.url}/index.html`);
  } finally {
    await server.close();
  }
}

test("no bundler", async () => {
  const folder = make("/app.js");
  const installed = "/node_modules/isovec/dist";
  const app = APP.replace('"isovec"', `"${installed}/browser.js"`);
  writeFileSync(join(folder, "app.js"), app.replace('"isovec/worker"', `"${installed}/worker.js"`));
  await runsIn(folder);
});

test("Vite, unconfigured: build", async () => {
  const { build } = await import("vite");
  const folder = make("/app.js");
  await build({ root: folder, logLevel: "error", configFile: false });
  await runsIn(join(folder, "dist"));
});

for (const [name, config] of [
  ["unconfigured: development server", {}],
  ["development server with isovec in optimizeDeps.exclude", { optimizeDeps: { exclude: ["isovec"] } }],
]) {
  test(`Vite, ${name}`, async () => {
    const { createServer } = await import("vite");
    const folder = make("/app.js");
    mkdirSync(join(folder, "public"));
    addModel(join(folder, "public"));
    const server = await createServer({
      root: folder,
      logLevel: "error",
      configFile: false,
      server: { port: 0, host: "127.0.0.1" },
      ...config,
    });
    await server.listen();
    try {
      await runs(`http://127.0.0.1:${server.httpServer.address().port}/`);
    } finally {
      await server.close();
    }
  });
}

test("webpack 5, unconfigured", async () => {
  const webpack = createRequire(import.meta.url)("webpack");
  const folder = make("/main.js");
  const output = join(folder, "dist");
  const options = { context: folder, entry: "./app.js", mode: "production", output: { path: output } };
  const stats = await new Promise((resolve, reject) =>
    webpack(options, (error, result) => (error ? reject(error) : resolve(result))),
  );
  assert.deepEqual(stats.toJson().errors.map((error) => error.message), []);
  cpSync(join(folder, "index.html"), join(output, "index.html"));
  await runsIn(output);
});

test("esbuild: the worker as a second entry, the WebAssembly file copied", async () => {
  const { build } = await import("esbuild");
  const folder = make("/app.js");
  const output = join(folder, "dist");
  await build({
    absWorkingDir: folder,
    entryPoints: { app: "./app.js", "worker-host": "isovec/worker-host" },
    bundle: true,
    format: "esm",
    outdir: output,
    logLevel: "error",
  });
  cpSync(join(folder, "node_modules", "isovec", "dist", "wasm"), join(output, "wasm"), { recursive: true });
  cpSync(join(folder, "index.html"), join(output, "index.html"));
  await runsIn(output);
});
