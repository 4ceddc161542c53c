// A worker has a content security policy of its own, which static hosts do not send. So that nothing
// can leave it either, its ways out are closed here, before anything else runs in it.
const allowed = globalThis.fetch.bind(globalThis);

globalThis.fetch = async (input, init) => {
  const { origin } = new URL(input instanceof Request ? input.url : String(input), location.href);
  // Other servers, of which isovec knows some, have nothing here: the answer is that of a missing file.
  if (origin !== location.origin) return new Response(null, { status: 404 });
  return await allowed(input, init);
};
for (const name of ["XMLHttpRequest", "WebSocket", "WebTransport", "EventSource"]) {
  Reflect.deleteProperty(globalThis, name);
}

export {};
