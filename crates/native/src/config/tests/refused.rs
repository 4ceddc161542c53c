//! What is refused, with all of the text of its error.

use super::*;

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
