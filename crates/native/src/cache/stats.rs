//! What the cache has measured, for programs.

use serde::{Serialize, Serializer};

use crate::config::RedisTier;

/// What the cache has measured since the start, by [`EmbeddingService::stats`](crate::EmbeddingService::stats).
///
/// Every number was counted; nothing is estimated. One request looks up as many keys as it has texts and images,
/// and each counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// The memory tier, where there is one.
    pub memory: Option<MemoryStats>,
    /// The tiers on Redis, the first to be asked first.
    pub tiers: Vec<TierStats>,
}

/// What the memory tier has measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Keys that were there.
    pub hits: u64,
    /// Keys that were not.
    pub misses: u64,
    /// The share of hits; `None` before the first look-up.
    pub hit_rate: Option<f64>,
    /// The number of vectors.
    pub entries: u64,
    /// What they take, with what it takes to find them.
    pub bytes: u64,
    /// The bound of `bytes`.
    pub max_bytes: u64,
}

/// What a tier on Redis has measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TierStats {
    /// Which one.
    #[serde(serialize_with = "name")]
    pub tier: RedisTier,
    /// Keys that were there.
    pub hits: u64,
    /// Keys that were not, or whose value was of no use.
    pub misses: u64,
    /// Keys that the server was asked for and gave no answer to, or not in time.
    pub errors: u64,
    /// Keys that the server was not asked for: no connection, an open breaker, or no time left.
    pub skipped: u64,
    /// The share of hits among the keys that the server answered for; `None` before the first.
    pub hit_rate: Option<f64>,
    /// Values that were there and of no use: corrupt, of another version, type or number of dimensions.
    pub invalid_values: u64,
    /// Vectors that were stored.
    pub writes: u64,
    /// Vectors that were to be stored and were not: refused by the server, lost, or too many at once.
    pub dropped_writes: u64,
    /// Vectors that are being stored, or wait for it.
    pub queued_writes: u64,
    /// Whether there is a connection.
    pub connected: bool,
    /// Whether the tier is left alone by reads because they failed.
    pub reads_suspended: bool,
    /// Whether the tier is left alone by writes because they failed.
    pub writes_suspended: bool,
    /// How often reads or writes were suspended.
    pub breaker_trips: u64,
}

pub(super) fn hit_rate(hits: u64, misses: u64) -> Option<f64> {
    let answered = hits + misses;
    (answered > 0).then(|| hits as f64 / answered as f64)
}

// The signature is serde's.
fn name<S: Serializer>(tier: &RedisTier, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(tier.as_str())
}
