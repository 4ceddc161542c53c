// One job in this page, or in a worker of it, for main.mjs.
import { runJob } from "./job.mjs";

globalThis.runJob = ({ worker, ...job }) => (worker ? inWorker(job) : runJob(job));

function inWorker(job) {
  const worker = new Worker("/bench/worker.mjs", { type: "module" });
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.result)));
    worker.addEventListener("error", ({ message }) => reject(new Error(`the worker did not start: ${message}`)));
    worker.postMessage(job);
  }).finally(() => worker.terminate());
}
