// Fresh projects that install the packed package.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { root, work } from "./paths.mjs";
import { FOLDERS } from "./prepare.mjs";

const quiet = { stdio: ["ignore", "pipe", "pipe"] };
let tarball;

/** What `npm publish` would upload. The package must have been built. */
export function pack() {
  if (tarball) return tarball;
  mkdirSync(work, { recursive: true });
  const args = ["pack", "--ignore-scripts", "--pack-destination", work];
  execFileSync("npm", args, { cwd: root, ...quiet });
  tarball = join(work, readdirSync(work).find((name) => name.endsWith(".tgz")));
  return tarball;
}

/** A new folder with these files and the package installed; `remove` deletes it. */
export function project(files, settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), "isovec-project-"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, ...settings }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", pack()], {
    cwd: folder,
    ...quiet,
  });
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Puts a small model where pages and programs of projects look for it. */
export function addModel(folder) {
  mkdirSync(join(folder, "model"), { recursive: true });
  for (const name of ["model.onnx", "tokenizer.json"]) {
    cpSync(join(FOLDERS.models, "mean-opset11", name), join(folder, "model", name));
  }
}

export const SPEC = { name: "mean-opset11", dims: 32, max_tokens: 48, pooling: "mean" };
