//! `text_embedding`, `image_embedding` and `fusion`: how vectors are made.

use std::path::PathBuf;

use super::keys::Keys;
use super::kinds::{Flag, List, OneOf, Optional, Place, Size, Text, real, whole};
use super::models::MODEL_NAME;
use crate::{FusionKind, limits};

/// `text_embedding`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TextConfig {
    /// The model that is used where a caller names none.
    pub default_model: Option<String>,
    /// How many workers may embed texts at once. Default: one for each core.
    pub worker_count: usize,
    /// The most texts of one batch.
    pub batch_size: usize,
    /// The most tokens of one batch; the text that reaches it closes the batch.
    pub batch_tokens: usize,
    /// Cuts texts after so many tokens, special tokens included, where the model reads as many.
    pub max_tokens: Option<usize>,
}

/// `image_embedding`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageConfig {
    /// The model that is used where a caller names none.
    pub default_model: Option<String>,
    /// How many workers may embed images at once. Default: one for each core.
    pub worker_count: usize,
    /// The most images of one batch.
    pub batch_size: usize,
    /// The longest image file, in bytes.
    pub max_bytes: usize,
    /// Whether images may be given by their address. Off by default.
    pub urls: bool,
    /// The only hosts that are asked; empty: any public one.
    pub allowed_hosts: Vec<String>,
}

/// `fusion`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FusionConfig {
    /// A file that `isovec fuse fit` wrote. Without one the fusion is an untrained projection.
    pub path: Option<PathBuf>,
    /// `concat` or `untrained`, where there is no file.
    pub kind: FusionKind,
    /// The dimensions of an untrained projection.
    pub dimensions: usize,
    /// Its seed.
    pub seed: u64,
    /// The weight of the text, from 0 to 1; the image has the rest.
    pub text_weight: f64,
}

const MAX_WORKERS: usize = 1024;
const MAX_BATCH: usize = 4096;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS)
}

impl Default for TextConfig {
    fn default() -> Self {
        TextConfig {
            default_model: None,
            worker_count: cores(),
            batch_size: 32,
            batch_tokens: 4096,
            max_tokens: None,
        }
    }
}

impl Default for ImageConfig {
    fn default() -> Self {
        ImageConfig {
            default_model: None,
            worker_count: cores(),
            batch_size: 8,
            max_bytes: limits::MAX_IMAGE_BYTES,
            urls: false,
            allowed_hosts: Vec::new(),
        }
    }
}

impl Default for FusionConfig {
    fn default() -> Self {
        FusionConfig {
            path: None,
            kind: FusionKind::Untrained,
            dimensions: 768,
            seed: 0,
            text_weight: 0.6,
        }
    }
}

impl TextConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("default_model", Optional(MODEL_NAME), &mut self.default_model);
        keys.key("worker_count", whole(1..=MAX_WORKERS), &mut self.worker_count);
        keys.key("batch_size", whole(1..=MAX_BATCH), &mut self.batch_size);
        keys.key("batch_tokens", whole(1..=1 << 20), &mut self.batch_tokens);
        keys.key("max_tokens", Optional(whole(3..=limits::MAX_TOKENS)), &mut self.max_tokens);
    }
}

impl ImageConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("default_model", Optional(MODEL_NAME), &mut self.default_model);
        keys.key("worker_count", whole(1..=MAX_WORKERS), &mut self.worker_count);
        keys.key("batch_size", whole(1..=MAX_BATCH), &mut self.batch_size);
        keys.key("max_bytes", Size(1024..=1 << 30), &mut self.max_bytes);
        keys.key("urls", Flag, &mut self.urls);
        let host = Text {
            expected: "a host such as img.example.org, or *.example.org for all below it",
            allowed: is_host,
        };
        let expected = "a list of hosts";
        keys.key("allowed_hosts", List { of: host, expected }, &mut self.allowed_hosts);
    }
}

/// Whether this is a host or all below one, as [`ImageFetcher`](crate::ImageFetcher) takes them.
#[cfg(feature = "image-url")]
fn is_host(text: &str) -> bool {
    crate::fetch::is_host_pattern(text)
}

/// Without the fetcher nothing asks for these, and there is nothing that knows what it would take.
#[cfg(not(feature = "image-url"))]
fn is_host(text: &str) -> bool {
    !text.is_empty()
}

impl FusionConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        let expected = "a file that `isovec fuse fit` wrote";
        keys.key("path", Optional(Place { expected }), &mut self.path);
        let kinds = OneOf(&[("untrained", FusionKind::Untrained), ("concat", FusionKind::Concat)]);
        keys.key("kind", kinds, &mut self.kind);
        keys.key("dimensions", whole(1..=limits::MAX_DIMS), &mut self.dimensions);
        keys.key("seed", whole(0..=u64::MAX), &mut self.seed);
        keys.key("text_weight", real(0.0..=1.0), &mut self.text_weight);
    }
}
