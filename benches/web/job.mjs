// One job where this is imported, with files that are fetched.
import * as ort from "/ort/ort.wasm.bundle.min.mjs";
import * as iso from "/isovec/browser.js";

import { measure, once } from "./measure.mjs";

export async function runJob({ kind, urls, png, ...job }) {
  const read = async (id) => {
    const response = await fetch(urls[id]);
    if (!response.ok) throw new Error(`${urls[id]}: HTTP status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
  const sides = { iso, ort, read };
  if (png) job.png = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
  return kind === "once" ? await once(sides, job) : await measure(sides, job);
}
