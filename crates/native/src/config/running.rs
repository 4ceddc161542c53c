//! `performance` and `development`: how the service runs.

use std::time::Duration;

use super::keys::Keys;
use super::kinds::{Flag, Time, whole};

/// `performance`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PerformanceConfig {
    /// The most models that are loaded at once.
    pub model_pool_size: usize,
    /// The most requests that are worked on at once; those that the memory tier answers do not count.
    pub max_concurrent_requests: usize,
    /// How long a worker waits for a batch to fill. 0 by default: waiting makes no vector faster here.
    pub batch_timeout: Duration,
    /// The most texts and images that wait for a worker.
    pub max_queue: usize,
    /// A request that would have to wait longer than this for a worker is refused at once.
    pub max_queue_delay: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long a shutdown waits for what is in flight.
    pub shutdown_timeout: Duration,
}

/// `development`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DevelopmentConfig {
    /// Vectors are made of a hash of the input instead of a model: for tests of programs around the service.
    pub mock_mode: bool,
    /// Log more.
    pub debug_logging: bool,
}

impl Default for PerformanceConfig {
    fn default() -> Self {
        PerformanceConfig {
            model_pool_size: 10,
            max_concurrent_requests: 100,
            batch_timeout: Duration::ZERO,
            max_queue: 4096,
            max_queue_delay: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl PerformanceConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let milli = Duration::from_millis(1);
        keys.key("model_pool_size", whole(1..=1000), &mut self.model_pool_size);
        keys.key(
            "max_concurrent_requests",
            whole(1..=1_000_000),
            &mut self.max_concurrent_requests,
        );
        let batch_timeout = Time(Duration::ZERO..=Duration::from_secs(10));
        keys.key("batch_timeout", batch_timeout, &mut self.batch_timeout);
        keys.key("max_queue", whole(1..=1_000_000), &mut self.max_queue);
        keys.key("max_queue_delay", Time(milli..=HOUR), &mut self.max_queue_delay);
        keys.key("request_timeout", Time(milli..=HOUR), &mut self.request_timeout);
        keys.key("shutdown_timeout", Time(Duration::ZERO..=HOUR), &mut self.shutdown_timeout);
        keys.refused(
            "gc_percent",
            None,
            "is a setting of Go's garbage collector, and there is none here: leave it out",
        );
    }
}

impl DevelopmentConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("mock_mode", Flag, &mut self.mock_mode);
        keys.refused(
            "deterministic_embeddings",
            Some(true),
            "expected true: one input always gives one vector, and there is no other mode",
        );
        keys.key("debug_logging", Flag, &mut self.debug_logging);
    }
}
