//! Variables beside the file.

use super::*;

#[test]
fn the_environment_wins_over_the_file() {
    let config = with(
        &[
            ("ISOVEC__REDIS_HOT__ADDR", "cache:6379"),
            ("ISOVEC__REDIS_HOT__TTL", "2h"),
            ("ISOVEC__REDIS_WARM__ADDR", "warm"),
            ("ISOVEC__PERFORMANCE__MAX_QUEUE", "5000"),
            ("ISOVEC__SERVER__LISTEN", "0.0.0.0:80"),
            ("ISOVEC__SERVER__API_KEYS", "0123456789abcdef, fedcba9876543210"),
            ("ISOVEC__CACHE__ENABLED", "false"),
            ("ISOVEC__CACHE__WRITE_TO", "warm"),
            ("ISOVEC__CACHE__MEMORY_BYTES", "1MiB"),
            ("ISOVEC__FUSION__TEXT_WEIGHT", "0.25"),
            ("ISOVEC__TEXT_EMBEDDING__MAX_TOKENS", ""),
            ("ISOVEC__MODELS__MY-MODEL__VARIANT", "int8"),
            ("ISOVEC__DEVELOPMENT__DETERMINISTIC_EMBEDDINGS", "true"),
            // Not ours: other settings of isovec, and what Kubernetes makes of a service of this name.
            ("ISOVEC_HOME", "/models"),
            ("ISOVEC_SERVICE_PORT", "80"),
            ("ISOVEC_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ],
        "redis_hot: {addr: other, username: u}\nmodels: {My-Model: }\ntext_embedding: {max_tokens: 9}",
    )
    .unwrap();
    let hot = config.redis_hot.unwrap();
    assert_eq!((hot.addr.as_str(), hot.ttl.as_secs()), ("cache:6379", 7200));
    assert_eq!(hot.username.as_deref(), Some("u"));
    assert_eq!(config.redis_warm.unwrap().ttl, RedisTier::Warm.default_ttl());
    assert_eq!(config.performance.max_queue, 5000);
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.server.api_keys, ["0123456789abcdef", "fedcba9876543210"]);
    assert_eq!((config.cache.enabled, config.cache.memory_bytes), (false, 1 << 20));
    assert_eq!(config.cache.write_to, [RedisTier::Warm]);
    assert_eq!(config.fusion.text_weight, 0.25);
    assert_eq!(config.text_embedding.max_tokens, None);
    assert_eq!(config.models["My-Model"].variant.as_deref(), Some("int8"));
}

#[test]
fn bad_variables_are_named() {
    let cases = [
        (
            "ISOVEC__REDIS_HTO__ADDR",
            "x",
            "ISOVEC__REDIS_HTO__ADDR: redis_hto: unknown key, did you mean redis_hot?",
        ),
        (
            "ISOVEC__SERVER__LISTNE",
            "x",
            "ISOVEC__SERVER__LISTNE: server.listne: unknown key, did you mean listen?",
        ),
        (
            "ISOVEC__CACHE__ENABLED",
            "1",
            "ISOVEC__CACHE__ENABLED: cache.enabled: \"1\", expected true or false",
        ),
        (
            "ISOVEC__CACHE__BUDGET",
            "1h",
            "ISOVEC__CACHE__BUDGET: cache.budget: 1h, expected a duration from 1ms to 10s, such as 100ms, 90s or \
             24h",
        ),
        (
            "ISOVEC__FUSION__SEED",
            "",
            "ISOVEC__FUSION__SEED: fusion.seed: \"\", expected a whole number from 0 to 18446744073709551615",
        ),
        // An empty list would let everybody in where `${KEYS}` was not set.
        (
            "ISOVEC__SERVER__API_KEYS",
            "",
            "ISOVEC__SERVER__API_KEYS: server.api_keys: a single value, expected a list of keys",
        ),
        (
            "ISOVEC__SERVER",
            "x",
            "ISOVEC__SERVER: server: a single value, expected a section of keys",
        ),
        (
            "ISOVEC_SERVER__LISTEN",
            "x",
            "ISOVEC_SERVER__LISTEN: expected two underscores after ISOVEC: ISOVEC__SERVER__LISTEN",
        ),
        ("ISOVEC__", "x", "ISOVEC__: expected ISOVEC__SECTION__KEY"),
        ("ISOVEC__CACHE____", "x", "ISOVEC__CACHE____: expected ISOVEC__SECTION__KEY"),
        (
            "ISOVEC__MODELS__NONE__VARIANT",
            "int8",
            "ISOVEC__MODELS__NONE__VARIANT: the file has no model none; the environment cannot add one",
        ),
        (
            "ISOVEC__REDIS_HOT__ADDR__PORT",
            "1",
            "line 1: redis_hot.ttl: 5, expected a duration from 1s to 365d, such as 100ms, 90s or 24h",
        ),
    ];
    let mut failures = Vec::new();
    for (name, value, expected) in cases {
        let text = if name.contains("PORT") { "redis_hot: {addr: h, ttl: 5}" } else { "" };
        let found = with(&[(name, value)], text).map_err(|e| e.to_string());
        if found.as_ref().err().map(String::as_str) != Some(expected) {
            failures.push(format!("{name}={value}\n  found    {found:?}\n  expected {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(vec![0xff]);
    let error = Config::read(None, [("ISOVEC__SERVER__LISTEN".into(), value)]).unwrap_err();
    assert_eq!(error.to_string(), "ISOVEC__SERVER__LISTEN: its value is not UTF-8");
}
