//! A request's place among those that are worked on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Inner, queue};
use crate::Result;

/// Taken when a request first needs it, and kept to the request's end: what the memory tier has needs none, and a
/// request of several parts needs one.
#[derive(Default)]
pub(super) struct Turn<'a>(OnceLock<Busy<'a>>);

impl<'a> Turn<'a> {
    /// Counts the request as worked on, unless too many are.
    pub(super) fn take(&self, service: &'a Inner) -> Result<()> {
        if self.0.get().is_some() {
            return Ok(());
        }
        let most = service.config.performance.max_concurrent_requests;
        let before = service.busy.fetch_add(1, Ordering::AcqRel);
        let busy = Busy(&service.busy);
        if before >= most {
            let detail = format!("{most} requests are worked on already");
            return Err(queue::overloaded(&detail, service.pipeline.queue.expected_delay()));
        }
        // Of two parts at once, one is dropped, and counted no more.
        let _ = self.0.set(busy);
        Ok(())
    }
}

/// A request that is worked on.
struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
