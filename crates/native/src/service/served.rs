//! What the service gives.

use std::sync::Arc;

use crate::cache::{Entry, Facts, Source};
use crate::{Fingerprint, HashedBytes, ImageFormat};

/// The vector of one text, from the service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServedText {
    entry: Arc<Entry>,
    /// How many tokens the model read, special tokens included.
    pub tokens: usize,
    /// Whether the text was longer than `max_tokens`, so that its end was not read.
    pub truncated: bool,
    /// What identifies the vector's space.
    pub fingerprint: Fingerprint,
    /// Where the vector came from.
    pub source: Source,
}

impl ServedText {
    pub(super) fn new(entry: Arc<Entry>, source: Source, fingerprint: Fingerprint) -> Self {
        let (tokens, truncated) = match entry.facts {
            Facts::Text { tokens, truncated } => (tokens as usize, truncated),
            // Keys of texts and of images never meet.
            Facts::Image { .. } => (0, false),
        };
        ServedText { entry, tokens, truncated, fingerprint, source }
    }

    /// The vector.
    pub fn vector(&self) -> &[f32] {
        &self.entry.vector
    }
}

/// The vector of one image, from the service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServedImage {
    entry: Arc<Entry>,
    /// The width in pixels.
    pub width: usize,
    /// The height in pixels.
    pub height: usize,
    /// The format of the file, as its first bytes show it.
    pub format: ImageFormat,
    /// The length of the file in bytes.
    pub bytes: usize,
    /// The sha256 of the file, in 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// What identifies the vector's space.
    pub fingerprint: Fingerprint,
    /// Where the vector came from.
    pub source: Source,
}

impl ServedImage {
    pub(super) fn new(
        entry: Arc<Entry>,
        source: Source,
        fingerprint: Fingerprint,
        file: &HashedBytes<'_>,
    ) -> Self {
        let (width, height, format) = match entry.facts {
            Facts::Image { width, height, format } => (width as usize, height as usize, format),
            // Keys of texts and of images never meet.
            Facts::Text { .. } => (0, 0, ImageFormat::Png),
        };
        let (bytes, sha256) = (file.bytes().len(), file.sha256().to_owned());
        ServedImage { entry, width, height, format, bytes, sha256, fingerprint, source }
    }

    /// The vector.
    pub fn vector(&self) -> &[f32] {
        &self.entry.vector
    }
}

/// The fused vector of a text and an image, from the service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServedFused {
    pub(super) vector: Vec<f32>,
    /// The text's part, if there was a text.
    pub text: Option<ServedText>,
    /// The image's part, if there was an image.
    pub image: Option<ServedImage>,
    /// What identifies the fusion: the space of the vector is identified by this and the fingerprints of both
    /// models.
    pub fingerprint: Fingerprint,
}

impl ServedFused {
    /// The vector, of length one.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }
}
