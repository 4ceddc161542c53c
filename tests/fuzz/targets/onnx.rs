//! Any bytes as a model: loaded and, if that works, run.
#![no_main]

use isovec_core::{Manifest, TextEmbedder, TextOptions};
use libfuzzer_sys::fuzz_target;

const SPEC: &str = "[[model]]\nname = \"m\"\ndims = 32\nmax_tokens = 48\npooling = \"mean\"";
/// A tokenizer of three words is enough to reach the engine.
const TOKENIZER: &str = r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"[UNK]":0,"a":1,"b":2},"unk_token":"[UNK]"},"pre_tokenizer":{"type":"Whitespace"}}"#;

fuzz_target!(
    init: {
        // libFuzzer's hook aborts on every panic. Ours are contained and become errors (R9), which
        // is what this target holds to: only a panic that escapes is a finding.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |model: &[u8]| {
        let manifest = Manifest::from_toml(SPEC).unwrap();
        let options = TextOptions::default();
        let loaded = TextEmbedder::new(&manifest.models[0], model, TOKENIZER.as_bytes(), &options);
        if let Ok(embedder) = loaded
            && let Ok(embedding) = embedder.embed("a b a")
        {
            assert!(embedding.vector().iter().all(|x| x.is_finite()));
        }
    }
);
