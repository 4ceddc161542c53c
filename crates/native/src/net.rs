//! What every part that speaks HTTP shares.

pub(crate) mod address;
#[cfg(any(feature = "download", feature = "image-url"))]
pub(crate) mod tls;
