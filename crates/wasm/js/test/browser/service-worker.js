// R44: the package in a service worker, which has no dynamic import.
import * as iso from "/pkg/browser.js";
import { runTable } from "/lib/table.mjs";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

async function read(path) {
  const response = await fetch(`/files/${path}`);
  return new Uint8Array(await response.arrayBuffer());
}

addEventListener("message", (event) => {
  const run = async () => {
    try {
      const fixtures = await (await fetch("/fixtures.json")).json();
      return await runTable(iso, { fixtures, read, minilm: false });
    } catch (error) {
      return { results: [{ name: "all", ok: false, detail: String(error?.stack) }] };
    }
  };
  event.waitUntil(run().then((result) => event.ports[0].postMessage(result)));
});
