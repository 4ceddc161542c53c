// One job in this worker, for page.mjs.
import { runJob } from "./job.mjs";

globalThis.addEventListener("message", async ({ data: job }) => {
  try {
    postMessage({ result: await runJob(job) });
  } catch (error) {
    postMessage({ error: error.stack ?? String(error) });
  }
});
