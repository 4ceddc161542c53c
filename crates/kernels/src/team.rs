//! Several threads that work on one text or image. This crate starts none: whoever calls it has them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Threads of the caller, among which parts of one text or image are shared out.
///
/// ```
/// use isovec_kernels::Team;
///
/// /// Threads that end with each call; a pool of threads does the same sooner.
/// struct Two;
///
/// impl Team for Two {
///     fn size(&self) -> usize {
///         2
///     }
///
///     fn each(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
///         std::thread::scope(|scope| {
///             for part in 0..parts {
///                 scope.spawn(move || work(part));
///             }
///         });
///     }
/// }
/// ```
pub trait Team: Sync {
    /// How many parts can be worked on at once.
    fn size(&self) -> usize;

    /// Calls `work` with each number below `parts`, on whatever threads, and returns when all calls have. What it
    /// leaves out the caller does by itself.
    fn each(&self, parts: usize, work: &(dyn Fn(usize) + Sync));
}

/// The thread that calls, and no other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Team for Alone {
    fn size(&self) -> usize {
        1
    }

    fn each(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(work);
    }
}

/// `work` of each part, once, by the threads of a team.
///
/// # Panics
///
/// If a team kept the panic of a part to itself, which then is not done.
pub(crate) fn share<T: Send>(
    team: &dyn Team,
    parts: impl Iterator<Item = T>,
    work: impl Fn(T) + Sync,
) {
    // Whatever a team does, no part is worked on twice, and none by two.
    let parts: Vec<Mutex<Option<T>>> = parts.map(|part| Mutex::new(Some(part))).collect();
    let take = |part: &Mutex<Option<T>>| part.lock().unwrap_or_else(PoisonError::into_inner).take();
    let done = AtomicUsize::new(0);
    let work = |part| {
        work(part);
        done.fetch_add(1, Ordering::Release);
    };
    team.each(parts.len(), &|i| {
        if let Some(part) = parts.get(i).and_then(take) {
            work(part);
        }
    });
    parts.iter().filter_map(take).for_each(work);
    assert_eq!(done.load(Ordering::Acquire), parts.len(), "parts of an input that are done");
}
