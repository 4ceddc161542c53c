mod environment;
mod files;
mod refused;

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
