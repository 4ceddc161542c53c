//! Any bytes as a `tokenizer.json`; the model behind it is the smallest there is.
#![no_main]

use isovec_core::{Manifest, TextEmbedder, TextOptions};
use libfuzzer_sys::fuzz_target;

const SPEC: &str = "[[model]]\nname = \"m\"\ndims = 32\nmax_tokens = 48\npooling = \"mean\"";

fuzz_target!(
    init: { std::panic::set_hook(Box::new(|_| {})); },
    |tokenizer: &[u8]| {
        let manifest = Manifest::from_toml(SPEC).unwrap();
        // The tokenizer is read before the model, and refused before it; an empty model ends the
        // rest quickly.
        let loaded = TextEmbedder::new(
            &manifest.models[0], b"".as_slice(), tokenizer, &TextOptions::default(),
        );
        assert!(loaded.is_err());
    }
);
