//! The service: models, a queue with workers, a cache, metrics.

mod mock;
mod request;
mod served;

use std::future::Future;
use std::time::Duration;

pub use request::Request;
pub use served::{ServedFused, ServedImage, ServedText};

use crate::config::{Config, ModelConfig};
use crate::{Fingerprint, Fusion, ModelKind, ModelSpec, Result};

/// Embeddings for many callers at once. Cheap to clone: clones share everything.
#[derive(Clone, Debug)]
pub struct EmbeddingService {}

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
    /// The size of its files in bytes.
    pub bytes: u64,
    /// The user's own word for the state of the model.
    pub version: Option<String>,
    /// Whether it is a stand-in whose vectors mean nothing.
    pub mock: bool,
    /// When it was loaded.
    pub loaded_at: std::time::SystemTime,
    /// How long loading took.
    pub load_time: Duration,
    /// The facts of the model.
    pub spec: ModelSpec,
}

impl EmbeddingService {
    /// Starts the workers and loads the models that the configuration says to load.
    pub fn new(_config: Config) -> Result<Self> {
        Ok(EmbeddingService {})
    }

    /// Starts a request.
    pub fn request(&self) -> Request<'_> {
        Request { service: self, model: None, image_model: None, prompt: None, timeout: None, cache: true }
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &Config {
        unimplemented!()
    }

    /// Loads a model, which may then be asked for by `name`. Blocks for as long as that takes.
    pub fn load_model(&self, _name: &str, _config: &ModelConfig) -> Result<ModelInfo> {
        unimplemented!()
    }

    /// Takes a model away. Requests that have it already are finished; its memory is given back after the last.
    pub fn unload_model(&self, _name: &str) -> Result<ModelInfo> {
        unimplemented!()
    }

    /// The models that are loaded, by name.
    pub fn models(&self) -> Vec<ModelInfo> {
        unimplemented!()
    }

    /// The model that answers where none is named: of texts, or of images.
    pub fn default_model(&self, _kind: ModelKind) -> Option<ModelInfo> {
        unimplemented!()
    }

    /// The fusion of [`Request::embed_multimodal`] for a text model's and an image model's dimensions.
    pub fn fusion(&self, _text_dims: usize, _image_dims: usize) -> Result<std::sync::Arc<Fusion>> {
        unimplemented!()
    }

    /// Runs a real inference of each loaded model, past the cache: whether the service can serve.
    pub async fn ready_async(&self) -> Result<()> {
        unimplemented!()
    }

    /// All metrics in the text format of Prometheus, without the line that ends it (`# EOF`).
    pub fn encode_metrics(&self, _out: &mut String) {}

    /// What was measured so far.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }

    /// Takes no more requests, finishes those that are in flight within `performance.shutdown_timeout`, and joins
    /// every thread. What could not be finished gets errors of kind `shutting_down`.
    pub fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    pub(crate) fn block_on<F: Future>(&self, _future: F) -> F::Output {
        unimplemented!()
    }
}

/// What was measured since the start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {}
