//! One tier: its server, its breakers, what waits to be written to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time;

use super::link::{Event, Link, Number};
use super::meters::{BreakerMeters, Meters};
use super::names::{Names, lifetime};
use super::queue::Queue;
use super::server::Server;
use super::wire::{self, Failure, Got};
use crate::cache::breaker::{Breaker, Change};
use crate::cache::stats::{TierStats, hit_rate};
use crate::cache::{Entry, Key, codec};
use crate::config::{CacheConfig, RedisTier, ValueType};

/// How long a round trip that stores vectors may take. Nobody waits for it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// The most keys of one round trip. A larger request makes several, and what was found until its time was up is used.
const MOST_KEYS: usize = 256;

#[derive(Debug)]
pub(super) struct Tier {
    pub(super) name: RedisTier,
    pub(super) queue: Queue,
    names: Names,
    ttl: Duration,
    jitter: f64,
    value_type: ValueType,
    link: Link,
    guards: Arc<Guards>,
    meters: Arc<Meters>,
}

/// Reads and writes fail apart: a full server and a replica answer reads, and refuse writes.
#[derive(Debug)]
struct Guards {
    reads: Breaker,
    writes: Breaker,
}

/// What a tier said of a key.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Hit(Arc<Entry>),
    Miss,
    /// It was not asked, or did not answer.
    Unknown,
}

impl Tier {
    pub(super) fn start(
        name: RedisTier,
        server: Server,
        ttl: Duration,
        config: &CacheConfig,
        meters: Meters,
        io: &Handle,
    ) -> Self {
        let breaker = || Breaker::new(config.breaker_failures, config.breaker_cooldown);
        let guards = Arc::new(Guards { reads: breaker(), writes: breaker() });
        let meters = Arc::new(meters);
        let link = Link::start(name.as_str(), server, io, {
            let (guards, meters) = (Arc::clone(&guards), Arc::clone(&meters));
            move |event| guards.note(event, &meters)
        });
        Tier {
            name,
            queue: Queue::default(),
            names: Names::new(&config.key_prefix, name),
            ttl,
            jitter: config.ttl_jitter,
            value_type: config.value_type,
            link,
            guards,
            meters,
        }
    }

    /// What is at `keys`, as far as that is known by `until`.
    pub(super) async fn look_up(
        &self,
        keys: &[Key],
        dims: usize,
        until: time::Instant,
    ) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(keys.len());
        for some in keys.chunks(MOST_KEYS) {
            match self.round_trip(some, until).await {
                Some(got) => {
                    answers
                        .extend(some.iter().zip(got).map(|(key, got)| self.judge(key, got, dims)));
                }
                None => {
                    self.meters.skipped.inc_by(some.len() as u64);
                    answers.resize(answers.len() + some.len(), Answer::Unknown);
                }
            }
        }
        answers
    }

    /// `None`: the server was not asked.
    async fn round_trip(&self, keys: &[Key], until: time::Instant) -> Option<Vec<Got>> {
        if until <= time::Instant::now() {
            return None;
        }
        let (number, mut connection) = self.link.connection()?;
        if !self.guards.reads.allows(Instant::now()) {
            return None;
        }
        let names: Vec<String> = keys.iter().map(|key| self.names.of(key)).collect();
        let start = Instant::now();
        let got = wire::get(&mut connection, &names, until).await;
        self.meters.seconds.observe(start.elapsed().as_secs_f64());
        let failure = wire::worst(got.iter().map(|got| match got {
            Got::Failed(failure) => Some(failure),
            _ => None,
        }));
        self.learn("read", &self.guards.reads, &self.meters.reads, number, failure);
        Some(got)
    }

    fn judge(&self, key: &Key, got: Got, dims: usize) -> Answer {
        let meters = &self.meters;
        match got {
            Got::Value(bytes) => match codec::decode(key, &bytes, dims) {
                Ok(entry) => {
                    meters.hits.inc();
                    return Answer::Hit(Arc::new(entry));
                }
                Err(invalid) => meters.count_invalid(invalid),
            },
            Got::WrongType => {
                meters.wrong_type.inc();
            }
            Got::Nothing => {}
            Got::Failed(_) => {
                meters.errors.inc();
                return Answer::Unknown;
            }
        }
        meters.misses.inc();
        Answer::Miss
    }

    /// Has entries written soon, as many as there is room for.
    pub(super) fn write_soon(&self, entries: impl IntoIterator<Item = (Key, Arc<Entry>)>) {
        self.meters.dropped.inc_by(self.queue.push(entries) as u64);
    }

    /// Writes what is in the queue, for ever.
    pub(super) async fn write_all(self: Arc<Self>) {
        loop {
            let entries = self.queue.take().await;
            self.write(&entries).await;
            self.queue.done(entries.len());
        }
    }

    async fn write(&self, entries: &[(Key, Arc<Entry>)]) {
        let connection = self.link.connection();
        let Some((number, mut connection)) =
            connection.filter(|_| self.guards.writes.allows(Instant::now()))
        else {
            self.meters.dropped.inc_by(entries.len() as u64);
            return;
        };
        let values: Vec<_> = entries
            .iter()
            .map(|(key, entry)| {
                let millis = lifetime(key, self.ttl, self.jitter);
                (self.names.of(key), codec::encode(key, entry, self.value_type), millis)
            })
            .collect();
        let values = values.iter().map(|(name, value, millis)| (&**name, &**value, *millis));
        let until = time::Instant::now() + WRITE_TIMEOUT;
        let answers = wire::set(&mut connection, values, until).await;
        let failed = answers.iter().filter(|answer| answer.is_err()).count();
        self.meters.failed.inc_by(failed as u64);
        self.meters.stored.inc_by((entries.len() - failed) as u64);
        let failure = wire::worst(answers.iter().map(|answer| answer.as_ref().err()));
        self.learn("write", &self.guards.writes, &self.meters.writes, number, failure);
    }

    /// Draws the conclusions from a round trip.
    fn learn(
        &self,
        operation: &'static str,
        breaker: &Breaker,
        meters: &BreakerMeters,
        number: Number,
        failure: Option<&Failure>,
    ) {
        let tier = self.name.as_str();
        let Some(failure) = failure else {
            if breaker.success() == Change::Closed {
                meters.open.set(0);
                tracing::info!(tier, operation, "Redis answers again: the cache uses it");
            }
            return;
        };
        let change = breaker.failure(Instant::now());
        if change == Change::Opened {
            meters.open.set(1);
            meters.trips.inc();
            tracing::warn!(
                tier,
                operation,
                failure = failure.code(),
                "Redis fails: the cache leaves it alone for a while"
            );
        }
        if *failure == Failure::Lost {
            self.link.lost(number);
        } else if matches!(change, Change::Opened | Change::Reopened)
            && failure.is_of_the_connection()
        {
            self.link.suspect(number);
        }
    }

    pub(super) fn stats(&self) -> TierStats {
        let meters = &self.meters;
        let (hits, misses) = (meters.hits.get(), meters.misses.get());
        TierStats {
            tier: self.name,
            hits,
            misses,
            errors: meters.errors.get(),
            skipped: meters.skipped.get(),
            hit_rate: hit_rate(hits, misses),
            invalid_values: meters.invalid(),
            writes: meters.stored.get(),
            dropped_writes: meters.failed.get() + meters.dropped.get(),
            queued_writes: self.queue.unwritten(),
            connected: self.link.connection().is_some(),
            reads_suspended: self.guards.reads.is_open(),
            writes_suspended: self.guards.writes.is_open(),
            breaker_trips: meters.reads.trips.get() + meters.writes.trips.get(),
        }
    }
}

impl Guards {
    fn note(&self, event: Event, meters: &Meters) {
        match event {
            Event::Connected | Event::Replaced => {
                meters.connected.set(1);
                meters.connections.inc();
            }
            Event::Disconnected => {
                meters.connected.set(0);
            }
        }
        if event == Event::Connected {
            let now = Instant::now();
            self.reads.probe_next(now);
            self.writes.probe_next(now);
        }
    }
}
