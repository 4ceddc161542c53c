//! What the tests of the store share.

// clippy.toml allows these in test functions, which it does not take helpers for.
#![allow(clippy::unwrap_used, clippy::panic)]

pub(crate) mod fixture;
pub(crate) mod machine;
pub(crate) mod server;
