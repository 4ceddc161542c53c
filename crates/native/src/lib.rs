//! Embeddings of text and images, locally: no cloud, no C++ runtime, and the same vector as in the browser.
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
//! | | |
//! |---|---|
//! | [`TextEmbedder`] | texts, with a sentence model |
//! | [`ImageEmbedder`], [`ClipTextEmbedder`], [`Clip`] | images, and texts in their space |
//! | [`Fusion`], [`mod@fit`] | a text and an image into one vector |
//! | [`vector`] | compare, and search |
//! | [`SearchIndex`] | texts with their vectors in a file, to be searched here or in a browser |
//!
//! # Features
//!
//! - **`download`** (default): fetch models from their sources over HTTPS. Without it no network
//!   code is compiled, and models come from the cache, a local folder or your own bytes.
//! - **`image-url`**: `ImageFetcher`, which gets images by their address, from public addresses only.
//! - **`service`**: `EmbeddingService`, for many callers at once: a bounded queue with workers, a cache in memory,
//!   models that come and go, metrics, configuration.
//! - **`redis`**: further tiers of the service's cache, on Redis servers.
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
//! | `ISOVEC_CONFIG`, `ISOVEC__SECTION__KEY` | the configuration of the service: see `config` |

mod batch;
#[cfg(feature = "service")]
pub mod cache;
mod clip;
#[cfg(feature = "service")]
pub mod config;
#[cfg(feature = "image-url")]
pub mod fetch;
pub mod fit;
mod folder;
mod image;
mod models;
mod net;
mod open;
mod pool;
mod reading;
#[cfg(feature = "service")]
pub mod service;
mod sharing;
pub mod store;
mod text;

#[cfg(feature = "service")]
pub use cache::Source;
pub use clip::{
    Clip, ClipBuilder, ClipOptions, ClipTextEmbedder, ClipTextEmbedderBuilder, ClipTextOptions,
};
#[cfg(feature = "image-url")]
pub use fetch::ImageFetcher;
pub use image::{ImageEmbedder, ImageEmbedderBuilder};
pub use isovec_core::image::{
    Filter, ImageFormat, ImageLimits, Normalize, PassOrder, Pixels, Preprocessing, Rgb8, Size,
    decoded_rgb8, resized_rgb8,
};
pub use isovec_core::manifest::{Build, FileRole, FileSpec, Variant};
pub use isovec_core::{
    Affine, BUILT_IN_MODELS, Embedding, Error, ErrorKind, Execution, Fingerprint, Fused, Fusion,
    FusionKind, FusionWeights, HashedBytes, ImageEmbedding, ImageOptions, IndexedBy, Kernels,
    Manifest, ModelFile, ModelKind, ModelSpec, Pooling, Precision, ReadAt, Result, SearchIndex,
    TextOptions, Tokens, ZeroShot, limits, vector, zero_shot,
};
pub use models::manifest;
pub use open::{DEFAULT_VARIANT, EmbedderBuilder};
#[cfg(feature = "service")]
pub use service::EmbeddingService;
pub use store::ModelStore;
pub use text::{TextEmbedder, TextEmbedderBuilder};
