//! `isovec cache` on a real Redis.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../../native/tests/support/redis_server.rs"]
#[allow(dead_code, reason = "other tests need the rest")]
mod redis_server;
mod support;

use std::process::Output;

use redis_server::Redis;
use serde_json::Value;
use support::run;

/// A server with so many vectors of the hot tier, and one key of somebody else.
fn server(vectors: usize) -> Redis {
    let server = Redis::start();
    for i in 0..vectors {
        let name = format!("isovec:v1:hot:{:064x}:{i:064x}", 7);
        server.ask(&["SET", &name, "a vector"]);
    }
    server.ask(&["SET", "sessions:1", "theirs"]);
    server
}

/// A configuration file with these lines.
fn file(lines: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("isovec.yaml");
    std::fs::write(&path, lines).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cache(words: &[&str], config: &str) -> Output {
    run(&[&["cache"], words, &["--config", config]].concat(), b"")
}

#[test]
fn stats_of_each_tier() {
    let server = server(5);
    let (_folder, config) =
        file(&format!("redis_hot: {{addr: '{0}'}}\nredis_cold: {{addr: '{0}'}}\n", server.addr()));
    let output = cache(&["stats", "--format", "json"], &config);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let tiers: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (index, tier, keys, ttl) in [(0, "hot", 5, 3600.0), (1, "cold", 0, 604_800.0)] {
        let report = &tiers[index];
        assert_eq!(report["tier"], tier);
        assert_eq!(report["reachable"], true);
        assert_eq!(report["keys"], keys);
        assert_eq!(report["ttl_seconds"], ttl);
        assert!(report["ping_seconds"].as_f64().unwrap() > 0.0);
        assert!(report["used_memory_bytes"].as_u64().unwrap() > 100_000);
        assert_eq!(report["max_memory_bytes"], Value::Null);
    }
    let output = cache(&["stats"], &config);
    let table = text(&output.stdout);
    let first: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(first, [["TIER", "VECTORS"], ["hot", "5"], ["cold", "0"]], "{table}");
}

#[test]
fn a_tier_that_cannot_be_reached() {
    let (server, absent) = (server(5), Redis::absent(&[]));
    let (_folder, config) = file(&format!(
        "redis_hot: {{addr: '{}'}}\nredis_warm: {{addr: 'redis://:hunter2@{}'}}\n",
        server.addr(),
        absent.addr()
    ));
    for words in
        [&["stats"][..], &["stats", "--format", "json"], &["clear", "--yes", "--tier", "warm"]]
    {
        let output = cache(words, &config);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("redis_warm: Connection refused"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let output = cache(&["stats", "--format", "json"], &config);
    let tiers: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&tiers[0]["keys"], &tiers[1]["reachable"]), (&Value::from(5), &Value::from(false)));
}

#[test]
fn clear_removes_our_vectors_only_and_only_if_that_is_meant() {
    let server = server(5);
    let (_folder, config) =
        file(&format!("redis_hot: {{addr: '{0}'}}\nredis_warm: {{addr: '{0}'}}\n", server.addr()));
    let output = cache(&["clear"], &config);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--yes"), "{}", text(&output.stderr));
    let output = cache(&["clear", "--yes", "--tier", "warm"], &config);
    assert_eq!(text(&output.stdout), "warm: 0 vectors removed\n");
    assert_eq!(server.keys().len(), 6);
    let output = cache(&["clear", "--yes"], &config);
    assert_eq!(text(&output.stdout), "hot: 5 vectors removed\nwarm: 0 vectors removed\n");
    assert_eq!(server.keys(), ["sessions:1"]);
    assert!(text(&output.stderr).is_empty());
}

#[test]
fn a_configuration_without_redis() {
    let (_folder, config) = file("cache: {memory_bytes: 1048576}\n");
    for words in [&["stats"][..], &["clear", "--yes"]] {
        let output = cache(words, &config);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(text(&output.stderr).contains("no tier on Redis"), "{}", text(&output.stderr));
    }
}
