//! What runs a model: our loops for each instruction set, and tract's, hold to the same vectors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use isovec::{ErrorKind, Execution, ImageOptions, Kernels, Manifest, TextEmbedder};
use isovec_core::ImageEmbedder;
use isovec_tests::{Failures, MAX_DIFFERENCE, folder_in, json, max_difference, test_models};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    bad: Option<String>,
}

/// Models whose encoder is not of `f32` products, or not one that we have.
const NOT_FUSED: [&str; 3] = ["fp16", "fp16-float32-output", "int8-dynamic"];

fn available() -> impl Iterator<Item = Kernels> {
    Kernels::ALL.into_iter().filter(|kernels| kernels.is_available())
}

#[test]
fn text_models_give_the_same_vectors_on_all_kernels() {
    let cases: Vec<Case> = json(&test_models().join("index.json"));
    // Of lengths that fill tiles and registers, and of some that do not.
    let words = ["water ", "the ", "of a car ", "Zürich "];
    let texts = [1, 2, 3, 7, 8, 9, 16, 17, 33, 60]
        .map(|n| words.into_iter().cycle().take(n).collect::<String>());
    let mut failures = Failures::default();
    for case in cases.iter().filter(|case| case.bad.is_none()) {
        let folder = test_models().join(&case.name);
        let path = folder.to_string_lossy();
        let open = |kernels| TextEmbedder::builder(&*path).kernels(kernels).open().unwrap();
        let tract = open(Kernels::Tract);
        failures.check(tract.execution().fused_blocks == 0, || format!("{}: tract's", case.name));
        for kernels in available().filter(|kernels| *kernels != Kernels::Tract) {
            let ours = open(kernels);
            let Execution { fused_blocks, .. } = ours.execution();
            let expected = !NOT_FUSED.contains(&case.name.as_str());
            failures.check((fused_blocks > 0) == expected, || {
                format!("{}, {kernels}: {fused_blocks} blocks fused", case.name)
            });
            failures.check(ours.fingerprint() == tract.fingerprint(), || case.name.clone());
            for text in &texts {
                let [a, b] = [&ours, &tract].map(|model| model.embed(text).unwrap());
                let difference = max_difference(a.vector(), b.vector());
                failures.check(difference <= MAX_DIFFERENCE, || {
                    format!("{}, {kernels}, {text:?}: {difference}", case.name)
                });
            }
        }
    }
    failures.report();
}

#[test]
fn image_models_give_the_same_vectors_on_all_kernels() {
    let manifest = Manifest::from_toml(isovec_core::BUILT_IN_MODELS).unwrap();
    let spec = manifest.get("clip-vit-base-patch32").unwrap();
    let folder = folder_in("ISOVEC_SYNTHETIC_CLIP");
    let model = fs::read(folder.join("onnx/vision_model.onnx")).unwrap();
    let image = fs::read(folder_in("ISOVEC_TEST_IMAGES").join("files/exif-1.jpg")).unwrap();
    let vector = |kernels| {
        let options = ImageOptions { kernels, ..Default::default() };
        let model = ImageEmbedder::new(spec, &model, &options).unwrap();
        let blocks = if kernels == Kernels::Tract { 0 } else { 12 };
        assert_eq!(model.execution().fused_blocks, blocks, "{kernels}");
        model.embed(&image).unwrap().into_vector()
    };
    let tract = vector(Kernels::Tract);
    for kernels in available().filter(|kernels| *kernels != Kernels::Tract) {
        let difference = max_difference(&vector(kernels), &tract);
        assert!(difference <= MAX_DIFFERENCE, "{kernels}: {difference}");
    }
}

#[test]
fn kernels_go_by_their_names() {
    for kernels in Kernels::ALL {
        assert_eq!(kernels.to_string().parse::<Kernels>().unwrap(), kernels);
    }
    let error = "mmx".parse::<Kernels>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert_eq!(
        error.to_string(),
        "kernels: \"mmx\", expected one of best, tract, plain, avx2, avx512"
    );
    assert!(Kernels::Best.is_available() && Kernels::Plain.is_available());
}
