//! What stands for downloads in a program without the `download` feature.

use isovec_core::{Error, ErrorKind};

use super::content::Accepted;
use super::job::{Failure, Job};
use super::settings::Network;
use crate::net::address::Address;

/// Says that nothing can be downloaded.
pub(super) fn download(
    _: &Network,
    _: &Job<'_>,
    address: &Address,
    _: &Accepted<'_>,
) -> Result<(), Failure> {
    Err(Failure::Source(Error::new(
        ErrorKind::Offline,
        format!("{address}: this program was built without isovec's `download` feature"),
    )))
}
