// A worker has a content security policy of its own, which static hosts do not send. So that what runs
// in it asks no other server, its ways out are closed here, before anything else is there.
//
// One stays open: `import()` is syntax, which no script can take away. It is not used in the worker. From
// the second visit on, the service worker sends the policy with the worker's script, which closes it too.
const allowed = globalThis.fetch.bind(globalThis);

for (const name of [
  "fetch",
  "XMLHttpRequest",
  "WebSocket",
  "WebSocketStream",
  "WebTransport",
  "EventSource",
  "FontFace",
  "importScripts",
  // Another worker would have all of these again.
  "Worker",
  "SharedWorker",
]) {
  close(globalThis, name);
}
// These ask without `fetch`.
for (const name of ["add", "addAll"]) close(globalThis.Cache?.prototype, name);

globalThis.fetch = async (input, init) => {
  const { origin } = new URL(input instanceof Request ? input.url : String(input), location.href);
  // Other servers, of which isovec knows some, have nothing here: the answer is that of a missing file.
  if (origin !== location.origin) return new Response(null, { status: 404 });
  // A redirect may lead to another server, and where to cannot be seen before it is followed.
  return await allowed(input, { ...init, redirect: "error" });
};

/**
 * Takes something away, wherever it is: some of a worker's globals belong to its prototypes.
 *
 * @param {object | null | undefined} owner @param {string} name
 */
function close(owner, name) {
  for (; owner; owner = Object.getPrototypeOf(owner)) Reflect.deleteProperty(owner, name);
}

export {};
