//! `redis_hot`, `redis_warm`, `redis_cold`: the tiers of the cache on Redis servers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address;
use super::keys::Keys;
use super::kinds::{Flag, Optional, Place, Secret, Text, Time, whole};
use super::units::show_duration;

/// A tier on Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RedisTier {
    /// `redis_hot`.
    Hot,
    /// `redis_warm`.
    Warm,
    /// `redis_cold`.
    Cold,
}

/// `redis_hot`, `redis_warm`, `redis_cold`.
///
/// Debug output shows no secret: the address without its user part, and whether there is a password.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `host:port`, or a URL: `redis://`, `rediss://` (TLS) or `unix://`. Of a cluster or of sentinels, some of
    /// them, separated by commas.
    pub addr: String,
    /// How long a vector is kept.
    pub ttl: Duration,
    /// The user of Redis's ACL.
    pub username: Option<String>,
    /// The password. In a file also as `password_file`, the name of a file that holds it.
    pub password: Option<String>,
    /// The number of the database.
    pub db: Option<i64>,
    /// Whether `addr` is of a Redis Cluster.
    pub cluster: bool,
    /// The name of the master that the sentinels at `addr` know.
    pub sentinel_master: Option<String>,
    /// A file of certificates (PEM) to trust instead of those that Mozilla trusts.
    pub tls_ca: Option<PathBuf>,
}

impl RedisTier {
    /// The tiers, first asked first.
    pub const ALL: [RedisTier; 3] = [RedisTier::Hot, RedisTier::Warm, RedisTier::Cold];

    /// The name: `hot`, `warm`, `cold`.
    pub fn as_str(self) -> &'static str {
        match self {
            RedisTier::Hot => "hot",
            RedisTier::Warm => "warm",
            RedisTier::Cold => "cold",
        }
    }

    /// How long a vector is kept where the configuration does not say: 1 hour, 24 hours, 7 days.
    pub fn default_ttl(self) -> Duration {
        const HOUR: u64 = 60 * 60;
        Duration::from_secs(match self {
            RedisTier::Hot => HOUR,
            RedisTier::Warm => 24 * HOUR,
            RedisTier::Cold => 7 * 24 * HOUR,
        })
    }
}

impl RedisConfig {
    /// The server at `addr`, without a user and a password.
    pub fn new(addr: impl Into<String>, ttl: Duration) -> Self {
        RedisConfig {
            addr: addr.into(),
            ttl,
            username: None,
            password: None,
            db: None,
            cluster: false,
            sentinel_master: None,
            tls_ca: None,
        }
    }

    /// The address as it may be logged: without a user and a password, which a URL may hold.
    pub fn shown_addr(&self) -> String {
        address::masked(&self.addr)
    }

    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("addr", address::Address, &mut self.addr);
        const DAY: u64 = 24 * 60 * 60;
        let ttl = Duration::from_secs(1)..=Duration::from_secs(365 * DAY);
        keys.key("ttl", Time(ttl), &mut self.ttl);
        let user = Text { expected: "the name of a user", allowed: is_word };
        keys.key("username", Optional(user), &mut self.username);
        let password = Secret { expected: "a password", allowed: |text| !text.is_empty() };
        keys.key("password", Optional(password), &mut self.password);
        keys.file("password_file", "password", |text| {
            // Whoever writes such a file ends it with a line break, or does not.
            match text.trim_end_matches(['\r', '\n']) {
                "" => Err("no password in it"),
                password => {
                    self.password = Some(password.to_owned());
                    Ok(())
                }
            }
        });
        keys.key("db", Optional(whole(0..=i64::from(i32::MAX))), &mut self.db);
        keys.key("cluster", Flag, &mut self.cluster);
        let master = Text { expected: "the name of a master", allowed: is_word };
        keys.key("sentinel_master", Optional(master), &mut self.sentinel_master);
        let expected = "a file of certificates (PEM)";
        keys.key("tls_ca", Optional(Place { expected }), &mut self.tls_ca);
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The address, without secrets, and for how long: for logs.
impl fmt::Display for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.shown_addr(), show_duration(self.ttl))
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("addr", &self.shown_addr())
            .field("ttl", &self.ttl)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| super::MASK))
            .field("db", &self.db)
            .field("cluster", &self.cluster)
            .field("sentinel_master", &self.sentinel_master)
            .field("tls_ca", &self.tls_ca)
            .finish()
    }
}
