//! From inputs to vectors: the memory tier, what is in the air already, the tiers on Redis, the queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::flight::{Flight, Flights, Joined, Landing, lost, own};
use super::model::{Input, Loaded};
use super::queue::{Job, Queue};
use crate::cache::{Cache, Entry, Key, Source};
use crate::{Error, ErrorKind, Result};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) queue: Arc<Queue>,
    pub(super) cache: Arc<Cache>,
    pub(super) flights: Arc<Flights>,
    /// Where timers and connections live.
    pub(super) io: Handle,
}

/// A vector, and where it came from.
pub(super) type Served = (Arc<Entry>, Source);

/// What one caller waits for, for one input.
enum Waiting {
    Served(Served),
    /// On a flight, and whether this request is the one that sees to it.
    Aloft(Flight, bool),
}

impl Pipeline {
    /// What the memory tier has of `keys`: each of them, or nothing.
    pub(super) fn remembered(&self, keys: &[Key]) -> Option<Vec<Served>> {
        let entries = self.cache.memory_all(keys)?;
        Some(entries.into_iter().map(|entry| (entry, Source::Memory)).collect())
    }

    /// The vectors of the inputs that `input` gives by index, in the order of `keys`, within `timeout`.
    ///
    /// Dropped, it takes the inputs out of the queue that no other request waits for.
    pub(super) async fn embed(
        self: &Arc<Self>,
        model: &Arc<Loaded>,
        keys: &[Key],
        input: impl Fn(usize) -> Input,
        cached: bool,
        timeout: Duration,
    ) -> Result<Vec<Served>> {
        let work = self.embed_all(model, keys, input, cached);
        // A timer of our own runtime: the caller may have none, or one of another make.
        let timer = {
            let _here = self.io.enter();
            tokio::time::sleep(timeout)
        };
        match select(std::pin::pin!(work), std::pin::pin!(timer)).await {
            Either::Left((served, _)) => served,
            Either::Right(_) => Err(Error::new(
                ErrorKind::TimedOut,
                format!("the request took longer than {} ms", timeout.as_millis()),
            )),
        }
    }

    async fn embed_all(
        self: &Arc<Self>,
        model: &Arc<Loaded>,
        keys: &[Key],
        input: impl Fn(usize) -> Input,
        cached: bool,
    ) -> Result<Vec<Served>> {
        let mut waiting = self.take_off(model, keys, &input, cached);
        let mut served = Vec::with_capacity(keys.len());
        for (index, waiting) in waiting.drain(..).enumerate() {
            let result = match waiting {
                Waiting::Served(served) => Ok(served),
                Waiting::Aloft(flight, leads) => match land(flight).await {
                    // Another request's failure to get into the queue need not be ours.
                    Err(error) if !leads && is_of_its_time(&error) => {
                        self.again(model, keys[index], || input(index)).await
                    }
                    result => result,
                },
            };
            served.push(result.map_err(|e| in_batch(e, index, keys.len()))?);
        }
        Ok(served)
    }

    /// Once more, as if nobody had asked before.
    async fn again(
        self: &Arc<Self>,
        model: &Arc<Loaded>,
        key: Key,
        input: impl Fn() -> Input,
    ) -> Result<Served> {
        let mut waiting = self.take_off(model, &[key], &|_| input(), true);
        match waiting.pop() {
            Some(Waiting::Served(served)) => Ok(served),
            Some(Waiting::Aloft(flight, _)) => land(flight).await,
            None => Err(lost()),
        }
    }

    /// Sees to it that each key is served, or on its way. An input that stands twice in a request is on one flight.
    fn take_off(
        self: &Arc<Self>,
        model: &Arc<Loaded>,
        keys: &[Key],
        input: &impl Fn(usize) -> Input,
        cached: bool,
    ) -> Vec<Waiting> {
        let mut leading = Vec::new();
        let mut seen: HashMap<Key, Flight> = HashMap::new();
        let mut waiting = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            if let Some(flight) = seen.get(key) {
                waiting.push(Waiting::Aloft(flight.clone(), true));
                continue;
            }
            if !cached {
                let (flight, landing) = Flights::alone();
                leading.push((*key, input(index), landing));
                seen.insert(*key, flight.clone());
                waiting.push(Waiting::Aloft(flight, true));
                continue;
            }
            if let Some(entry) = self.cache.memory(key) {
                waiting.push(Waiting::Served((entry, Source::Memory)));
                continue;
            }
            match self.flights.join(*key, &self.cache) {
                Joined::Follower(flight) => waiting.push(Waiting::Aloft(flight, false)),
                Joined::Leader(flight, landing) => {
                    // Its flight may have landed between the look into the memory and now.
                    match landing.remembered() {
                        Some(entry) => waiting.push(Waiting::Served((entry, Source::Memory))),
                        None => {
                            leading.push((*key, input(index), landing));
                            seen.insert(*key, flight.clone());
                            waiting.push(Waiting::Aloft(flight, true));
                        }
                    }
                }
            }
        }
        if leading.is_empty() {
            return waiting;
        }
        if cached && self.cache.has_tiers() {
            // Not in the caller's own future: if they leave, others may still wait.
            let (pipeline, model) = (Arc::clone(self), Arc::clone(model));
            self.io.spawn(async move { pipeline.look_up(model, leading).await });
        } else {
            self.enqueue(model, leading.into_iter().map(|(_, input, landing)| (input, landing)));
        }
        waiting
    }

    /// Looks the inputs up on Redis, has those computed that are not there, and writes these back.
    async fn look_up(&self, model: Arc<Loaded>, leading: Vec<(Key, Input, Landing)>) {
        let keys: Vec<Key> = leading.iter().map(|(key, ..)| *key).collect();
        let found = self.cache.get_many(&keys, model.info.dims).await;
        let (written, mut computed) = mpsc::unbounded_channel();
        let mut missing = Vec::new();
        for ((_, input, mut landing), found) in leading.into_iter().zip(found) {
            match found {
                Some((entry, tier)) => landing.found(entry, Source::Redis(tier)),
                None => {
                    landing.write_to(written.clone());
                    missing.push((input, landing));
                }
            }
        }
        // The channel ends with the last landing.
        drop(written);
        self.enqueue(&model, missing);
        drop(model);
        let mut entries = Vec::new();
        while let Some(entry) = computed.recv().await {
            entries.push(entry);
        }
        if !entries.is_empty() {
            self.cache.set_many(&entries);
        }
    }

    /// Puts inputs into the queue; if it does not take them, tells those who wait.
    fn enqueue(&self, model: &Arc<Loaded>, inputs: impl IntoIterator<Item = (Input, Landing)>) {
        let job = |(input, landing)| Job::new(Arc::clone(model), input, landing);
        let jobs: Vec<Job> = inputs.into_iter().map(job).collect();
        if jobs.is_empty() {
            return;
        }
        if let Err((jobs, error)) = self.queue.push(jobs) {
            fail(jobs, error);
        }
    }
}

/// Tells those who wait for these jobs that there is no result.
pub(super) fn fail(jobs: Vec<Job>, error: Error) {
    let error = Arc::new(error);
    for job in jobs {
        job.landing.failed(&error);
    }
}

/// Waits for a flight.
async fn land(flight: Flight) -> Result<Served> {
    match flight.await {
        Ok(outcome) => outcome.map_err(|shared| own(&shared)),
        Err(_) => Err(lost()),
    }
}

/// Whether an error says something of the moment rather than of the input.
fn is_of_its_time(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::EnginePanic)
}

fn in_batch(error: Error, index: usize, len: usize) -> Error {
    // Of the service, not of an input.
    let of_input = !matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::ShuttingDown);
    if len > 1 && of_input { error.context(format_args!("input {index}")) } else { error }
}
