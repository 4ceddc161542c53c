// The parts that know nothing of a page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { compare, difference } from "../js/compare.js";
import { FAINT_LINE, opacity } from "../js/map-ink.js";
import { fitPlane, project } from "../js/pca.js";
import { BadFile, fromJsonLines, fromLines, fromMarkdown, MAX_FILE_BYTES, readFile } from "../js/read-texts.js";

test("a plane: finds the two directions, the same each time", () => {
  const dims = 6;
  const vectors = new Float32Array(200 * dims);
  // Wide along (1, 1, 0, 0, 0, 0), less wide along the third axis, hardly at all elsewhere; off the origin.
  for (let row = 0; row < 200; row += 1) {
    const [a, b, c] = [Math.sin(row * 12.9898), Math.sin(row * 78.233), Math.sin(row * 37.719)];
    vectors.set([5 + 3 * a, -2 + 3 * a, b, 0.01 * c, 1, 0], row * dims);
  }
  const plane = fitPlane(vectors, dims);
  const [first, second] = plane.axes;
  assert.ok(Math.abs(first[0] - Math.SQRT1_2) < 1e-3 && Math.abs(first[1] - Math.SQRT1_2) < 1e-3, String(first));
  assert.ok(Math.abs(second[2] - 1) < 1e-3, String(second));
  assert.ok(plane.kept > 0.999);
  assert.deepEqual(fitPlane(vectors, dims), plane);
  const points = project(plane, vectors);
  let mean = 0;
  for (let at = 0; at < points.length; at += 2) mean += points[at] / 200;
  assert.ok(Math.abs(mean) < 1e-5, "the middle is at the origin");
});

test("a plane of vectors that are all the same is no NaN", () => {
  const points = project(fitPlane(new Float32Array(12).fill(0.5), 4), new Float32Array(12).fill(0.5));
  assert.deepEqual([...points], [0, 0, 0, 0, 0, 0]);
});

test("lines", () => {
  assert.deepEqual(fromLines("one\r\n\n  two \rthree"), [{ text: "one" }, { text: "two" }, { text: "three" }]);
  assert.throws(() => fromLines("x".repeat(20_001)), BadFile);
});

test("Markdown: a paragraph is a text, a heading its name", () => {
  const content = "---\na: 1\n---\n# Title\n\nOne *soft*\nline with [a link](http://x) and `code`.\n\n```\nno\n\nno\n```\n\n## Part two ##\n- first\n- second\n\n---\n\n<!-- no -->\n> quoted **hard**\n";
  assert.deepEqual(fromMarkdown(content, "a.md"), [
    { text: "One soft line with a link and code.", source: "a.md › Title" },
    { text: "first second", source: "a.md › Part two" },
    { text: "quoted hard", source: "a.md › Part two" },
  ]);
  assert.equal(fromMarkdown("snake_case_name and 2*3*4", "a.md")[0].text, "snake_case_name and 2*3*4");
});

test("JSON lines", () => {
  assert.deepEqual(fromJsonLines('{"text":"a","x":1}\n\n{"text":" b "}\n', "f"), [
    { text: "a", source: "f" },
    { text: "b", source: "f" },
  ]);
  assert.throws(() => fromJsonLines('{"text":"a"}\nnope', "f.jsonl"), /f\.jsonl: line 2 is not JSON/);
  for (const line of ['{"body":"a"}', '{"text":3}', "null", "[]"]) {
    assert.throws(() => fromJsonLines(line, "f.jsonl"), /line 1 has no "text"/);
  }
});

const file = (name, bytes, size = bytes.length) => ({
  name,
  size,
  arrayBuffer: async () => Uint8Array.from(bytes).buffer,
});
for (const [name, bytes, message, size] of [
  ["a.pdf", [1], /only \.txt, \.md and \.jsonl/],
  ["a.txt", [0xff, 0xfe, 0x41], /not text in UTF-8/],
  ["a.txt", [0x41, 0, 0x42], /not a text file/],
  ["a.txt", [], /is empty/],
  ["a.txt", [10, 32, 10], /is empty/],
  ["a.txt", [0x41], /larger than 5 MB/, MAX_FILE_BYTES + 1],
]) {
  test(`a bad file is refused: ${message}`, async () => {
    await assert.rejects(readFile(file(name, bytes, size)), (error) => error instanceof BadFile && message.test(error.message));
  });
}

test("comparing: NaN, other lengths, other tokens are failures", () => {
  const native = { text: "a", tokens: 3, truncated: false, embedding: [0.6, 0.8] };
  const here = { vector: Float32Array.of(0.6, 0.8), tokens: 3, truncated: false };
  assert.equal(compare(native, here).ok, true);
  assert.ok(difference([0.6, 0.8], [0.6, 0.8]).cosine > 0.999999);
  for (const other of [
    { ...here, vector: Float32Array.of(0.6, 0.80002) },
    { ...here, vector: Float32Array.of(NaN, 0.8) },
    { ...here, vector: Float32Array.of(0.8, NaN) },
    { ...here, vector: Float32Array.of(0.6) },
    { ...here, tokens: 4 },
    { ...here, truncated: true },
  ]) {
    assert.equal(compare(native, other).ok, false, JSON.stringify(other));
  }
});

/** The relative luminance of WCAG. */
function luminance(colour) {
  const [r, g, b] = colour.map((value) => (value <= 10.31475 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test("the map: each dot and line stands out by 3 to 1, however far it is", () => {
  const css = readFileSync(new URL("../css/base.css", import.meta.url), "utf8");
  for (const [at, theme] of ["light", "dark"].entries()) {
    const colour = (name) => {
      const hex = new RegExp(`--${name}: light-dark\\(#(\\w{6}), #(\\w{6})\\)`).exec(css)[1 + at];
      return [0, 2, 4].map((from) => Number.parseInt(hex.slice(from, from + 2), 16));
    };
    const back = colour("raised");
    const contrast = (name, alpha) => {
      const mixed = colour(name).map((value, part) => alpha * value + (1 - alpha) * back[part]);
      const [less, more] = [luminance(mixed), luminance(back)].toSorted((a, b) => a - b);
      return (more + 0.05) / (less + 0.05);
    };
    const groups = [...Array.from({ length: 10 }, (_, number) => `group-${number}`), "ink"];
    const all = [
      ...groups.map((name) => [name, opacity(0, false)]),
      // By the score, colours go from one of these to the other.
      ["edge", opacity(0, true)],
      ["accent", opacity(1, true)],
      ["accent", FAINT_LINE],
    ];
    for (const [name, alpha] of all) {
      const found = contrast(name, alpha);
      assert.ok(found >= 3, `${theme}, ${name}: ${found.toFixed(2)}`);
    }
  }
});
