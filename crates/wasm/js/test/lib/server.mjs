// A model server that misbehaves as it is told.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

import { FOLDERS } from "./prepare.mjs";

const NAME = "tiny";
const PATHS = { "onnx/model.onnx": "model", "tokenizer.json": "tokenizer" };

export const BYTES = Object.fromEntries(
  Object.keys(PATHS).map((path) => [
    path,
    new Uint8Array(readFileSync(join(FOLDERS.models, "mean-opset11", path.replace("onnx/", "")))),
  ]),
);

/** A spec with pinned files; `urls` are the addresses of each file. */
export function tinySpec(urls = () => []) {
  const files = Object.entries(BYTES).map(([path, bytes]) => {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const build = { origin: "test", sha256, size: bytes.length, urls: urls(path) };
    return { role: PATHS[path], path, builds: [build] };
  });
  return {
    name: NAME,
    kind: "text",
    dims: 32,
    max_tokens: 48,
    pooling: "mean",
    variants: { fp32: { about: "", files } },
  };
}

/**
 * Serves the files of the tiny model below `/<prefix>/tiny/`.
 *
 * @param behave - Called with each request: its path, how often it was asked before, the response
 * and the right bytes. Returns true if it has answered.
 */
export async function serveModel(behave = () => false) {
  const asked = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://x");
    const path = url.pathname.replace(/^.*\/tiny\//, "");
    const before = asked.filter((other) => other === url.pathname).length;
    asked.push(url.pathname);
    const bytes = BYTES[path];
    if (bytes === undefined) return response.writeHead(404).end();
    if (behave({ path, before, response, bytes, request, url })) return undefined;
    response.writeHead(200, { "content-length": bytes.length });
    return response.end(bytes);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${server.address().port}/models`;
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { baseUrl, asked, close };
}

/** A cache in memory, whose calls may be made to fail. */
export function memoryCache(fail = {}) {
  const files = new Map();
  const id = ({ model, path }) => `${model}/${path}`;
  const check = (name) => {
    if (fail[name]) throw fail[name];
  };
  return {
    files,
    async get(key) {
      check("get");
      return files.get(id(key))?.slice();
    },
    async put(key, bytes) {
      check("put");
      files.set(id(key), bytes.slice());
    },
    async delete(key) {
      check("delete");
      files.delete(id(key));
    },
  };
}
