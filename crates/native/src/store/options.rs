//! What a caller may say about one fetch: whom to tell of its progress, and how to stop it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How to fetch: by default silently, and without a way to stop.
///
/// # Example
///
/// ```
/// use isovec::store::{CancelToken, FetchOptions, Progress};
///
/// let cancel = CancelToken::new();
/// let show = |p: Progress<'_>| eprintln!("{} {:?} {}/{}", p.file, p.stage, p.received, p.total);
/// let options = FetchOptions { progress: Some(&show), cancel: Some(&cancel) };
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Default)]
pub struct FetchOptions<'a> {
    /// Called with every step, often: once per piece of a body. It may be called from another
    /// thread than the caller's, but never from two at once.
    pub progress: Option<&'a (dyn Fn(Progress<'_>) + Sync)>,
    /// Stops the fetch when it is cancelled. What has arrived is kept, and resumed by the next
    /// fetch.
    pub cancel: Option<&'a CancelToken>,
}

impl fmt::Debug for FetchOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions")
            .field("progress", &self.progress.map(|_| "Fn"))
            .field("cancel", &self.cancel)
            .finish()
    }
}

/// One step in fetching one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The file's path below the model's folder.
    pub file: &'a str,
    /// What is being done.
    pub stage: Stage,
    /// The bytes done in this stage.
    pub received: u64,
    /// The bytes there are to do in this stage.
    pub total: u64,
}

/// What is being done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Another process is fetching the same file; its end is awaited.
    Waiting,
    /// The bytes are coming from a server.
    Downloading,
    /// The transfer broke off; there is a pause before it goes on.
    Retrying,
    /// The bytes are coming from the local folder.
    Copying,
    /// The sha256 is being computed.
    Verifying,
    /// The file is in its place, verified. Comes once, last, and not for a file that was there.
    Done,
}

/// A way to stop a fetch from another thread. Clones cancel, and are cancelled, together.
///
/// # Example
///
/// ```
/// let cancel = isovec::store::CancelToken::new();
/// let held_by_a_signal_handler = cancel.clone();
/// held_by_a_signal_handler.cancel();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, for good.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called on this token or a clone.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
