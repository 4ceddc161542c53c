//! What is found where, and what is written where.

use std::time::Instant;

use super::redis_server::SlowWay;
use super::*;
use crate::config::ValueType;
use crate::{ErrorKind, ImageFormat};
use RedisTier::{Cold, Hot, Warm};

/// `PREFIX:v1:TIER:FINGERPRINT:SHA256` of each key, sorted.
fn names(tier: RedisTier, keys: &[Key]) -> Vec<String> {
    let hex = |key: &Key| -> String { key.input.iter().map(|b| format!("{b:02x}")).collect() };
    let name = |key: &Key| format!("isovec:v1:{}:{}:{}", tier.as_str(), key.fingerprint, hex(key));
    let mut names: Vec<_> = keys.iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn three_servers_are_three_tiers() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    let setup = Setup::connected(&patient(), &tiers(&servers.each_ref().map(Redis::addr)));
    let keys = keys(5);
    assert_eq!(setup.found(&keys), [None; 5]);
    setup.store(&keys);
    for (server, tier) in servers.iter().zip(RedisTier::ALL) {
        assert_eq!(server.keys(), names(tier, &keys));
    }
    assert_eq!(setup.found(&keys), [Some(Hot); 5]);
    servers[0].ask(&["FLUSHALL"]);
    assert_eq!(setup.found(&keys), [Some(Warm); 5]);
}

#[test]
fn new_vectors_are_written_where_the_policy_says() {
    let server = Redis::start();
    let config = CacheConfig { write_to: vec![Warm], ..patient() };
    let setup = Setup::connected(&config, &tiers(&[server.addr(), server.addr(), server.addr()]));
    let keys = keys(3);
    setup.store(&keys);
    assert_eq!(server.keys(), names(Warm, &keys));
}

#[test]
fn hits_are_promoted_to_the_tiers_above_and_to_memory() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    let config = CacheConfig { write_to: vec![Cold], ..patient() };
    let setup = Setup::connected(&config, &tiers(&servers.each_ref().map(Redis::addr)));
    let (keys, others) = (keys(8), [key("nowhere")]);
    setup.store(&keys[..5]);
    let all: Vec<Key> = keys.iter().chain(&others).copied().collect();
    let found = setup.found(&all);
    assert_eq!(found[..5], [Some(Cold); 5]);
    assert_eq!(found[5..], [None; 4]);
    setup.settle();
    for (server, tier) in servers.iter().zip(RedisTier::ALL) {
        assert_eq!(server.keys(), names(tier, &keys[..5]), "{tier:?}");
    }
    for key in &keys[..5] {
        assert_eq!(setup.cache.memory(key).as_deref(), Some(&right(key)));
    }
    assert_eq!(setup.cache.memory(&others[0]), None);
    // Promoted once: the hot tier has them now.
    let writes = setup.tier(Hot).writes;
    assert_eq!(setup.found(&keys[..5]), [Some(Hot); 5]);
    setup.settle();
    assert_eq!(setup.tier(Hot).writes, writes);
}

#[test]
fn lifetimes_are_those_of_the_tier_with_jitter() {
    let servers = [Redis::start(), Redis::start()];
    let mut tiers = tiers(&servers.each_ref().map(Redis::addr));
    tiers[1].1.ttl = 24 * TTL;
    let setup = Setup::connected(&patient(), &tiers);
    setup.store(&keys(50));
    for (server, ttl) in servers.iter().zip([TTL, 24 * TTL]) {
        let ttl = ttl.as_millis() as u64;
        let lives: Vec<u64> =
            server.keys().iter().map(|key| server.ask(&["PTTL", key]).parse().unwrap()).collect();
        let (low, high) = (*lives.iter().min().unwrap(), *lives.iter().max().unwrap());
        // A minute for a slow machine.
        assert!(low >= ttl / 10 * 9 - 60_000 && high <= ttl, "{low} to {high} of {ttl}");
        assert!(high - low > ttl / 20, "{low} to {high} of {ttl}: hardly spread");
    }
}

#[test]
fn tiers_may_share_a_server() {
    let server = Redis::start();
    let setup =
        Setup::connected(&patient(), &tiers(&[server.addr(), server.addr(), server.addr()]));
    let keys = keys(4);
    setup.store(&keys);
    let mut all: Vec<_> = RedisTier::ALL.iter().flat_map(|&tier| names(tier, &keys)).collect();
    all.sort();
    assert_eq!(server.keys(), all);
    for name in names(Hot, &keys) {
        server.ask(&["DEL", &name]);
    }
    assert_eq!(setup.found(&keys), [Some(Warm); 4]);
}

#[test]
fn a_batch_makes_one_round_trip_for_each_tier() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    // Every answer takes 100 ms: one by one, 32 of three tiers would take ten seconds.
    let ways = servers.each_ref().map(|server| SlowWay::to(server, Duration::from_millis(100)));
    let setup = Setup::connected(&patient(), &tiers(&ways.each_ref().map(SlowWay::addr)));
    let keys = keys(32);
    let start = Instant::now();
    assert_eq!(setup.found(&keys), [None; 32]);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300), "three answers cannot have come in {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?} is more than three round trips");
    setup.store(&keys);
    for server in &servers {
        assert_eq!((server.calls("get"), server.calls("set")), (32, 32));
        assert_eq!(server.calls("mget"), 0);
    }
    // The server says how often it had to read for them: once, or twice if they came in pieces; and once for the question.
    let before = servers[0].info("stats", "total_reads_processed");
    assert_eq!(setup.found(&keys), [Some(Hot); 32]);
    let reads = servers[0].info("stats", "total_reads_processed") - before;
    assert!(reads <= 3, "{reads} reads");
    assert_eq!(servers[1].calls("get"), 32, "warm was asked for what hot had");
}

#[test]
fn large_requests_are_found_whole() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr()]));
    let keys = keys(1000);
    setup.store(&keys);
    assert_eq!(server.keys().len(), 1000);
    assert_eq!(setup.found(&keys), [Some(Hot); 1000]);
}

#[test]
fn half_the_memory_with_f16() {
    let server = Redis::start();
    let config = CacheConfig { value_type: ValueType::F16, ..patient() };
    let setup = Setup::connected(&config, &tiers(&[server.addr(), server.addr()]));
    let key = key("a text");
    setup.store(&[key]);
    for name in server.keys() {
        assert_eq!(server.ask(&["STRLEN", &name]), (24 + 2 * DIMS).to_string());
    }
    let found = setup.get(&[key]).remove(0).unwrap();
    let right = right(&key);
    assert_eq!(found.0.facts, right.facts);
    for (found, right) in found.0.vector.iter().zip(&*right.vector) {
        assert!((found - right).abs() <= 0.0005, "{found} for {right}");
    }
    // A program that stores f32 reads it all the same.
    let other = Setup::connected(&patient(), &tiers(&[server.addr()]));
    assert_eq!(other.get(&[key]).remove(0).unwrap(), found);
}

#[test]
fn values_of_no_use_are_misses_and_are_overwritten() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr()]));
    let key = key("a text");
    let name = names(Hot, &[key]).remove(0);
    type Spoil = fn(&Redis, &str);
    let cases: &[(&str, Spoil)] = &[
        ("wrong_type", |server, name| {
            server.ask(&["DEL", name]);
            server.ask(&["RPUSH", name, "a list"]);
        }),
        ("wrong_type", |server, name| {
            server.ask(&["DEL", name]);
            server.ask(&["HSET", name, "field", "a hash"]);
        }),
        ("corrupt", |server, name| drop(server.ask(&["SETRANGE", name, "100", "x!x!"]))),
        ("corrupt", |server, name| drop(server.ask(&["SETRANGE", name, "4", "9"]))),
        ("corrupt", |server, name| drop(server.ask(&["APPEND", name, "more"]))),
        ("corrupt", |server, name| drop(server.ask(&["SET", name, ""]))),
        ("corrupt", |server, name| drop(server.ask(&["SET", name, "isvc"]))),
    ];
    for (count, (reason, spoil)) in cases.iter().enumerate() {
        setup.store(&[key]);
        assert_eq!(setup.found(&[key]), [Some(Hot)], "{reason} {count}");
        spoil(&server, &name);
        assert_eq!(setup.found(&[key]), [None], "{reason} {count}");
        assert_eq!(setup.tier(Hot).invalid_values, count as u64 + 1);
    }
    setup.store(&[key]);
    assert_eq!(setup.found(&[key]), [Some(Hot)]);
    let metrics = setup.metrics();
    for line in [
        "isovec_cache_invalid_values_total{tier=\"hot\",reason=\"wrong_type\"} 2",
        "isovec_cache_invalid_values_total{tier=\"hot\",reason=\"corrupt\"} 5",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    // None of them is the server's fault.
    assert_eq!(setup.tier(Hot).breaker_trips, 0);
}

#[test]
fn a_vector_of_other_dimensions_is_a_miss() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr()]));
    let key = key("a text");
    setup.store(&[key]);
    assert_eq!(block_on(setup.cache.get_many(&[key], DIMS + 1)), [None]);
    assert_eq!(setup.found(&[key]), [Some(Hot)]);
    assert_eq!(setup.tier(Hot).invalid_values, 1);
}

#[test]
fn a_copied_value_is_not_taken_for_another_texts() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr()]));
    let (key, other) = (key("a text"), key("another text"));
    setup.store(&[key]);
    server.ask(&["COPY", &names(Hot, &[key])[0], &names(Hot, &[other])[0]]);
    assert_eq!(setup.found(&[key, other]), [Some(Hot), None]);
}

#[test]
fn models_and_stand_ins_do_not_meet() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr()]));
    let of = |fingerprint| Key::of_text(fingerprint, None, "the same text");
    let mock = of(Fingerprint::mock("all-MiniLM-L6-v2", DIMS));
    let real = of("0f".repeat(32).parse().unwrap());
    setup.store(&[mock]);
    setup.cache.remember(mock, Arc::new(right(&mock)));
    assert_eq!(setup.found(&[mock, real]), [Some(Hot), None]);
    assert_eq!(setup.cache.memory(&real), None);
}

#[test]
fn images_keep_their_facts() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr()]));
    let key = Key::of_image(Fingerprint::mock("images", DIMS), &"07".repeat(32));
    let facts = Facts::Image { width: 640, height: 480, format: ImageFormat::WebP };
    let entry = Arc::new(Entry { facts, ..right(&key) });
    setup.cache.set_many(&[(key, Arc::clone(&entry))]);
    setup.settle();
    assert_eq!(setup.get(&[key]), [Some((entry, Hot))]);
}

#[test]
fn memory_alone() {
    let setup = Setup::new(&CacheConfig::default(), &[]);
    let key = key("a text");
    assert!(!setup.cache.has_tiers());
    assert_eq!(setup.found(&[key]), [None]);
    assert_eq!(setup.cache.memory(&key), None);
    setup.cache.remember(key, Arc::new(right(&key)));
    assert_eq!(setup.cache.memory(&key).as_deref(), Some(&right(&key)));
    let stats = setup.cache.stats();
    let memory = stats.memory.unwrap();
    assert_eq!((memory.hits, memory.misses, memory.hit_rate), (1, 1, Some(0.5)));
    assert_eq!(memory.entries, 1);
    let metrics = setup.metrics();
    for line in [
        "isovec_cache_lookups_total{tier=\"memory\",result=\"hit\"} 1",
        "isovec_cache_lookups_total{tier=\"memory\",result=\"miss\"} 1",
        "isovec_cache_memory_entries 1",
        "isovec_cache_memory_limit_bytes 268435456",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[test]
fn memory_is_bounded_in_bytes() {
    const MOST: u64 = 1 << 20;
    let setup = Setup::new(&CacheConfig { memory_bytes: MOST, ..CacheConfig::default() }, &[]);
    for key in keys(10_000) {
        setup.cache.remember(key, Arc::new(right(&key)));
    }
    let memory = setup.cache.stats().memory.unwrap();
    assert!(memory.bytes <= MOST, "{memory:?}");
    assert!(
        memory.entries > MOST / 4096 && memory.entries < MOST / (4 * DIMS as u64),
        "{memory:?}"
    );
}

#[test]
fn a_cache_that_is_switched_off() {
    let server = Redis::start();
    let config = CacheConfig { enabled: false, ..patient() };
    let setup = Setup::new(&config, &tiers(&[server.addr()]));
    let key = key("a text");
    setup.cache.remember(key, Arc::new(right(&key)));
    setup.cache.set_many(&[(key, Arc::new(right(&key)))]);
    assert_eq!(setup.cache.memory(&key), None);
    assert_eq!(setup.found(&[key]), [None]);
    assert!(!setup.cache.has_tiers());
    assert!(server.keys().is_empty());
}

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    let io = Runtime::new().unwrap();
    let tiers = tiers(&["127.0.0.1:1".to_owned(), "redis://:secret@nowhere:port".to_owned()]);
    let tiers: Vec<_> = tiers.iter().map(|(tier, redis)| (*tier, redis)).collect();
    let error = Cache::new(&patient(), &tiers, &mut Registry::default(), io.handle()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().starts_with("redis_warm.addr: is no address"), "{error}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[test]
fn metrics_and_stats_count_every_key_once() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr(), server.addr()]));
    let keys = keys(10);
    setup.store(&keys[..4]);
    setup.found(&keys);
    let (hot, warm) = (setup.tier(Hot), setup.tier(Warm));
    assert_eq!((hot.hits, hot.misses, hot.errors, hot.skipped), (4, 6, 0, 0));
    assert_eq!((warm.hits, warm.misses, warm.errors, warm.skipped), (0, 6, 0, 0));
    assert_eq!((hot.hit_rate, warm.hit_rate), (Some(0.4), Some(0.0)));
    assert_eq!((hot.writes, hot.dropped_writes), (4, 0));
    let metrics = setup.metrics();
    for line in [
        "isovec_cache_lookups_total{tier=\"hot\",result=\"hit\"} 4",
        "isovec_cache_lookups_total{tier=\"hot\",result=\"miss\"} 6",
        "isovec_cache_lookups_total{tier=\"hot\",result=\"error\"} 0",
        "isovec_cache_lookups_total{tier=\"hot\",result=\"skipped\"} 0",
        "isovec_cache_lookup_duration_seconds_count{tier=\"hot\"} 1",
        "isovec_cache_writes_total{tier=\"hot\",result=\"stored\"} 4",
        "isovec_cache_writes_total{tier=\"hot\",result=\"dropped\"} 0",
        "isovec_cache_breaker_open{tier=\"hot\",operation=\"read\"} 0",
        "isovec_cache_breaker_trips_total{tier=\"hot\",operation=\"write\"} 0",
        "isovec_cache_connected{tier=\"hot\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    let json = serde_json::to_value(setup.cache.stats()).unwrap();
    assert_eq!(json["tiers"][0]["tier"], "hot");
    assert_eq!(json["tiers"][0]["hit_rate"], 0.4);
}
