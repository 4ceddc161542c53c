//! Bytes in, vectors out: the part of isovec that is the same on every platform.
//!
//! This crate turns texts and images into embeddings on the pure-Rust `tract` engine. It opens no file, makes no
//! connection, reads no clock and starts no thread, so a server and a browser run the very same
//! code; the crates `isovec` (native) and `isovec-wasm` bring what their platforms have.
//!
//! # Example
//!
//! ```no_run
//! use isovec_core::{Manifest, TextEmbedder, TextOptions};
//!
//! # fn bytes_of(_: &str) -> Vec<u8> { Vec::new() }
//! let manifest = Manifest::from_toml(isovec_core::BUILT_IN_MODELS)?;
//! let spec = manifest.get("all-MiniLM-L6-v2")?;
//! let (model, tokenizer) = (bytes_of("model.onnx"), bytes_of("tokenizer.json"));
//! let embedder = TextEmbedder::new(spec, &model, &tokenizer, &TextOptions::default())?;
//!
//! let embedding = embedder.embed("Hello world")?;
//! assert_eq!(embedding.vector().len(), 384);
//! # Ok::<(), isovec_core::Error>(())
//! ```
//!
//! # What holds
//!
//! - A vector does not depend on its neighbours in a batch: a text runs at its own length, nothing is padded, and
//!   what inputs share is the reading of weights alone.
//! - A vector with NaN, infinity or no direction is an error, never a result.
//! - Whatever the bytes of a model or the characters of a text, there is a vector or a typed
//!   [`Error`]. A panic inside the engine becomes one where the platform can unwind.

#![forbid(unsafe_code)]

mod clip;
mod engine;
mod error;
mod fingerprint;
mod fusion;
mod guard;
mod hashed;
pub mod image;
mod index;
mod kernels;
pub mod limits;
pub mod manifest;
mod model_file;
mod pooling;
mod precision;
mod tensor_file;
mod text;
mod tokenizer;
pub mod vector;

pub use clip::{ClipTextEmbedder, ZeroShot, zero_shot};
pub use error::{Error, ErrorKind, Result};
pub use fingerprint::Fingerprint;
pub use fusion::{Affine, Fused, Fusion, FusionKind, FusionWeights};
pub use hashed::HashedBytes;
pub use image::{ImageEmbedder, ImageEmbedding, ImageOptions};
pub use index::{IndexedBy, SearchIndex};
pub use isovec_kernels::{Alone, Team};
pub use kernels::{Execution, Kernels};
pub use manifest::{Manifest, ModelKind, ModelSpec, Pooling};
pub use model_file::{ModelFile, ReadAt};
pub use precision::Precision;
pub use text::{Embedding, TextEmbedder, TextOptions};
pub use tokenizer::{Tokenizer, Tokens};

/// The manifest of the models that isovec knows by name, in TOML (`models/manifest.toml`).
pub const BUILT_IN_MODELS: &str = include_str!("models.toml");
