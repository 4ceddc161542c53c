//! What runs a model: our loops for each instruction set, and tract's, hold to the same vectors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::ops::Range;

use isovec::{
    Clip, ErrorKind, Execution, ImageOptions, Kernels, Manifest, Precision, TextEmbedder,
    TextEmbedderBuilder, vector,
};
use isovec_core::ImageEmbedder;
use isovec_tests::{
    Failures, MAX_DIFFERENCE, MIN_COSINE, folder_in, golden, json, max_difference, test_models,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    bad: Option<String>,
}

/// Models whose encoder is not of `f32` products, or not one that we have: one whose mask could hide all tokens, and
/// which then has no probabilities at all.
const NOT_FUSED: [&str; 4] = ["fp16", "fp16-float32-output", DYNAMIC, "guarded-local"];

/// Its products are of integers, in a range for each text; rounded precisions take them for products by weights.
const DYNAMIC: &str = "int8-dynamic";

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

/// Few and short, so that an emulated processor is done with them in minutes (`scripts/test_aarch64`).
#[test]
fn every_path_has_onnx_runtimes_vectors_of_short_texts() {
    let golden = golden(512);
    let cases = golden.texts.iter().zip(&golden.ids).zip(&golden.vectors);
    let short: Vec<_> = cases.filter(|((_, ids), _)| (3..8).contains(&ids.len())).take(4).collect();
    assert_eq!(short.len(), 4, "of the golden texts so many are short");
    let mut failures = Failures::default();
    for kernels in available().filter(|kernels| *kernels != Kernels::Best) {
        let model = TextEmbedder::builder("all-MiniLM-L6-v2").kernels(kernels).open().unwrap();
        let texts: Vec<&str> = short.iter().map(|((case, _), _)| case.text.as_str()).collect();
        let together = model.embed_batch(&texts).unwrap();
        for (((case, _), reference), together) in short.iter().zip(&together) {
            let alone = model.embed(&case.text).unwrap();
            failures.check(alone == *together, || format!("{kernels}, {}: in a batch", case.name));
            let cosine = vector::cosine(alone.vector(), reference).unwrap();
            let difference = max_difference(alone.vector(), reference);
            failures.check(cosine >= MIN_COSINE && difference <= MAX_DIFFERENCE, || {
                format!(
                    "{kernels}, {}: cosine {cosine}, largest difference {difference}",
                    case.name
                )
            });
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
        "kernels: \"mmx\", expected one of best, tract, plain, neon, avx2, avx512, amx"
    );
    assert!(Kernels::Best.is_available() && Kernels::Plain.is_available());
    assert_eq!(Kernels::Neon.is_available(), cfg!(target_arch = "aarch64"));
}

/// How close a precision's vectors are to those of fp32.
struct Closeness {
    precision: Precision,
    lowest: f32,
    median: f32,
    /// Less than which the median is, or nothing was rounded.
    exact: f32,
    /// Between two paths: numbers that differ in the last digit may be rounded to different ones.
    between_paths: f32,
}

const ROUNDED: [Closeness; 2] = [
    Closeness {
        precision: Precision::Bf16,
        lowest: 0.9995,
        median: 0.9999,
        exact: 0.999_999_9,
        between_paths: 0.9999,
    },
    Closeness {
        precision: Precision::Int8,
        lowest: 0.98,
        median: 0.998,
        exact: 0.999_99,
        between_paths: 0.997,
    },
];

/// Sixteen and eight bits: close to all 32, on every path, and for each text the same whoever is beside it.
#[test]
fn rounded_precisions_are_close_and_do_not_depend_on_neighbours() {
    let texts: Vec<String> = golden(512).texts.into_iter().map(|golden| golden.text).collect();
    // The weights of the other variant are in eight bits already; torch's newer exporter has written it.
    for variant in ["fp32", "int8"] {
        let builder = || TextEmbedder::builder("all-MiniLM-L6-v2").variant(variant);
        for expected in &ROUNDED {
            check_rounded(&texts, builder, expected);
        }
    }
}

fn check_rounded<'a>(
    texts: &[String],
    builder: impl Fn() -> TextEmbedderBuilder<'a>,
    expected: &Closeness,
) {
    let rounded = expected.precision;
    let plain = builder().open().unwrap();
    let full = plain.embed_batch(texts).unwrap();
    let mut failures = Failures::default();
    let mut all_paths = Vec::new();
    for kernels in available().filter(|kernels| *kernels != Kernels::Tract) {
        let builder = builder().precision(rounded);
        let model = builder.kernels(kernels).threads(2).open().unwrap();
        let Execution { fused_blocks, precision, .. } = model.execution();
        assert_eq!((fused_blocks, precision), (6, rounded));
        assert_ne!(model.fingerprint(), plain.fingerprint());
        let together = model.embed_batch(texts).unwrap();
        let mut cosines: Vec<f32> = Vec::new();
        for ((text, together), full) in texts.iter().zip(&together).zip(&full) {
            let alone = model.embed(text).unwrap();
            failures.check(alone == *together, || {
                format!("{rounded}, {kernels}: {text:?} beside others")
            });
            cosines.push(vector::cosine(alone.vector(), full.vector()).unwrap());
        }
        cosines.sort_by(f32::total_cmp);
        let (lowest, median) = (cosines[0], cosines[cosines.len() / 2]);
        let close = lowest > expected.lowest && median > expected.median;
        failures.check(close && median < expected.exact, || {
            format!("{rounded}, {kernels}: cosines from {lowest} on, {median} in the middle")
        });
        all_paths.push((kernels, model.fingerprint(), together));
    }
    let (_, fingerprint, vectors) = &all_paths[0];
    for (kernels, other, others) in &all_paths {
        assert_eq!(other, fingerprint, "{kernels}");
        for (a, b) in vectors.iter().zip(others) {
            let cosine = vector::cosine(a.vector(), b.vector()).unwrap();
            failures.check(cosine > expected.between_paths, || {
                format!("{rounded}, {kernels}: {cosine} to another path")
            });
        }
    }
    failures.report();
}

/// A long text and an image are shared out among the threads of a pool.
#[test]
fn threads_that_share_an_input_change_no_bit() {
    let words = "a long text of many words that says the same thing again and again ";
    let texts = [3, 9, 40].map(|times| words.repeat(times));
    let clip = folder_in("ISOVEC_SYNTHETIC_CLIP");
    let image = folder_in("ISOVEC_TEST_IMAGES").join("files/rgb-640x480.jpg");
    for precision in Precision::ALL {
        let text_model = |threads| {
            let builder = TextEmbedder::builder("all-MiniLM-L6-v2").precision(precision);
            builder.threads(threads).open().unwrap()
        };
        let image_model = |threads| {
            let builder = Clip::builder(clip.to_string_lossy()).precision(precision);
            builder.threads(threads).open().unwrap()
        };
        let alone = texts.each_ref().map(|text| text_model(1).embed(text).unwrap());
        let image_alone = image_model(1).images().embed_file(&image).unwrap();
        for threads in [2, 3, 16] {
            let model = text_model(threads);
            for (text, alone) in texts.iter().zip(&alone) {
                assert_eq!(&model.embed(text).unwrap(), alone, "{precision}, {threads} threads");
                let batch = model.embed_batch(&[text]).unwrap();
                assert_eq!(batch, std::slice::from_ref(alone), "{precision}, {threads} threads");
            }
            let shared = image_model(threads).images().embed_file(&image).unwrap();
            assert_eq!(shared, image_alone, "{precision}, {threads} threads");
        }
        // Two texts at a time, whose threads may be given parts of each other's.
        let model = text_model(2);
        std::thread::scope(|scope| {
            for (text, alone) in texts.iter().zip(&alone) {
                let embed = || (0..20).all(|_| model.embed(text).unwrap() == *alone);
                scope.spawn(move || assert!(embed(), "{precision}, beside others"));
            }
        });
    }
}

#[test]
fn clip_in_rounded_precisions_is_close() {
    let folder = folder_in("ISOVEC_SYNTHETIC_CLIP");
    let folder = folder.to_string_lossy();
    let [full, bf16, int8] = Precision::ALL
        .map(|precision| Clip::builder(&*folder).precision(precision).open().unwrap());
    clip_is_close([&full, &bf16], 0.9999..0.999_999_9);
    clip_is_close([&full, &int8], 0.99..0.999_99);
}

fn clip_is_close(models: [&Clip; 2], expected: Range<f32>) {
    let file = folder_in("ISOVEC_TEST_IMAGES").join("files/rgb-640x480.jpg");
    let images = models.map(|clip| clip.images().embed_file(&file).unwrap());
    let texts = models.map(|clip| clip.texts().embed("a photo of a cat").unwrap());
    for [a, b] in [images.each_ref().map(|i| i.vector()), texts.each_ref().map(|t| t.vector())] {
        let cosine = vector::cosine(a, b).unwrap();
        assert!(expected.contains(&cosine), "{cosine}, not in {expected:?}");
    }
    let [full, rounded] = models;
    assert_ne!(full.images().fingerprint(), rounded.images().fingerprint());
    assert_ne!(full.texts().fingerprint(), rounded.texts().fingerprint());
}

#[test]
fn dynamically_quantised_files_run_in_rounded_precisions() {
    let folder = test_models().join(DYNAMIC);
    let open = |precision, kernels| {
        let builder = TextEmbedder::builder(folder.to_string_lossy()).precision(precision);
        builder.kernels(kernels).open().unwrap()
    };
    // The file's own operators, with a range for each text.
    let stored = open(Precision::Fp32, Kernels::Best);
    assert_eq!(stored.execution().fused_blocks, 0);
    let mut failures = Failures::default();
    for precision in [Precision::Bf16, Precision::Int8] {
        for kernels in available().filter(|kernels| *kernels != Kernels::Tract) {
            let model = open(precision, kernels);
            assert_eq!(model.execution().fused_blocks, 2, "{precision}, {kernels}");
            assert_ne!(model.fingerprint(), stored.fingerprint());
            for words in [1, 7, 40] {
                let text = "water of a car ".repeat(words);
                let [a, b] = [&model, &stored].map(|model| model.embed(&text).unwrap());
                let cosine = vector::cosine(a.vector(), b.vector()).unwrap();
                failures.check(cosine > 0.999, || {
                    format!("{precision}, {kernels}, {words} times: {cosine}")
                });
            }
        }
    }
    failures.report();
}

#[test]
fn rounded_precisions_are_refused_where_there_are_no_blocks() {
    for name in NOT_FUSED.into_iter().filter(|name| *name != DYNAMIC) {
        let folder = test_models().join(name);
        for precision in [Precision::Bf16, Precision::Int8] {
            let builder = TextEmbedder::builder(folder.to_string_lossy()).precision(precision);
            let error = builder.open().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}");
            let expected =
                format!("precision: {precision} is for models whose encoder is recognised");
            assert!(error.to_string().contains(&expected), "{name}: {error}");
        }
    }
    let builder = TextEmbedder::builder("all-MiniLM-L6-v2").precision(Precision::Int8);
    let error = builder.kernels(Kernels::Tract).open().unwrap_err();
    assert_eq!(error.to_string(), "kernels: those of tract have no int8");
    let error = "int4".parse::<Precision>().unwrap_err();
    assert_eq!(error.to_string(), "precision: \"int4\", expected one of fp32, bf16, int8");
}
