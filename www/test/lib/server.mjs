// A static server as plain as any host's: no headers but those asked for, at a path of one's choice.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/**
 * @param {string} folder
 * @param {{ path?: string, answer?: (path: string, response: import("node:http").ServerResponse) => boolean,
 *   headers?: Record<string, string> }} [options] `answer` says whether it has; `headers` come with each file
 */
export async function serve(folder, { path = "/", answer = () => false, headers = {} } = {}) {
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    asked.push(pathname);
    const name = decodeURIComponent(pathname.slice(path.length)) || "index.html";
    if (answer(name, response)) return;
    const file = join(folder, normalize(`/${name}`));
    const found = pathname.startsWith(path) && statSync(file, { throwIfNoEntry: false });
    if (!found || !found.isFile()) return response.writeHead(404).end();
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { ...headers, "content-type": type, "content-length": found.size });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}${path}`, asked, close };
}
