//! What the cache counts.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::memory::Memory;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LookupLabels {
    pub(super) tier: &'static str,
    pub(super) result: &'static str,
}

/// Keys by tier and by what became of them. Which ones there are is fixed at the start, so that each is
/// exported from the first scrape on and counting takes no lock.
#[derive(Debug)]
pub(super) struct Lookups(Family<LookupLabels, Counter>);

impl Lookups {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let lookups = Family::default();
        registry.register("cache_lookups", "Keys looked up, by tier and result", lookups.clone());
        Lookups(lookups)
    }

    pub(super) fn counter(&self, tier: &'static str, result: &'static str) -> Counter {
        self.0.get_or_create_owned(&LookupLabels { tier, result })
    }
}

/// The size of the memory tier, asked for when it is exported.
#[derive(Debug)]
struct MemorySize(Memory);

pub(super) fn register_memory(memory: &Memory, registry: &mut Registry) {
    registry.register_collector(Box::new(MemorySize(memory.clone())));
}

impl Collector for MemorySize {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (entries, bytes) = self.0.size();
        let gauges = [
            ("cache_memory_entries", "Vectors in the memory tier", None, entries),
            ("cache_memory", "What they take", Some(Unit::Bytes), bytes),
            ("cache_memory_limit", "The most they may take", Some(Unit::Bytes), self.0.max_bytes()),
        ];
        for (name, help, unit, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                gauge.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
