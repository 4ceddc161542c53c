// One job in this process, for main.mjs: it comes on standard input, the answer goes to standard output.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import * as ort from "onnxruntime-web/wasm";

import { measure, once } from "./measure.mjs";

const { kind, files, entry, png, ...job } = JSON.parse(readFileSync(0, "utf8"));
const iso = await import(pathToFileURL(entry));
// Not a Buffer of a pool: bytes in memory of their own, as a page has them.
const read = async (id) => new Uint8Array(readFileSync(files[id]));
const sides = { iso, ort, read };
if (png) job.png = new Uint8Array(Buffer.from(png, "base64"));
const result = kind === "once" ? await once(sides, job) : await measure(sides, job);
// onnxruntime-web may have left something that keeps the process alive.
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
