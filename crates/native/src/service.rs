//! The service: many callers, models that come and go, a bounded queue before its workers, a cache, and metrics.
//!
//! ```no_run
//! use isovec::config::Config;
//! use isovec::EmbeddingService;
//!
//! let service = EmbeddingService::new(Config::default())?;
//! let e = service.embed_text("Hello", "all-MiniLM-L6-v2")?;
//! println!("{} dimensions, {:?}", e.vector().len(), e.source);
//! service.shutdown()?;
//! # Ok::<(), isovec::Error>(())
//! ```
//!
//! # What happens when
//!
//! - **Many ask for the same vector at once.** One inference is made, and all get its vector. If the caller who came
//!   first goes away, the others still get it.
//! - **A caller goes away.** The future that is dropped takes its inputs out of the queue, unless another caller waits
//!   for them. What a worker has begun, it finishes; the vector is cached.
//! - **More comes in than can be done.** A request is refused at once, with an error of kind `overloaded` that says
//!   when to come again: when `performance.max_queue` inputs wait, when the wait would be over
//!   `performance.max_queue_delay` by the pace that was measured, or when `performance.max_concurrent_requests` are
//!   worked on. What the memory tier has is served all the same.
//! - **A model panics, or gives NaN.** The request gets an error, nothing is cached, and the worker lives.
//! - **A model is unloaded.** Requests that have it are finished; its memory is given back after the last of them.
//! - **The service shuts down.** It takes no more requests, finishes those in flight within
//!   `performance.shutdown_timeout`, fails the rest with errors of kind `shutting_down`, and joins its threads.
//!
//! # Threads
//!
//! As many workers as the greater of the two `worker_count`s, and one thread for connections and timers. Any worker runs any
//! model, and a model's weights are in memory once. A batch is a handful of inputs that one worker takes at a time;
//! some hundred tokens of it, or a few images, read the weights together. Nothing is padded, so neighbours never change
//! a vector. Nothing spins while there is nothing to do.

mod embed;
#[cfg(feature = "image-url")]
mod fetch;
mod flight;
mod fusions;
mod info;
mod io;
mod metrics;
mod mock;
mod model;
mod models;
mod queue;
mod request;
mod served;
mod stats;
mod turn;
mod worker;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use prometheus_client::registry::Registry;

pub use info::ModelInfo;
pub use request::Request;
pub use served::{ServedFused, ServedImage, ServedText};
pub use stats::{Requests, Stats};

use crate::cache::{Cache, Key};
use crate::config::{Config, ModelConfig};
use crate::{Error, ErrorKind, Fusion, ModelKind, Result};
use embed::{Pipeline, Served};
use flight::Flights;
use fusions::Fusions;
use io::Io;
use metrics::Metrics;
use model::{Input, Loaded};
use models::Models;
use queue::Queue;
use turn::Turn;

/// Embeddings for many callers at once: see the [module](self).
///
/// Cheap to clone: clones share everything. When the last is dropped, the service ends as by
/// [`shutdown`](Self::shutdown), without waiting for anything but what its workers have begun.
#[derive(Clone)]
pub struct EmbeddingService {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    models: Models,
    pipeline: Arc<Pipeline>,
    metrics: Arc<Metrics>,
    registry: Registry,
    fusions: Fusions,
    #[cfg(feature = "image-url")]
    fetcher: Option<crate::ImageFetcher>,
    io: Io,
    workers: Mutex<Vec<JoinHandle<()>>>,
    open: AtomicBool,
    /// Requests that are worked on.
    busy: AtomicUsize,
    started: Instant,
}

impl EmbeddingService {
    /// Starts the workers and loads the models that the configuration says to load: without any, MiniLM.
    ///
    /// Redis need not be there: its tiers are used as soon as they are.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for a configuration that cannot be; those of
    /// [`load_model`](Self::load_model), naming the model; [`Io`](ErrorKind::Io) if no thread can be started.
    pub fn new(config: Config) -> Result<Self> {
        config.check()?;
        let io = Io::start()?;
        let mut registry = Registry::with_prefix("isovec");
        let metrics = Arc::new(Metrics::register(&mut registry));
        let tiers = config.redis_tiers();
        let cache = Arc::new(Cache::new(&config.cache, &tiers, &mut registry, io.handle())?);
        let queue = Arc::new(Queue::new(&config, metrics.abandoned.clone()));
        let pipeline = Arc::new(Pipeline {
            queue: Arc::clone(&queue),
            cache,
            flights: Arc::new(Flights::default()),
            io: io.handle().clone(),
        });
        // Before the workers are there, which nobody would end if it failed.
        #[cfg(feature = "image-url")]
        let fetcher = fetch::fetcher(&config)?;
        let workers = worker::start(&queue, &metrics)?;
        let inner = Inner {
            models: Models::new(&config),
            pipeline,
            metrics,
            registry,
            fusions: Fusions::default(),
            #[cfg(feature = "image-url")]
            fetcher,
            io,
            workers: Mutex::new(workers),
            open: AtomicBool::new(true),
            busy: AtomicUsize::new(0),
            started: Instant::now(),
            config,
        };
        let service = EmbeddingService { inner: Arc::new(inner) };
        for (name, model) in service.inner.config.models_at_start() {
            service.load_model(&name, &model)?;
        }
        Ok(service)
    }

    /// Starts a request with settings of its own.
    pub fn request(&self) -> Request<'_> {
        Request::new(self)
    }

    /// The vector of one text, by the model of this name.
    ///
    /// # Errors
    ///
    /// Those of every [`Request`].
    pub fn embed_text(&self, text: &str, model: &str) -> Result<ServedText> {
        self.request().model(model).embed_text(text)
    }

    /// As [`embed_text`](Self::embed_text), to be awaited on any executor.
    ///
    /// # Errors
    ///
    /// Those of every [`Request`].
    pub async fn embed_text_async(&self, text: &str, model: &str) -> Result<ServedText> {
        self.request().model(model).embed_text_async(text).await
    }

    /// The vectors of `texts`, in their order.
    ///
    /// # Errors
    ///
    /// Those of every [`Request`]: that of the first text that has no vector.
    pub fn embed_texts<T: AsRef<str>>(&self, texts: &[T], model: &str) -> Result<Vec<ServedText>> {
        self.request().model(model).embed_texts(texts)
    }

    /// As [`embed_texts`](Self::embed_texts), to be awaited on any executor.
    ///
    /// # Errors
    ///
    /// Those of every [`Request`].
    pub async fn embed_texts_async<T: AsRef<str>>(
        &self,
        texts: &[T],
        model: &str,
    ) -> Result<Vec<ServedText>> {
        self.request().model(model).embed_texts_async(texts).await
    }

    /// The vector of an image file's bytes.
    ///
    /// # Errors
    ///
    /// Those of every [`Request`].
    pub fn embed_image_bytes(&self, file: &[u8], model: &str) -> Result<ServedImage> {
        self.request().model(model).embed_image_bytes(file)
    }

    /// The vector of the image at a public address.
    ///
    /// # Errors
    ///
    /// Those of [`Request::embed_image_url`].
    #[cfg(feature = "image-url")]
    pub fn embed_image_url(&self, url: &str, model: &str) -> Result<ServedImage> {
        self.request().model(model).embed_image_url(url)
    }

    /// The fused vector of a text and an image file's bytes, of which one may be missing.
    ///
    /// # Errors
    ///
    /// Those of [`Request::embed_multimodal`].
    pub fn embed_multimodal(
        &self,
        text: Option<&str>,
        image: Option<&[u8]>,
        text_model: &str,
        image_model: &str,
    ) -> Result<ServedFused> {
        self.request().model(text_model).image_model(image_model).embed_multimodal(text, image)
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Loads a model, tries it out, and has it answer to `name` from then on. Blocks for as long as that takes, and
    /// disturbs no request.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if a model of this name is loaded;
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) if `performance.model_pool_size` are; those of the embedders'
    /// builders for what cannot be loaded, [`DimensionMismatch`](ErrorKind::DimensionMismatch) where the
    /// configuration expects other dimensions; [`ShuttingDown`](ErrorKind::ShuttingDown).
    pub fn load_model(&self, name: &str, model: &ModelConfig) -> Result<ModelInfo> {
        self.check_open()?;
        let info = self.inner.models.load(name, model, &self.inner.config)?;
        tracing::info!(
            model = name,
            dims = info.dims,
            bytes = info.bytes,
            seconds = info.load_time.as_secs_f64(),
            mock = info.mock,
            "model loaded"
        );
        Ok(info)
    }

    /// Takes a model away. Requests that have it are finished; its memory is given back after the last.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if no model of this name is loaded.
    pub fn unload_model(&self, name: &str) -> Result<ModelInfo> {
        let info = self.inner.models.unload(name)?;
        tracing::info!(model = name, "model unloaded");
        Ok(info)
    }

    /// The models that are loaded, by name.
    pub fn models(&self) -> Vec<ModelInfo> {
        self.inner.models.all().into_iter().map(|model| model.info.clone()).collect()
    }

    /// The model that answers where none is named: of images for [`ModelKind::Image`], of texts for the others.
    pub fn default_model(&self, kind: ModelKind) -> Option<ModelInfo> {
        self.inner.models.get(None, kind == ModelKind::Image).ok().map(|model| model.info.clone())
    }

    /// The fusion of [`Request::embed_multimodal`] for vectors of these dimensions: the one of `fusion.path`, or else
    /// one that has learned nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Fusion`]'s constructors, and [`DimensionMismatch`](ErrorKind::DimensionMismatch) for a fusion of
    /// other dimensions.
    pub fn fusion(&self, text_dims: usize, image_dims: usize) -> Result<Arc<Fusion>> {
        self.inner.fusions.get(&self.inner.config.fusion, text_dims, image_dims)
    }

    /// Runs every loaded model once, past the cache: whether the service can serve.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if no model is loaded, [`ShuttingDown`](ErrorKind::ShuttingDown), and the first
    /// error of a model. A service that is overloaded is ready: it is at work.
    pub async fn ready_async(&self) -> Result<()> {
        self.check_open()?;
        let models = self.inner.models.all();
        if models.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "no model is loaded"));
        }
        try_join_all(models.iter().map(|model| self.probe(model))).await?;
        Ok(())
    }

    async fn probe(&self, model: &Arc<Loaded>) -> Result<()> {
        let key = Key::of_text(model.info.fingerprint, None, "readiness");
        let timeout = self.inner.config.performance.request_timeout;
        let probe = |_| model.probe();
        match self.inner.pipeline.embed(model, &[key], probe, false, timeout).await {
            Ok(_) => Ok(()),
            // Full of work is not broken: its workers are running models right now.
            Err(e) if e.kind() == ErrorKind::Overloaded => Ok(()),
            Err(e) => Err(e.context(format_args!("model {:?}", model.info.name))),
        }
    }

    /// All metrics in the text format of Prometheus (OpenMetrics), without the line `# EOF` that ends it, so that a
    /// program can add its own.
    pub fn encode_metrics(&self, out: &mut String) {
        let models = self.inner.models.all();
        let queue = &self.inner.pipeline.queue;
        self.inner.metrics.now(
            queue.depth(),
            queue.workers(),
            models.len(),
            models.iter().map(|model| model.info.bytes).sum(),
        );
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode_registry(out, &self.inner.registry);
    }

    /// What was measured since the start.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.inner)
    }

    /// Whether it takes requests.
    pub fn is_open(&self) -> bool {
        self.inner.open.load(Ordering::Acquire)
    }

    /// Takes no more requests, finishes those that are in flight within `performance.shutdown_timeout`, and joins
    /// every thread. What is not done by then gets an error of kind [`ShuttingDown`](ErrorKind::ShuttingDown). Blocks.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut) if requests had to be failed; all the same it is over then.
    pub fn shutdown(&self) -> Result<()> {
        self.inner.open.store(false, Ordering::Release);
        let limit = Instant::now() + self.inner.config.performance.shutdown_timeout;
        while self.inner.metrics.in_flight() > 0 && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(2));
        }
        let failed = self.inner.stop();
        if failed > 0 {
            return Err(Error::new(
                ErrorKind::TimedOut,
                format!("{failed} inputs were not done in time and were given up"),
            ));
        }
        Ok(())
    }

    fn check_open(&self) -> Result<()> {
        if self.is_open() { Ok(()) } else { Err(queue::shutting_down()) }
    }

    /// The model of this name, or the default one, for texts or for images.
    fn model(&self, name: Option<&str>, kind: ModelKind) -> Result<Arc<Loaded>> {
        let images = kind == ModelKind::Image;
        let model = self.inner.models.get(name, images)?;
        if (model.info.kind == ModelKind::Image) != images {
            return Err(model.takes(if images { "no images" } else { "no texts" }));
        }
        Ok(model)
    }

    /// The vectors of inputs, for a request.
    async fn serve<'a>(
        &'a self,
        model: &Arc<Loaded>,
        keys: &[Key],
        input: impl Fn(usize) -> Input,
        (cached, timeout): (bool, Option<Duration>),
        turn: &Turn<'a>,
    ) -> Result<Vec<Served>> {
        self.check_open()?;
        let pipeline = &self.inner.pipeline;
        if cached && let Some(served) = pipeline.remembered(keys) {
            return Ok(served);
        }
        turn.take(&self.inner)?;
        let most = self.inner.config.performance.request_timeout;
        let timeout = timeout.map_or(most, |timeout| timeout.min(most));
        pipeline.embed(model, keys, input, cached, timeout).await
    }
}

impl Inner {
    /// Ends all threads; how many inputs were given up.
    fn stop(&self) -> usize {
        self.open.store(false, Ordering::Release);
        self.pipeline.queue.close();
        let jobs = self.pipeline.queue.drain();
        let wanted = jobs.iter().filter(|job| !job.landing.is_abandoned()).count();
        embed::fail(jobs, queue::shutting_down());
        let workers =
            std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in workers {
            // Its panics were contained; there is nothing to learn from an error here.
            let _ = worker.join();
        }
        self.io.stop();
        wanted
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for EmbeddingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingService")
            .field("open", &self.is_open())
            .field("models", &self.inner.models.all().len())
            .field("queue", &self.inner.pipeline.queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
