// isovec's wasm beside onnxruntime-web's: the same model files, one thread each, in Node and Chromium.
// Run by scripts/bench_web, which finds the files.
//
// Every model has a fresh process or worker in which both sides are loaded and take turns, round by
// round, row by row. A row is the median of its rounds. In Chromium that is a worker, where the package's
// documentation puts it, or with --page the page itself, where a batch is run in smaller groups so that the
// page goes on. What is compared:
//   ours    the whole of embed(): tokens or pixels out of the input, the model, pooling, checks
//   theirs  session.run() alone, of tensors made before; of a batch, at once or one by one, whichever
//           is the faster
// Both must give the same vectors, or this fails.
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { brotliCompress, constants, crc32, deflateSync } from "node:zlib";

import { launch, openPage, serveFolders } from "../../crates/wasm/js/test/lib/chromium.mjs";
import { imagePixel, imageSize, median } from "./measure.mjs";
import { plot } from "./plot.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const peerFolder = join(here, "node_modules", "onnxruntime-web");
const peerEntry = "ort.wasm.bundle.min.mjs";
const js = join(here, "..", "..", "crates", "wasm", "js");

const USAGE = `usage: scripts/bench_web [--rounds N] [--only node|chromium] [--models fp32,int8,int8-dynamic,clip]
                         [--json FILE] [--svg FILE] [--as-is] [--dist FOLDER] [--page]`;
const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "31" },
    only: { type: "string" },
    page: { type: "boolean", default: false },
    models: { type: "string", default: "fp32,int8-dynamic,int8,clip" },
    json: { type: "string" },
    svg: { type: "string" },
    dist: { type: "string", default: join(js, "dist") },
    fp32: { type: "string" },
    int8: { type: "string" },
    "int8-dynamic": { type: "string" },
    tokenizer: { type: "string" },
    clip: { type: "string" },
  },
});
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) usage("--rounds: expected a positive number");
if (![undefined, "node", "chromium"].includes(options.only)) usage("--only: expected node or chromium");

const MODELS = [
  { id: "fp32", title: "fp32", kind: "text", spec: "all-MiniLM-L6-v2", agree: 0.9999 },
  // Both compute in eight bits, each as it does, from a file that was made for the peer.
  {
    id: "int8-dynamic",
    title: "computed in int8",
    kind: "text",
    spec: "all-MiniLM-L6-v2",
    precision: "int8",
    agree: 0.95,
  },
  { id: "int8", title: "variant int8", kind: "text", spec: "all-MiniLM-L6-v2", agree: 0.9999 },
  {
    id: "clip",
    title: "CLIP",
    kind: "image",
    spec: "clip-vit-base-patch32",
    agree: 0.9999,
    preprocessing: {
      mean: [0.48145466, 0.4578275, 0.40821073],
      std: [0.26862954, 0.26130258, 0.27577711],
    },
  },
].filter(({ id }) => options.models.split(",").includes(id));

const dist = resolve(options.dist);
const files = {
  "isovec-wasm": join(dist, "wasm", "isovec_bg.wasm"),
  "peer-wasm": join(peerFolder, "dist", "ort-wasm-simd-threaded.wasm"),
  tokenizer: options.tokenizer,
};
for (const { id, ours = id } of MODELS) for (const file of [id, ours]) files[file] = options[file];
for (const [id, path] of Object.entries(files)) {
  if (path === undefined) usage(`--${id} is missing`);
  files[id] = resolve(path);
}

if (options.page && options.only === "node") usage("--page: Node has none");

function usage(problem) {
  console.error(`error: ${problem}\n${USAGE}`);
  process.exit(2);
}

/** What happens once in a process, or slowly, is measured less often. */
const loads = Math.min(rounds, 7);

/** Where jobs run: a name, and a function that runs one in a process, worker or page of its own. */
async function environments() {
  const found = [];
  if (options.only !== "chromium") {
    const run = async (job) => {
      const task = { ...job, files, entry: join(dist, "node.js") };
      const settings = { maxBuffer: 1 << 26 };
      try {
        const answer = promisify(execFile)(process.execPath, [join(here, "side.mjs")], settings);
        answer.child.stdin.end(JSON.stringify(task));
        return JSON.parse((await answer).stdout);
      } catch (error) {
        throw new Error(error.stderr || error.message);
      }
    };
    found.push({ version: process.versions.node, name: `Node ${process.versions.node.split(".")[0]}`, run, close: async () => {} });
  }
  if (options.only !== "node") found.push(await chromium());
  return found;
}

async function chromium() {
  const folders = { bench: here, isovec: dist, ort: join(peerFolder, "dist") };
  const urls = {};
  for (const [id, path] of Object.entries(files)) {
    folders[`file-${id}`] = dirname(path);
    urls[id] = `/file-${id}/${basename(path)}`;
  }
  // Isolated, which costs neither side anything and makes the clock finer.
  const answer = (_, response) => {
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    return false;
  };
  const server = await serveFolders(folders, { answer });
  const browser = await launch();
  const run = async (job) => {
    const { page, context, problems } = await openPage(browser, `${server.url}/bench/page.html`);
    try {
      await page.waitForFunction(() => globalThis.runJob && globalThis.crossOriginIsolated);
      return await page.evaluate((task) => globalThis.runJob(task), { ...job, urls, worker: !options.page });
    } catch (error) {
      throw new Error([String(error), ...problems].join("\n"));
    } finally {
      await context.close();
    }
  };
  const close = async () => {
    await browser.close();
    await server.close();
  };
  const name = `Chromium ${browser.version().split(".")[0]}, ${options.page ? "a page" : "a worker"}`;
  return { version: browser.version(), name, run, close };
}

/** The rows of one environment, as they were measured. */
async function measureAll({ name, run }) {
  const [rows, firstRows, againRows] = [[], [], []];
  for (const model of MODELS) {
    say(`${name}: ${model.title}`);
    const png = model.kind === "image" ? syntheticPng() : undefined;
    const { cases, again } = await run({ kind: "rows", model, rounds, loads, png });
    rows.push(...cases);
    againRows.push(again);
    say(`${name}: ${model.title}, loading`);
    const job = { model, png, from: "wasm", to: "vector" };
    firstRows.push(await measureOnce(run, `${model.title}, load to first vector`, job));
  }
  rows.push(...firstRows);
  const model = MODELS.find(({ id }) => id === "fp32");
  if (model !== undefined) {
    say(`${name}: cold starts`);
    const jobs = {
      "start of the wasm, cold": { model, from: "nothing", to: "wasm" },
      "fp32, start and load to first vector, cold": { model, from: "nothing", to: "vector" },
    };
    for (const [name, job] of Object.entries(jobs)) rows.push(await measureOnce(run, name, job));
  }
  return [...rows, ...againRows];
}

/** A row of what happens once in a process, worker or page. */
async function measureOnce(run, name, job) {
  const row = { name, isovec: [], peer: [] };
  for (let turn = 0; turn < loads; turn++) {
    for (const side of turn % 2 ? ["isovec", "peer"] : ["peer", "isovec"]) {
      // Each in a process of its own: what the first needs to see an end of is not in the second.
      row[side].push(await run({ kind: "once", side, ...job }));
    }
  }
  return row;
}

function summary({ name, isovec, peer, worstCosine }, unit = "ms") {
  const [ours, theirs] = [median(isovec), median(peer)];
  return {
    name,
    unit,
    isovec: ours,
    peer: theirs,
    isovec_spread: quartiles(isovec),
    peer_spread: quartiles(peer),
    speed: theirs / ours,
    worst_cosine: worstCosine,
  };
}

function quartiles(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return [0.25, 0.75].map((part) => {
    const at = part * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
    return below + (above - below) * (at % 1);
  });
}

/** What a visitor downloads, compressed as well as brotli can. */
async function downloads() {
  const esbuild = createRequire(join(js, "package.json"))("esbuild");
  const bundle = await esbuild.build({
    entryPoints: [join(dist, "browser.js")],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
  });
  const peer = (file) => readFileSync(join(peerFolder, "dist", file));
  const sides = [
    [readFileSync(files["isovec-wasm"]), bundle.outputFiles[0].contents],
    // This entry holds the glue of its wasm.
    [peer("ort-wasm-simd-threaded.wasm"), peer(peerEntry)],
  ];
  const sizes = await Promise.all(sides.map((parts) => Promise.all(parts.map(compressed))));
  const row = (name, pick) => {
    const [isovec, other] = sizes.map((parts) => [pick(parts) / 1e6]);
    return summary({ name, isovec, peer: other }, "MB");
  };
  return [
    row("download, wasm and JS, brotli", ([wasm, glue]) => wasm.brotli + glue.brotli),
    row("wasm and JS as they are", ([wasm, glue]) => wasm.raw + glue.raw),
  ];
}

async function compressed(bytes) {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  const { length } = await promisify(brotliCompress)(bytes, { params });
  return { raw: bytes.length, brotli: length };
}

/** The image of the measurement as a PNG, in base64. */
function syntheticPng() {
  const lines = [];
  for (let y = 0; y < imageSize; y++) {
    const line = [0];
    for (let x = 0; x < imageSize; x++) for (let c = 0; c < 3; c++) line.push(imagePixel(x, y, c));
    lines.push(Buffer.from(line));
  }
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(imageSize, 0);
  header.writeUInt32BE(imageSize, 4);
  header.set([8, 2, 0, 0, 0], 8); // 8 bits, RGB
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.concat(lines))),
    chunk("IEND", Buffer.alloc(0)),
  ];
  return Buffer.concat([signature, ...parts]).toString("base64");
}

function table({ panels, machine, isovec: own, peer, downloads: sizes }) {
  const number = ({ unit }, value) => (unit === "MB" ? value.toFixed(2) : value.toFixed(1));
  const cells = (row) => [
    `${number(row, row.isovec)} ${row.unit}`,
    `${number(row, row.peer)} ${row.unit}`,
    `${row.speed.toFixed(2)} x`,
  ];
  const line = (...parts) => `| ${parts.join(" | ")} |`;
  const heads = panels.flatMap(({ title }) => [`${title}: isovec`, peer, "isovec's speed"]);
  const out = [
    `${machine.cpu}, ${machine.cores} cores; ${machine.date}; one thread each; medians of ${rounds} rounds, of loading ${loads}`,
    [`isovec ${own}`, peer, ...panels.map(({ title, version }) => `${title.split(" ")[0]} ${version}`)].join(", "),
    "",
    line("", ...heads),
    `|---|${heads.map(() => "---:").join("|")}|`,
    ...panels[0].rows.map((row, i) => {
      return line(row.name, ...panels.flatMap(({ rows }) => cells(rows[i])));
    }),
    "",
    line("", "isovec", peer, "isovec's"),
    "|---|---:|---:|---:|",
    ...sizes.map((row) => line(row.name, ...cells(row))),
    "",
  ];
  const all = panels.flatMap(({ title, rows }) => rows.map((row) => ({ ...row, title })));
  const slowest = all.reduce((a, b) => (b.speed < a.speed ? b : a));
  out.push(`Slowest: ${slowest.speed.toFixed(2)} x, ${slowest.name}, ${slowest.title}.`);
  const spread = ([low, high], middle) => (high - low) / 2 / middle;
  const widest = Math.max(
    ...all.flatMap((row) => [spread(row.isovec_spread, row.isovec), spread(row.peer_spread, row.peer)]),
  );
  out.push(`Half the distance between quartiles is at most ${(100 * widest).toFixed(0)}% of a median.`);
  const cosines = MODELS.map(({ id, title }) => {
    const found = all.filter((row) => row.worst_cosine && row.name.startsWith(`${title},`));
    return `${id} ${Math.min(...found.map((row) => row.worst_cosine)).toFixed(6)}`;
  });
  out.push(`Lowest cosine between both: ${cosines.join(", ")}.`);
  return out.join("\n");
}

function say(text) {
  process.stderr.write(`\x1b[1m==> ${text}\x1b[0m\n`);
}

const version = (file) => JSON.parse(readFileSync(file, "utf8")).version;
const result = {
  machine: { cpu: cpus()[0].model, cores: cpus().length, date: new Date().toISOString().slice(0, 10) },
  isovec: version(join(js, "package.json")),
  peer: `onnxruntime-web ${version(join(peerFolder, "package.json"))}`,
  rounds,
  panels: [],
};
const places = await environments();
try {
  for (const place of places) {
    const rows = (await measureAll(place)).map((row) => summary(row));
    for (const { name, isovec, peer, isovec_spread, peer_spread, speed } of rows) {
      const side = (value, [low, high]) => `${value.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)})`;
      console.error(`${name}: ${side(isovec, isovec_spread)} beside ${side(peer, peer_spread)} ms, ${speed.toFixed(2)} x`);
    }
    result.panels.push({ title: place.name, version: place.version, rows });
  }
} finally {
  for (const place of places) await place.close();
}
say("compressing");
result.downloads = await downloads();
console.log(table(result));
if (options.json) writeFileSync(options.json, `${JSON.stringify(result, null, 1)}\n`);
if (options.svg) writeFileSync(options.svg, plot(result));
