//! What a tier counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::super::codec::Invalid;
use super::super::metrics::Lookups;
use crate::config::RedisTier;

/// The upper ends of the buckets, in seconds: from a round trip on loopback to twice the default budget.
const SECONDS: [f64; 10] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    tier: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    tier: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    tier: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    tier: &'static str,
    operation: &'static str,
}

/// The metrics of all tiers.
#[derive(Debug)]
pub(super) struct Families {
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    connected: Family<Labels, Gauge>,
    connections: Family<Labels, Counter>,
    writes: Family<ResultLabels, Counter>,
    invalid: Family<ReasonLabels, Counter>,
    open: Family<OperationLabels, Gauge>,
    trips: Family<OperationLabels, Counter>,
}

/// Those of one tier, looked up once.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) errors: Counter,
    pub(super) skipped: Counter,
    pub(super) seconds: Histogram,
    pub(super) connected: Gauge,
    pub(super) connections: Counter,
    pub(super) stored: Counter,
    pub(super) failed: Counter,
    pub(super) dropped: Counter,
    pub(super) reads: BreakerMeters,
    pub(super) writes: BreakerMeters,
    corrupt: Counter,
    version: Counter,
    dims: Counter,
    pub(super) wrong_type: Counter,
}

#[derive(Debug)]
pub(super) struct BreakerMeters {
    pub(super) open: Gauge,
    pub(super) trips: Counter,
}

impl Families {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let families = Families {
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            connected: Family::default(),
            connections: Family::default(),
            writes: Family::default(),
            invalid: Family::default(),
            open: Family::default(),
            trips: Family::default(),
        };
        registry.register_with_unit(
            "cache_lookup_duration",
            "Time of one round trip for all keys of a request",
            Unit::Seconds,
            families.seconds.clone(),
        );
        registry.register(
            "cache_connected",
            "Whether the tier has a connection",
            families.connected.clone(),
        );
        registry.register(
            "cache_connections",
            "Connections that were made",
            families.connections.clone(),
        );
        registry.register(
            "cache_writes",
            "Vectors to be stored: stored, failed, or dropped without asking the server",
            families.writes.clone(),
        );
        registry.register(
            "cache_invalid_values",
            "Values that were there and of no use",
            families.invalid.clone(),
        );
        registry.register(
            "cache_breaker_open",
            "Whether the tier is left alone because it failed",
            families.open.clone(),
        );
        registry.register(
            "cache_breaker_trips",
            "How often it came to that",
            families.trips.clone(),
        );
        families
    }

    pub(super) fn of(&self, tier: RedisTier, lookups: &Lookups) -> Meters {
        let tier = tier.as_str();
        let writes = |result| self.writes.get_or_create_owned(&ResultLabels { tier, result });
        let invalid = |reason| self.invalid.get_or_create_owned(&ReasonLabels { tier, reason });
        let breaker = |operation| BreakerMeters {
            open: self.open.get_or_create_owned(&OperationLabels { tier, operation }),
            trips: self.trips.get_or_create_owned(&OperationLabels { tier, operation }),
        };
        Meters {
            hits: lookups.counter(tier, "hit"),
            misses: lookups.counter(tier, "miss"),
            errors: lookups.counter(tier, "error"),
            skipped: lookups.counter(tier, "skipped"),
            seconds: self.seconds.get_or_create_owned(&Labels { tier }),
            connected: self.connected.get_or_create_owned(&Labels { tier }),
            connections: self.connections.get_or_create_owned(&Labels { tier }),
            stored: writes("stored"),
            failed: writes("failed"),
            dropped: writes("dropped"),
            reads: breaker("read"),
            writes: breaker("write"),
            corrupt: invalid("corrupt"),
            version: invalid("version"),
            dims: invalid("dims"),
            wrong_type: invalid("wrong_type"),
        }
    }
}

impl Meters {
    pub(super) fn count_invalid(&self, invalid: Invalid) {
        match invalid {
            Invalid::Corrupt => &self.corrupt,
            Invalid::Version => &self.version,
            Invalid::Dims => &self.dims,
        }
        .inc();
    }

    pub(super) fn invalid(&self) -> u64 {
        [&self.corrupt, &self.version, &self.dims, &self.wrong_type].iter().map(|c| c.get()).sum()
    }
}
