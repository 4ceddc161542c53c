//! One opaque error for the whole SDK, with a kind that programs can match on.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The result of every fallible call of isovec.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what was expected.
///
/// The text is for people and may change; [`Error::kind`] is for programs and is stable. The cause,
/// where there is one, is in [`source`](StdError::source).
///
/// # Example
///
/// ```
/// use isovec_core::{ErrorKind, vector};
///
/// let error = vector::cosine(&[1.0, 0.0], &[1.0, 0.0, 0.0]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::DimensionMismatch);
/// assert_eq!(error.to_string(), "cannot compare vectors of 2 and 3 dimensions");
/// ```
pub struct Error {
    // Boxed: a Result<f32, Error> on a hot path stays one word wider than the f32.
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    retry_after: Option<Duration>,
}

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $variant:ident => $code:literal,)*) => {
        /// The kinds of [`Error`]: stable, and the same in Rust, in JavaScript (`error.code`) and
        /// over HTTP.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorKind {
            /// Every kind, for tables and tests.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$variant,)*];

            /// The stable code, in snake case: `invalid_model`, `hash_mismatch`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(ErrorKind::$variant => $code,)*
                }
            }
        }
    };
}

error_kinds! {
    /// The bytes are not an ONNX model that can be loaded, or it is not of the shape declared.
    InvalidModel => "invalid_model",
    /// The bytes are not a usable `tokenizer.json`.
    InvalidTokenizer => "invalid_tokenizer",
    /// A manifest, a model folder's settings or a configuration file says something impossible.
    InvalidConfig => "invalid_config",
    /// The bytes are not an image that can be decoded: corrupt, truncated, or of a kind of its
    /// format that is not supported.
    InvalidImage => "invalid_image",
    /// The bytes are of no supported image format.
    UnsupportedFormat => "unsupported_format",
    /// The bytes are not a usable file of a fusion.
    InvalidFusion => "invalid_fusion",
    /// The bytes are not a usable file of a search index.
    InvalidIndex => "invalid_index",
    /// An argument is outside of what the call accepts.
    InvalidInput => "invalid_input",
    /// The input is larger than a stated cap.
    TooLarge => "too_large",
    /// Two vectors, or a vector and a model, differ in the number of dimensions.
    DimensionMismatch => "dimension_mismatch",
    /// Vectors were made by two models, or by one with two settings, and cannot be compared.
    FingerprintMismatch => "fingerprint_mismatch",
    /// The engine failed while running a model that had loaded.
    Inference => "inference",
    /// The model gave NaN or infinity.
    NonFinite => "non_finite",
    /// The model gave the zero vector, which has no direction.
    ZeroVector => "zero_vector",
    /// The engine panicked; the panic was contained.
    EnginePanic => "engine_panic",
    /// No model, variant, file or address of this name.
    NotFound => "not_found",
    /// A file's sha256 is not the pinned one.
    HashMismatch => "hash_mismatch",
    /// Reading or writing a file failed.
    Io => "io",
    /// A download failed.
    Network => "network",
    /// A download is needed, and the offline setting forbids it.
    Offline => "offline",
    /// The address is one that must not be connected to: not public, or not of an allowed host.
    ForbiddenAddress => "forbidden_address",
    /// The work took longer than its deadline.
    TimedOut => "timed_out",
    /// The caller cancelled.
    Cancelled => "cancelled",
    /// There was not the memory for the work, where that can be told: in a browser or in Node, and of
    /// the large parts of a file.
    OutOfMemory => "out_of_memory",
    /// As much work as is allowed waits already; [`Error::retry_after`] says when to ask again.
    Overloaded => "overloaded",
    /// The service is shutting down and takes no more work.
    ShuttingDown => "shutting_down",
}

impl Error {
    /// An error of `kind` whose text is `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Error { inner: Box::new(Inner { kind, message, source: None, retry_after: None }) }
    }

    /// This error, caused by `source`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// This error with `context` and a colon before its text; kind and cause stay.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.inner.message = format!("{context}: {}", self.inner.message);
        self
    }

    /// This error, which may be gone after so long.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.inner.retry_after = Some(retry_after);
        self
    }

    /// How long to wait before asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.inner.kind).field("message", &self.inner.message);
        if let Some(source) = &self.inner.source {
            out.field("source", &source.to_string());
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_snake_case() {
        let codes: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        }
    }

    /// Programs in three languages match on these: a renamed one breaks them.
    #[test]
    fn codes_are_what_they_have_always_been() {
        let codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(
            codes.join(" "),
            "invalid_model invalid_tokenizer invalid_config invalid_image unsupported_format \
             invalid_fusion invalid_index invalid_input too_large dimension_mismatch \
             fingerprint_mismatch inference non_finite zero_vector engine_panic not_found \
             hash_mismatch io network offline forbidden_address timed_out cancelled out_of_memory \
             overloaded shutting_down"
        );
    }

    #[test]
    fn context_and_source_are_kept() {
        let io = std::io::Error::other("disk on fire");
        let error =
            Error::new(ErrorKind::Io, "cannot read model.onnx").with_source(io).context("MiniLM");
        assert_eq!(error.to_string(), "MiniLM: cannot read model.onnx");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("disk on fire"));
    }
}
