//! Single flight: callers who want the same vector at the same time share one inference.
//!
//! A flight is what they wait for. It belongs to none of them: whoever came first may leave, and the others still
//! get the vector; when all have left, nobody wants it any more, and its job is taken out of the queue.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use tokio::sync::{mpsc, oneshot};

use crate::cache::{Cache, Entry, Key, Source};
use crate::{Error, ErrorKind, Result};

/// What a flight ends with: the same for all who wait for it.
pub(super) type Outcome = Result<(Arc<Entry>, Source), Arc<Error>>;

/// What a caller waits for.
pub(super) type Flight = Shared<oneshot::Receiver<Outcome>>;

/// Flights by what they bring, each with its number.
type Aloft = HashMap<Key, (u64, WeakShared<oneshot::Receiver<Outcome>>)>;

/// The flights in the air.
#[derive(Debug, Default)]
pub(super) struct Flights {
    aloft: Mutex<Aloft>,
    count: AtomicU64,
}

/// The other end of a flight, which whoever does the work holds.
///
/// Dropped without a result, as by a panic, it tells those who wait that there is none.
pub(crate) struct Landing {
    result: oneshot::Sender<Outcome>,
    place: Option<Place>,
    /// Where new vectors go that are to be written to Redis.
    written: Option<mpsc::UnboundedSender<(Key, Arc<Entry>)>>,
}

/// What a flight is entered under, if it may be shared and cached.
struct Place {
    key: Key,
    number: u64,
    flights: Arc<Flights>,
    cache: Arc<Cache>,
}

/// What to do about a key.
pub(super) enum Joined {
    /// Somebody else works on it already.
    Follower(Flight),
    /// The caller is to see to it.
    Leader(Flight, Landing),
}

impl Flights {
    /// The flight that brings `key`: the one in the air, or a new one.
    pub(super) fn join(self: &Arc<Self>, key: Key, cache: &Arc<Cache>) -> Joined {
        let mut aloft = self.lock();
        if let Some(flight) = aloft.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return Joined::Follower(flight);
        }
        let (result, flight) = take_off();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(weak) = flight.downgrade() {
            aloft.insert(key, (number, weak));
        }
        let place = Place { key, number, flights: Arc::clone(self), cache: Arc::clone(cache) };
        Joined::Leader(flight, Landing { result, place: Some(place), written: None })
    }

    /// A flight that nobody can join and nothing remembers.
    pub(super) fn alone() -> (Flight, Landing) {
        let (result, flight) = take_off();
        (flight, Landing { result, place: None, written: None })
    }

    fn lock(&self) -> MutexGuard<'_, Aloft> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_off() -> (oneshot::Sender<Outcome>, Flight) {
    let (result, flight) = oneshot::channel();
    (result, flight.shared())
}

impl Landing {
    /// Whether nobody waits any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.result.is_closed()
    }

    /// Has a new vector told to whoever writes to Redis.
    pub(super) fn write_to(&mut self, written: mpsc::UnboundedSender<(Key, Arc<Entry>)>) {
        self.written = Some(written);
    }

    /// What the memory tier has got since the caller looked.
    pub(super) fn remembered(&self) -> Option<Arc<Entry>> {
        self.place.as_ref().and_then(|place| place.cache.memory_again(&place.key))
    }

    /// Brings a vector that was computed.
    pub(super) fn computed(mut self, entry: Entry) {
        let entry = Arc::new(entry);
        if let Some(place) = &self.place {
            // Before the flight is over: who comes in between finds it in one of the two.
            place.cache.remember(place.key, Arc::clone(&entry));
            if let Some(written) = self.written.take() {
                // Nobody reads it if the service is going down.
                let _ = written.send((place.key, Arc::clone(&entry)));
            }
        }
        self.land(Ok((entry, Source::Computed)));
    }

    /// Brings a vector that a tier of the cache had.
    pub(super) fn found(self, entry: Arc<Entry>, source: Source) {
        self.land(Ok((entry, source)));
    }

    /// Brings an error, which is not remembered.
    pub(super) fn failed(self, error: &Arc<Error>) {
        self.land(Err(Arc::clone(error)));
    }

    fn land(mut self, outcome: Outcome) {
        self.place = None;
        // Nobody may be there any more.
        let _ = self.result.send(outcome);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut aloft = self.flights.lock();
        // Another flight may have taken the place of one that everybody had left.
        if aloft.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            aloft.remove(&self.key);
        }
    }
}

/// An error of one's own, of one that several share.
pub(super) fn own(shared: &Error) -> Error {
    let mut error = Error::new(shared.kind(), shared.to_string());
    if let Some(after) = shared.retry_after() {
        error = error.with_retry_after(after);
    }
    match std::error::Error::source(shared) {
        Some(source) => error.with_source(source.to_string()),
        None => error,
    }
}

/// The error of a flight that ended without a result.
pub(super) fn lost() -> Error {
    Error::new(ErrorKind::EnginePanic, "the work ended without a result")
}

impl std::fmt::Debug for Landing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Landing").field("abandoned", &self.is_abandoned()).finish_non_exhaustive()
    }
}
