// Empties functions that are in the file and never run, so that wasm-opt removes them with all that only
// they use: node snip.mjs IN OUT. IN needs its names.
//
// The linker keeps what is registered, and tract registers more than models of texts and images use:
//   rustfft     for the operators DFT and STFT, which isovec-core refuses (engine/proto.rs)
//   tract_nnef  another format of models, of which tract's registries hold the readers and writers
// With what only they use they are a ninth of the file. A call of an emptied function is a trap.
import { readFileSync, writeFileSync } from "node:fs";

const NEVER_RUN = /^<*(rustfft|tract_nnef)::/;
// What registers them runs at the start.
const RUNS = /__ctor\b|\binventory::/;
// The compiler makes one of functions that are equal, whichever crate they are from, and only small ones are.
const SMALL = 200;

const CUSTOM = 0, IMPORT = 2, CODE = 10;
const EMPTY = Buffer.from([0x03, 0x00, 0x00, 0x0b]); // 3 bytes: no locals, unreachable, end

const [source, target] = process.argv.slice(2);
const bytes = readFileSync(source);
let at = 8; // after the magic number and the version

function number() {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
}

function text() {
  const length = number();
  at += length;
  return bytes.toString("utf8", at - length, at);
}

function encoded(value) {
  const out = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) out.push((value & 0x7f) | 0x80);
  return Buffer.from([...out, value]);
}

/** How many functions are imported: they come first in the count. */
function importedFunctions() {
  let functions = 0;
  for (let left = number(); left > 0; left--) {
    text();
    text();
    const kind = bytes[at++];
    if (kind === 0) {
      functions += 1;
      number();
    } else if (kind === 1 || kind === 2) {
      if (kind === 1) at += 1;
      const hasMaximum = number() & 1;
      number();
      if (hasMaximum) number();
    } else if (kind === 3) {
      at += 2;
    } else {
      throw new Error(`an import of the kind ${kind}`);
    }
  }
  return functions;
}

/** The names of functions, by number, in the part of the name section that holds them. */
function functionNames(end) {
  while (at < end) {
    const part = bytes[at++];
    const partEnd = number() + at;
    if (part === 1) {
      const names = new Map();
      for (let left = number(); left > 0; left--) names.set(number(), text());
      return names;
    }
    at = partEnd;
  }
  return new Map();
}

const sections = [];
let imported = 0;
let names = new Map();
while (at < bytes.length) {
  const start = at;
  const id = bytes[at++];
  const end = number() + at;
  sections.push({ id, start, content: at, end });
  if (id === IMPORT) imported = importedFunctions();
  if (id === CUSTOM && text() === "name") names = functionNames(end);
  at = end;
}
if (names.size === 0) throw new Error(`${source} has no names`);

// Compiled only where there is SIMD: without it, everything works at a third of the speed.
if (![...names.values()].some((name) => name.includes("isovec_kernels::matmul"))) {
  throw new Error("the kernels are not in the file: was it compiled without simd128?");
}

let emptied = 0;
let saved = 0;
function snipped(section) {
  at = section.content;
  const count = number();
  const parts = [encoded(count)];
  for (let index = imported; index < imported + count; index++) {
    const start = at;
    at = number() + at;
    const name = names.get(index) ?? "";
    const neverRuns = at - start >= SMALL && NEVER_RUN.test(name) && !RUNS.test(name);
    parts.push(neverRuns ? EMPTY : bytes.subarray(start, at));
    if (neverRuns) {
      emptied += 1;
      saved += at - start;
    }
  }
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([CODE]), encoded(content.length), content]);
}

const out = [bytes.subarray(0, 8)];
for (const section of sections) {
  out.push(section.id === CODE ? snipped(section) : bytes.subarray(section.start, section.end));
}
if (emptied === 0) throw new Error("nothing to empty: have the names changed?");
writeFileSync(target, Buffer.concat(out));
console.error(`emptied ${emptied} functions of ${saved.toLocaleString("en")} bytes`);
