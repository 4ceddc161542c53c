//! The tiers on Redis, one below the other.

mod link;
mod meters;
mod names;
mod node;
mod queue;
mod server;
mod tier;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::memory::Memory;
use super::metrics::Lookups;
use super::{Entry, Key, TierStats};
use crate::Result;
use crate::config::{CacheConfig, RedisConfig, RedisTier};
use meters::Families;
pub(super) use names::Names;
pub(super) use node::{Cursor, Node, nodes_of};
pub(super) use server::Server;
use tier::{Answer, Tier};
pub(super) use wire::describe;

/// All tiers on Redis.
#[derive(Debug)]
pub(super) struct Tiers {
    ladder: Arc<Ladder>,
    write_to: Vec<RedisTier>,
    writers: Vec<AbortHandle>,
    io: Handle,
}

#[derive(Debug)]
struct Ladder {
    tiers: Vec<Arc<Tier>>,
    budget: Duration,
    memory: Option<Memory>,
}

/// What was found at a key, and in which tier.
type Found = Option<(Arc<Entry>, RedisTier)>;

impl Tiers {
    pub(super) fn start(
        config: &CacheConfig,
        tiers: &[(RedisTier, &RedisConfig)],
        memory: Option<&Memory>,
        lookups: &Lookups,
        registry: &mut Registry,
        io: &Handle,
    ) -> Result<Self> {
        // Every address is checked before the first connection is made.
        let mut servers = tiers
            .iter()
            .map(|(name, redis)| Ok((*name, redis.ttl, Server::new(*name, redis)?)))
            .collect::<Result<Vec<_>>>()?;
        servers.sort_by_key(|&(name, ..)| name);
        let families = Families::new(registry);
        let tiers: Vec<_> = servers
            .into_iter()
            .map(|(name, ttl, server)| {
                let meters = families.of(name, lookups);
                Arc::new(Tier::start(name, server, ttl, config, meters, io))
            })
            .collect();
        let writers = tiers
            .iter()
            .map(|tier| io.spawn(Arc::clone(tier).write_all()).abort_handle())
            .collect();
        let ladder = Arc::new(Ladder { tiers, budget: config.budget, memory: memory.cloned() });
        Ok(Tiers { ladder, write_to: config.write_to.clone(), writers, io: io.clone() })
    }

    /// Runs where the connections live, so that any executor may wait for it. One that stops waiting ends
    /// nothing: what is found is still put into memory.
    pub(super) async fn get_many(&self, keys: &[Key], dims: usize) -> Vec<Found> {
        let ladder = Arc::clone(&self.ladder);
        let wanted: Arc<[Key]> = keys.into();
        let climb = self.io.spawn(async move { ladder.climb_down(&wanted, dims).await });
        // It fails only as the runtime shuts down.
        climb.await.unwrap_or_else(|_| vec![None; keys.len()])
    }

    pub(super) fn set_many(&self, entries: &[(Key, Arc<Entry>)]) {
        for tier in &self.ladder.tiers {
            if self.write_to.contains(&tier.name) {
                tier.write_soon(entries.iter().cloned());
            }
        }
    }

    pub(super) fn stats(&self) -> Vec<TierStats> {
        self.ladder.tiers.iter().map(|tier| tier.stats()).collect()
    }
}

impl Drop for Tiers {
    fn drop(&mut self) {
        for writer in &self.writers {
            writer.abort();
        }
    }
}

impl Ladder {
    async fn climb_down(&self, keys: &[Key], dims: usize) -> Vec<Found> {
        let end = Instant::now() + self.budget;
        let mut found: Vec<Found> = vec![None; keys.len()];
        // For each tier what it said of each key that it was asked for.
        let mut said: Vec<Vec<(usize, Answer)>> = Vec::with_capacity(self.tiers.len());
        for (above, tier) in self.tiers.iter().enumerate() {
            let missing: Vec<usize> =
                (0..keys.len()).filter(|&index| found[index].is_none()).collect();
            if missing.is_empty() {
                break;
            }
            // An equal share of the time that is left, so that a tier that does not answer leaves some to those below.
            let now = Instant::now();
            let tiers_left = (self.tiers.len() - above) as u32;
            let until = now + end.saturating_duration_since(now) / tiers_left;
            let wanted: Vec<Key> = missing.iter().map(|&index| keys[index]).collect();
            let answers = tier.look_up(&wanted, dims, until).await;
            for (&index, answer) in missing.iter().zip(&answers) {
                if let Answer::Hit(entry) = answer {
                    found[index] = Some((Arc::clone(entry), tier.name));
                }
            }
            said.push(missing.into_iter().zip(answers).collect());
        }
        self.promote(keys, &found, &said);
        found
    }

    /// Puts what was found into memory, and into each tier above that said that it has it not.
    fn promote(&self, keys: &[Key], found: &[Found], said: &[Vec<(usize, Answer)>]) {
        if let Some(memory) = &self.memory {
            for (key, found) in keys.iter().zip(found) {
                if let Some((entry, _)) = found {
                    memory.insert(*key, Arc::clone(entry));
                }
            }
        }
        for (tier, answers) in self.tiers.iter().zip(said) {
            let missed = answers.iter().filter(|(_, answer)| matches!(answer, Answer::Miss));
            let promoted: Vec<_> = missed
                .filter_map(|&(index, _)| {
                    let (entry, _) = found.get(index)?.as_ref()?;
                    Some((*keys.get(index)?, Arc::clone(entry)))
                })
                .collect();
            if !promoted.is_empty() {
                tier.write_soon(promoted);
            }
        }
    }
}
