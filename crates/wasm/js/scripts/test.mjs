// Runs every test of the package, and ends with the counts. The package must have been built. `node scripts/test.mjs loader crash` runs only these.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));

const ALL = ["loader", "crash", "memory", "table", "index", "package", "browser", "bundlers"];
const chosen = process.argv.length > 2 ? process.argv.slice(2) : ALL;
// One file at a time: they measure memory, and the machine may be small.
const args = ["--test", "--test-concurrency=1", "--test-reporter=spec"];
const { status } = spawnSync(
  process.execPath,
  [...args, ...chosen.map((name) => `test/${name}.test.mjs`)],
  { stdio: "inherit" },
);
process.exit(status ?? 1);
