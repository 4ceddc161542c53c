//! CLIP and other image models against ONNX Runtime, on the same files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use isovec::{
    Clip, ClipTextEmbedder, Embedding, ErrorKind, ImageEmbedder, Manifest, TextEmbedder, vector,
};
use isovec_tests::{
    Failures, MAX_DIFFERENCE, MIN_COSINE, folder_in, json, max_difference, rows, test_models,
};
use safetensors::SafeTensors;
use serde::Deserialize;

/// CLIP ViT-B/32 in its exact shape and with its own tokenizer, but with random weights: the real ones
/// are on the model hub alone.
fn synthetic() -> &'static Clip {
    static CLIP: OnceLock<Clip> = OnceLock::new();
    CLIP.get_or_init(|| {
        let folder = folder_in("ISOVEC_SYNTHETIC_CLIP");
        Clip::builder(folder.to_string_lossy()).exif_orientation(true).open().unwrap()
    })
}

/// Names of inputs, and the vectors that ONNX Runtime gives for them.
fn reference(file: &str) -> Vec<(String, Vec<f32>)> {
    let bytes = std::fs::read(folder_in("ISOVEC_CLIP_REFERENCE").join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let made_with = &header.metadata().as_ref().unwrap()["made_with"];
    let made_with: serde_json::Value = serde_json::from_str(made_with).unwrap();
    let names: Vec<String> = serde_json::from_value(made_with["names"].clone()).unwrap();
    names.into_iter().zip(rows(&tensors, "embeddings")).collect()
}

fn image_path(name: &str) -> PathBuf {
    folder_in("ISOVEC_TEST_IMAGES").join("files").join(name)
}

#[derive(Deserialize)]
struct GoldenTokens {
    texts: Vec<GoldenText>,
}

#[derive(Deserialize)]
struct GoldenText {
    name: String,
    text: String,
    length: usize,
    ids: Vec<u32>,
    /// What `tokenizer.json` gives, also when transformers reads it, where that is not what transformers
    /// makes of the vocabulary.
    tokenizer_json_ids: Option<Vec<u32>>,
}

fn golden_tokens() -> Vec<GoldenText> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/clip-tokens.json");
    json::<GoldenTokens>(&path).texts
}

#[test]
fn ids_equal_the_reference_tokenizer() {
    let (mut failures, mut truncated) = (Failures::default(), 0);
    for case in golden_tokens() {
        let expected = case.tokenizer_json_ids.as_ref().unwrap_or(&case.ids);
        let tokens = synthetic().texts().tokenize(&case.text).unwrap();
        failures.check(tokens.ids == *expected, || {
            format!("{}: ids {:?}, the reference has {expected:?}", case.name, tokens.ids)
        });
        failures.check(tokens.truncated == (case.length > 77), || {
            format!("{}: truncated {} of {} tokens", case.name, tokens.truncated, case.length)
        });
        truncated += usize::from(tokens.truncated);
    }
    assert!(truncated >= 3, "the golden texts should hold some long ones, not {truncated}");
    failures.report();
}

#[test]
fn texts_equal_onnx_runtime() {
    let (mut failures, cases) = (Failures::default(), reference("texts.safetensors"));
    assert!(cases.len() >= 100);
    let golden = golden_tokens();
    let texts: Vec<&str> = golden.iter().map(|case| case.text.as_str()).collect();
    let embeddings = synthetic().texts().embed_batch(&texts).unwrap();
    for ((name, expected), embedding) in cases.iter().zip(&embeddings) {
        compare(&mut failures, name, embedding.vector(), expected);
    }
    failures.report();
}

#[test]
fn images_equal_onnx_runtime() {
    let (mut failures, cases) = (Failures::default(), reference("images.safetensors"));
    assert!(cases.len() >= 40);
    let paths: Vec<PathBuf> = cases.iter().map(|(name, _)| image_path(name)).collect();
    let embeddings = synthetic().images().embed_files(&paths);
    for ((name, expected), embedding) in cases.iter().zip(embeddings) {
        match embedding {
            Ok(embedding) => {
                compare(&mut failures, name, embedding.vector(), expected);
                let bytes = std::fs::read(image_path(name)).unwrap();
                failures.check(embedding.bytes == bytes.len(), || format!("{name}: bytes"));
            }
            Err(e) => failures.check(false, || e.to_string()),
        }
    }
    failures.report();
}

fn compare(failures: &mut Failures, name: &str, found: &[f32], expected: &[f32]) {
    let cosine = vector::cosine(found, expected).unwrap();
    let difference = max_difference(found, expected);
    failures.check(cosine >= MIN_COSINE && difference <= MAX_DIFFERENCE, || {
        format!("{name}: cosine {cosine}, largest difference {difference}")
    });
}

#[test]
fn an_image_s_vector_does_not_depend_on_batch_order_or_threads() {
    let folder = test_models().join("clip-both");
    let folder = folder.to_string_lossy();
    let names = ["rgb-97x61.png", "rgb-1x1.png", "rgb-333x1000.png", "jpeg-420-17x9.jpg"];
    let files: Vec<Vec<u8>> =
        names.iter().map(|name| std::fs::read(image_path(name)).unwrap()).collect();
    let single = ImageEmbedder::open(&folder).unwrap();
    let alone: Vec<_> = files.iter().map(|file| single.embed(file).unwrap()).collect();
    for threads in [1, 2, 8] {
        let model = ImageEmbedder::builder(&*folder).threads(threads).open().unwrap();
        assert_eq!(model.fingerprint(), single.fingerprint());
        assert_eq!(model.embed_batch(&files).unwrap(), alone);
        let reversed: Vec<_> = files.iter().rev().collect();
        let found = model.embed_batch(&reversed).unwrap();
        assert!(found.iter().rev().eq(&alone), "{threads} threads");
    }
}

#[derive(Deserialize)]
struct Case {
    name: String,
    kind: String,
    dims: usize,
    bad: Option<String>,
}

#[derive(Deserialize)]
struct Texts {
    texts: Vec<String>,
    input_ids: Vec<Vec<u32>>,
    embeddings: Vec<Vec<f32>>,
}

#[test]
fn every_good_small_model_equals_onnx_runtime() {
    let cases: Vec<Case> = json(&test_models().join("clip-index.json"));
    let mut failures = Failures::default();
    let mut good = 0;
    for case in cases.iter().filter(|case| case.bad.is_none()) {
        good += 1;
        let folder = test_models().join(&case.name);
        let name = folder.to_string_lossy();
        if case.kind == "image" {
            let model = ImageEmbedder::open(&name).unwrap();
            assert_eq!(model.dims(), case.dims);
            let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let pixels = rows(&tensors, "pixel_values");
            for (pixels, expected) in pixels.iter().zip(rows(&tensors, "embeddings")) {
                let found = model.embed_pixels(pixels).unwrap();
                compare(&mut failures, &name, &found, &expected);
            }
        } else {
            let model = ClipTextEmbedder::open(&name).unwrap();
            assert_eq!((model.dims(), model.max_tokens()), (case.dims, 77));
            let reference: Texts = json(&folder.join("reference.json"));
            for ((text, ids), expected) in
                reference.texts.iter().zip(&reference.input_ids).zip(&reference.embeddings)
            {
                failures.check(model.tokenize(text).unwrap().ids == *ids, || text.clone());
                compare(&mut failures, &name, model.embed(text).unwrap().vector(), expected);
            }
        }
    }
    assert!(good >= 5, "{good} good models");
    failures.report();
}

#[test]
fn every_bad_small_model_is_a_typed_error() {
    let open = |name: &str| ImageEmbedder::open(&test_models().join(name).to_string_lossy());
    let text = |name: &str| ClipTextEmbedder::open(&test_models().join(name).to_string_lossy());
    let cases = [
        (
            open("vision-wrong-size").unwrap_err(),
            ErrorKind::InvalidModel,
            "the preprocessing gives [N, 3, 64, 64]",
        ),
        (
            text("vision-as-text").unwrap_err(),
            ErrorKind::InvalidModel,
            "input \"pixel_values\" is not one of a text model",
        ),
        (open("clip-text").unwrap_err(), ErrorKind::NotFound, "preprocessor_config.json"),
        (text("clip-vision").unwrap_err(), ErrorKind::InvalidConfig, "has no text tower"),
        (
            ImageEmbedder::open("all-MiniLM-L6-v2").unwrap_err(),
            ErrorKind::InvalidConfig,
            "model \"all-MiniLM-L6-v2\" is of the kind text; expected image",
        ),
        (
            TextEmbedder::open("clip-vit-base-patch32-text").unwrap_err(),
            ErrorKind::InvalidConfig,
            "is of the kind clip-text; expected text",
        ),
        (
            Clip::open("all-MiniLM-L6-v2").unwrap_err(),
            ErrorKind::NotFound,
            "no model of the kind clip-text shares a space with \"all-MiniLM-L6-v2\"",
        ),
    ];
    let mut failures = Failures::default();
    for (error, kind, text) in cases {
        failures.check(error.kind() == kind && error.to_string().contains(text), || {
            format!("{}: {error}; expected {kind}: {text}", error.kind())
        });
    }
    failures.report();
}

#[test]
fn towers_of_two_folders_do_not_mix() {
    // Of the same name, as two downloads may be.
    let temp = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|parent| temp.path().join(parent).join("clip"));
    for (from, to) in [("clip-vision", &a), ("clip-text", &b)] {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(test_models().join(from)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let images = ImageEmbedder::open(&a.to_string_lossy()).unwrap();
    let texts = ClipTextEmbedder::open(&b.to_string_lossy()).unwrap();
    let error = Clip::of(images, texts).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("vectors of \"clip\" (space: folder:"), "{error}");
}

#[test]
fn zero_shot_is_the_softmax_of_onnx_runtime_s_cosines() {
    let (images, texts) = (reference("images.safetensors"), reference("texts.safetensors"));
    let (name, image) = &images[3];
    let file = std::fs::read(image_path(name)).unwrap();
    let golden = golden_tokens();
    let labels: Vec<&str> = golden[..6].iter().map(|case| case.text.as_str()).collect();
    let logits: Vec<f64> = texts[..6]
        .iter()
        .map(|(_, text)| 100.0 * f64::from(vector::dot(image, text).unwrap()))
        .collect();
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    let fits = synthetic().zero_shot(&file, &labels).unwrap();
    assert_eq!(fits.len(), labels.len());
    for fit in &fits {
        let expected = logits[fit.label].exp() / sum;
        assert!((f64::from(fit.probability) - expected).abs() < 1e-3, "{fits:?}");
    }
    assert!(fits.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn settings_that_change_vectors_change_the_fingerprint() {
    let folder = test_models().join("clip-both");
    let open = |exif: bool| {
        let builder = ImageEmbedder::builder(folder.to_string_lossy()).exif_orientation(exif);
        builder.open().unwrap()
    };
    let (stored, upright) = (open(false), open(true));
    assert_ne!(stored.fingerprint(), upright.fingerprint());
    assert_eq!(
        stored.fingerprint(),
        ImageEmbedder::open(&folder.to_string_lossy()).unwrap().fingerprint()
    );

    let file = std::fs::read(image_path("exif-6.jpg")).unwrap();
    let (a, b) = (stored.embed(&file).unwrap(), upright.embed(&file).unwrap());
    assert_eq!((a.width, a.height), (b.height, b.width));
    assert_ne!(a.vector(), b.vector());
    assert_eq!(a.sha256, b.sha256);
}

/// The manifest's preprocessing is what the hub's `preprocessor_config.json` says.
#[test]
fn the_manifest_says_what_the_preprocessor_config_says() {
    let manifest = Manifest::from_toml(isovec::BUILT_IN_MODELS).unwrap();
    let spec = manifest.get("clip-vit-base-patch32").unwrap();
    let json = std::fs::read(folder_in("ISOVEC_SYNTHETIC_CLIP").join("preprocessor_config.json"));
    let from_file = isovec::Preprocessing::from_json(&json.unwrap()).unwrap();
    assert_eq!(spec.preprocessing.as_ref(), Some(&from_file));
    let text = manifest.partner(spec, isovec::ModelKind::ClipText).unwrap();
    assert_eq!(text.name, "clip-vit-base-patch32-text");
    text.check_same_space(spec).unwrap();
}

/// Caches and indices are told apart by these: a change of one must be on purpose.
#[test]
fn fingerprints_are_what_they_have_always_been() {
    let folder = test_models().join("clip-both");
    let clip = Clip::open(&folder.to_string_lossy()).unwrap();
    let text = TextEmbedder::open(&test_models().join("mean-opset11").to_string_lossy()).unwrap();
    let fusion = isovec::Fusion::concat(384, 512, isovec::FusionWeights::default()).unwrap();
    let found = [
        clip.images().fingerprint(),
        clip.texts().fingerprint(),
        text.fingerprint(),
        fusion.fingerprint(),
    ];
    let found = found.map(|fingerprint| fingerprint.to_string());
    let expected = [
        "c11c2eaab9875e082bf28752dd324facbe610685d6f443d652b851d53d7058eb",
        "d7ba3e9238407f8027cdc6c8a0d379cbae4ef733daa055eac30bca851df6d68c",
        "a1c8615846aaef3368056b96a68cb31aa603cca4515cf225e3e24391d3af5dae",
        "e237d55ed025511942b75c9805f2da10391311b0f887b789930edc74a454a837",
    ];
    assert_eq!(found, expected);
}

#[test]
fn arrays_hold_the_same_rows() {
    let folder = test_models().join("clip-both");
    let clip = Clip::open(&folder.to_string_lossy()).unwrap();
    let file = std::fs::read(image_path("rgb-97x61.png")).unwrap();
    let images = clip.images().embed_array(&[&file, &file]).unwrap();
    let texts = clip.texts().embed_array(&["a cat"]).unwrap();
    assert_eq!((images.shape(), texts.shape()), (&[2, 24][..], &[1, 24][..]));
    assert_eq!(images.row(1).to_vec(), clip.images().embed(&file).unwrap().into_vector());
    assert_eq!(texts.row(0).to_vec(), clip.texts().embed("a cat").unwrap().into_vector());
}

#[test]
fn embeddings_say_what_was_read() {
    let long = vec!["word"; 100].join(" ");
    let found: Vec<Embedding> =
        synthetic().texts().embed_batch(&["a photo of a cat", long.as_str()]).unwrap();
    assert_eq!((found[0].tokens, found[0].truncated), (7, false));
    assert_eq!((found[1].tokens, found[1].truncated), (77, true));
}
