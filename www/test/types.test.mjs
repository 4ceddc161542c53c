// The types in the comments are checked against those of the package.
import { spawnSync } from "node:child_process";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const js = fileURLToPath(new URL("../js", import.meta.url));
const pkg = fileURLToPath(new URL("../../crates/wasm/js", import.meta.url));

test("tsc --checkJs", () => {
  // As scripts/demo lays it out: the page's modules beside the package.
  const folder = mkdtempSync(join(tmpdir(), "isovec-demo-types-"));
  symlinkSync(js, join(folder, "js"));
  symlinkSync(join(pkg, "dist"), join(folder, "isovec"));
  const compilerOptions = {
    allowJs: true,
    checkJs: true,
    noEmit: true,
    strict: true,
    target: "es2022",
    module: "es2022",
    moduleResolution: "bundler",
    lib: ["es2023", "dom", "dom.iterable", "esnext.disposable"],
    preserveSymlinks: true,
    types: [],
  };
  const files = ["main", "images", "pca-worker", "model-worker", "theme-early"].map((name) => `js/${name}.js`);
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  const tsc = join(pkg, "node_modules", "typescript", "bin", "tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  assert.equal(status, 0, stdout);
});
