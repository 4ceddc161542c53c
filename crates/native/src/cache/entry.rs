//! What is cached.

use std::sync::Arc;

use crate::ImageFormat;

/// A vector with what the caller is told beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) vector: Arc<[f32]>,
    pub(crate) facts: Facts,
}

/// What is known of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facts {
    Text { tokens: u32, truncated: bool },
    Image { width: u32, height: u32, format: ImageFormat },
}
