// One job in this page, or in a worker of it, for main.mjs.
globalThis.runJob = async ({ worker, ...job }) => {
  if (worker) return await inWorker(job);
  const { runJob } = await import("./job.mjs");
  return await runJob(job);
};

function inWorker(job) {
  const worker = new Worker("/bench/worker.mjs", { type: "module" });
  return new Promise((resolve, reject) => {
    const failed = (why) => reject(new Error(`the worker failed: ${why ?? "a module of it did not load"}`));
    worker.addEventListener("message", ({ data }) => ("error" in data ? failed(data.error) : resolve(data.result)));
    worker.addEventListener("messageerror", () => failed("its answer cannot be read"));
    worker.addEventListener("error", ({ message }) => failed(message));
    worker.postMessage(job);
  }).finally(() => worker.terminate());
}
