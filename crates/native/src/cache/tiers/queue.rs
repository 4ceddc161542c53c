//! What waits to be written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::super::{Entry, Key};

/// The most entries that wait. They share their vectors with the memory tier, for the most part.
const CAPACITY: usize = 4096;
/// The most entries of one round trip: half a megabyte of large vectors, so that a look-up that has to wait for
/// its turn on the connection does not wait long.
const BATCH: usize = 128;

/// A queue that takes what it has room for and never makes anyone wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<(Key, Arc<Entry>)>>,
    more: Notify,
    /// How many wait or are being written.
    unwritten: AtomicU64,
}

impl Queue {
    /// Adds as many as there is room for. Says how many there was none for.
    pub(super) fn push(&self, entries: impl IntoIterator<Item = (Key, Arc<Entry>)>) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = entries.into_iter();
        let before = waiting.len();
        waiting.extend(entries.by_ref().take(CAPACITY - before));
        self.unwritten.fetch_add((waiting.len() - before) as u64, Ordering::Relaxed);
        drop(waiting);
        self.more.notify_one();
        entries.count()
    }

    /// Says that so many of those that were taken are written, or given up.
    pub(super) fn done(&self, count: usize) {
        self.unwritten.fetch_sub(count as u64, Ordering::Relaxed);
    }

    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Waits for entries and takes as many as are written at once.
    pub(super) async fn take(&self) -> Vec<(Key, Arc<Entry>)> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.is_empty() {
                    let count = waiting.len().min(BATCH);
                    return waiting.drain(..count).collect();
                }
            }
            // One that came since then has left its notice, so that this returns at once.
            self.more.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::Fingerprint;
    use crate::cache::Facts;

    fn entries(count: usize) -> Vec<(Key, Arc<Entry>)> {
        let facts = Facts::Text { tokens: 1, truncated: false };
        let entry = Arc::new(Entry { vector: [1.0].into(), facts });
        let key = |i: usize| Key::of_text(Fingerprint::mock("queue", 1), None, &i.to_string());
        (0..count).map(|i| (key(i), Arc::clone(&entry))).collect()
    }

    fn take(queue: &Queue) -> Vec<(Key, Arc<Entry>)> {
        queue.take().now_or_never().unwrap()
    }

    #[test]
    fn what_is_pushed_at_once_is_taken_at_once() {
        let queue = Queue::default();
        assert_eq!(queue.push(entries(32)), 0);
        assert_eq!(take(&queue), entries(32));
        assert!(queue.take().now_or_never().is_none());
        assert_eq!(queue.unwritten(), 32);
        queue.done(32);
        assert_eq!(queue.unwritten(), 0);
    }

    #[test]
    fn it_is_bounded_and_counts_what_it_drops() {
        let queue = Queue::default();
        assert_eq!(queue.push(entries(CAPACITY - 10)), 0);
        assert_eq!(queue.push(entries(32)), 22);
        assert_eq!(queue.push(entries(1)), 1);
        let mut taken = 0;
        while taken < CAPACITY {
            let batch = take(&queue);
            assert!(!batch.is_empty() && batch.len() <= BATCH);
            taken += batch.len();
        }
        assert_eq!(taken, CAPACITY);
        assert_eq!(queue.push(entries(1)), 0);
    }
}
