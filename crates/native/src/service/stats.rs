//! What was measured, as numbers to read; [`EmbeddingService::encode_metrics`] has the same for a monitoring system.
//!
//! [`EmbeddingService::encode_metrics`]: super::EmbeddingService::encode_metrics

use std::time::Duration;

use serde::Serialize;

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
