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
    let mut jobs = std::mem::take(&mut batch.jobs).into_iter().peekable();
    while let Some(first) = jobs.next() {
        let most = first.model.cost_together();
        let (mut cost, mut estimate) = (first.cost, first.estimate);
        let mut group = vec![first];
        while let Some(job) = jobs.next_if(|job| cost + job.cost <= most) {
            cost += job.cost;
            estimate += job.estimate;
            group.push(job);
        }
        group.retain(|job| is_wanted(job, metrics));
        run_group(group, metrics);
        queue.worked(estimate);
    }
    queue.done(&batch);
}

/// Whether anybody still waits for a job whose turn it is.
fn is_wanted(job: &Job, metrics: &Metrics) -> bool {
    metrics.queue_wait(job.queued.elapsed());
    let abandoned = job.landing.is_abandoned();
    metrics.abandoned.inc_by(abandoned.into());
    !abandoned
}

/// Runs jobs of one model together.
fn run_group(jobs: Vec<Job>, metrics: &Metrics) {
    let Some(model) = jobs.first().map(|job| Arc::clone(&job.model)) else { return };
    let inputs: Vec<_> = jobs.iter().map(|job| &job.input).collect();
    let start = Instant::now();
    // The core turns the engine's panics into errors; this holds whatever else may panic.
    let results = catch_unwind(AssertUnwindSafe(|| model.run_each(&inputs)));
    let took = start.elapsed();
    let Ok(results) = results else {
        if jobs.len() > 1 {
            // Only one of them need be to blame.
            return jobs.into_iter().for_each(|job| run_group(vec![job], metrics));
        }
        // Who waits for the job is told by its landing, which is dropped.
        return metrics.panicked();
    };
    let cost: u64 = jobs.iter().map(|job| job.cost).sum();
    for (job, result) in jobs.into_iter().zip(results) {
        match result {
            Ok(entry) => {
                let share = took.mul_f64(job.cost as f64 / cost.max(1) as f64);
                model.learn(share, job.cost);
                metrics.inference(&model.name, share, entry.facts);
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
}
