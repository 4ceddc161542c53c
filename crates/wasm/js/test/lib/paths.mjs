import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the package. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** Where tests put what they make. */
export const work = join(root, "test", ".work");
