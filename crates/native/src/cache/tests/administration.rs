//! `CacheAdmin` on real servers.

use std::ops::ControlFlow;

use super::deployments::cluster_of_three;
use super::*;
use crate::ErrorKind;
use crate::cache::admin::CacheAdmin;
use crate::config::Config;
use RedisTier::{Cold, Hot, Warm};

fn admin(tiers: &[(RedisTier, RedisConfig)]) -> CacheAdmin {
    let mut config = Config::default();
    for (tier, redis) in tiers {
        let place = match tier {
            Hot => &mut config.redis_hot,
            Warm => &mut config.redis_warm,
            Cold => &mut config.redis_cold,
        };
        *place = Some(redis.clone());
    }
    CacheAdmin::new(&config).unwrap()
}

fn on_tokio<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_report_of_each_tier() {
    let server = Redis::with(&["--maxmemory", "64mb"]);
    let tiers = tiers(&[server.addr(), server.addr()]);
    let setup = Setup::connected(&patient(), &tiers);
    setup.store(&keys(2500));
    let admin = admin(&tiers);
    assert_eq!(admin.tiers().collect::<Vec<_>>(), [Hot, Warm]);
    for tier in [Hot, Warm] {
        let report = on_tokio(admin.inspect(tier)).unwrap();
        assert_eq!((report.tier, report.servers, report.keys, report.ttl), (tier, 1, 2500, TTL));
        let each = report.key_bytes.unwrap() / 2500;
        // 1560 bytes of value and 152 of key, in jemalloc's sizes.
        assert!((1700..2300).contains(&each), "{each} bytes");
        assert_eq!(report.max_memory, Some(64 << 20));
        assert!(report.used_memory.unwrap() > report.key_bytes.unwrap());
        assert!(report.ping > Duration::ZERO && report.ping < Duration::from_secs(1));
    }
    let error = on_tokio(admin.inspect(Cold)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "the configuration has no redis_cold");
}

#[test]
fn only_the_tiers_own_keys_are_cleared() {
    let server = Redis::start();
    let tiers = tiers(&[server.addr(), server.addr()]);
    let setup = Setup::connected(&patient(), &tiers);
    let keys = keys(2500);
    setup.store(&keys);
    let others = ["isovec", "isovec:v1:hot:theirs", "sessions:1"];
    for other in others {
        server.ask(&["SET", other, "theirs"]);
    }
    let mut told = Vec::new();
    let removed = on_tokio(admin(&tiers).clear(Hot, |count| {
        told.push(count);
        ControlFlow::Continue(())
    }));
    assert_eq!(removed.unwrap(), 2500);
    assert!(told.len() > 1 && told.is_sorted() && told.last() == Some(&2500), "{told:?}");
    for other in others {
        assert_eq!(server.ask(&["GET", other]), "theirs");
    }
    assert_eq!(on_tokio(admin(&tiers).inspect(Hot)).unwrap().keys, 0);
    assert_eq!(setup.found(&keys[..3]), [Some(Warm); 3]);
}

#[test]
fn clearing_can_be_broken_off() {
    let server = Redis::start();
    let tiers = tiers(&[server.addr()]);
    Setup::connected(&patient(), &tiers).store(&keys(4000));
    let removed = on_tokio(admin(&tiers).clear(Hot, |_| ControlFlow::Break(()))).unwrap();
    assert!(removed > 0 && removed < 4000, "{removed}");
    assert_eq!(server.keys().len() as u64, 4000 - removed);
}

#[test]
fn every_master_of_a_cluster() {
    let nodes = cluster_of_three();
    let mut tiers = tiers(&[nodes[0].addr()]);
    tiers[0].1.cluster = true;
    Setup::connected(&patient(), &tiers).store(&keys(100));
    let admin = admin(&tiers);
    let report = on_tokio(admin.inspect(Hot)).unwrap();
    assert_eq!((report.servers, report.keys), (3, 100));
    assert!(report.key_bytes.unwrap() > 100 * 1500, "{report:?}");
    assert_eq!(on_tokio(admin.clear(Hot, go_on)).unwrap(), 100);
    assert!(nodes.iter().all(|node| node.keys().is_empty()));
}

#[test]
fn what_cannot_be_reached_is_an_error_without_secrets() {
    let server = Redis::with(&["--requirepass", "right-password"]).cli(&["-a", "right-password"]);
    let mut configs =
        tiers(&[server.addr(), format!("redis://:secret@{}", Redis::absent(&[]).addr())]);
    configs[0].1.password = Some("secret".to_owned());
    let admin = admin(&configs);
    for (tier, expected) in
        [(Hot, "redis_hot: authentication failed"), (Warm, "redis_warm: Connection refused")]
    {
        for error in [
            on_tokio(admin.inspect(tier)).unwrap_err(),
            on_tokio(admin.clear(tier, go_on)).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Network);
            assert!(error.to_string().starts_with(expected), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}

#[test]
fn a_user_that_may_list_keys_and_no_more() {
    let server = Redis::with(&["--requirepass", "right-password"]).cli(&["-a", "right-password"]);
    server.ask(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">secret",
        "~isovec:*",
        "+get",
        "+set",
        "+ping",
        "+scan",
    ]);
    let mut configs = tiers(&[server.addr()]);
    (configs[0].1.username, configs[0].1.password) = (Some("app".into()), Some("secret".into()));
    Setup::connected(&patient(), &configs).store(&keys(3));
    let report = on_tokio(admin(&configs).inspect(Hot)).unwrap();
    assert_eq!(report.keys, 3);
    assert_eq!((report.key_bytes, report.used_memory, report.max_memory), (None, None, None));
    assert_eq!(
        on_tokio(admin(&configs).clear(Hot, go_on)).unwrap_err().to_string(),
        "redis_hot: Redis answers NOPERM"
    );
}
