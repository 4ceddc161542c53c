//! The threads that run models.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::metrics::Metrics;
use super::queue::{Batch, Job, Queue};
use crate::{Error, ErrorKind, Result};

/// Starts as many threads as the queue is for.
pub(super) fn start(queue: &Arc<Queue>, metrics: &Arc<Metrics>) -> Result<Vec<JoinHandle<()>>> {
    let mut workers = Vec::new();
    for index in 0..queue.workers() {
        let (own_queue, metrics) = (Arc::clone(queue), Arc::clone(metrics));
        let started =
            std::thread::Builder::new().name(format!("isovec-worker-{index}")).spawn(move || {
                while own_queue.next().map(|b| run(b, &own_queue, &metrics)).is_some() {}
            });
        match started {
            Ok(worker) => workers.push(worker),
            Err(e) => {
                queue.close();
                for worker in workers {
                    let _ = worker.join();
                }
                return Err(Error::new(
                    ErrorKind::Io,
                    format!("cannot start worker {index} of {}: {e}", queue.workers()),
                )
                .with_source(e));
            }
        }
    }
    Ok(workers)
}

fn run(mut batch: Batch, queue: &Queue, metrics: &Metrics) {
    metrics.batch(batch.jobs.len(), batch.cost);
    for job in std::mem::take(&mut batch.jobs) {
        let estimate = job.estimate;
        // The core turns the engine's panics into errors; this holds whatever else may panic. Who waits for the job
        // is told by its landing, which is dropped.
        if catch_unwind(AssertUnwindSafe(|| run_one(job, metrics))).is_err() {
            metrics.panicked();
        }
        queue.worked(estimate);
    }
    queue.done(&batch);
}

/// Runs one job, unless nobody waits for it any more.
fn run_one(job: Job, metrics: &Metrics) {
    metrics.queue_wait(job.queued.elapsed());
    if job.landing.is_abandoned() {
        metrics.abandoned.inc();
        return;
    }
    let start = Instant::now();
    let result = job.model.run(&job.input);
    let took = start.elapsed();
    match result {
        Ok(entry) => {
            job.model.learn(took, job.model.cost(&job.input));
            metrics.inference(&job.model.name, took, entry.facts);
            job.landing.computed(entry);
        }
        Err(error) => {
            if error.kind() == ErrorKind::EnginePanic {
                metrics.panicked();
            }
            job.landing.failed(&Arc::new(error));
        }
    }
}
