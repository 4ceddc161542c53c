//! The cache of vectors: memory first, then up to three tiers on Redis.
//!
//! A vector is found by the [fingerprint](crate::Fingerprint) of its model and the sha256 of its input, never by a
//! name: another model, another setting or a stand-in finds nothing of this one's, and an image is the same
//! image wherever it came from. What is found was computed from the same bytes by the same model, so there
//! is nothing to invalidate, and a tier that is lost costs time and nothing else.
//!
//! # Where a vector is looked for
//!
//! In memory, which takes a microsecond. Then in the tiers `hot`, `warm` and `cold` that the configuration names, each
//! with one round trip for all keys of the request that are still missing (one for each 256 of them). What a
//! tier has is put into memory, and written to those tiers above it that said they do not have it.
//!
//! # What is written, and when it goes away
//!
//! New vectors are written to the tiers that `cache.write_to` names, by a task in the background: nobody waits for
//! it, and what it has no room for (4096 vectors for each tier) is dropped and counted. A value lives for
//! the tier's `ttl`, or up to `cache.ttl_jitter` less, by an amount that follows from its key: what was
//! stored together does not vanish together. A hit does not lengthen its life. The memory tier is bounded
//! in bytes and keeps what is used most.
//!
//! Values can be stored as 16-bit numbers (`cache.value_type`). A hit then differs from what was computed by up
//! to one part in 2048 of each number, and is not exactly of length one.
//!
//! # Keys
//!
//! `PREFIX:v1:TIER:FINGERPRINT:SHA256`. The tier is part of the key, so that tiers can share a server: each has its
//! own value with its own lifetime, and clearing one leaves the others alone. `v1` is the version of
//! the value's format: programs of two versions share a server without reading each other's values.
//!
//! # What happens when
//!
//! | | |
//! |---|---|
//! | Redis is not there at the start | everything starts; a task keeps trying, every second at the longest |
//! | there is no connection | the tier is skipped; no request ever waits for a connection |
//! | a connection is lost | what was asked on it is a miss; a new one is made at once |
//! | a server does not answer, or is slow | its tier gets an equal share of what is left of `cache.budget` (50 ms for all tiers together), then the next one is asked |
//! | that happens `cache.breaker_failures` times in a row | the tier is left alone for `cache.breaker_cooldown`; then one request tries it |
//! | the server was away and is back | the first request after the connection is that try |
//! | it refuses writes (full memory, a replica) | reads go on; writes have a breaker of their own |
//! | it refuses everything (no permission, still loading) | as if it did not answer, but sooner |
//! | a value is corrupt, of another version, type, or number of dimensions | a miss; the vector that is then computed overwrites it |
//! | the caller stops waiting | the round trip is finished, and memory gets what it brings |
//!
//! In none of these a caller gets an error, or a vector that is not right. All of them are counted: see
//! [`CacheStats`] and the metrics `isovec_cache_*`. Changes of state are logged, requests never; addresses and
//! passwords neither.
//!
//! # Clusters and sentinels
//!
//! On a Redis Cluster keys are spread over all slots; the keys of a request are asked for at the same time, which
//! takes one round trip to each node. With sentinels the master is asked for anew at every connection, and
//! one that turned into a replica is left as soon as it refuses a write.

#[cfg(feature = "redis")]
pub mod admin;
#[cfg(feature = "redis")]
mod breaker;
#[cfg(feature = "redis")]
mod codec;
mod entry;
mod key;
mod memory;
mod metrics;
mod stats;
#[cfg(all(test, feature = "redis"))]
mod tests;
#[cfg(feature = "redis")]
mod tiers;
#[cfg(not(feature = "redis"))]
#[path = "cache/tiers_off.rs"]
mod tiers;

pub(crate) use entry::{Entry, Facts};
pub(crate) use key::Key;
pub use stats::{CacheStats, MemoryStats, TierStats};

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use crate::Result;
use crate::config::{CacheConfig, RedisConfig, RedisTier};
use memory::Memory;
use metrics::Lookups;
use tiers::Tiers;

/// Where a vector came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// It was computed for this request, or for another one that came at the same time.
    Computed,
    /// The memory tier.
    Memory,
    /// A tier on Redis.
    Redis(RedisTier),
}

/// All tiers.
#[derive(Debug)]
pub(crate) struct Cache {
    memory: Option<Memory>,
    hits: Counter,
    misses: Counter,
    tiers: Option<Tiers>,
}

impl Cache {
    /// Starts nothing that can fail: a tier that is not there is skipped until it is. `io` is where connections
    /// live; it needs time and network enabled.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if an address or a file of certificates cannot be used, or if there are tiers and the feature
    /// `redis` is missing.
    pub(crate) fn new(
        config: &CacheConfig,
        tiers: &[(RedisTier, &RedisConfig)],
        registry: &mut Registry,
        io: &Handle,
    ) -> Result<Self> {
        let lookups = Lookups::new(registry);
        let (hits, misses) = (lookups.counter("memory", "hit"), lookups.counter("memory", "miss"));
        if !config.enabled {
            return Ok(Cache { memory: None, hits, misses, tiers: None });
        }
        let memory = (config.memory_bytes > 0).then(|| Memory::new(config.memory_bytes));
        if let Some(memory) = &memory {
            metrics::register_memory(memory, registry);
        }
        let tiers = match tiers {
            [] => None,
            _ => Some(Tiers::start(config, tiers, memory.as_ref(), &lookups, registry, io)?),
        };
        Ok(Cache { memory, hits, misses, tiers })
    }

    /// What the memory tier has. Never waits.
    pub(crate) fn memory(&self, key: &Key) -> Option<Arc<Entry>> {
        let found = self.memory.as_ref()?.get(key);
        if found.is_some() { &self.hits } else { &self.misses }.inc();
        found
    }

    /// What the memory tier has of `keys`, if that is all of them; else nothing, and nothing is counted. Never waits.
    pub(crate) fn memory_all(&self, keys: &[Key]) -> Option<Vec<Arc<Entry>>> {
        let memory = self.memory.as_ref()?;
        let found = keys.iter().map(|key| memory.get(key)).collect::<Option<Vec<_>>>()?;
        self.hits.inc_by(found.len() as u64);
        Some(found)
    }

    /// As [`memory`](Self::memory), for a key that was counted already.
    pub(crate) fn memory_again(&self, key: &Key) -> Option<Arc<Entry>> {
        self.memory.as_ref()?.get(key)
    }

    /// Puts a vector into the memory tier. Never waits.
    pub(crate) fn remember(&self, key: Key, entry: Arc<Entry>) {
        if let Some(memory) = &self.memory {
            memory.insert(key, entry);
        }
    }

    /// Whether there are tiers on Redis, so that [`get_many`](Self::get_many) is worth a call.
    pub(crate) fn has_tiers(&self) -> bool {
        self.tiers.is_some()
    }

    /// What the tiers on Redis have, one round trip for each tier and all keys. What is found is put into the memory
    /// tier and the tiers above. Takes at most the budget, whatever the servers do, and fails never: what
    /// cannot be had is not there. An entry that is not of `dims` dimensions is not there either.
    pub(crate) async fn get_many(
        &self,
        keys: &[Key],
        dims: usize,
    ) -> Vec<Option<(Arc<Entry>, RedisTier)>> {
        match &self.tiers {
            Some(tiers) if !keys.is_empty() => tiers.get_many(keys, dims).await,
            _ => vec![None; keys.len()],
        }
    }

    /// Has vectors written to the tiers on Redis that the policy names, in one round trip each. Never waits: a task
    /// in the background writes them, or drops what is too much.
    pub(crate) fn set_many(&self, entries: &[(Key, Arc<Entry>)]) {
        if let Some(tiers) = &self.tiers {
            tiers.set_many(entries);
        }
    }

    /// What was measured so far.
    pub(crate) fn stats(&self) -> CacheStats {
        let memory = self.memory.as_ref().map(|memory| {
            let (hits, misses) = (self.hits.get(), self.misses.get());
            let (entries, bytes) = memory.size();
            let hit_rate = stats::hit_rate(hits, misses);
            MemoryStats { hits, misses, hit_rate, entries, bytes, max_bytes: memory.max_bytes() }
        });
        CacheStats { memory, tiers: self.tiers.as_ref().map(Tiers::stats).unwrap_or_default() }
    }
}
