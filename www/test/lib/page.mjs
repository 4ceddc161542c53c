// The demo page in Chromium, and everything that it must not do.
import { launch } from "../../../crates/wasm/js/test/lib/chromium.mjs";
import { serve } from "./server.mjs";

/** What scripts/demo has made; scripts/test_demo says where. */
export const SITE = process.env.ISOVEC_DEMO;
if (!SITE) throw new Error("ISOVEC_DEMO is not set: run scripts/test_demo");

export { launch, serve };

/**
 * A page, once its model is ready. `problems` collects errors, refusals by the policy, and requests to
 * other servers.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {string} url
 */
export async function open(browser, url, { ready = true, context: options = {}, route, init } = {}) {
  const context = await browser.newContext({ serviceWorkers: "block", viewport: { width: 1280, height: 860 }, ...options });
  const problems = [];
  const own = new URL(url).origin;
  context.on("request", (request) => {
    const other = /^(?!blob:|data:)/.test(request.url()) && new URL(request.url()).origin !== own;
    if (other) problems.push(`asked ${request.url()}`);
  });
  if (route) await context.route(...route);
  await context.addInitScript(() => {
    globalThis.refused = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      globalThis.refused.push(`${event.violatedDirective}: ${event.blockedURI}`);
    });
  });
  if (init) await context.addInitScript(init);
  const page = await context.newPage();
  page.setDefaultTimeout(300_000);
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(url);
  if (ready) await isReady(page);
  const check = async () => [...problems, ...(await page.evaluate(() => globalThis.refused))];
  return { page, context, problems: check };
}

export async function isReady(page) {
  await page.waitForFunction(() => document.getElementById("engine")?.hidden, null, { timeout: 300_000 });
}

/** What the page answers to a query, best first. */
export async function ask(page, query) {
  // First none, so that what is there from before is not taken for the answer.
  await page.fill("#query", "");
  await page.waitForFunction(() => globalThis.document.getElementById("results")?.dataset.query === undefined);
  await page.fill("#query", query);
  await page.waitForFunction((text) => globalThis.document.getElementById("results")?.dataset.query === text, query);
  return await page.locator("#results .passage").allTextContents();
}

/** The worker that runs the model. */
export const modelWorker = (page) => page.workers().find((worker) => /model-worker/.test(worker.url()));

/** What has the focus: its id, or its tag. */
export const focused = (page) => page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName);

/** Waits, at most ten seconds, for something outside of the page. */
export async function until(met) {
  for (let tries = 0; tries < 200 && !(await met()); tries += 1) await new Promise((resolve) => setTimeout(resolve, 50));
}
