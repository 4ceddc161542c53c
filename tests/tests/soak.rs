//! The service at full load for a while, with everything around it going wrong: the tiers on Redis are killed, frozen,
//! filled with rubbish and emptied, models come and go, callers leave. Every vector must be right, every error one that
//! is documented, every request counted, and nothing may leak.
//!
//! Some seconds by default, so that it can run with all tests; `scripts/soak` runs it for as long as it is told.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test fails it"
)]

#[path = "../../crates/native/tests/support/redis_server.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod redis_server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isovec::config::{Config, ModelConfig, RedisConfig, RedisTier};
use isovec::{EmbeddingService, ErrorKind, TextEmbedder};
use isovec_tests::test_models;
use redis_server::Redis;

const CALLERS: u64 = 16;
/// Enough that the memory tier cannot hold them all.
const TEXTS: u64 = 4000;

/// A generator that is the same for everybody: the soak can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// Some texts are asked for often, most seldom.
    fn text(&mut self) -> String {
        let number = self.roll(TEXTS) * self.roll(TEXTS) / TEXTS;
        format!("text {number} {}", "of some length ".repeat((number % 7) as usize))
    }
}

/// What all threads share.
struct Soak {
    service: EmbeddingService,
    /// What the vectors must be.
    model: TextEmbedder,
    stop: AtomicBool,
    begun: AtomicU64,
    /// How requests ended, by the kind of their error.
    ended: Mutex<BTreeMap<String, u64>>,
}

impl Soak {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, how: &str) {
        *self.ended.lock().unwrap().entry(how.to_owned()).or_default() += 1;
    }

    /// Asks, and holds what comes against the model itself.
    fn ask(&self, dice: &mut Dice) {
        let texts: Vec<String> = (0..1 + dice.roll(4)).map(|_| dice.text()).collect();
        let name = if dice.roll(8) == 0 { "extra" } else { "m" };
        let mut request = self.service.request().model(name);
        if dice.roll(20) == 0 {
            request = request.timeout(Duration::from_millis(1));
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        match request.embed_texts(&texts) {
            Ok(served) => {
                for (text, served) in texts.iter().zip(served) {
                    let own = self.model.embed(text).unwrap();
                    assert_eq!(served.vector(), own.vector(), "a wrong vector of {text:?}");
                    assert_eq!(served.tokens, own.tokens);
                }
                self.note("success");
            }
            Err(e) => {
                let expected = match e.kind() {
                    ErrorKind::Overloaded => e.retry_after().is_some(),
                    ErrorKind::TimedOut => true,
                    ErrorKind::NotFound => name == "extra",
                    _ => false,
                };
                assert!(expected, "{}: {e}", e.kind());
                self.note(e.kind().as_str());
            }
        }
    }

    /// Asks and leaves after a moment.
    async fn ask_and_leave(&self, dice: &mut Dice) {
        let texts: Vec<String> = (0..8).map(|_| dice.text()).collect();
        let request = self.service.request().model("m").no_cache();
        self.begun.fetch_add(1, Ordering::Relaxed);
        let moment = Duration::from_micros(dice.roll(3000));
        match tokio::time::timeout(moment, request.embed_texts_async(&texts)).await {
            Err(_) => self.note("cancelled"),
            Ok(Ok(_)) => self.note("success"),
            Ok(Err(e)) => self.note(e.kind().as_str()),
        }
    }

    /// Does something to one of the servers, and undoes it.
    fn break_something(&self, servers: &mut [Redis], dice: &mut Dice) {
        let pause = || std::thread::sleep(Duration::from_millis(300));
        let which = dice.roll(servers.len() as u64) as usize;
        let server = &mut servers[which];
        match dice.roll(6) {
            0 => {
                server.kill();
                pause();
                server.launch();
            }
            1 => {
                server.freeze();
                pause();
                server.thaw();
            }
            2 => drop(server.ask(&["FLUSHALL"])),
            3 => {
                for key in server.keys().iter().take(50) {
                    server.ask(&["SET", key, "rubbish"]);
                }
            }
            4 => {
                for key in server.keys().iter().take(50) {
                    server.ask(&["DEL", key]);
                    server.ask(&["RPUSH", key, "a list"]);
                }
            }
            _ => {
                server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
                pause();
                server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
            }
        }
        pause();
    }
}

#[test]
fn soak() {
    let seconds = std::env::var("ISOVEC_SOAK_SECONDS").map_or(20, |text| text.parse().unwrap());
    let mut servers: Vec<Redis> = (0..3).map(|_| Redis::start()).collect();
    let soak = Arc::new(start(&servers));
    let end = Instant::now() + Duration::from_secs(seconds);

    let mut threads = Vec::new();
    for caller in 0..CALLERS {
        let soak = Arc::clone(&soak);
        threads.push(std::thread::spawn(move || {
            let mut dice = Dice(caller);
            while soak.goes_on() {
                soak.ask(&mut dice);
            }
        }));
    }
    threads.push(std::thread::spawn({
        let soak = Arc::clone(&soak);
        move || come_and_leave(&soak)
    }));
    threads.push(std::thread::spawn({
        let soak = Arc::clone(&soak);
        move || load_and_unload(&soak)
    }));

    let mut dice = Dice(1);
    let mut memory = Vec::new();
    while Instant::now() < end {
        soak.break_something(&mut servers, &mut dice);
        memory.push(resident_kib());
    }
    soak.stop.store(true, Ordering::Relaxed);
    let failed = threads.into_iter().map(|thread| thread.join()).filter(Result::is_err).count();
    assert_eq!(failed, 0, "of the threads");

    // The servers are all there again, and so must the tiers be, without a restart.
    redis_server::wait_until("all tiers are used again", || {
        let text = format!("after the storm {:?}", Instant::now());
        soak.begun.fetch_add(1, Ordering::Relaxed);
        soak.service.request().model("m").embed_text(&text).unwrap();
        soak.note("success");
        let tiers = soak.service.stats().cache.tiers;
        tiers.iter().all(|tier| tier.connected && !tier.reads_suspended && !tier.writes_suspended)
    });
    report(&soak, seconds, &memory);
    soak.service.shutdown().unwrap();
}

fn start(servers: &[Redis]) -> Soak {
    let folder = test_models().join("mean-opset17");
    let model = TextEmbedder::open(&folder.to_string_lossy()).unwrap();
    let named = ModelConfig::at(folder);
    let mut config = Config::default();
    config.models.insert("m".into(), named);
    // Small, so that it is soon full and everything goes on to be evicted.
    config.cache.memory_bytes = 1 << 20;
    config.cache.breaker_cooldown = Duration::from_millis(200);
    config.performance.max_concurrent_requests = 64;
    config.performance.max_queue = 64;
    config.server.max_inputs = 64;
    let tier = |at: usize| {
        let ttl = RedisTier::ALL[at].default_ttl();
        Some(RedisConfig::new(servers[at].addr(), ttl))
    };
    (config.redis_hot, config.redis_warm, config.redis_cold) = (tier(0), tier(1), tier(2));
    Soak {
        service: EmbeddingService::new(config).unwrap(),
        model,
        stop: AtomicBool::new(false),
        begun: AtomicU64::new(0),
        ended: Mutex::default(),
    }
}

fn come_and_leave(soak: &Soak) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut dice = Dice(99);
    while soak.goes_on() {
        runtime.block_on(soak.ask_and_leave(&mut dice));
    }
}

fn load_and_unload(soak: &Soak) {
    let extra = ModelConfig::at(test_models().join("mean-opset17"));
    while soak.goes_on() {
        soak.service.load_model("extra", &extra).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        soak.service.unload_model("extra").unwrap();
    }
}

#[expect(clippy::print_stderr, reason = "what scripts/soak shows")]
fn report(soak: &Soak, seconds: u64, memory: &[u64]) {
    let stats = soak.service.stats();
    let ended = soak.ended.lock().unwrap().clone();
    eprintln!("{seconds} s, {} requests: {ended:?}", soak.begun.load(Ordering::Relaxed));
    eprintln!("{stats:#?}");

    let count = |how: &str| ended.get(how).copied().unwrap_or(0);
    let all: u64 = ended.values().sum();
    assert_eq!(soak.begun.load(Ordering::Relaxed), all, "every request ended");
    let requests = stats.text;
    assert_eq!(requests.total(), all, "every request was counted");
    assert_eq!(requests.succeeded, count("success"));
    assert_eq!(requests.rejected, count("overloaded"));
    assert_eq!(requests.cancelled, count("cancelled"));
    assert_eq!(requests.failed, count("timed_out") + count("not_found"));
    assert_eq!((stats.in_flight, stats.queue_depth), (0, 0));
    assert!(count("success") > 100 && count("cancelled") > 0, "{ended:?}");
    let hits = stats.cache.tiers.iter().map(|tier| tier.hits).sum::<u64>();
    assert!(hits > 0, "the tiers were of use in between");

    // The first third warms up: caches fill, the allocator takes what it needs.
    let (warm, late) = (
        middle(&memory[memory.len() / 3..memory.len() * 2 / 3]),
        middle(&memory[memory.len() * 2 / 3..]),
    );
    eprintln!("resident: {} KiB at first, {warm} in the middle, {late} at the end", memory[0]);
    assert!(late < warm + warm / 10 + 8192, "it grows: {memory:?}");
}

fn middle(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(u64::MAX / 2)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
