//! Panics of other people's code.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, Result};

/// Runs `work`; a panic inside of it becomes what `error` makes of its message, where the platform can
/// unwind (R9).
///
/// What `work` borrows must be either read-only or dropped with the error, so that nothing half-changed
/// can be seen afterwards.
pub(crate) fn guarded<T>(
    work: impl FnOnce() -> Result<T>,
    error: impl FnOnce(&str) -> Error,
) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(error(message))
    })
}
