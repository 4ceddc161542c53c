//! Looks after the tiers on Redis from outside of the service: what is in them, and how to empty them.
//!
//! ```no_run
//! # async fn f(config: &isovec::config::Config) -> isovec::Result<()> {
//! use std::ops::ControlFlow;
//!
//! use isovec::cache::admin::CacheAdmin;
//!
//! let admin = CacheAdmin::new(config)?;
//! for tier in admin.tiers() {
//!     let report = admin.inspect(tier).await?;
//!     println!("{}: {} vectors, {:?} away", tier.as_str(), report.keys, report.ping);
//!     admin.clear(tier, |_| ControlFlow::Continue(())).await?;
//! }
//! # Ok(())
//! # }
//! ```

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use redis::RedisError;

use super::tiers::{Cursor, Names, Node, Server, describe, nodes_of};
use crate::config::{Config, RedisConfig, RedisTier};
use crate::{Error, ErrorKind, Result};

/// How many keys are asked for their memory, at most. Those of one model are of one size.
const SAMPLE: usize = 1000;
/// How many keys the server is asked to look through at a time: a millisecond of its work.
const PAGE: usize = 1000;
/// Of so many answers the median is the ping.
const PINGS: usize = 5;

/// Connects to the tiers of a configuration, apart from any service that uses them.
///
/// All of it is to be awaited in a tokio runtime with time and network.
#[derive(Debug)]
pub struct CacheAdmin {
    tiers: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    name: RedisTier,
    server: Server,
    names: Names,
    ttl: Duration,
}

/// What [`CacheAdmin::inspect`] found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TierReport {
    /// Which tier.
    pub tier: RedisTier,
    /// How long it keeps a vector, at most.
    pub ttl: Duration,
    /// The number of servers that keep its keys: more than one in a cluster.
    pub servers: usize,
    /// How long an answer takes; in a cluster the slowest server's.
    pub ping: Duration,
    /// The number of vectors.
    pub keys: u64,
    /// The memory that they take. Up to 1000 vectors are measured, and more are taken to be of their mean size. `None` if
    /// the user may not ask for it.
    pub key_bytes: Option<u64>,
    /// The memory that the servers use for everything. `None` if the user may not ask for it.
    pub used_memory: Option<u64>,
    /// What they may use. `None` if it is not limited, or if the user may not ask for it.
    pub max_memory: Option<u64>,
}

impl CacheAdmin {
    /// The tiers of a configuration. Connects to nothing.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if an address or a file of certificates cannot be used.
    pub fn new(config: &Config) -> Result<Self> {
        let target = |(name, redis): (RedisTier, &RedisConfig)| {
            let server = Server::new(name, redis)?;
            let names = Names::new(&config.cache.key_prefix, name);
            Ok(Target { name, server, names, ttl: redis.ttl })
        };
        let tiers = config.redis_tiers().into_iter().map(target);
        Ok(CacheAdmin { tiers: tiers.collect::<Result<_>>()? })
    }

    /// The tiers that the configuration has.
    pub fn tiers(&self) -> impl Iterator<Item = RedisTier> {
        self.tiers.iter().map(|target| target.name)
    }

    /// Looks at a tier. Reads all names of keys on its servers, a thousand at a time.
    ///
    /// # Errors
    ///
    /// `NotFound` if the configuration has no such tier, `Network` if it cannot be reached, or does not allow to
    /// list keys.
    pub async fn inspect(&self, tier: RedisTier) -> Result<TierReport> {
        let target = self.target(tier)?;
        let mut report = TierReport {
            tier,
            ttl: target.ttl,
            servers: 0,
            ping: Duration::ZERO,
            keys: 0,
            key_bytes: None,
            used_memory: Some(0),
            max_memory: Some(0),
        };
        let mut sample = Vec::new();
        for mut node in target.nodes().await? {
            report.servers += 1;
            report.ping = report.ping.max(ping(&mut node).await.map_err(|e| target.failed(&e))?);
            let memory = node.memory().await;
            let used = memory.map(|memory| memory.used);
            let most = memory.and_then(|memory| memory.most);
            report.used_memory = report.used_memory.zip(used).map(|(a, b)| a + b);
            report.max_memory = report.max_memory.zip(most).map(|(a, b)| a + b);
            let mut cursor = Cursor::start();
            while let Some(keys) = target.more(&mut node, &mut cursor).await? {
                report.keys += keys.len() as u64;
                let wanted = SAMPLE - sample.len().min(SAMPLE);
                sample.extend(node.sizes(keys.get(..wanted).unwrap_or(&keys)).await);
            }
        }
        if !sample.is_empty() || report.keys == 0 {
            let mean = sample.iter().sum::<u64>() as f64 / sample.len().max(1) as f64;
            report.key_bytes = Some((mean * report.keys as f64) as u64);
        }
        Ok(report)
    }

    /// Removes a tier's vectors, of all models and of all versions of isovec, and nothing else: what is on the servers under
    /// other names stays. Says how many there were; `progress` is told as they go, and can break it off.
    ///
    /// # Errors
    ///
    /// `NotFound` if the configuration has no such tier, `Network` if it cannot be reached, or does not allow it.
    pub async fn clear(
        &self,
        tier: RedisTier,
        mut progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<u64> {
        let target = self.target(tier)?;
        let mut removed = 0;
        for mut node in target.nodes().await? {
            let mut cursor = Cursor::start();
            while let Some(keys) = target.more(&mut node, &mut cursor).await? {
                removed += node.unlink(&keys).await.map_err(|e| target.failed(&e))?;
                if progress(removed).is_break() {
                    return Ok(removed);
                }
            }
        }
        Ok(removed)
    }

    fn target(&self, tier: RedisTier) -> Result<&Target> {
        self.tiers.iter().find(|target| target.name == tier).ok_or_else(|| {
            let name = tier.as_str();
            Error::new(ErrorKind::NotFound, format!("the configuration has no redis_{name}"))
        })
    }
}

impl Target {
    async fn nodes(&self) -> Result<Vec<Node>> {
        let connection = self.server.connect().await.map_err(|e| self.failed(&e))?;
        nodes_of(connection).await.map_err(|e| self.failed(&e))
    }

    async fn more(&self, node: &mut Node, cursor: &mut Cursor) -> Result<Option<Vec<String>>> {
        node.keys(cursor, &self.names, PAGE).await.map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &RedisError) -> Error {
        let what = describe(error);
        Error::new(ErrorKind::Network, format!("redis_{}: {what}", self.name.as_str()))
    }
}

async fn ping(node: &mut Node) -> Result<Duration, RedisError> {
    let mut times = [Duration::ZERO; PINGS];
    for time in &mut times {
        let start = Instant::now();
        node.ping().await?;
        *time = start.elapsed();
    }
    times.sort();
    Ok(times[PINGS / 2])
}
