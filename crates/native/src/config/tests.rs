use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use proptest::prelude::*;

use super::kinds::Kind;
use super::*;
use crate::ModelKind;

fn error(text: &str) -> String {
    match Config::from_yaml(text) {
        Err(e) => {
            assert!(matches!(e.kind(), ErrorKind::InvalidConfig | ErrorKind::TooLarge), "{e:?}");
            e.to_string()
        }
        Ok(config) => format!("accepted: {config:?}"),
    }
}

fn with(variables: &[(&str, &str)], text: &str) -> Result<Config> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
    Config::read(Some(text), variables.collect::<Vec<_>>())
}

/// The keys and values of the seed's guide, as they are written there.
#[test]
fn the_seeds_keys_are_read() {
    let config = Config::from_yaml(
        r#"
models:
  custom-text-model:
    name: "custom-model"
    path: "./custom_models/my-model.onnx"
    type: "text"
    dimensions: 768
    version: "2.0.0"
redis_hot:
  addr: "localhost:6379"
  ttl: "1h"
redis_warm:
  addr: "localhost:6380"
  ttl: "24h"
redis_cold:
  addr: "localhost:6381"
  ttl: "7d"
text_embedding:
  worker_count: 4      # Number of worker goroutines
  batch_size: 32       # Max batch size
  max_tokens: 512      # Max tokens per text
performance:
  model_pool_size: 10           # Model instance pool
  max_concurrent_requests: 100  # Request concurrency
  batch_timeout: "100ms"        # Batch collection timeout
development:
  mock_mode: true              # Use mock embeddings for testing
  deterministic_embeddings: true # Reproducible results
  debug_logging: true          # Verbose logging
"#,
    )
    .unwrap();
    let mut expected = Config::default();
    expected.models.insert(
        "custom-text-model".into(),
        ModelConfig {
            name: Some("custom-model".into()),
            path: Some("./custom_models/my-model.onnx".into()),
            kind: Some(ModelKind::Text),
            dimensions: Some(768),
            version: Some("2.0.0".into()),
            ..Default::default()
        },
    );
    const HOUR: u64 = 3600;
    let tier = |port, hours| {
        Some(RedisConfig::new(format!("localhost:{port}"), Duration::from_secs(hours * HOUR)))
    };
    expected.redis_hot = tier(6379, 1);
    expected.redis_warm = tier(6380, 24);
    expected.redis_cold = tier(6381, 7 * 24);
    expected.text_embedding.worker_count = 4;
    expected.text_embedding.max_tokens = Some(512);
    expected.performance.batch_timeout = Duration::from_millis(100);
    expected.development = DevelopmentConfig { mock_mode: true, debug_logging: true };
    assert_eq!(config, expected);
}

#[test]
fn good_configurations() {
    for text in [
        "",
        "---\n",
        "# nothing but words\n",
        "models:\nserver:\nredis_hot:\n",
        "{}",
        "redis_hot: {addr: h}\nredis_warm: {addr: h}\nredis_cold: {addr: h, ttl: 1h}",
        "redis_hot: &hot {addr: 'h:1', username: u}\nredis_warm: {<<: *hot, ttl: 3h}",
        "redis_hot: {addr: 'a:1,b:2', cluster: true, db: 0}",
        "redis_hot: {addr: 'a:1, b:2', sentinel_master: main, password: x}",
        "redis_hot: {addr: 'redis://:p@a', sentinel_master: main, password: x}",
        "redis_hot: {addr: 'rediss://u:p@h', tls_ca: ca.pem}\ncache: {write_to: [hot]}",
        "redis_hot: {addr: h}\ncache: {write_to: []}",
        "cache: {memory_bytes: 0, budget: 1ms, ttl_jitter: 0}",
        "cache: {budget: 10s, ttl_jitter: 0.5, value_type: f16}",
        "server: {listen: '[::]:80', api_keys: [0123456789abcdef]}",
        "models: {all-MiniLM-L6-v2: , org/clip: {name: clip-vit-base-patch32, type: image}}\n\
         text_embedding: {default_model: all-MiniLM-L6-v2}\nimage_embedding: {default_model: org/clip}",
        "text_embedding: {default_model: multilingual-e5-small}",
        "fusion: {kind: concat, text_weight: 1, seed: 18446744073709551615}",
        "development: {mock_mode: true}\nmodels: {m: {path: p, dimensions: 8}}",
        "image_embedding: {urls: true, allowed_hosts: ['*.example.org'], max_bytes: 1 GiB}",
    ] {
        assert!(Config::from_yaml(text).is_ok(), "{text}: {}", error(text));
    }
}

#[test]
fn what_is_loaded_at_the_start() {
    for (text, expected) in [
        ("", "all-MiniLM-L6-v2"),
        ("text_embedding: {default_model: e5}", "e5"),
        ("image_embedding: {default_model: clip}", "all-MiniLM-L6-v2 clip"),
        ("models: {a: , b: {preload: false}, c: {preload: true}}", "a c"),
        ("models: {a: {preload: false}}", ""),
    ] {
        let names: Vec<_> =
            Config::from_yaml(text).unwrap().models_at_start().into_keys().collect();
        assert_eq!(names.join(" "), expected, "{text}");
    }
}

/// Each with all of the text of its error.
#[test]
fn bad_configurations() {
    let cases = [
        // What is not there.
        ("modles: {}", "line 1: modles: unknown key, did you mean models?"),
        (
            "\n\nserver:\n  max_input: 1",
            "line 4: server.max_input: unknown key, did you mean max_inputs?",
        ),
        (
            "fusion:\n  weights: 1",
            "line 2: fusion.weights: unknown key; known here: dimensions, kind, path, seed, text_weight",
        ),
        (
            "models:\n  m:\n    dims: 3",
            "line 3: models.m.dims: unknown key; known here: dimensions, max_tokens, name, path, precision, preload, \
             type, variant, version",
        ),
        // Wrong types.
        (
            "redis_hot:\n  addr: h\n  ttl: soon",
            "line 3: redis_hot.ttl: \"soon\", expected a duration from 1s to 365d, such as 100ms, 90s or 24h",
        ),
        (
            "redis_hot: {addr: h, ttl: 60}",
            "line 1: redis_hot.ttl: 60, expected a duration from 1s to 365d, such as 100ms, 90s or 24h",
        ),
        (
            "text_embedding: {worker_count: '4'}",
            "line 1: text_embedding.worker_count: \"4\", expected a whole number from 1 to 1024",
        ),
        (
            "text_embedding: {worker_count: 1.5}",
            "line 1: text_embedding.worker_count: 1.5, expected a whole number from 1 to 1024",
        ),
        (
            "text_embedding: {worker_count: 0x10, batch_size: 010}",
            "line 1: text_embedding.batch_size: \"010\", expected a whole number from 1 to 4096",
        ),
        ("cache: {enabled: yes}", "line 1: cache.enabled: \"yes\", expected true or false"),
        (
            "cache: {key_prefix: 5}",
            "line 1: cache.key_prefix: 5, expected letters, digits, `.`, `_`, `-` and `:`, at most 64, in quotes",
        ),
        (
            "models: {m: {version: 2.0}}",
            "line 1: models.m.version: 2.0, expected a text of at most 128 bytes, in quotes",
        ),
        ("server: 5", "line 1: server: a single value, expected a section of keys"),
        ("models: [a]", "line 1: models: a list, expected a section of keys"),
        ("redis_hot: localhost", "line 1: redis_hot: a single value, expected a section of keys"),
        ("[1]", "a list, expected sections of keys"),
        ("hello", "a single value, expected sections of keys"),
        (
            "cache: {write_to: hot}",
            "line 1: cache.write_to: a single value, expected a list of hot, warm and cold",
        ),
        ("cache: {value_type: f64}", "line 1: cache.value_type: \"f64\", expected f32 or f16"),
        (
            "models: {m: {type: audio}}",
            "line 1: models.m.type: \"audio\", expected text, image or clip-text",
        ),
        (
            "performance: {max_queue: }",
            "line 1: performance.max_queue: nothing, expected a whole number from 1 to 1000000",
        ),
        (
            "server: {listen: ':8080'}",
            "line 1: server.listen: \":8080\", expected an IP address and a port, such as 127.0.0.1:8080, or \
             0.0.0.0:8080 and [::]:8080 for all addresses of the machine",
        ),
        // Out of range.
        (
            "text_embedding: {worker_count: 0}",
            "line 1: text_embedding.worker_count: 0, expected a whole number from 1 to 1024",
        ),
        (
            "text_embedding: {worker_count: -1}",
            "line 1: text_embedding.worker_count: -1, expected a whole number from 1 to 1024",
        ),
        (
            "fusion: {text_weight: 1.5}",
            "line 1: fusion.text_weight: 1.5, expected a number from 0 to 1",
        ),
        (
            "fusion: {text_weight: .nan}",
            "line 1: fusion.text_weight: \".nan\", expected a number from 0 to 1",
        ),
        (
            "cache: {budget: 11s}",
            "line 1: cache.budget: 11s, expected a duration from 1ms to 10s, such as 100ms, 90s or 24h",
        ),
        (
            "server: {max_body_bytes: 2GiB}",
            "line 1: server.max_body_bytes: 2GiB, expected a number of bytes from 1KiB to 1GiB, such as 1048576 \
             or 256MiB",
        ),
        (
            "image_embedding: {allowed_hosts: [ok.org, 'http://x']}",
            "line 1: image_embedding.allowed_hosts[1]: \"http://x\", expected a host such as img.example.org, or \
             *.example.org for all below it",
        ),
        // What values mean together.
        (
            "performance:\n  max_queue: 1000",
            "server.max_inputs: 1024, expected at most the 1000 of performance.max_queue",
        ),
        (
            "redis_hot: {addr: h}\ncache:\n  write_to: [hot, warm]",
            "line 3: cache.write_to[1]: redis_warm is not configured",
        ),
        (
            "redis_hot: {addr: h}\ncache: {write_to: [hot, hot]}",
            "line 2: cache.write_to[1]: hot is named twice",
        ),
        (
            "redis_hot: {addr: h, cluster: true, sentinel_master: m}",
            "line 1: redis_hot.sentinel_master: cluster is true too, expected one of the two",
        ),
        (
            "redis_hot: {addr: 'a,b'}",
            "line 1: redis_hot.addr: several addresses, expected `cluster: true` or a sentinel_master with them",
        ),
        (
            "redis_hot: {addr: 'a:1,rediss://b:2', cluster: true}",
            "line 1: redis_hot.addr: addresses with and without TLS, expected all of one kind",
        ),
        (
            "redis_hot: {addr: 'redis://:p@a', password: x}",
            "line 1: redis_hot.password: addr has a password too, expected one of the two",
        ),
        (
            "redis_hot: {addr: 'unix:///s', cluster: true}",
            "line 1: redis_hot.addr: a socket of this machine is neither of a cluster nor of a sentinel",
        ),
        (
            "redis_hot: {addr: h, cluster: true, db: 1}",
            "line 1: redis_hot.db: a cluster has the database 0 alone",
        ),
        (
            "redis_hot: {addr: h, tls_ca: ca.pem}",
            "line 1: redis_hot.tls_ca: is of no use without TLS, expected an addr that starts with rediss://",
        ),
        (
            "redis_hot:\n  ttl: 1h",
            "line 1: redis_hot.addr: expected host:port, or an address that starts with redis://, rediss:// or \
             unix://, such as localhost:6379; several, separated by commas, of a cluster or of sentinels",
        ),
        (
            "models: {a: , b: }\ntext_embedding:\n  default_model: c",
            "line 3: text_embedding.default_model: \"c\", expected one of models: a, b",
        ),
        (
            "models: {a: {type: image}}\ntext_embedding: {default_model: a}",
            "line 2: text_embedding.default_model: \"a\" is a model of the type image",
        ),
        (
            "models: {a: {type: text}}\nimage_embedding: {default_model: a}",
            "line 2: image_embedding.default_model: \"a\" is a model of the type text",
        ),
        (
            "models: {a: , b: , c: {preload: false}}\nperformance: {model_pool_size: 1}",
            "line 2: performance.model_pool_size: 1, expected at least the 2 models that are loaded at the start",
        ),
        (
            "models: {a b: }",
            "line 1: models.a b: expected a name of letters, digits, `.`, `_`, `-`, `:` and `/`, at most 128",
        ),
        (
            "models: {a: {type: image, max_tokens: 5}}",
            "line 1: models.a.max_tokens: a model of images reads no text",
        ),
        (
            "models: {a: {path: p, variant: int8}}",
            "line 1: models.a.variant: \"int8\", but a model with a `path` has no variants: leave it out",
        ),
        (
            "models:\n  a: {path: p}\ndevelopment: {mock_mode: true}",
            "line 2: models.a.dimensions: needed with development.mock_mode, which reads no files of a model \
             with a `path`",
        ),
        // Keys of the seed that mean nothing here.
        (
            "performance: {gc_percent: 100}",
            "line 1: performance.gc_percent: is a setting of Go's garbage collector, and there is none here: \
             leave it out",
        ),
        (
            "development: {deterministic_embeddings: false}",
            "line 1: development.deterministic_embeddings: expected true: one input always gives one vector, and \
             there is no other mode",
        ),
        // What is not YAML, or too much of it.
        ("cache: {enabled: true}\ncache: {enabled: false}", "line 2: cache is given twice"),
        ("a: b: c", "line 1: not YAML: mapping values are not allowed in this context"),
        ("a: 1\n---\nb: 2", "line 3: a second document (`---`), expected one"),
        (
            "models: &a {b: &c {d: &e {f: [[[[[[1]]]]]]}}}",
            "line 1: more values, aliases or levels than a configuration has use for",
        ),
    ];
    let mut failures = Vec::new();
    for (text, expected) in cases {
        let found = error(text);
        if found != format!("configuration: {expected}") {
            failures.push(format!("{text}\n  found    {found}\n  expected {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn all_problems_are_told_together_in_the_order_of_the_file() {
    assert_eq!(
        error("server:\n  listen: x:1\ncache:\n  budget: 1h\n  bugdet: 1s\nfusions: {}\n"),
        "configuration: 4 problems:\n  \
         line 2: server.listen: \"x:1\", expected an IP address and a port, such as 127.0.0.1:8080, or \
         0.0.0.0:8080 and [::]:8080 for all addresses of the machine\n  \
         line 4: cache.budget: 1h, expected a duration from 1ms to 10s, such as 100ms, 90s or 24h\n  \
         line 5: cache.bugdet: unknown key, did you mean budget?\n  \
         line 6: fusions: unknown key, did you mean fusion?"
    );
    let many: String = (0..100).map(|i| format!("key{i}: 0\n")).collect();
    let error = error(&many);
    assert!(error.starts_with("configuration: 100 problems:\n"), "{error}");
    assert!(error.ends_with("\n  and 50 more"), "{error}");
    assert_eq!(error.lines().count(), 52);
}

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

/// R31: whatever is wrong, and wherever a secret was put.
#[test]
fn no_secret_is_ever_shown() {
    const SECRET: &str = "hunter2";
    for text in [
        "redis_hot: {addr: h, password: hunter2}",
        "redis_hot: {addr: h, password: hunter2, ttl: 5}",
        "redis_hot: {addr: h, password: [hunter2]}",
        "redis_hot: {addr: h, password: {hunter2: hunter2}}",
        "redis_hot: {addr: h, pasword: hunter2}",
        "redis_hot: {addr: 'redis://u:hunter2@h'}",
        "redis_hot: {addr: 'redis://u:hunter2@h:port'}",
        "redis_hot: {addr: 'redis://u:hunter2@h', password: hunter2}",
        "redis_hot: {addr: hunter2!}",
        "redis_hot: {addr: [hunter2]}",
        "redis_hot: hunter2",
        "redis_hot: {addr: h, password: 'hunter2}",
        "redis_hot: {addr: h, password: *hunter2 }",
        "redis_hot: {addr: h, password: !hunter2 x}",
        "redis_hot: {addr: h, password: !!int hunter2}",
        "redis_hot: {addr: h, password: !!bool hunter2}",
        "redis_hot: {addr: h, password: !!float hunter2}",
        "redis_hot: {addr: h, password: !!binary hunter2}",
        "redis_hot: {addr: h, password: @hunter2}",
        "redis_hot: {addr: h, password: %hunter2}",
        "redis_hot:\n  addr: h\n  password: hunter2\n\tx",
        "server: {api_keys: hunter2}",
        "server: {api_keys: [hunter2]}",
        "server: {api_keys: [hunter2hunter2hunter2]}",
        "server: {api_keys: ['hunter2 hunter2 hunter2']}",
        "server: {api_keys: [[hunter2]]}",
        "server: {api_keys: {hunter2hunter2hunter2: 1}}",
        "hunter2",
    ] {
        match Config::from_yaml(text) {
            Err(e) => assert!(!format!("{e} {e:?}").contains(SECRET), "{text}: {e}"),
            Ok(config) => {
                let shown = format!("{config:?} {}", config.to_yaml());
                assert!(!shown.contains(SECRET), "{text}: {shown}");
            }
        }
    }
    // A number is a secret too where one belongs.
    for text in [
        "redis_hot: {addr: h, password: 4711}",
        "server: {api_keys: 4711}",
        "server: {api_keys: [4711]}",
    ] {
        let error = error(text);
        assert!(error.contains("expected") && !error.contains("4711"), "{error}");
    }
    let error = with(&[("ISOVEC__SERVER__API_KEYS", "hunter2")], "").unwrap_err().to_string();
    assert!(
        error.contains("server.api_keys[0]: expected a key of 16") && !error.contains(SECRET),
        "{error}"
    );
}

#[test]
fn secrets_may_lie_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let password = file("password", " with a space \n");
    let keys = file("keys", "0123456789abcdef\n\nfedcba9876543210\r\n");
    let text = format!(
        "redis_hot: {{addr: h, password_file: '{password}'}}\nserver: {{api_keys_file: '{keys}'}}"
    );
    let config = Config::from_yaml(&text).unwrap();
    assert_eq!(config.redis_hot.unwrap().password.as_deref(), Some(" with a space "));
    assert_eq!(config.server.api_keys, ["0123456789abcdef", "fedcba9876543210"]);

    let config = with(&[("ISOVEC__SERVER__API_KEYS_FILE", &keys)], "").unwrap();
    assert_eq!(config.server.api_keys.len(), 2);

    let (empty, short) = (file("empty", "\n\n"), file("short", "0123456789abcdef\nshort\n"));
    let long = file("long", &"x".repeat(70_000));
    let directory = folder.path().to_str().unwrap();
    for (text, expected) in [
        (
            format!("server: {{api_keys_file: '{empty}'}}"),
            format!("server.api_keys_file: {empty:?} has no key in it"),
        ),
        (
            format!("redis_hot: {{addr: h, password_file: '{empty}'}}"),
            format!("redis_hot.password_file: {empty:?} has no password in it"),
        ),
        (
            format!("server: {{api_keys_file: '{short}'}}"),
            "server.api_keys[1]: expected a key of 16 to 256 letters, digits and signs of ASCII, without spaces"
                .to_owned(),
        ),
        (
            format!("server: {{api_keys_file: '{long}'}}"),
            format!("server.api_keys_file: cannot read {long:?}: it is longer than 65536 bytes"),
        ),
        (
            format!("server: {{api_keys_file: '{directory}'}}"),
            format!("server.api_keys_file: cannot read {directory:?}: it is not a file"),
        ),
        (
            "server: {api_keys_file: no/such/file}".to_owned(),
            "server.api_keys_file: cannot read \"no/such/file\": No such file or directory (os error 2)".to_owned(),
        ),
        (
            format!("server: {{api_keys: [0123456789abcdef], api_keys_file: '{keys}'}}"),
            "server.api_keys_file: server.api_keys is given too, expected one of the two".to_owned(),
        ),
        ("server: {api_keys_file: [a]}".to_owned(), "server.api_keys_file: a list, expected the name of a file".to_owned()),
    ] {
        assert_eq!(error(&text), format!("configuration: line 1: {expected}"), "{text}");
    }
}

#[test]
fn files_are_read_with_their_name_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("isovec.yaml");
    let none = || std::iter::empty::<(OsString, OsString)>();

    std::fs::write(&path, "performance: {max_queue: 2000}").unwrap();
    assert_eq!(Config::load_with(Some(&path), none()).unwrap().performance.max_queue, 2000);
    let by_variable = [("ISOVEC_CONFIG".into(), path.clone().into_os_string())];
    assert_eq!(Config::load_with(None, by_variable).unwrap().performance.max_queue, 2000);
    let empty = [("ISOVEC_CONFIG".into(), OsString::new())];
    assert_eq!(Config::load_with(None, empty).unwrap(), Config::default());

    let shown = path.display();
    for (bytes, kind, expected) in [
        (
            b"server: 1".to_vec(),
            ErrorKind::InvalidConfig,
            format!("{shown}: line 1: server: a single value, expected a section of keys"),
        ),
        (vec![0xff], ErrorKind::InvalidConfig, format!("{shown}: not UTF-8")),
        (
            vec![b'#'; MAX_CONFIG_BYTES + 1],
            ErrorKind::TooLarge,
            format!("{shown}: 1048577 bytes, over the cap of 1048576"),
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Config::load_with(Some(&path), none()).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (kind, expected));
    }
    let error = Config::load_with(Some(&folder.path().join("none")), none()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_configuration_made_in_code_is_checked_too() {
    assert!(Config::default().check().is_ok());
    let mut config = Config::default();
    config.text_embedding.batch_size = 0;
    config.redis_hot = Some(RedisConfig::new("localhost:6379", Duration::ZERO));
    config.server.api_keys = vec!["short".into()];
    config.fusion.kind = crate::FusionKind::Learned;
    assert_eq!(
        config.check().unwrap_err().to_string(),
        "configuration: 4 problems:\n  \
         fusion.kind: expected untrained or concat\n  \
         redis_hot.ttl: 0, expected a duration from 1s to 365d, such as 100ms, 90s or 24h\n  \
         server.api_keys[0]: expected a key of 16 to 256 letters, digits and signs of ASCII, without spaces\n  \
         text_embedding.batch_size: 0, expected a whole number from 1 to 4096"
    );
}

#[test]
fn what_is_shown_reads_as_the_same_configuration() {
    for text in [
        "",
        "redis_hot: {addr: 'a:1,b:2', cluster: true, ttl: 90m, username: u}\ncache: {write_to: [hot]}",
        "models: {\"org/m:1\": {path: 'a \"b\" \\c', type: clip-text, max_tokens: 7, preload: false}, n: }\n\
         image_embedding: {allowed_hosts: [a.org, '*.b.org'], max_bytes: 12345}\n\
         fusion: {text_weight: 0.1, kind: concat}",
    ] {
        let config = Config::from_yaml(text).unwrap();
        let shown = config.to_yaml();
        assert_eq!(Config::from_yaml(&shown).unwrap(), config, "{shown}");
    }
}

/// Collects the path of every key there is.
#[derive(Default)]
struct Paths {
    path: String,
    found: BTreeSet<String>,
}

impl Paths {
    fn below(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let below = keys::join(&self.path, name);
        let outside = std::mem::replace(&mut self.path, below);
        visit(self);
        self.path = outside;
    }

    fn add(&mut self, name: &str) {
        self.found.insert(keys::join(&self.path, name));
    }
}

impl Keys for Paths {
    fn key<K: Kind>(&mut self, name: &'static str, _: K, _: &mut K::Value) {
        self.add(name);
    }

    fn section(&mut self, name: &'static str, visit: impl FnOnce(&mut Self)) {
        self.below(name, visit);
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        _: &mut Option<T>,
        new: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Self, &mut T),
    ) {
        self.below(name, |keys| visit(keys, &mut new()));
    }

    fn table<T: Default>(
        &mut self,
        name: &'static str,
        _: &mut BTreeMap<String, T>,
        visit: impl Fn(&mut Self, &mut T),
    ) {
        self.below(name, |keys| {
            keys.below("custom-text-model", |keys| visit(keys, &mut T::default()))
        });
    }

    fn file(
        &mut self,
        name: &'static str,
        _: &'static str,
        _: impl FnOnce(&str) -> Result<(), &'static str>,
    ) {
        self.add(name);
    }

    fn refused(&mut self, name: &'static str, allowed: Option<bool>, _: &'static str) {
        if allowed.is_some() {
            self.add(name);
        }
    }
}

fn paths_of(path: &str, section: &Section, found: &mut BTreeSet<String>) {
    for (name, node) in section {
        let path = keys::join(path, name);
        match &node.value {
            Value::Section(section) => paths_of(&path, section, found),
            _ => {
                found.insert(path);
            }
        }
    }
}

/// The example with every setting in use: `#key: value` without its `#`.
fn all_settings() -> String {
    let is_key = |text: &str| {
        let key = text.trim_start().split(':').next().unwrap_or_default();
        text.contains(':')
            && !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b))
    };
    let uncomment = |line: &str| match line.split_once('#') {
        Some((indent, rest)) if indent.trim().is_empty() && is_key(rest) => {
            format!("{indent}{rest}")
        }
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(|line| uncomment(line) + "\n").collect()
}

/// So that the example cannot go stale.
#[test]
fn the_example_has_every_key_and_the_defaults() {
    assert_eq!(Config::from_yaml(EXAMPLE).unwrap(), Config::default());

    let mut known = Paths::default();
    Config::default().visit(&mut known);
    // The other tiers have the keys of the first.
    known.found.retain(|path| {
        !["redis_warm.", "redis_cold."].iter().any(|tier| path.starts_with(tier))
            || path.ends_with(".addr")
            || path.ends_with(".ttl")
    });
    let mut shown = BTreeSet::new();
    paths_of("", &parse(&all_settings()).unwrap(), &mut shown);
    assert_eq!(shown, known.found);

    // Of two keys that exclude each other, one.
    let exclusive = ["password_file", "api_keys_file", "tls_ca"];
    let text: String = all_settings()
        .lines()
        .filter(|line| !exclusive.iter().any(|key| line.trim_start().starts_with(key)))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let config = Config::from_yaml(
        &text
            .replace("default_model: all-MiniLM-L6-v2", "")
            .replace("default_model: clip-vit-base-patch32", ""),
    )
    .unwrap();
    let ttls =
        config.redis_tiers().into_iter().map(|(tier, redis)| (tier.default_ttl(), redis.ttl));
    assert!(ttls.into_iter().all(|(default, shown)| default == shown));
}

/// Pieces of YAML that are more likely to mean something than random bytes are.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(
            EXAMPLE.split_inclusive([' ', '\n']).map(str::to_owned).collect::<Vec<_>>()
        ),
        2 => proptest::sample::select(vec![
            "- ", "? ", "&a ", "*a ", "<<: *a\n", "[", "]", "{", "}", ",", ": ", "|\n ", ">\n ", "'", "\"",
            "!!int ", "!x ", "---\n", "...\n", "%YAML 1.2\n", "\t", "\r\n", "  ", "#", "~", ".nan", "1e999",
            "0x", "-1", "18446744073709551616", "\u{feff}", "\0", "\u{2028}",
        ]).prop_map(str::to_owned),
        1 => ".{0,8}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Texts as people would never write them, in the places of texts.
fn odd_texts() -> impl Strategy<Value = String> {
    ("\\PC{0,20}|.{0,20}|[\u{0}-\u{ff}]{0,10}", "\\PC{1,20}|.{1,20}").prop_map(|(version, path)| {
        let model =
            ModelConfig { version: Some(version), path: Some(path.into()), ..Default::default() };
        let models = BTreeMap::from([("m".to_owned(), model)]);
        Config { models, ..Default::default() }.to_yaml()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_gives_a_configuration_or_a_typed_error(text in yaml_like()) {
        match Config::from_yaml(&text) {
            Ok(config) => {
                prop_assert!(config.check().is_ok());
                let shown = config.to_yaml();
                prop_assert!(shown.contains(MASK) || Config::from_yaml(&shown).unwrap() == config);
            }
            Err(e) => prop_assert_eq!(e.kind(), ErrorKind::InvalidConfig),
        }
    }

    #[test]
    fn any_text_is_shown_so_that_it_can_be_read(shown in odd_texts()) {
        match Config::from_yaml(&shown) {
            Ok(config) => prop_assert_eq!(config.to_yaml(), shown),
            Err(e) => prop_assert!(false, "{}: {}", e, shown),
        }
    }

    #[test]
    fn any_variable_gives_a_configuration_or_a_typed_error(
        section in "[A-Z_]{0,12}|REDIS_HOT|SERVER|MODELS",
        key in "[A-Z_]{0,12}|ADDR|LISTEN|API_KEYS|TTL",
        value in ".{0,20}",
    ) {
        let name = format!("ISOVEC__{section}__{key}");
        if let Err(e) = with(&[(&name, &value)], "models: {a: }") {
            prop_assert_eq!(e.kind(), ErrorKind::InvalidConfig);
        }
    }
}

/// What a file of the allowed length may make the reader do is bounded.
#[test]
fn files_that_grow_when_they_are_read_are_refused() {
    let laughs: String = (1..12)
        .map(|i| {
            let line = vec![format!("*a{}", i - 1); 9].join(", ");
            format!("a{i}: &a{i} [{line}]\n")
        })
        .collect();
    let nested = "[".repeat(100_000);
    let wide = "a: [".to_owned() + &"1,".repeat(300_000) + "]";
    let keys: String = (0..60_000).map(|i| format!("k{i}: 1\n")).collect();
    let indented: String = (0..1000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    for text in [format!("a0: &a0 [x]\n{laughs}"), nested, wide, keys, indented] {
        let start = std::time::Instant::now();
        let error = error(&text);
        assert!(error.len() < 20_000, "{} bytes", error.len());
        assert!(!error.starts_with("accepted"), "{error}");
        // Seconds are what an unbounded one takes at the least; it is milliseconds here.
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}: {error}", start.elapsed());
    }
}
