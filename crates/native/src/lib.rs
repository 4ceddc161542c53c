//! Embeddings of text, locally: no cloud, no C++ runtime, and the same vector as in the browser.
//!
//! ```no_run
//! let model = isovec::TextEmbedder::open("all-MiniLM-L6-v2")?;
//! let e = model.embed("Hello")?;
//! assert_eq!(e.vector().len(), 384);
//! # Ok::<(), isovec::Error>(())
//! ```
//!
//! This crate adds to [`isovec_core`] what a server or a command line has and a browser has not: a
//! [`ModelStore`] that fetches and verifies files, and threads for batches.
//!
//! # Features
//!
//! - **`download`** (default): fetch models from their sources over HTTPS. Without it no network
//!   code is compiled, and models come from the cache, a local folder or your own bytes.
//!
//! # Environment
//!
//! | variable | meaning |
//! |---|---|
//! | `ISOVEC_HOME` | the folder for models; default: the platform's cache folder |
//! | `ISOVEC_OFFLINE` | `1` forbids downloads |
//! | `ISOVEC_MIRROR` | a base URL to try before the models' own sources |
//! | `ISOVEC_MODEL_SOURCE` | a local folder to copy models from, before any download |
//! | `ISOVEC_MODELS` | a manifest of further models, in TOML |

mod folder;
mod models;
mod pool;
pub mod store;
mod text;

pub use isovec_core::manifest::{Build, FileRole, FileSpec, Variant};
pub use isovec_core::{
    BUILT_IN_MODELS, Embedding, Error, ErrorKind, Fingerprint, HashedBytes, Manifest, ModelKind,
    ModelSpec, Pooling, Result, TextOptions, Tokens, limits, vector,
};
pub use models::manifest;
pub use store::ModelStore;
pub use text::{DEFAULT_VARIANT, TextEmbedder, TextEmbedderBuilder};
