// One job in this worker, for page.mjs.
import { runJob } from "./job.mjs";

globalThis.addEventListener("message", async ({ data: job }) => {
  try {
    if (!globalThis.crossOriginIsolated) throw new Error("the worker is not isolated: its clock is coarse");
    postMessage({ result: await runJob(job) });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
});
