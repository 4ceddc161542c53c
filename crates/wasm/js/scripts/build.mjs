// Builds the package into dist/: `node scripts/build.mjs`, after scripts/build_wasm has made wasm/.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);

rmSync("dist", { recursive: true, force: true });
for (const project of ["tsconfig.json", "tsconfig.cjs.json"]) {
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", project], {
    stdio: "inherit",
  });
}

mkdirSync("dist/wasm");
copyFileSync("wasm/isovec_bg.wasm", "dist/wasm/isovec_bg.wasm");
writeFileSync("dist/cjs/package.json", '{ "type": "commonjs" }\n');

const glue = wrapGlue(readFileSync("wasm/isovec.js", "utf8"));
const types = readFileSync("src/glue.d.ts", "utf8");
writeFileSync("dist/glue.js", `${glue}\nexport { createGlue };\n`);
writeFileSync("dist/cjs/glue.js", `"use strict";\n${glue}\nexports.createGlue = createGlue;\n`);
for (const folder of ["dist", "dist/cjs"]) writeFileSync(`${folder}/glue.d.ts`, types);

/**
 * Puts wasm-bindgen's module into a function. It keeps its instance in variables of the module, so
 * as it is there is one instance for ever, even after it has crashed; as a function, there are as
 * many as there are calls. Nothing else is changed: `export` goes, and a list of the names returns.
 */
function wrapGlue(source) {
  const names = [];
  const body = source
    .replace(/^export (class|function) (\w+)/gm, (_, kind, name) => {
      names.push(name);
      return `${kind} ${name}`;
    })
    .replace("export { initSync, __wbg_init as default };", "");
  const left = /^\s*(export|import)\b|import\.meta/m.exec(body);
  if (left || names.length === 0) {
    throw new Error(`wasm/isovec.js is not as expected${left ? `: ${left[0]}` : ""}`);
  }
  return `// Made by wasm-bindgen, and put into a function by scripts/build.mjs.
function createGlue() {
${body.trim()}

return { ${names.join(", ")}, initSync, init: __wbg_init };
}`;
}
