//! `cache`: what all tiers of the cache share, and the memory tier.

use std::time::Duration;

use super::keys::Keys;
use super::kinds::{Flag, List, OneOf, Size, Text, Time, real, whole};
use super::redis::RedisTier;

/// `cache`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Whether there is a cache at all.
    pub enabled: bool,
    /// The bound of the memory tier in bytes; 0 for none.
    pub memory_bytes: u64,
    /// What every key on Redis starts with.
    pub key_prefix: String,
    /// How the numbers of vectors are stored on Redis.
    pub value_type: ValueType,
    /// The most that all tiers on Redis together may add to a request.
    pub budget: Duration,
    /// The share by which lifetimes are spread, so that what was stored together does not end together.
    pub ttl_jitter: f64,
    /// The tiers on Redis that new vectors are written to; by default all three, which stands for those that
    /// are configured.
    pub write_to: Vec<RedisTier>,
    /// After so many failures in a row a tier is left alone.
    pub breaker_failures: u32,
    /// For so long, before one request tries it again.
    pub breaker_cooldown: Duration,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueType {
    /// 32 bits: a hit is the very vector that was computed.
    #[default]
    F32,
    /// 16 bits: half the memory; a hit is rounded to 11 bits of precision.
    F16,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            enabled: true,
            memory_bytes: 256 << 20,
            key_prefix: "isovec".to_owned(),
            value_type: ValueType::F32,
            budget: Duration::from_millis(50),
            ttl_jitter: 0.1,
            write_to: RedisTier::ALL.to_vec(),
            breaker_failures: 5,
            breaker_cooldown: Duration::from_secs(5),
        }
    }
}

impl CacheConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("enabled", Flag, &mut self.enabled);
        keys.key("memory_bytes", Size(0..=1 << 40), &mut self.memory_bytes);
        let prefix = Text {
            expected: "letters, digits, `.`, `_`, `-` and `:`, at most 64",
            allowed: is_key_prefix,
        };
        keys.key("key_prefix", prefix, &mut self.key_prefix);
        let types = OneOf(&[("f32", ValueType::F32), ("f16", ValueType::F16)]);
        keys.key("value_type", types, &mut self.value_type);
        let budget = Duration::from_millis(1)..=Duration::from_secs(10);
        keys.key("budget", Time(budget), &mut self.budget);
        keys.key("ttl_jitter", real(0.0..=0.5), &mut self.ttl_jitter);
        let tiers =
            OneOf(&[("hot", RedisTier::Hot), ("warm", RedisTier::Warm), ("cold", RedisTier::Cold)]);
        let tiers = List { of: tiers, expected: "a list of hot, warm and cold" };
        keys.key("write_to", tiers, &mut self.write_to);
        keys.key("breaker_failures", whole(1..=1000), &mut self.breaker_failures);
        let cooldown = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
        keys.key("breaker_cooldown", Time(cooldown), &mut self.breaker_cooldown);
    }
}

/// What Redis Cluster reads in braces decides where a key lies, and a pattern's `*` would clear too much: so
/// neither is part of a prefix.
fn is_key_prefix(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}
