//! Any text as a manifest.
#![no_main]

use isovec_core::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(manifest) = Manifest::from_toml(text) {
        for model in &manifest.models {
            model.check().unwrap();
            // A path that was accepted stays below the model's folder.
            for file in model.variants.values().flat_map(|variant| &variant.files) {
                assert!(!file.path.starts_with('/') && !file.path.contains(".."));
            }
        }
    }
});
