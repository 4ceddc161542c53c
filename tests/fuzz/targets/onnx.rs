//! Any bytes as a model, in memory and elsewhere: loaded and, if that works, run.
#![no_main]

use isovec_core::{Manifest, ModelFile, TextEmbedder, TextOptions};
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
        let load = |model: ModelFile<'_>| {
            TextEmbedder::new(&manifest.models[0], model, TOKENIZER.as_bytes(), &options)
        };
        let elsewhere = ModelFile::read_at(model.to_vec(), "0".repeat(64)).unwrap();
        let vectors = [load(model.into()), load(elsewhere)].map(|loaded| {
            let vector = loaded.and_then(|embedder| embedder.embed("a b a")).ok()?.into_vector();
            assert!(vector.iter().all(|x| x.is_finite()));
            Some(vector)
        });
        assert_eq!(vectors[0], vectors[1]);
    }
);
