//! What the service counts and times. Labels hold names that the operator chose, never what a caller sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::cache::Facts;
use crate::{Error, ErrorKind};

/// What is asked of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Text,
    Image,
    Multimodal,
}

/// How a request ended: each ends in exactly one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    /// Not begun: the service was full, or shutting down.
    Rejected,
    /// The caller went away.
    Cancelled,
}

type Labels<const N: usize> = [(&'static str, &'static str); N];
type ByModel = [(&'static str, Arc<str>); 1];

/// Everything that is counted; each field is a metric of that name.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<Labels<2>, Counter>,
    request_duration: Family<Labels<1>, Histogram>,
    request_seconds: [Counter<f64, AtomicU64>; 3],
    in_flight: Gauge,
    inputs: Family<Labels<1>, Counter>,
    tokens: Counter,
    truncated: Counter,
    queue_wait: Histogram,
    batch_size: Histogram,
    batch_cost: Histogram,
    batches: AtomicU64,
    batched: AtomicU64,
    inference: Family<ByModel, Histogram>,
    inferences: AtomicU64,
    pub(super) abandoned: Counter,
    panics: Counter,
    queue_depth: Gauge,
    workers: Gauge,
    models: Gauge,
    model_bytes: Gauge,
}

impl Operation {
    pub(super) const ALL: [Operation; 3] =
        [Operation::Text, Operation::Image, Operation::Multimodal];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Operation::Text => "text",
            Operation::Image => "image",
            Operation::Multimodal => "multimodal",
        }
    }
}

impl Outcome {
    pub(super) const ALL: [Outcome; 4] =
        [Outcome::Success, Outcome::Failure, Outcome::Rejected, Outcome::Cancelled];

    fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Rejected => "rejected",
            Outcome::Cancelled => "cancelled",
        }
    }
}

/// From a tenth of a millisecond, a hit, to 50 seconds.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 20))
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(seconds),
            request_seconds: Default::default(),
            in_flight: Gauge::default(),
            inputs: Family::default(),
            tokens: Counter::default(),
            truncated: Counter::default(),
            queue_wait: seconds(),
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            batch_cost: Histogram::new(exponential_buckets(8.0, 2.0, 12)),
            batches: AtomicU64::default(),
            batched: AtomicU64::default(),
            inference: Family::new_with_constructor(seconds),
            inferences: AtomicU64::default(),
            abandoned: Counter::default(),
            panics: Counter::default(),
            queue_depth: Gauge::default(),
            workers: Gauge::default(),
            models: Gauge::default(),
            model_bytes: Gauge::default(),
        };
        // All there is shows from the start, as zero: a rate over a series that appears with its first event misses
        // that event.
        for operation in Operation::ALL {
            let operation = ("operation", operation.as_str());
            for outcome in Outcome::ALL {
                let _ = metrics.requests.get_or_create(&[operation, ("outcome", outcome.as_str())]);
            }
            let _ = metrics.request_duration.get_or_create(&[operation]);
        }
        for kind in ["text", "image"] {
            let _ = metrics.inputs.get_or_create(&[("kind", kind)]);
        }
        metrics.enter(registry);
        metrics
    }

    fn enter(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests by what they asked for and how they ended",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "How long requests took that were answered, cached ones included",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that wait for a vector",
            self.in_flight.clone(),
        );
        registry.register("inputs", "Texts and images that were embedded", self.inputs.clone());
        registry.register("tokens", "Tokens that models read", self.tokens.clone());
        registry.register(
            "truncated_texts",
            "Texts that were embedded without their end",
            self.truncated.clone(),
        );
        registry.register_with_unit(
            "queue_wait",
            "How long inputs waited for a worker",
            Unit::Seconds,
            self.queue_wait.clone(),
        );
        registry.register("batch_size", "Inputs of a batch", self.batch_size.clone());
        registry.register(
            "batch_tokens",
            "Tokens of a batch of texts, estimated by their length; images of a batch of images",
            self.batch_cost.clone(),
        );
        registry.register_with_unit(
            "inference_duration",
            "How long a model took for one input",
            Unit::Seconds,
            self.inference.clone(),
        );
        registry.register(
            "abandoned_jobs",
            "Inputs that were taken out of the queue because nobody waited for them any more",
            self.abandoned.clone(),
        );
        registry.register("worker_panics", "Panics that workers survived", self.panics.clone());
        registry.register("queue_depth", "Inputs that wait for a worker", self.queue_depth.clone());
        registry.register("workers", "Threads that run models", self.workers.clone());
        registry.register("models_loaded", "Models that are loaded", self.models.clone());
        registry.register_with_unit(
            "model",
            "The size of the files of all loaded models",
            Unit::Bytes,
            self.model_bytes.clone(),
        );
    }

    /// Sets what is not counted but looked up when somebody asks.
    pub(super) fn now(&self, queue_depth: usize, workers: usize, models: usize, bytes: u64) {
        self.queue_depth.set(queue_depth as i64);
        self.workers.set(workers as i64);
        self.models.set(models as i64);
        self.model_bytes.set(bytes as i64);
    }

    pub(super) fn queue_wait(&self, waited: Duration) {
        self.queue_wait.observe(waited.as_secs_f64());
    }

    pub(super) fn batch(&self, size: usize, cost: u64) {
        self.batch_size.observe(size as f64);
        self.batch_cost.observe(cost as f64);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.batched.fetch_add(size as u64, Ordering::Relaxed);
    }

    pub(super) fn inference(&self, model: &Arc<str>, took: Duration, facts: Facts) {
        let by_model = [("model", Arc::clone(model))];
        self.inference.get_or_create(&by_model).observe(took.as_secs_f64());
        self.inferences.fetch_add(1, Ordering::Relaxed);
        let kind = match facts {
            Facts::Text { tokens, truncated } => {
                self.tokens.inc_by(tokens.into());
                self.truncated.inc_by(truncated.into());
                "text"
            }
            Facts::Image { .. } => "image",
        };
        self.inputs.get_or_create(&[("kind", kind)]).inc();
    }

    pub(super) fn panicked(&self) {
        self.panics.inc();
    }

    /// Begins to count a request.
    pub(super) fn request(self: &Arc<Self>, operation: Operation) -> Counted {
        self.in_flight.inc();
        Counted { metrics: Arc::clone(self), operation, start: Instant::now(), ended: false }
    }

    /// How many requests of `operation` ended so.
    pub(super) fn ended(&self, operation: Operation, outcome: Outcome) -> u64 {
        let labels = [("operation", operation.as_str()), ("outcome", outcome.as_str())];
        self.requests.get_or_create(&labels).get()
    }

    /// How long the answered requests of `operation` took in all.
    pub(super) fn seconds_of(&self, operation: Operation) -> f64 {
        self.request_seconds[operation as usize].get()
    }

    pub(super) fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// The number of batches, and of inputs in them.
    pub(super) fn batches(&self) -> (u64, u64) {
        (self.batches.load(Ordering::Relaxed), self.batched.load(Ordering::Relaxed))
    }

    pub(super) fn inferences(&self) -> u64 {
        self.inferences.load(Ordering::Relaxed)
    }
}

/// A request that is being counted. Dropped before it ended, it counts as cancelled.
pub(super) struct Counted {
    metrics: Arc<Metrics>,
    operation: Operation,
    start: Instant,
    ended: bool,
}

impl Counted {
    /// Counts how the request ended.
    pub(super) fn end(mut self, error: Option<&Error>) {
        let outcome = match error.map(Error::kind) {
            None => Outcome::Success,
            Some(ErrorKind::Overloaded | ErrorKind::ShuttingDown) => Outcome::Rejected,
            Some(_) => Outcome::Failure,
        };
        if outcome == Outcome::Success {
            let took = self.start.elapsed().as_secs_f64();
            let operation = [("operation", self.operation.as_str())];
            self.metrics.request_duration.get_or_create(&operation).observe(took);
            self.metrics.request_seconds[self.operation as usize].inc_by(took);
        }
        self.count(outcome);
    }

    fn count(&mut self, outcome: Outcome) {
        self.ended = true;
        let labels = [("operation", self.operation.as_str()), ("outcome", outcome.as_str())];
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics.in_flight.dec();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Outcome::Cancelled);
        }
    }
}
