// Keeps the page for visits without a network. The model is not here: isovec keeps it itself.
importScripts("precache.js"); // PRECACHE: a version, and each file with its sha256

const { version, files } = self.PRECACHE;
const scope = self.registration.scope;
// Caches belong to the whole host, where there may be other pages, and other copies of this one.
const PREFIX = `isovec-demo ${scope} `;
const CACHE = PREFIX + version;
const kept = new Set(files.map(({ path }) => new URL(path, scope).href));

// That of index.html, for workers too, whose policy comes with their script alone.
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; " +
  "img-src 'self' blob:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'";

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", ({ data }) => {
  if (data === "take over") void self.skipWaiting();
});

async function keepAll() {
  const cache = await caches.open(CACHE);
  await Promise.all(files.map((file) => keep(cache, file)));
}

/** A file with the right content: of an older version, of the browser's cache, or of the server. */
async function keep(cache, { path, sha256 }) {
  const url = new URL(path, scope).href;
  const sources = [
    () => fromOlder(url),
    () => fetch(url),
    () => fetch(url, { cache: "reload" }),
  ];
  for (const source of sources) {
    const response = await source();
    if (!response?.ok) continue;
    const bytes = await response.arrayBuffer();
    if ((await digest(bytes)) !== sha256) continue;
    const headers = {
      "content-type": response.headers.get("content-type") ?? "application/octet-stream",
      "content-length": String(bytes.byteLength),
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
    };
    return await cache.put(url, new Response(bytes, { headers }));
  }
  throw new Error(`${path} is not the file of version ${version}`);
}

async function fromOlder(url) {
  for (const name of await caches.keys()) {
    if (!name.startsWith(PREFIX)) continue;
    const response = await (await caches.open(name)).match(url);
    if (response) return response;
  }
  return undefined;
}

async function digest(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function takeOver() {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) {
    // Addresses of the page's own memory, such as those of thumbnails, never come here.
    event.respondWith(Response.error());
    return;
  }
  url.search = url.hash = "";
  const href = url.href === scope ? new URL("index.html", scope).href : url.href;
  if (request.method === "GET" && kept.has(href)) event.respondWith(fromCache(href, request));
});

async function fromCache(href, request) {
  const response = await (await caches.open(CACHE)).match(href);
  return response ?? (await fetch(request));
}
