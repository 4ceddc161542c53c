//! What was measured, as numbers to read; [`EmbeddingService::encode_metrics`] has the same for a monitoring system.
//!
//! [`EmbeddingService::encode_metrics`]: super::EmbeddingService::encode_metrics

use std::time::Duration;

use serde::Serialize;

use super::Inner;
use super::metrics::{Operation, Outcome};
use crate::cache::CacheStats;

/// What a service has measured since its start. Every figure is counted or timed; none is assumed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// How long it has been running.
    pub uptime: Duration,
    /// Requests for texts.
    pub text: Requests,
    /// Requests for images.
    pub image: Requests,
    /// Requests for fused vectors.
    pub multimodal: Requests,
    /// Requests that wait for a vector now.
    pub in_flight: u64,
    /// Inputs that wait for a worker now.
    pub queue_depth: usize,
    /// How long an input that came now would wait for a worker, by the pace that was measured.
    pub expected_queue_delay: Duration,
    /// How many workers there are.
    pub workers: usize,
    /// How often a model ran.
    pub inferences: u64,
    /// How many batches were handed to workers.
    pub batches: u64,
    /// How many inputs they held on average; nothing before the first.
    pub mean_batch_size: Option<f64>,
    /// What each tier of the cache was asked, and had.
    pub cache: CacheStats,
    /// The models that are loaded, and the size of their files in bytes.
    pub models: Vec<(String, u64)>,
}

impl Stats {
    pub(super) fn of(service: &Inner) -> Self {
        let metrics = &service.metrics;
        let requests = |operation| {
            let succeeded = metrics.ended(operation, Outcome::Success);
            let mean = metrics.seconds_of(operation) / succeeded as f64;
            Requests {
                succeeded,
                failed: metrics.ended(operation, Outcome::Failure),
                rejected: metrics.ended(operation, Outcome::Rejected),
                cancelled: metrics.ended(operation, Outcome::Cancelled),
                mean_latency: (succeeded > 0).then(|| Duration::from_secs_f64(mean)),
            }
        };
        let (batches, batched) = metrics.batches();
        let models = service.models.all();
        Stats {
            uptime: service.started.elapsed(),
            text: requests(Operation::Text),
            image: requests(Operation::Image),
            multimodal: requests(Operation::Multimodal),
            in_flight: metrics.in_flight().try_into().unwrap_or_default(),
            queue_depth: service.pipeline.queue.depth(),
            expected_queue_delay: service.pipeline.queue.expected_delay(),
            workers: service.pipeline.queue.workers(),
            inferences: metrics.inferences(),
            batches,
            mean_batch_size: (batches > 0).then(|| batched as f64 / batches as f64),
            cache: service.pipeline.cache.stats(),
            models: models.iter().map(|m| (m.info.name.clone(), m.info.bytes)).collect(),
        }
    }
}

/// The requests for one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Requests {
    /// Those that were answered.
    pub succeeded: u64,
    /// Those that got an error.
    pub failed: u64,
    /// Those that were refused because the service was full or shutting down.
    pub rejected: u64,
    /// Those whose caller went away.
    pub cancelled: u64,
    /// How long the answered ones took on average; nothing before the first.
    pub mean_latency: Option<Duration>,
}

impl Requests {
    /// All that ended.
    pub fn total(&self) -> u64 {
        self.succeeded + self.failed + self.rejected + self.cancelled
    }
}
