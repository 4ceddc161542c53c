//! What stands for the tiers on Redis in a program without the `redis` feature.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::memory::Memory;
use super::metrics::Lookups;
use super::{Entry, Key, TierStats};
use crate::config::{CacheConfig, RedisConfig, RedisTier};
use crate::{Error, ErrorKind, Result};

/// Never there.
#[derive(Debug)]
pub(super) enum Tiers {}

impl Tiers {
    /// Says that there can be none.
    pub(super) fn start(
        _: &CacheConfig,
        tiers: &[(RedisTier, &RedisConfig)],
        _: Option<&Memory>,
        _: &Lookups,
        _: &mut Registry,
        _: &Handle,
    ) -> Result<Self> {
        let names: Vec<_> =
            tiers.iter().map(|(tier, _)| format!("redis_{}", tier.as_str())).collect();
        Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "{}: this program was built without isovec's `redis` feature",
                names.join(", ")
            ),
        ))
    }

    pub(super) async fn get_many(
        &self,
        _: &[Key],
        _: usize,
    ) -> Vec<Option<(Arc<Entry>, RedisTier)>> {
        match *self {}
    }

    pub(super) fn set_many(&self, _: &[(Key, Arc<Entry>)]) {
        match *self {}
    }

    pub(super) fn stats(&self) -> Vec<TierStats> {
        match *self {}
    }
}
