/** An address that means the same everywhere: a worker's own address, say, is another than the page's. */
export function absolute(url: unknown): string {
  const base = typeof document === "object" ? document.baseURI : globalThis.location?.href;
  return base === undefined ? String(url) : new URL(String(url), base).href;
}
