//! The service over Redis servers that fail, each in its way, while 16 callers embed: every caller gets the right
//! vector, in time, and what was broken is used again when it is whole, without a restart of ours.
#![cfg(feature = "redis")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/redis_server.rs"]
#[allow(dead_code, reason = "other tests need the rest")]
mod redis_server;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use isovec::config::{Config, RedisConfig};
use isovec::{EmbeddingService, Source};
use redis_server::{Redis, SlowWay, wait_until};

const CALLERS: usize = 16;
const TEXTS: usize = 40;
const HOUR: Duration = Duration::from_secs(3600);
/// How long things stay broken: longer than a breaker's cooldown here, so that there are probes.
const BROKEN: Duration = Duration::from_millis(1500);

/// Three servers for three tiers, and the ways to them.
struct Servers {
    all: [Redis; 3],
    ways: [SlowWay; 3],
}

/// A service on three tiers, and what it has to answer.
struct World {
    service: EmbeddingService,
    right: Vec<Vec<f32>>,
    stop: AtomicBool,
    times: Mutex<Vec<Duration>>,
}

fn text(number: usize) -> String {
    format!("the text of number {number}")
}

impl Servers {
    fn start(arguments: &[&str]) -> Self {
        let all = [(); 3].map(|()| Redis::with(arguments));
        let ways = all.each_ref().map(|server| SlowWay::to(server, Duration::ZERO));
        Servers { all, ways }
    }

    fn ask(&self, command: &[&str]) {
        self.all.iter().for_each(|server| drop(server.ask(command)));
    }

    /// Does something to every key there is.
    fn spoil(&self, spoil: impl Fn(&Redis, &str)) {
        for server in &self.all {
            server.keys().iter().for_each(|key| spoil(server, key));
        }
    }
}

impl World {
    /// The memory tier is off: it would hide what the servers do.
    fn on(ways: &[SlowWay; 3], password: Option<&str>) -> Self {
        let mut config = Config::default();
        // Vectors are made of a hash of the text: what is tested is where they come from.
        config.development.mock_mode = true;
        config.cache.memory_bytes = 0;
        config.cache.breaker_cooldown = Duration::from_millis(500);
        let tiers = [&mut config.redis_hot, &mut config.redis_warm, &mut config.redis_cold];
        for (tier, way) in tiers.into_iter().zip(ways) {
            let redis = tier.insert(RedisConfig::new(way.addr(), HOUR));
            redis.password = password.map(str::to_owned);
        }
        let service = EmbeddingService::new(config).unwrap();
        let computed = service.request().no_cache();
        let vector = |i| computed.embed_text(&text(i)).unwrap().vector().to_vec();
        let right = (0..TEXTS).map(vector).collect();
        World { service, right, stop: AtomicBool::new(false), times: Mutex::default() }
    }

    fn hits(&self) -> u64 {
        self.service.stats().cache.tiers.iter().map(|tier| tier.hits).sum()
    }

    fn wait_for_hits(&self) {
        let before = self.hits();
        wait_until("there are hits", || self.hits() > before + 100);
    }

    /// What a caller does all the time.
    fn call(&self, caller: usize) {
        for round in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let number = |i: usize| (caller * 3 + round + i * 11) % TEXTS;
            let texts: Vec<String> = (0..4).map(|i| text(number(i))).collect();
            let start = Instant::now();
            let served = self.service.request().embed_texts(&texts).unwrap();
            self.times.lock().unwrap().push(start.elapsed());
            for (i, served) in served.iter().enumerate() {
                assert_eq!(served.vector(), self.right[number(i)], "caller {caller}");
                assert!(matches!(served.source, Source::Redis(_) | Source::Computed));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The median of the requests since the last question.
    fn median(&self) -> Duration {
        let mut times = std::mem::take(&mut *self.times.lock().unwrap());
        assert!(times.len() >= CALLERS, "only {} requests", times.len());
        times.sort();
        times[times.len() / 2]
    }

    /// Runs `story` while callers embed, and checks that the counters add up.
    fn while_embedding(&self, story: impl FnOnce()) {
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..CALLERS).map(|caller| scope.spawn(move || self.call(caller))).collect();
            // A story that fails must end, too.
            let told = catch_unwind(AssertUnwindSafe(story));
            self.stop.store(true, Ordering::Relaxed);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            told.unwrap_or_else(|panic| resume_unwind(panic));
        });
        let stats = self.service.stats();
        assert_eq!((stats.text.failed, stats.text.rejected, stats.text.cancelled), (0, 0, 0));
        self.service.shutdown().unwrap();
    }
}

/// Healthy, then broken for a while, then mended. What is broken costs at most the budget of 50 ms, with room for a busy
/// machine, and far from what a client's defaults (500 ms and 1 s) would cost.
fn story(
    servers: &mut Servers,
    break_it: impl FnOnce(&mut Servers),
    mend: impl FnOnce(&mut Servers),
) {
    let world = World::on(&servers.ways, None);
    world.while_embedding(|| {
        world.wait_for_hits();
        break_it(servers);
        world.times.lock().unwrap().clear();
        thread::sleep(BROKEN);
        let median = world.median();
        assert!(median < Duration::from_millis(200), "{median:?} while broken");
        mend(servers);
        world.wait_for_hits();
    });
}

#[test]
fn killed_and_restarted() {
    let mut servers = Servers::start(&[]);
    story(
        &mut servers,
        |servers| servers.all.iter_mut().for_each(Redis::kill),
        |servers| servers.all.iter_mut().for_each(Redis::launch),
    );
}

#[test]
fn frozen() {
    let mut servers = Servers::start(&[]);
    story(
        &mut servers,
        |servers| servers.all.iter().for_each(Redis::freeze),
        |servers| servers.all.iter().for_each(Redis::thaw),
    );
}

#[test]
fn slow() {
    let mut servers = Servers::start(&[]);
    let delay = |millis| {
        move |servers: &mut Servers| {
            servers.ways.iter().for_each(|way| way.set_delay(Duration::from_millis(millis)));
        }
    };
    story(&mut servers, delay(400), delay(0));
}

#[test]
fn one_of_three_frozen() {
    let mut servers = Servers::start(&[]);
    story(&mut servers, |servers| servers.all[0].freeze(), |servers| servers.all[0].thaw());
}

#[test]
fn full() {
    let mut servers = Servers::start(&["--maxmemory-policy", "noeviction"]);
    story(
        &mut servers,
        |servers| {
            servers.ask(&["CONFIG", "SET", "maxmemory", "1"]);
            servers.spoil(|server, key| drop(server.ask(&["DEL", key])));
        },
        |servers| servers.ask(&["CONFIG", "SET", "maxmemory", "0"]),
    );
}

#[test]
fn read_only() {
    let mut servers = Servers::start(&[]);
    story(
        &mut servers,
        // Of a master that is not there: what a replica has is kept, and nothing can be written.
        |servers| servers.ask(&["REPLICAOF", "127.0.0.1", "1"]),
        |servers| servers.ask(&["REPLICAOF", "NO", "ONE"]),
    );
}

#[test]
fn wrong_types() {
    let mut servers = Servers::start(&[]);
    let spoil = |server: &Redis, key: &str| {
        drop(server.ask(&[
            "EVAL",
            "redis.call('DEL', KEYS[1]) redis.call('RPUSH', KEYS[1], 'x')",
            "1",
            key,
        ]));
    };
    story(&mut servers, |servers| servers.spoil(spoil), |_| ());
}

#[test]
fn corrupt_values() {
    let mut servers = Servers::start(&[]);
    story(
        &mut servers,
        |servers| servers.spoil(|server, key| drop(server.ask(&["SETRANGE", key, "200", "!!!!"]))),
        |_| (),
    );
}

#[test]
fn a_wrong_password_that_is_mended() {
    let arguments = ["--requirepass", "of-the-server"];
    let mut servers = Servers::start(&arguments);
    servers.all = servers.all.map(|server| server.cli(&["-a", "of-the-server"]));
    let world = World::on(&servers.ways, Some("of-the-service"));
    world.while_embedding(|| {
        thread::sleep(BROKEN);
        let median = world.median();
        assert!(median < Duration::from_millis(200), "{median:?} without a connection");
        assert_eq!(world.hits(), 0);
        servers.ask(&["CONFIG", "SET", "requirepass", "of-the-service"]);
        world.wait_for_hits();
    });
}

#[test]
fn absent_at_the_start() {
    let mut all = [(); 3].map(|()| Redis::absent(&[]));
    let ways = all.each_ref().map(|server| SlowWay::to(server, Duration::ZERO));
    let world = World::on(&ways, None);
    world.while_embedding(|| {
        thread::sleep(BROKEN);
        assert!(world.median() < Duration::from_millis(200));
        all.iter_mut().for_each(Redis::launch);
        world.wait_for_hits();
    });
}

#[test]
fn what_one_service_computed_another_one_finds() {
    let servers = Servers::start(&[]);
    let (first, second) = (World::on(&servers.ways, None), World::on(&servers.ways, None));
    let texts: Vec<String> = (0..TEXTS).map(text).collect();
    wait_until("all that is new is stored", || {
        first.service.request().embed_texts(&texts).unwrap();
        let served = second.service.request().embed_texts(&texts).unwrap();
        served.iter().all(|served| matches!(served.source, Source::Redis(_)))
    });
    let served = second.service.request().embed_texts(&texts).unwrap();
    for (served, right) in served.iter().zip(&first.right) {
        assert_eq!(served.vector(), right);
    }
}
