//! Any bytes as a `tokenizer.json`, and any text for it: ids or an error. An input is the file, and
//! after its first NUL byte the text.
#![no_main]

use isovec_core::{Manifest, TextEmbedder, TextOptions};
use libfuzzer_sys::fuzz_target;

const SPEC: &str =
    "[[model]]\nname = \"m\"\ndims = 1\nmax_tokens = 48\npooling = \"mean\"\nnormalize = false";

/// The smallest model there is, so that the tokenizer is what is tested: each id becomes its own
/// vector of one dimension (`Unsqueeze(Cast(input_ids))`, opset 11).
const MODEL: &[u8] = b"\x08\x06\x12\x00:~\x0a\x1f\x0a\x09input_ids\x12\x01f\x22\x04Cast*\x09\x0a\x02to\
\x18\x01\xa0\x01\x02\x0a\x1e\x0a\x01f\x12\x01o\x22\x09Unsqueeze*\x0b\x0a\x04axes@\x02\xa0\x01\x07\x12\
\x01gZ\x1d\x0a\x09input_ids\x12\x10\x0a\x0e\x08\x07\x12\x0a\x0a\x03\x12\x01b\x0a\x03\x12\x01sb\x19\x0a\
\x01o\x12\x14\x0a\x12\x08\x01\x12\x0e\x0a\x03\x12\x01b\x0a\x03\x12\x01s\x0a\x02\x08\x01B\x04\x0a\x00\
\x10\x0b";

fuzz_target!(
    init: { std::panic::set_hook(Box::new(|_| {})); },
    |input: &[u8]| {
        let end = input.iter().position(|b| *b == 0).unwrap_or(input.len());
        let (tokenizer, rest) = input.split_at(end);
        let text = String::from_utf8_lossy(rest);
        let manifest = Manifest::from_toml(SPEC).unwrap();
        let loaded =
            TextEmbedder::new(&manifest.models[0], MODEL, tokenizer, &TextOptions::default());
        match loaded {
            Ok(embedder) => {
                if let Ok(tokens) = embedder.tokenize(&text) {
                    assert!((1..=48).contains(&tokens.ids.len()));
                    assert_eq!(tokens.ids.len(), tokens.type_ids.len());
                }
                let _ = embedder.embed(&text);
            }
            // The model is a good one: what is wrong is the tokenizer, or it leaves no room.
            Err(e) => assert!(matches!(e.kind().as_str(), "invalid_tokenizer" | "invalid_config")),
        }
    }
);
