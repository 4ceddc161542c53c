// From what was pasted or dropped to texts. Knows nothing of the page.

export const MAX_TEXTS = 5000;
export const MAX_FILE_BYTES = 5_000_000;
export const MAX_TEXT_CHARACTERS = 20_000;

/** A file that cannot be used; the message says why. */
export class BadFile extends Error {}

/** @typedef {{ text: string, source?: string }} OwnText */

/**
 * One text per line; empty lines do not count.
 *
 * @param {string} content
 * @param {string} [source]
 * @returns {OwnText[]}
 */
export function fromLines(content, source) {
  return content.split(/\r\n|\r|\n/).flatMap((line) => one(line, source));
}

/**
 * One text per paragraph. Code, rules and markup go; a heading becomes the name of what follows.
 *
 * @param {string} content
 * @param {string} source
 * @returns {OwnText[]}
 */
export function fromMarkdown(content, source) {
  const prose = content
    .replace(/^---\n[\s\S]*?\n---\n/, "")
    .replace(/^(```|~~~)[\s\S]*?^\1.*$/gm, "")
    .replace(/<!--[\s\S]*?-->/g, "");
  /** @type {OwnText[]} */
  const texts = [];
  let name = source;
  for (const block of prose.split(/\n[ \t]*\n/)) {
    const lines = [];
    for (const line of block.split("\n")) {
      const heading = /^#{1,6}\s+(.+?)\s*#*$/.exec(line);
      if (heading) name = `${source} › ${plain(heading[1])}`;
      else if (!/^\s*([-*_=]\s*){3,}$/.test(line)) lines.push(plain(line));
    }
    texts.push(...one(lines.join(" "), name));
  }
  return texts;
}

/** A line of Markdown without its marks. @param {string} line */
function plain(line) {
  return line
    .replace(/^\s*(?:>|[-*+]|\d+[.)])\s+/, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/(\*\*|__|~~|`)(.+?)\1/g, "$2")
    .replace(/(^|[^\w*])[*_]([^*_]+)[*_](?!\w)/g, "$1$2");
}

/**
 * One `{"text": ...}` per line.
 *
 * @param {string} content
 * @param {string} source
 * @returns {OwnText[]}
 */
export function fromJsonLines(content, source) {
  return content.split(/\r\n|\n/).flatMap((line, index) => {
    if (line.trim() === "") return [];
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      throw new BadFile(`${source}: line ${index + 1} is not JSON.`);
    }
    if (typeof value?.text !== "string") {
      throw new BadFile(`${source}: line ${index + 1} has no "text" that is a string.`);
    }
    return one(value.text, source);
  });
}

/**
 * @param {string} text
 * @param {string} [source]
 * @returns {OwnText[]}
 */
function one(text, source) {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  if (trimmed.length > MAX_TEXT_CHARACTERS) {
    const where = source ? `${source}: a` : "A";
    throw new BadFile(`${where} text of ${trimmed.length} characters is longer than ${MAX_TEXT_CHARACTERS}. Shorter pieces are found better.`);
  }
  return [{ text: trimmed, ...(source ? { source } : {}) }];
}

const READERS = {
  txt: fromLines,
  md: fromMarkdown,
  markdown: fromMarkdown,
  jsonl: fromJsonLines,
};

/**
 * @param {Pick<File, "name" | "size" | "arrayBuffer">} file
 * @returns {Promise<OwnText[]>}
 */
export async function readFile(file) {
  const ending = file.name.toLowerCase().split(".").pop() ?? "";
  const read = /** @type {Record<string, typeof fromMarkdown>} */ (READERS)[ending];
  if (!read) throw new BadFile(`${file.name}: only .txt, .md and .jsonl files can be read.`);
  if (file.size > MAX_FILE_BYTES) throw new BadFile(`${file.name} is larger than ${MAX_FILE_BYTES / 1e6} MB.`);
  const bytes = await file.arrayBuffer().catch(() => {
    throw new BadFile(`${file.name} could not be read.`);
  });
  let content;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BadFile(`${file.name} is not text in UTF-8.`);
  }
  if (content.includes("\0")) throw new BadFile(`${file.name} is not a text file.`);
  const texts = read(content, file.name);
  if (texts.length === 0) throw new BadFile(`${file.name} is empty.`);
  return texts;
}
