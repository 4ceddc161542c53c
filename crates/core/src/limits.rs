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

/// The longest image file, in bytes (10 MiB), checked before it is looked at. The default of
/// [`ImageLimits`](crate::image::ImageLimits), as are the three that follow.
pub const MAX_IMAGE_BYTES: usize = 10 << 20;

/// The largest width or height of an image, in pixels.
pub const MAX_IMAGE_SIDE: usize = 16384;

/// The most pixels of an image (67 million).
pub const MAX_IMAGE_PIXELS: usize = 1 << 26;

/// The most bytes that decoding an image may need at once, estimated from its header (768 MiB).
pub const MAX_DECODED_BYTES: usize = 768 << 20;

/// The most pixels that preprocessing makes of an image that it does not crop (16.8 million). Fixed.
pub const MAX_OUTPUT_PIXELS: usize = 1 << 24;

/// The largest side, in pixels, that settings may resize or crop images to. Fixed.
pub const MAX_OUTPUT_SIDE: usize = 4096;

/// The most scans of a JPEG. Fixed. Usual are 10; one for each coefficient and component would be 192.
/// Each scan can be next to no bytes and yet concern every block of the image.
pub const MAX_JPEG_SCANS: usize = 200;

/// The largest file of a fusion, in bytes (256 MiB; that of 384 and 512 into 768 is under 3 MiB).
pub const MAX_FUSION_BYTES: usize = 256 << 20;

/// The largest file of an index, in bytes (1 GiB: about 600,000 texts with vectors of 384 dimensions).
/// Read, it takes as much again, which a browser's 4 GiB for one module must have room for.
pub const MAX_INDEX_BYTES: usize = 1 << 30;

/// The most entries of an untrained projection's matrix: its dimensions times those of text and
/// image together (4,194,304; 768 x 896 is 688,128).
///
/// A file names such a matrix by its seed alone, in some hundred bytes; the cap bounds what those
/// bytes may make a reader compute: seconds, and some 50 MB.
pub const MAX_UNTRAINED_ENTRIES: usize = 1 << 22;
