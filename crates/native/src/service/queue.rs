//! What waits for a worker: bounded, first come first served, handed out in batches.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

use super::flight::Landing;
use super::model::{Input, Loaded};
use crate::config::Config;
use crate::{Error, ErrorKind, ModelKind, Result};

/// One input that waits.
pub(crate) struct Job {
    pub(super) model: Arc<Loaded>,
    pub(super) input: Input,
    /// Who wants to know, and whether they still do.
    pub(super) landing: Landing,
    pub(super) queued: Instant,
    pub(super) cost: u64,
    /// How long it was expected to take.
    pub(super) estimate: Duration,
}

impl Job {
    pub(super) fn new(model: Arc<Loaded>, input: Input, landing: Landing) -> Self {
        let cost = model.cost(&input);
        let estimate = model.estimate(cost);
        Job { model, input, landing, queued: Instant::now(), cost, estimate }
    }
}

/// Inputs of one kind, in the order they came in.
#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    /// The sum over `jobs`.
    cost: u64,
    /// How many workers run jobs of this lane.
    running: usize,
}

struct State {
    texts: Lane,
    images: Lane,
    /// The estimates of all that waits or runs, as far as it is not done.
    work: Duration,
    idle: usize,
    open: bool,
}

/// How much of one kind may be taken at once.
#[derive(Clone, Copy, Debug)]
struct Rules {
    workers: usize,
    batch_size: usize,
    batch_cost: u64,
}

/// The queue of all workers.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    texts: Rules,
    images: Rules,
    workers: usize,
    batch_timeout: Duration,
    max_queue: usize,
    max_delay: Duration,
    /// Counts what was taken out because nobody waited for it any more.
    abandoned: Counter,
}

/// Jobs of one model, for one worker.
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    pub(super) cost: u64,
    kind: ModelKind,
}

impl Queue {
    pub(super) fn new(config: &Config, abandoned: Counter) -> Self {
        let (text, image) = (&config.text_embedding, &config.image_embedding);
        let state = State {
            texts: Lane::default(),
            images: Lane::default(),
            work: Duration::ZERO,
            idle: 0,
            open: true,
        };
        Queue {
            state: Mutex::new(state),
            changed: Condvar::new(),
            texts: Rules {
                workers: text.worker_count,
                batch_size: text.batch_size,
                batch_cost: text.batch_tokens as u64,
            },
            images: Rules {
                workers: image.worker_count,
                batch_size: image.batch_size,
                batch_cost: image.batch_size as u64,
            },
            workers: text.worker_count.max(image.worker_count),
            batch_timeout: config.performance.batch_timeout,
            max_queue: config.performance.max_queue,
            max_delay: config.performance.max_queue_delay,
            abandoned,
        }
    }

    /// How many workers there are to be.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// Puts all of `jobs` into the queue, or none.
    ///
    /// # Errors
    ///
    /// The jobs with the error: [`Overloaded`](ErrorKind::Overloaded) if so many do not fit, or if they would wait too
    /// long by what is known of the pace; [`ShuttingDown`](ErrorKind::ShuttingDown).
    pub(super) fn push(&self, jobs: Vec<Job>) -> Result<(), (Vec<Job>, Error)> {
        let mut state = self.lock();
        if !state.open {
            return Err((jobs, shutting_down()));
        }
        let mut refusal = self.refusal(&state, jobs.len());
        if refusal.is_some() {
            // What nobody waits for any more keeps nobody out.
            let gone = state.sweep();
            self.abandoned.inc_by(gone);
            if gone > 0 {
                refusal = self.refusal(&state, jobs.len());
            }
        }
        if let Some(error) = refusal {
            return Err((jobs, error));
        }
        for job in jobs {
            state.work += job.estimate;
            let lane = state.lane(job.model.info.kind);
            lane.cost += job.cost;
            lane.jobs.push_back(job);
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The next batch for a worker, for which it waits; none when the queue is closed and empty.
    pub(super) fn next(&self) -> Option<Batch> {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            let now = Instant::now();
            match self.choose(&state, now) {
                Choice::Take(kind) => {
                    let batch = self.take(&mut state, kind);
                    state.idle -= 1;
                    return Some(batch);
                }
                Choice::Wait(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Choice::Sleep if !state.open && state.waiting() == 0 => {
                    state.idle -= 1;
                    return None;
                }
                Choice::Sleep => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Notes that a worker is done with a job that was expected to take so long.
    pub(super) fn worked(&self, estimate: Duration) {
        let mut state = self.lock();
        state.work = state.work.saturating_sub(estimate);
    }

    /// Notes that a worker is done with a batch.
    pub(super) fn done(&self, batch: &Batch) {
        let mut state = self.lock();
        state.lane(batch.kind).running -= 1;
        drop(state);
        // Another worker may have waited for this lane to be allowed one more.
        self.changed.notify_all();
    }

    /// Takes nothing more in. What waits is still worked on.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.changed.notify_all();
    }

    /// Takes out all that waits.
    pub(super) fn drain(&self) -> Vec<Job> {
        let mut state = self.lock();
        let State { texts, images, .. } = &mut *state;
        let jobs: Vec<Job> = texts.jobs.drain(..).chain(images.jobs.drain(..)).collect();
        (texts.cost, images.cost) = (0, 0);
        state.work = state.work.saturating_sub(jobs.iter().map(|job| job.estimate).sum());
        drop(state);
        self.changed.notify_all();
        jobs
    }

    /// How many inputs wait.
    pub(super) fn depth(&self) -> usize {
        self.lock().waiting()
    }

    /// How long an input that came now would wait for a worker, by what is known of the pace.
    pub(super) fn expected_delay(&self) -> Duration {
        self.delay(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why so many more jobs cannot be taken now.
    fn refusal(&self, state: &State, more: usize) -> Option<Error> {
        let (waiting, delay) = (state.waiting(), self.delay(state));
        if waiting + more > self.max_queue {
            let detail = format!("{waiting} inputs wait already, of {} at most", self.max_queue);
            return Some(overloaded(&detail, delay));
        }
        (delay > self.max_delay).then(|| {
            let detail = format!(
                "the wait for a worker is about {} ms, over the bound of {} ms",
                delay.as_millis(),
                self.max_delay.as_millis()
            );
            overloaded(&detail, delay)
        })
    }

    /// As long as a worker is idle there is no wait; what runs counts whole, since how far it is is not known.
    fn delay(&self, state: &State) -> Duration {
        if state.idle > state.waiting() {
            return Duration::ZERO;
        }
        state.work / u32::try_from(self.workers).unwrap_or(u32::MAX).max(1)
    }

    fn rules(&self, kind: ModelKind) -> Rules {
        if kind == ModelKind::Image { self.images } else { self.texts }
    }

    /// What a worker that is free should do: of the kinds that it may run, that whose oldest input is older.
    fn choose(&self, state: &State, now: Instant) -> Choice {
        let due = |lane: &Lane, rules: Rules| {
            let oldest = lane.jobs.front().filter(|_| lane.running < rules.workers)?;
            let full = lane.jobs.len() >= rules.batch_size || lane.cost >= rules.batch_cost;
            let waited = now.saturating_duration_since(oldest.queued);
            let left = self.batch_timeout.saturating_sub(waited);
            let ready = full || left.is_zero() || !state.open;
            Some((oldest.queued, if ready { Duration::ZERO } else { left }))
        };
        let texts = due(&state.texts, self.texts).map(|due| (due, ModelKind::Text));
        let images = due(&state.images, self.images).map(|due| (due, ModelKind::Image));
        let ready = [texts, images].into_iter().flatten().filter(|((_, left), _)| left.is_zero());
        if let Some((_, kind)) = ready.min_by_key(|((queued, _), _)| *queued) {
            return Choice::Take(kind);
        }
        let left = [texts, images].into_iter().flatten().map(|((_, left), _)| left).min();
        left.map_or(Choice::Sleep, Choice::Wait)
    }

    /// Takes the oldest jobs of this kind, as long as they are of one model: up to the size and the cost of a batch,
    /// and no more than this worker's share, so that no other sits idle beside a long batch.
    fn take(&self, state: &mut State, kind: ModelKind) -> Batch {
        let rules = self.rules(kind);
        let idle = state.idle.max(1) as u64;
        let lane = state.lane(kind);
        lane.running += 1;
        let budget = rules.batch_cost.min(lane.cost.div_ceil(idle)).max(1);
        let mut batch = Batch { jobs: Vec::new(), cost: 0, kind };
        while batch.jobs.len() < rules.batch_size && batch.cost < budget {
            let same = lane.jobs.front().is_some_and(|job| {
                batch.jobs.first().is_none_or(|first| Arc::ptr_eq(&first.model, &job.model))
            });
            if !same {
                break;
            }
            let Some(job) = lane.jobs.pop_front() else { break };
            lane.cost -= job.cost;
            batch.cost += job.cost;
            batch.jobs.push(job);
        }
        batch
    }
}

enum Choice {
    Take(ModelKind),
    Wait(Duration),
    Sleep,
}

impl State {
    fn waiting(&self) -> usize {
        self.texts.jobs.len() + self.images.jobs.len()
    }

    /// Takes out what nobody waits for any more; how much that was.
    fn sweep(&mut self) -> u64 {
        let before = self.waiting();
        for lane in [&mut self.texts, &mut self.images] {
            lane.jobs.retain(|job| {
                let wanted = !job.landing.is_abandoned();
                if !wanted {
                    lane.cost -= job.cost;
                    self.work = self.work.saturating_sub(job.estimate);
                }
                wanted
            });
        }
        (before - self.waiting()) as u64
    }

    fn lane(&mut self, kind: ModelKind) -> &mut Lane {
        if kind == ModelKind::Image { &mut self.images } else { &mut self.texts }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("depth", &self.depth()).finish_non_exhaustive()
    }
}

pub(super) fn overloaded(detail: &str, delay: Duration) -> Error {
    Error::new(ErrorKind::Overloaded, format!("overloaded: {detail}"))
        .with_retry_after(delay.max(Duration::from_millis(100)))
}

pub(super) fn shutting_down() -> Error {
    Error::new(ErrorKind::ShuttingDown, "the service is shutting down")
}
