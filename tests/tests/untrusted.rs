//! Bytes and texts from anybody: an error or a vector, never a panic (R5, R8, R9, R13 to R15).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use isovec::{ErrorKind, TextOptions, limits};
use isovec_core::{Manifest, ModelSpec, TextEmbedder};
use isovec_tests::{minilm, test_models};
use proptest::prelude::*;

fn spec() -> ModelSpec {
    let toml = "[[model]]\nname = \"m\"\ndims = 32\nmax_tokens = 48\npooling = \"mean\"";
    Manifest::from_toml(toml).unwrap().models.remove(0)
}

fn small(file: &str) -> Vec<u8> {
    std::fs::read(test_models().join("mean-opset11").join(file)).unwrap()
}

/// Loads and runs: a model is only as harmless as its run.
fn try_model(model: &[u8], tokenizer: &[u8]) -> Result<(), ErrorKind> {
    let embedder = TextEmbedder::new(&spec(), model, tokenizer, &TextOptions::default())
        .map_err(|e| e.kind())?;
    embedder.embed("hello world").map(drop).map_err(|e| e.kind())
}

#[test]
fn empty_random_and_other_bytes_are_no_model() {
    let tokenizer = small("tokenizer.json");
    for bytes in [&b""[..], b"\0", b"hello", b"PK\x03\x04", &[0xff; 1000], &tokenizer] {
        assert_eq!(try_model(bytes, &tokenizer), Err(ErrorKind::InvalidModel));
    }
    let model = small("model.onnx");
    for bytes in [&b""[..], b"{}", b"[]", b"{\"model\": 1}", &model[..100]] {
        assert_eq!(try_model(&model, bytes), Err(ErrorKind::InvalidTokenizer));
    }
}

#[test]
fn every_truncation_of_a_model_is_an_error() {
    let (model, tokenizer) = (small("model.onnx"), small("tokenizer.json"));
    let step = (model.len() / 300).max(1);
    for length in (0..model.len()).step_by(step) {
        let result = try_model(&model[..length], &tokenizer);
        assert!(result.is_err(), "the first {length} of {} bytes gave a vector", model.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        // The same cases each time: what is new is sought by scripts/fuzz, in a process with limits.
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x150_5ec),
        ..Default::default()
    })]

    /// A flipped bit in a weight gives another vector, and anywhere else an error; the test is that
    /// it ends, without a panic that escapes.
    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..8)) {
        let (mut model, tokenizer) = (small("model.onnx"), small("tokenizer.json"));
        // The graph, not the weights: most of the file is weights, which hardly test anything.
        let graph = graph_bytes(&model);
        for (index, bit) in flips {
            let at = graph[index.index(graph.len())];
            model[at] ^= 1 << bit;
        }
        let _ = try_model(&model, &tokenizer);
    }

    #[test]
    fn any_string_gives_a_unit_vector(text in any_text()) {
        let embedding = minilm().embed(&text).unwrap();
        let length: f64 = embedding.vector().iter().map(|x| f64::from(*x).powi(2)).sum();
        prop_assert!((length - 1.0).abs() < 1e-5);
        prop_assert!((2..=512).contains(&embedding.tokens));
    }
}

/// The places in a file that are not in long runs of weights: those within 64 bytes of something
/// that reads as a name.
fn graph_bytes(model: &[u8]) -> Vec<usize> {
    let printable = |b: &u8| b.is_ascii_alphanumeric() || b"_/.".contains(b);
    let mut places = Vec::new();
    for (index, window) in model.windows(6).enumerate() {
        if window.iter().all(printable) {
            places.extend(index.saturating_sub(16)..(index + 22).min(model.len()));
        }
    }
    places.dedup();
    places
}

/// Strings of all sorts: plain, of any characters, and of those that trouble tokenizers.
fn any_text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "\0",
        "\u{301}",
        "\u{200d}",
        "\u{feff}",
        "\u{202e}",
        "\u{ad}",
        "\u{fffd}",
        "[CLS]",
        "[PAD]",
        "##",
        "👩‍👩‍👧",
        "🏽",
        "ﷺ",
        "İ",
        "ß",
        "\r\n",
        "\u{e000}",
        "\u{10ffff}",
        "ก็",
        "가",
    ]);
    prop_oneof![
        "[a-z ]{0,200}",
        prop::collection::vec(any::<char>(), 0..60).prop_map(|chars| chars.into_iter().collect()),
        prop::collection::vec(odd, 0..30).prop_map(|parts| parts.concat()),
    ]
}

#[test]
fn a_text_of_a_mebibyte_is_cut_and_one_byte_more_is_refused() {
    for unit in ["a", "word ", "é", "\u{301}", "日"] {
        let text = unit.repeat(limits::MAX_TEXT_BYTES / unit.len());
        let embedding = minilm().embed(&text).unwrap();
        assert!(embedding.tokens <= 512);
        let over = text + &"b".repeat(1 + limits::MAX_TEXT_BYTES % unit.len());
        let error = minilm().embed(&over).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(error.to_string(), "the text is 1048577 bytes, over the cap of 1048576");
    }
}

/// The model that `tests/fuzz/targets/tokenizer.rs` puts behind a fuzzed tokenizer must be a good one,
/// or that target would test nothing.
#[test]
fn the_smallest_model_there_is_loads() {
    let toml =
        "[[model]]\nname = \"m\"\ndims = 1\nmax_tokens = 48\npooling = \"mean\"\nnormalize = false";
    let spec = Manifest::from_toml(toml).unwrap().models.remove(0);
    let target = include_str!("../fuzz/targets/tokenizer.rs");
    let (_, literal) = target.split_once("= b\"").unwrap();
    let literal = literal.split_once("\";").unwrap().0.replace("\\\n", "");
    let model = unescape(&literal);
    let tokenizer = small("tokenizer.json");
    let options = TextOptions::default();
    let embedder = TextEmbedder::new(&spec, &model, &tokenizer, &options).unwrap();
    let ids = embedder.tokenize("hello").unwrap().ids;
    let mean = ids.iter().sum::<u32>() as f32 / ids.len() as f32;
    assert_eq!(embedder.embed("hello").unwrap().vector(), [mean]);
}

/// The bytes of a Rust literal that has no escape but `\xNN`.
fn unescape(literal: &str) -> Vec<u8> {
    let mut parts = literal.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    bytes
}
