//! Every cap of the core, in one place.
//!
//! A cap is checked before the work that it bounds, and an input over it is an error of kind
//! [`TooLarge`](crate::ErrorKind::TooLarge) that names the cap.

/// The longest text, in bytes of UTF-8, checked before tokenising (1 MiB).
///
/// A model reads at most some hundred tokens, so a longer text is cut anyway; the cap bounds what
/// the tokenizer may be made to chew first.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// The largest ONNX model, in bytes (2 GiB, the limit of one protobuf message).
pub const MAX_MODEL_BYTES: usize = 1 << 31;

/// The largest `tokenizer.json`, in bytes (64 MiB; that of a 250,000-word vocabulary is about 17).
pub const MAX_TOKENIZER_BYTES: usize = 64 << 20;

/// The most dimensions of a vector.
pub const MAX_DIMS: usize = 1 << 16;

/// The most tokens of one text, special tokens included.
pub const MAX_TOKENS: usize = 1 << 15;
