//! What callers notice of a Redis that fails: nothing but misses.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::redis_server::SlowWay;
use super::*;
use RedisTier::{Hot, Warm};

const CALLERS: usize = 16;

/// Settings of a service, but for a cooldown that tests can wait for.
fn hasty() -> CacheConfig {
    CacheConfig { breaker_cooldown: Duration::from_millis(500), ..CacheConfig::default() }
}

/// Callers that embed all the time: each asks the cache, computes what is not there, and has it stored.
struct Callers<'a> {
    setup: &'a Setup,
    /// How long each look-up took.
    times: Mutex<Vec<Duration>>,
    stop: AtomicBool,
}

impl Callers<'_> {
    fn call(&self) {
        for round in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let keys: Vec<Key> =
                (0..4).map(|i| key(&format!("{}", (round + i * 7) % 50))).collect();
            let start = Instant::now();
            let found = self.setup.get(&keys);
            self.times.lock().unwrap().push(start.elapsed());
            let mut computed = Vec::new();
            for (key, found) in keys.iter().zip(found) {
                match found {
                    // Never another vector than the right one.
                    Some((entry, _)) => assert_eq!(*entry, right(key)),
                    None => computed.push((*key, Arc::new(right(key)))),
                }
            }
            self.setup.cache.set_many(&computed);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts to time anew.
    fn forget(&self) {
        self.times.lock().unwrap().clear();
    }

    /// The median and the 95th percentile of the look-ups since then.
    fn times(&self) -> (Duration, Duration) {
        // A busy machine makes few in a moment.
        wait_until("every caller has looked up", || self.times.lock().unwrap().len() >= CALLERS);
        let mut times = std::mem::take(&mut *self.times.lock().unwrap());
        times.sort();
        (times[times.len() / 2], times[times.len() * 95 / 100])
    }
}

/// Runs `story` while 16 callers embed.
fn while_embedding(setup: &Setup, story: impl FnOnce(&Callers<'_>)) {
    let callers = Callers { setup, times: Mutex::default(), stop: AtomicBool::new(false) };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| callers.call())).collect();
        // A story that fails must end, too.
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story(&callers)));
        callers.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
        if let Err(panic) = told {
            std::panic::resume_unwind(panic);
        }
    });
}

fn wait_for_hits(setup: &Setup, tier: RedisTier) {
    let before = setup.tier(tier).hits;
    wait_until("there are hits", || setup.tier(tier).hits > before + 50);
}

#[test]
fn redis_is_absent_at_the_start_and_comes() {
    let mut server = Redis::absent(&[]);
    let setup = Setup::new(&hasty(), &tiers(&[server.addr()]));
    while_embedding(&setup, |callers| {
        thread::sleep(Duration::from_millis(300));
        // Nobody waits for a connection.
        let (median, _) = callers.times();
        assert!(median < Duration::from_millis(40), "{median:?}");
        let stats = setup.tier(Hot);
        assert!(!stats.connected && stats.skipped > 0 && stats.errors == 0, "{stats:?}");
        server.launch();
        wait_for_hits(&setup, Hot);
    });
}

#[test]
fn redis_is_killed_and_restarted() {
    let mut server = Redis::start();
    let setup = Setup::connected(&hasty(), &tiers(&[server.addr()]));
    while_embedding(&setup, |callers| {
        wait_for_hits(&setup, Hot);
        for _ in 0..3 {
            server.kill();
            wait_until("the loss is noticed", || !setup.tier(Hot).connected);
            callers.forget();
            thread::sleep(Duration::from_millis(300));
            let (median, _) = callers.times();
            assert!(median < Duration::from_millis(40), "{median:?} without a connection");
            server.launch();
            wait_for_hits(&setup, Hot);
        }
    });
    assert!(setup.tier(Hot).errors + setup.tier(Hot).skipped > 0);
}

#[test]
fn redis_freezes_and_goes_on() {
    let server = Redis::start();
    let setup = Setup::connected(&hasty(), &tiers(&[server.addr()]));
    while_embedding(&setup, |callers| {
        wait_for_hits(&setup, Hot);
        let trips = setup.tier(Hot).breaker_trips;
        server.freeze();
        callers.forget();
        wait_until("the breaker opens", || setup.tier(Hot).breaker_trips > trips);
        // Until then each waited for the budget, and not for a client's default of 500 ms.
        let (_, slow) = callers.times();
        assert!(slow < Duration::from_millis(300), "{slow:?} until the breaker opened");
        thread::sleep(Duration::from_secs(1));
        let (median, slow) = callers.times();
        assert!(median < Duration::from_millis(40), "{median:?} behind the breaker");
        assert!(slow < Duration::from_millis(300), "{slow:?} behind the breaker");
        let stats = setup.tier(Hot);
        assert!(stats.reads_suspended && stats.errors > 0 && stats.skipped > 0, "{stats:?}");
        server.thaw();
        wait_for_hits(&setup, Hot);
        assert!(!setup.tier(Hot).reads_suspended);
    });
}

#[test]
fn every_look_up_of_a_frozen_server_ends_with_the_budget() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    // A breaker that never opens: the budget alone has to do.
    let config = CacheConfig { breaker_failures: u32::MAX, ..CacheConfig::default() };
    let setup = Setup::connected(&config, &tiers(&servers.each_ref().map(Redis::addr)));
    servers.iter().for_each(Redis::freeze);
    while_embedding(&setup, |callers| {
        thread::sleep(Duration::from_secs(2));
        let (median, _) = callers.times();
        assert!(median >= Duration::from_millis(45), "{median:?}: nobody was asked");
        assert!(median < Duration::from_millis(200), "{median:?} for a budget of 50 ms");
    });
    let stats = setup.cache.stats();
    assert!(stats.tiers.iter().all(|tier| tier.errors > 0 && tier.hits == 0), "{stats:?}");
}

#[test]
fn a_frozen_tier_leaves_time_for_the_next() {
    let servers = [Redis::start(), Redis::start()];
    let config =
        CacheConfig { breaker_failures: u32::MAX, budget: Duration::from_secs(2), ..hasty() };
    let setup = Setup::connected(&config, &tiers(&servers.each_ref().map(Redis::addr)));
    let keys = keys(8);
    setup.store(&keys);
    servers[0].freeze();
    assert_eq!(setup.found(&keys), [Some(Warm); 8]);
}

#[test]
fn redis_is_slow_and_recovers() {
    let server = Redis::start();
    let way = SlowWay::to(&server, Duration::ZERO);
    let setup = Setup::connected(&hasty(), &tiers(&[way.addr()]));
    while_embedding(&setup, |callers| {
        wait_for_hits(&setup, Hot);
        way.set_delay(Duration::from_millis(400));
        wait_until("the breaker opens", || setup.tier(Hot).reads_suspended);
        callers.forget();
        // Longer than a cooldown: there are probes, and they fail.
        thread::sleep(Duration::from_secs(2));
        let (median, slow) = callers.times();
        assert!(median < Duration::from_millis(40), "{median:?}");
        assert!(slow < Duration::from_millis(300), "{slow:?}");
        assert!(setup.tier(Hot).reads_suspended);
        way.set_delay(Duration::ZERO);
        wait_for_hits(&setup, Hot);
    });
}

#[test]
fn one_command_that_takes_long() {
    let server = Redis::start();
    let setup = Setup::connected(&hasty(), &tiers(&[server.addr()]));
    while_embedding(&setup, |callers| {
        wait_for_hits(&setup, Hot);
        callers.forget();
        server.ask(&["DEBUG", "SLEEP", "1"]);
        let (_, slow) = callers.times();
        assert!(slow < Duration::from_millis(300), "{slow:?}");
        wait_for_hits(&setup, Hot);
    });
}

#[test]
fn redis_is_full() {
    let server = Redis::start();
    let setup = Setup::connected(&hasty(), &tiers(&[server.addr()]));
    let keys = keys(10);
    setup.store(&keys[..5]);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    while_embedding(&setup, |_| {
        wait_until("writes are suspended", || setup.tier(Hot).writes_suspended);
        // What is there is still found.
        for _ in 0..20 {
            assert_eq!(setup.tier(Hot).errors, 0);
            assert!(!setup.tier(Hot).reads_suspended);
            thread::sleep(Duration::from_millis(20));
        }
        server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        wait_for_hits(&setup, Hot);
    });
    assert_eq!(setup.found(&keys[..5]), [Some(Hot); 5]);
    assert!(!setup.tier(Hot).writes_suspended && setup.tier(Hot).dropped_writes > 0);
    let metrics = setup.metrics();
    assert!(metrics.contains("breaker_open{tier=\"hot\",operation=\"write\"} 0"), "{metrics}");
}

#[test]
fn redis_is_a_replica() {
    let master = Redis::start();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    wait_until("the replica has connected", || {
        replica.ask(&["INFO", "replication"]).contains("master_link_status:up")
    });
    let keys = keys(3);
    let writer = Setup::connected(&hasty(), &tiers(&[master.addr()]));
    writer.store(&keys);
    wait_until("the replica has all", || replica.keys() == master.keys());
    let setup = Setup::connected(&hasty(), &tiers(&[replica.addr()]));
    let computed = [(key("another"), Arc::new(right(&key("another"))))];
    // A connection that leads to a replica is replaced now and then: it may lead to the master by then.
    wait_until("writes are suspended", || {
        setup.cache.set_many(&computed);
        setup.settle();
        setup.tier(Hot).writes_suspended
    });
    wait_until("reads go on", || setup.found(&keys) == [Some(Hot); 3]);
    assert!(!setup.tier(Hot).reads_suspended);
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    wait_until("it can be written to", || {
        setup.cache.set_many(&computed);
        setup.settle();
        setup.found(&[computed[0].0]) == [Some(Hot)]
    });
}

#[test]
fn a_wrong_password_costs_nothing_and_can_be_mended() {
    let server = Redis::with(&["--requirepass", "right-password"]).cli(&["-a", "right-password"]);
    let mut tiers = tiers(&[server.addr()]);
    tiers[0].1.password = Some("other-password".to_owned());
    let setup = Setup::new(&hasty(), &tiers);
    while_embedding(&setup, |callers| {
        thread::sleep(Duration::from_secs(1));
        let (median, _) = callers.times();
        assert!(median < Duration::from_millis(40), "{median:?}");
        let stats = setup.tier(Hot);
        assert!(!stats.connected && stats.skipped > 0, "{stats:?}");
        server.ask(&["CONFIG", "SET", "requirepass", "other-password"]);
        wait_for_hits(&setup, Hot);
    });
}

#[test]
fn a_user_without_permission_is_left_alone() {
    let server = Redis::start();
    server.ask(&["ACL", "SETUSER", "app", "on", ">right-password", "~isovec:*", "+set"]);
    let mut tiers = tiers(&[server.addr()]);
    (tiers[0].1.username, tiers[0].1.password) =
        (Some("app".into()), Some("right-password".into()));
    let setup = Setup::connected(&hasty(), &tiers);
    while_embedding(&setup, |callers| {
        wait_until("reads are suspended", || setup.tier(Hot).reads_suspended);
        callers.forget();
        thread::sleep(Duration::from_millis(300));
        let (median, _) = callers.times();
        assert!(median < Duration::from_millis(40), "{median:?}");
        server.ask(&["ACL", "SETUSER", "app", "+get"]);
        wait_for_hits(&setup, Hot);
    });
}

#[test]
fn a_caller_that_goes_away_breaks_nothing() {
    let server = Redis::start();
    let way = SlowWay::to(&server, Duration::from_millis(100));
    let setup = Setup::connected(&patient(), &tiers(&[way.addr()]));
    let keys = keys(4);
    setup.store(&keys);
    for _ in 0..20 {
        let mut request = Box::pin(setup.cache.get_many(&keys, DIMS));
        assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    // What nobody waited for any more was still of use.
    wait_until("memory has them", || setup.cache.memory(&keys[0]).is_some());
    assert_eq!(setup.found(&keys), [Some(Hot); 4]);
}

#[test]
fn more_writes_than_there_is_room_for_are_dropped_and_counted() {
    let server = Redis::start();
    let setup = Setup::connected(&hasty(), &tiers(&[server.addr()]));
    server.freeze();
    let entry = Arc::new(right(&key("a text")));
    let entries: Vec<_> = keys(10_000).into_iter().map(|key| (key, Arc::clone(&entry))).collect();
    setup.cache.set_many(&entries);
    let stats = setup.tier(Hot);
    assert!(stats.dropped_writes >= 10_000 - 4096 - 256, "{stats:?}");
    assert!(stats.queued_writes <= 4096 + 256, "{stats:?}");
    server.thaw();
    setup.settle();
    let stats = setup.tier(Hot);
    assert_eq!(stats.writes + stats.dropped_writes, 10_000, "{stats:?}");
    let metrics = setup.metrics();
    assert!(
        !metrics.contains("cache_writes_total{tier=\"hot\",result=\"dropped\"} 0"),
        "{metrics}"
    );
}

#[test]
fn a_cache_that_is_dropped_ends_its_tasks() {
    let server = Redis::start();
    let setup = Setup::connected(&patient(), &tiers(&[server.addr()]));
    let clients = || server.info("clients", "connected_clients");
    assert!(clients() >= 2);
    drop(setup.cache);
    wait_until("only redis-cli is connected", || clients() == 1);
}
