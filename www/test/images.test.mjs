// Images by words. The CLIP is one of random weights (scripts/download_models --synthetic-clip): what is
// tested is the way, not the order.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { focused, launch, open, serve, SITE } from "./lib/page.mjs";

const CLIP = process.env.ISOVEC_SYNTHETIC_CLIP;
const FILES = join(process.env.ISOVEC_TEST_IMAGES ?? join(homedir(), ".cache", "isovec", "test-images"), "files");
const skip = CLIP && existsSync(CLIP) && existsSync(FILES) ? false : "no synthetic CLIP, or no test images";

let browser;
before(async () => (browser = await launch()));
after(async () => await browser?.close());

test("where the deployer put no CLIP, the page says what is missing, and asks nobody else", async () => {
  const server = await serve(SITE);
  const { page, context, problems } = await open(browser, server.url);
  await page.click("#images-load");
  await page.waitForFunction(() => /not on this server/.test(document.getElementById("images-say").textContent));
  assert.match(await page.textContent("#images-say"), /models\/clip-vit-base-patch32\/onnx\/vision_model\.onnx/);
  assert.deepEqual((await problems()).filter((problem) => !/404/.test(problem)), []);
  assert.equal(await page.isEnabled("#images-load"), true);
  await context.close();
  await server.close();
});

test("both halves of CLIP: images are found by words", { skip, timeout: 900_000 }, async (t) => {
  const site = mkdtempSync(join(tmpdir(), "isovec-demo-clip-"));
  const demo = fileURLToPath(new URL("../../scripts/demo", import.meta.url));
  execFileSync(demo, ["--output", site, "--clip", CLIP], { stdio: "ignore" });
  const server = await serve(site, { path: "/p/" });
  const { page, context, problems } = await open(browser, server.url);
  const drop = (files) =>
    page.evaluate((list) => {
      const dataTransfer = new DataTransfer();
      for (const { name, type, base64 } of list) {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], name, { type }));
      }
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }, files);
  const image = (name, type) => ({ name, type, base64: readFileSync(join(FILES, name)).toString("base64") });
  const good = [image("jpeg-420-413x307.jpg", "image/jpeg"), image("interlaced-rgba.png", "image/png"), image("exif-5.webp", "image/webp")];

  // Dropped before the model is there: kept, and read when it is.
  await drop([...good, { name: "broken.png", type: "image/png", base64: btoa("no image") }]);
  await page.waitForFunction(() => /4 images waiting/.test(document.getElementById("images-say").textContent));
  const start = Date.now();
  await page.focus("#images-load");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#images-query", { state: "visible" });
  assert.equal(await focused(page), "images-files");
  t.diagnostic(`both halves loaded in ${Date.now() - start} ms`);
  await page.waitForFunction(() => document.querySelectorAll("#images-list img").length === 3 && document.getElementById("images-progress").hidden);
  assert.match(await page.textContent("#images-say"), /broken\.png/);
  assert.ok(await page.evaluate(() => [...document.querySelectorAll("#images-list img")].every(({ naturalWidth }) => naturalWidth > 0)), "thumbnails");

  await page.fill("#images-query", "a red car");
  await page.waitForFunction(() => document.querySelectorAll("#images-list .score").length === 3);
  const scores = await page.locator("#images-list .score").allTextContents();
  const numbers = scores.map((score) => Number(score.replace("score ", "")));
  assert.deepEqual(numbers, numbers.toSorted((a, b) => b - a));
  assert.ok(numbers.every((score) => score >= -1 && score <= 1));
  assert.match(await page.textContent("#images-facts"), /3 images compared in .* Random weights: the order means nothing/);
  await drop([image("1.png", "image/png")]);
  await page.waitForFunction(() => document.querySelectorAll("#images-list .score").length === 4);
  assert.deepEqual(await problems(), []);

  // Its worker ends: loading is offered again, and what is there stays.
  const worker = page.workers().findLast((one) => /model-worker/.test(one.url()));
  await worker.evaluate(() => void setTimeout(() => { throw new Error("the end"); }));
  await page.fill("#images-query", "a blue car");
  await page.waitForSelector("#images-load", { state: "visible" });
  assert.match(await page.textContent("#images-say"), /The model crashed/);
  await page.evaluate(() => document.getElementById("images-list").replaceChildren());
  await page.click("#images-load");
  await page.waitForFunction(() => document.querySelectorAll("#images-list .score").length === 4);
  assert.equal(await page.locator("#images-load").isVisible(), false);
  await context.close();
  await server.close();
  rmSync(site, { recursive: true });
});

test("loading can be cancelled", { skip }, async () => {
  const server = await serve(SITE, {
    // A download that never ends.
    answer: (name, response) => {
      if (!/vision_model/.test(name)) return false;
      response.writeHead(200, { "content-length": 351685709 });
      response.write("x");
      return true;
    },
  });
  const { page, context } = await open(browser, server.url);
  await page.click("#images-load");
  await page.waitForFunction(() => /of 608 MB/.test(document.getElementById("images-doing").textContent));
  await page.click("#images-cancel");
  await page.waitForFunction(() => /^Cancelled/.test(document.getElementById("images-say").textContent));
  assert.equal(await page.isEnabled("#images-load"), true);
  await context.close();
  await server.close();
});
