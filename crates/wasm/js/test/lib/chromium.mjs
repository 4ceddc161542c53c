// Chromium, and a server of static files with a strict policy.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";

import { chromium } from "playwright-core";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** What a careful site sends: nothing but its own files, and no eval. */
export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'";

/**
 * Serves folders.
 *
 * @param folders - By the first part of the path; that named "" serves what no other does.
 * @param options - `policy`: another one; `type`: other content types, by ending; `answer`: called
 * first with the request and the response, true if it has answered.
 */
export async function serveFolders(folders, { policy = POLICY, type = {}, answer } = {}) {
  const asked = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    asked.push(path);
    response.setHeader("content-security-policy", policy);
    if (answer?.(request, response)) return;
    const [, first, ...rest] = path.split("/");
    const file = folders[first] ? join(folders[first], ...rest) : join(folders[""] ?? "/none", path);
    try {
      const bytes = await readFile(file.endsWith("/") ? `${file}index.html` : file);
      const ending = extname(file.endsWith("/") ? ".html" : file) || ".html";
      const contentType = type[ending] ?? TYPES[ending] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": contentType, "content-length": bytes.length });
      response.end(bytes);
    } catch {
      response.writeHead(404, { "content-length": 0 }).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { port, url: `http://127.0.0.1:${port}`, asked, close };
}

/** Debian's Chromium, or the one that CHROMIUM names. */
export async function launch() {
  return await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--host-resolver-rules=MAP insecure.test 127.0.0.1"],
  });
}

/** A page whose errors and refusals by the policy are kept, to be looked at in the end. */
export async function openPage(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(600_000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(url);
  return { page, context, problems };
}
