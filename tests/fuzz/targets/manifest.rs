//! Any text as a manifest.
#![no_main]

use std::path::{Component, Path};

use isovec_core::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(manifest) = Manifest::from_toml(text) {
        for model in &manifest.models {
            model.check().unwrap();
            // A path that was accepted stays below the model's folder.
            for file in model.variants.values().flat_map(|variant| &variant.files) {
                let mut parts = Path::new(&file.path).components();
                assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{}", file.path);
            }
        }
    }
});
