//! The cache against real Redis servers.

// clippy.toml allows these in test functions, which it does not take helpers for.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod administration;
mod deployments;
mod faults;
#[path = "../../tests/support/redis_server.rs"]
mod redis_server;
mod semantics;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;

use super::{Cache, Entry, Facts, Key, TierStats};
use crate::Fingerprint;
use crate::config::{CacheConfig, RedisConfig, RedisTier};
use redis_server::{Redis, wait_until};

const DIMS: usize = 384;
const TTL: Duration = Duration::from_secs(3600);

/// A cache with the runtime that its connections live on.
struct Setup {
    cache: Arc<Cache>,
    registry: Registry,
    _io: Runtime,
}

/// The tiers at these addresses, hot first.
fn tiers(addresses: &[String]) -> Vec<(RedisTier, RedisConfig)> {
    let configs = addresses.iter().map(|addr| RedisConfig::new(addr, TTL));
    RedisTier::ALL.into_iter().zip(configs).collect()
}

/// Settings under which a busy machine changes nothing: no test of semantics depends on the budget.
fn patient() -> CacheConfig {
    CacheConfig { budget: Duration::from_secs(20), ..CacheConfig::default() }
}

impl Setup {
    fn new(config: &CacheConfig, tiers: &[(RedisTier, RedisConfig)]) -> Self {
        // Time and network, and one thread: what blocks it would show.
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let io = io.unwrap();
        let mut registry = Registry::with_prefix("isovec");
        let tiers: Vec<_> = tiers.iter().map(|(tier, redis)| (*tier, redis)).collect();
        let cache = Cache::new(config, &tiers, &mut registry, io.handle()).unwrap();
        Setup { cache: Arc::new(cache), registry, _io: io }
    }

    /// With these tiers, after all of them are connected.
    fn connected(config: &CacheConfig, tiers: &[(RedisTier, RedisConfig)]) -> Self {
        let setup = Setup::new(config, tiers);
        wait_until("all tiers are connected", || {
            setup.cache.stats().tiers.iter().all(|t| t.connected)
        });
        setup
    }

    fn get(&self, keys: &[Key]) -> Vec<Option<(Arc<Entry>, RedisTier)>> {
        block_on(self.cache.get_many(keys, DIMS))
    }

    /// Where each key was found; that what was found is right is checked.
    fn found(&self, keys: &[Key]) -> Vec<Option<RedisTier>> {
        let found = self.get(keys);
        keys.iter()
            .zip(found)
            .map(|(key, found)| {
                let (entry, tier) = found?;
                assert_eq!(*entry, right(key));
                Some(tier)
            })
            .collect()
    }

    /// Writes the right entries, and waits until they are stored in all tiers that are written to.
    fn store(&self, keys: &[Key]) {
        let entries: Vec<_> = keys.iter().map(|key| (*key, Arc::new(right(key)))).collect();
        self.cache.set_many(&entries);
        self.settle();
    }

    /// Waits until nothing waits to be written.
    fn settle(&self) {
        let settled = |stats: &TierStats| stats.queued_writes == 0;
        wait_until("all is written", || self.cache.stats().tiers.iter().all(settled));
    }

    fn tier(&self, tier: RedisTier) -> TierStats {
        self.cache.stats().tiers.into_iter().find(|stats| stats.tier == tier).unwrap()
    }

    fn metrics(&self) -> String {
        let mut out = String::new();
        prometheus_client::encoding::text::encode(&mut out, &self.registry).unwrap();
        out
    }
}

fn key(text: &str) -> Key {
    Key::of_text(Fingerprint::mock("cache tests", DIMS), None, text)
}

fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|i| key(&format!("text {i}"))).collect()
}

/// What belongs to a key: made of the key, so that any other vector is told from it.
fn right(key: &Key) -> Entry {
    let vector = (0..DIMS).map(|i| f32::from(key.input[i % 32]) / 256.0 - i as f32 / 1024.0);
    Entry {
        vector: vector.collect(),
        facts: Facts::Text { tokens: key.input[0].into(), truncated: false },
    }
}

/// An executor that is not tokio: the cache must not ask for one.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
