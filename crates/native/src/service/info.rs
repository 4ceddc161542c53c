//! What is known of a loaded model.

use std::time::{Duration, SystemTime};

use crate::{Fingerprint, ModelKind, ModelSpec};

/// A model that is loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The name that callers use.
    pub name: String,
    /// What it takes.
    pub kind: ModelKind,
    /// The number of dimensions of its vectors.
    pub dims: usize,
    /// The most tokens that are read of one text; 0 for a model of images.
    pub max_tokens: usize,
    /// What identifies the space of its vectors.
    pub fingerprint: Fingerprint,
    /// The weights, where the model has several.
    pub variant: String,
    /// The size of its files in bytes; 0 for a stand-in, which reads none.
    pub bytes: u64,
    /// The user's own word for the state of the model.
    pub version: Option<String>,
    /// Whether it is a stand-in whose vectors mean nothing (`development.mock_mode`).
    pub mock: bool,
    /// When it was loaded.
    pub loaded_at: SystemTime,
    /// How long loading took.
    pub load_time: Duration,
    /// The facts of the model.
    pub spec: ModelSpec,
}
