//! The program on images: vectors, search with its page, classification, fusion.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use isovec::{ImageEmbedder, vector as arithmetic};
use isovec_tests::{Failures, folder_in, minilm, test_models};
use serde_json::{Value, json};
use support::{isovec, json_lines, run, vector};

/// Both towers of a small CLIP with random weights.
fn clip() -> String {
    test_models().join("clip-both").to_string_lossy().into_owned()
}

fn image(name: &str) -> String {
    folder_in("ISOVEC_TEST_IMAGES").join("files").join(name).to_string_lossy().into_owned()
}

/// A folder with three good images, one of them further down, a broken one, and a file of another kind.
fn folder(at: &Path) -> String {
    fs::create_dir_all(at.join("deep/er")).unwrap();
    for (from, to) in [
        ("rgb-97x61.png", "b.png"),
        ("rgb-640x480.jpg", "a.JPG"),
        ("webp-lossy-33x17.webp", "deep/er/c <&>.webp"),
        ("truncated-0.5.jpg", "deep/broken.jpg"),
    ] {
        fs::copy(image(from), at.join(to)).unwrap();
    }
    fs::write(at.join("notes.txt"), "not an image").unwrap();
    at.to_string_lossy().into_owned()
}

#[test]
fn embeds_images_as_the_library_does() {
    let names = ["rgb-640x480.jpg", "rgb-97x61.png", "webp-animated.webp"].map(image);
    let model = ImageEmbedder::open(&clip()).unwrap();
    let clip = clip();
    let mut args = vec!["embed-image", "--model", &clip];
    args.extend(names.iter().map(String::as_str));
    let lines = json_lines(&run(&args, b""));
    assert_eq!(lines.len(), 3);
    for (index, (line, name)) in lines.iter().zip(&names).enumerate() {
        let expected = model.embed_file(name).unwrap();
        assert_eq!(line["index"], index);
        assert_eq!(line["source"], *name);
        assert_eq!(
            (&line["width"], &line["height"]),
            (&json!(expected.width), &json!(expected.height))
        );
        assert_eq!(line["format"], expected.format.as_str());
        assert_eq!(
            (&line["bytes"], &line["sha256"]),
            (&json!(expected.bytes), &json!(expected.sha256))
        );
        assert_eq!(vector(line), expected.vector());
    }
    let table = run(&[&args[..], &["--format", "table"]].concat(), b"");
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("640 x 480 jpeg"), "{table}");
}

#[test]
fn a_folder_is_embedded_in_order_and_a_broken_file_named() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(temp.path());
    let clip = clip();
    let stopped = run(&["embed-image", "--model", &clip, &folder], b"");
    assert_eq!(stopped.status.code(), Some(1));
    let error = String::from_utf8(stopped.stderr).unwrap();
    assert!(error.contains("broken.jpg: cannot decode the JPEG: the file is truncated"), "{error}");

    let output = run(&["embed-image", "--model", &clip, "--keep-going", &folder], b"");
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = lines
        .iter()
        .map(|line| Path::new(line["source"].as_str().unwrap()).strip_prefix(&folder).unwrap())
        .collect();
    assert_eq!(names, ["a.JPG", "b.png", "deep/broken.jpg", "deep/er/c <&>.webp"].map(Path::new));
    assert_eq!(lines[2]["error"]["code"], "invalid_image");
}

#[test]
fn search_finds_the_nearest_images_and_draws_a_page() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(&temp.path().join("images"));
    let page = temp.path().join("hits.html");
    let (clip, page_arg) = (clip(), page.to_string_lossy().into_owned());
    let query = "a <b>red</b> car";
    let args = [
        "search", query, "--images", &folder, "--model", &clip, "--top", "2", "--format", "jsonl",
        "--html", &page_arg,
    ];
    let output = run(&args, b"");
    let hits = json_lines(&output);
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(notes.contains("left out") && notes.contains("broken.jpg"), "{notes}");

    // The same by the library.
    let both = isovec::Clip::open(&clip).unwrap();
    let query_vector = both.texts().embed(query).unwrap();
    let mut expected: Vec<(f32, PathBuf)> = ["a.JPG", "b.png", "deep/er/c <&>.webp"]
        .iter()
        .map(|name| {
            let path = Path::new(&folder).join(name);
            let found = both.images().embed_file(&path).unwrap();
            (arithmetic::cosine(query_vector.vector(), found.vector()).unwrap(), path)
        })
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert_eq!(hits.len(), 2);
    for (hit, (score, path)) in hits.iter().zip(&expected) {
        assert_eq!(hit["path"], path.to_string_lossy().as_ref());
        assert_eq!(hit["score"].as_f64().unwrap() as f32, *score);
    }

    let html = fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("<li>").count(), 2);
    assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 2);
    assert!(html.contains("a &lt;b&gt;red&lt;/b&gt; car") && !html.contains("<b>red"));
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "the page must need no network"
    );
}

#[test]
fn a_page_says_that_a_model_is_synthetic() {
    let temp = tempfile::tempdir().unwrap();
    let model = temp.path().join("model");
    fs::create_dir_all(model.join("onnx")).unwrap();
    for file in [
        "onnx/vision_model.onnx",
        "onnx/text_model.onnx",
        "tokenizer.json",
        "preprocessor_config.json",
    ] {
        fs::copy(Path::new(&clip()).join(file), model.join(file)).unwrap();
    }
    let mut config: Value = isovec_tests::json(&Path::new(&clip()).join("config.json"));
    config["isovec_synthetic"] = json!("seeded random weights");
    fs::write(model.join("config.json"), config.to_string()).unwrap();
    let page = temp.path().join("hits.html");
    let (model, page_arg) =
        (model.to_string_lossy().into_owned(), page.to_string_lossy().into_owned());
    let output = run(
        &[
            "search",
            "x",
            "--images",
            &image("rgb-97x61.png"),
            "--model",
            &model,
            "--html",
            &page_arg,
        ],
        b"",
    );
    assert!(output.status.success());
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(notes.contains("model \"model\" has seeded random weights"), "{notes}");
    assert!(fs::read_to_string(&page).unwrap().contains("model: seeded random weights."));
}

#[test]
fn classify_gives_shares_that_sum_to_one() {
    let (clip, image) = (clip(), image("rgb-640x480.jpg"));
    let labels = ["a cat", "a green house", "many people"];
    let args = ["classify", &image, "--model", &clip, "--format", "jsonl", "--label"];
    let lines = json_lines(&run(&[&args[..], &labels].concat(), b""));
    assert_eq!(lines.len(), 3);
    let shares: Vec<f64> = lines.iter().map(|line| line["probability"].as_f64().unwrap()).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-5 && shares.is_sorted_by(|a, b| a >= b));
}

#[test]
fn what_cannot_be_done_with_images_is_said() {
    let (clip, good) = (clip(), image("rgb-97x61.png"));
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_string_lossy().into_owned();
    let gif = image("gif.png");
    let model = ["--model", clip.as_str()];
    let with = |args: &[&str]| [args, &model].concat().iter().map(|a| (*a).to_owned()).collect();
    let cases: [(&str, Vec<String>, i32, &str); 7] = [
        ("no such file", with(&["embed-image", "nowhere.jpg"]), 1, "cannot read nowhere.jpg"),
        ("not an image", with(&["embed-image", &gif]), 1, "expected JPEG, PNG or WebP"),
        ("empty folder", with(&["embed-image", &empty]), 1, "no jpg, jpeg, png, webp file"),
        (
            "address",
            with(&["embed-image", "https://example.org/a.jpg"]),
            1,
            "none is fetched unless --allow-urls is given",
        ),
        (
            "text and images",
            with(&["search", "x", "--input", "-", "--images", &good]),
            2,
            "cannot be used with",
        ),
        ("nothing to search", with(&["search", "x"]), 2, "--input"),
        (
            "page of texts",
            with(&["search", "x", "--input", "-", "--html", "x.html"]),
            2,
            "cannot be used with",
        ),
    ];
    let mut failures = Failures::default();
    for (name, args, code, text) in cases {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = run(&args, b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        failures.check(output.status.code() == Some(code) && error.contains(text), || {
            format!("{name}: {:?} {error}", output.status.code())
        });
    }
    failures.report();
}

#[test]
fn an_address_needs_a_flag_and_the_network() {
    let clip = clip();
    let args =
        ["embed-image", "--model", &clip, "--allow-urls", "http://127.0.0.1:9/a.jpg?key=secret"];
    for (offline, text) in [
        ("1", "ISOVEC_OFFLINE forbids"),
        ("0", "http://127.0.0.1:9/a.jpg?***: 127.0.0.1 is not a public address (loopback)"),
    ] {
        let output = isovec(&args).env("ISOVEC_OFFLINE", offline).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(text), "{error}");
    }
}

/// Pairs whose image vectors are their text vectors, turned around.
fn pairs(at: &Path, count: usize) -> String {
    let lines: Vec<String> = (0..count)
        .map(|i| {
            let text: Vec<f32> =
                (0..6).map(|k| ((i + 1) as f32 * (k as f32 + 0.7)).sin()).collect();
            let image: Vec<f32> = text.iter().rev().copied().collect();
            json!({"text_embedding": text, "image_embedding": image, "id": i}).to_string()
        })
        .collect();
    fs::write(at, lines.join("\n")).unwrap();
    at.to_string_lossy().into_owned()
}

#[test]
fn a_fusion_is_fitted_shown_and_used() {
    let temp = tempfile::tempdir().unwrap();
    let pairs = pairs(&temp.path().join("pairs.jsonl"), 120);
    let file = temp.path().join("fusion.safetensors").to_string_lossy().into_owned();
    let fitted = run(&["fuse", "fit", "--pairs", &pairs, "-o", &file], b"");
    assert!(fitted.status.success(), "{}", String::from_utf8_lossy(&fitted.stderr));
    let report = String::from_utf8(fitted.stdout).unwrap();
    assert!(report.contains("recall") && report.contains("chance"), "{report}");

    let shown = String::from_utf8(run(&["fuse", "show", &file], b"").stdout).unwrap();
    assert!(
        shown.starts_with("learned: text 6 (weight 0.6) and image 6 (weight 0.4) into 12"),
        "{shown}"
    );
    assert!(shown.ends_with(&report), "{shown}");

    let output = run(&["fuse", "embed", "--input", &pairs, "--fusion", &file], b"");
    let lines = json_lines(&output);
    assert_eq!((lines.len(), vector(&lines[0]).len()), (120, 12));
    assert_eq!((&lines[7]["id"], &lines[7]["fusion"]), (&json!(7), &json!("learned")));
}

#[test]
fn without_a_file_a_fusion_says_that_it_is_untrained() {
    let (clip, image) = (clip(), image("rgb-97x61.png"));
    let args = [
        "fuse",
        "embed",
        "--text",
        "a red car",
        "--image",
        &image,
        "--image-model",
        &clip,
        "--dims",
        "300",
    ];
    let output = run(&args, b"");
    let lines = json_lines(&output);
    assert_eq!(vector(&lines[0]).len(), 300);
    assert_eq!(lines[0]["fusion"], "untrained");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was learned"));

    // Of concat the first part is the text's vector, by the square root of its weight.
    let args = [
        "fuse",
        "embed",
        "--text",
        "a red car",
        "--image",
        &image,
        "--image-model",
        &clip,
        "--concat",
    ];
    let fused = vector(&json_lines(&run(&args, b""))[0]);
    let text = minilm().embed("a red car").unwrap();
    assert_eq!(fused.len(), 384 + 24);
    for (fused, text) in fused.iter().zip(text.vector()) {
        assert!((fused - 0.6f32.sqrt() * text).abs() < 1e-6);
    }
}

#[test]
fn bad_pairs_are_named_by_line() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("pairs.jsonl");
    let out = temp.path().join("f").to_string_lossy().into_owned();
    let cases = [
        ("{\"text\": \"a\"}\nnonsense", "pairs.jsonl: line 2: expected"),
        ("{\"text\": \"a\", \"text_embedding\": [1]}", "line 1: has both \"text\" and"),
        ("{\"text_embedding\": [1, 2]}", "pair 0: it has no image"),
        ("{\"text_embedding\": [1, 2], \"image_embedding\": [1, 2]}", "at least 20"),
    ];
    let mut failures = Failures::default();
    for (text, expected) in cases {
        fs::write(&file, text).unwrap();
        let output = run(&["fuse", "fit", "--pairs", &file.to_string_lossy(), "-o", &out], b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        failures.check(output.status.code() == Some(1) && error.contains(expected), || error);
        failures.check(!Path::new(&out).exists(), || "a file was left behind".to_owned());
    }
    failures.report();
}
