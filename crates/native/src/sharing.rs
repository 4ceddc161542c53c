//! One text or image, shared out among threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use isovec_core::{Alone, Team};
use rayon::prelude::*;

/// Threads that share one input at a time and do nothing else, started when they are needed first.
///
/// Not those of batches: whoever waits for a thread of rayon's may have to wait for all that it was given before, and is
/// given other work meanwhile. For the same reason a caller that is itself a thread of rayon's works alone. So does one
/// that is not the only caller: threads that wait for each other do not gain where processors are busy.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    threads: OnceLock<Option<rayon::ThreadPool>>,
    callers: AtomicUsize,
}

impl Sharing {
    pub(crate) const fn new() -> Self {
        Sharing { threads: OnceLock::new(), callers: AtomicUsize::new(0) }
    }

    /// One more caller, until it is dropped.
    pub(crate) fn begin(&self) -> Caller<'_> {
        let is_only = self.callers.fetch_add(1, Ordering::Relaxed) == 0;
        Caller { all: &self.callers, is_only }
    }

    /// `work` on one input, with whoever may share it.
    pub(crate) fn together<T: Send>(
        &self,
        threads: usize,
        work: impl FnOnce(&dyn Team) -> T + Send,
    ) -> T {
        let caller = self.begin();
        if threads < 2 || !caller.is_only || rayon::current_thread_index().is_some() {
            return work(&Alone);
        }
        match self.threads.get_or_init(|| start(threads)) {
            // Inside of the pool from the start: its threads meet sooner than they are woken from outside.
            Some(pool) => pool.install(|| work(&Threads)),
            None => work(&Alone),
        }
    }
}

/// None where the system gives none.
fn start(threads: usize) -> Option<rayon::ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    builder.thread_name(|index| format!("isovec-share-{index}")).build().ok()
}

/// Somebody who works on inputs, of one model or another.
pub(crate) struct Caller<'a> {
    all: &'a AtomicUsize,
    /// Whether nobody else did when it began.
    is_only: bool,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The threads of the current rayon pool.
struct Threads;

impl Team for Threads {
    fn size(&self) -> usize {
        rayon::current_num_threads()
    }

    fn each(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..parts).into_par_iter().with_max_len(1).for_each(work);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    fn size(team: &dyn Team) -> usize {
        team.size()
    }

    #[test]
    fn one_caller_at_a_time_has_the_threads() {
        let sharing = Sharing::new();
        assert_eq!(sharing.together(1, size), 1);
        assert_eq!(sharing.together(3, size), 3);
        let ((begun, has_begun), (end, may_end)) = (channel(), channel());
        std::thread::scope(|scope| {
            let first = &sharing;
            scope.spawn(move || {
                first.together(3, move |_| {
                    begun.send(()).unwrap();
                    may_end.recv().unwrap();
                });
            });
            has_begun.recv().unwrap();
            assert_eq!(sharing.together(3, size), 1, "a second one");
            assert_eq!(sharing.together(3, size), 1, "a third one");
            end.send(()).unwrap();
        });
        assert_eq!(sharing.together(3, size), 3);
        let batch = sharing.begin();
        assert_eq!(sharing.together(3, size), 1, "beside a batch");
        drop(batch);
        // One that panics leaves them to others.
        let panics = || sharing.together(3, |_| panic!("in a test"));
        assert!(std::panic::catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(sharing.together(3, size), 3);
    }

    #[test]
    fn batches_hold_nobody_up() {
        let sharing = Sharing::new();
        let batches = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let ((begun, has_begun), (end, may_end)) = (channel(), channel());
        let may_end = Mutex::new(may_end);
        std::thread::scope(|scope| {
            let (batches, may_end) = (&batches, &may_end);
            scope.spawn(move || {
                batches.broadcast(|_| {
                    begun.send(()).unwrap();
                    may_end.lock().unwrap().recv().unwrap();
                });
            });
            for _ in 0..2 {
                has_begun.recv().unwrap();
            }
            assert_eq!(sharing.together(2, size), 2, "all threads of batches are busy");
            for _ in 0..2 {
                end.send(()).unwrap();
            }
        });
        assert_eq!(batches.install(|| sharing.together(2, size)), 1, "inside of a batch");
    }
}
