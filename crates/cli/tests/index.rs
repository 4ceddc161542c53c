//! Indices: what is written, that other programs read it, and that a search of it is the search of
//! its texts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "what other tests need of it")]
mod support;

use std::path::Path;
use std::process::{Command, Output};

use isovec::SearchIndex;
use isovec_tests::{Failures, test_models};
use serde_json::{Value, json};
use support::{json_lines, run};

/// A model that has prompts for queries and for passages.
fn prompted() -> String {
    test_models().join("prompts").to_string_lossy().into_owned()
}

fn other_model() -> String {
    test_models().join("mean-opset11").to_string_lossy().into_owned()
}

const TEXTS: [&str; 4] = [
    "The river runs past the mill to the sea.",
    "Bread needs flour, water, salt and time.",
    "",
    "Il y a une forêt près du fleuve. 🙂",
];

/// The texts as `jsonl`, with further keys.
fn lines() -> String {
    let line = |(i, text): (usize, &&str)| {
        let id = format!("no. {i}");
        json!({"text": text, "id": id, "page": {"n": i, "text": null}}).to_string() + "\n"
    };
    TEXTS.iter().enumerate().map(line).collect()
}

/// Runs `isovec index` on the texts.
fn make(output: &Path, model: &[&str]) -> Output {
    let output = output.to_str().unwrap();
    let args = ["index", "--input", "-", "--input-format", "jsonl", "--output", output];
    run(&[&args[..], model].concat(), lines().as_bytes())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn python(script: &str, args: &[&str]) -> Vec<u8> {
    let Some(python) = std::env::var_os("ISOVEC_PYTHON") else {
        panic!("ISOVEC_PYTHON is not set. Run the tests by scripts/test.");
    };
    let output = Command::new(python).args(["-c", script]).args(args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

#[test]
fn python_reads_what_was_written_and_finds_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("index.safetensors");
    let file = path.to_str().unwrap();
    let model = prompted();
    let made = make(&path, &["--model", &model]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(made.stdout.is_empty());
    let size = std::fs::metadata(&path).unwrap().len();
    assert_eq!(
        stderr(&made),
        format!("isovec: 4 texts, 64 dimensions, by prompts: {size} bytes\n")
    );

    let npy = temp.path().join("passages.npy");
    let npy = npy.to_str().unwrap();
    let base = ["embed", "--input", "-", "--input-format", "jsonl", "--model", &model];
    let rest = ["--prompt", "passage", "--format", "npy", "--output", npy];
    assert!(run(&[&base[..], &rest].concat(), lines().as_bytes()).status.success());
    let query = "the way to the sea";
    let embedded = json_lines(&run(&["embed", query, "--model", &model, "--prompt", "query"], b""));
    let script = r"
import json, sys
import numpy as np
from safetensors import safe_open
path, npy, query = sys.argv[1:]
with safe_open(path, 'numpy') as file:
    vectors, items = file.get_tensor('vectors'), file.get_tensor('items')
    metadata = file.metadata()
assert vectors.dtype == np.float32 and items.dtype == np.uint8
scores = vectors.astype(np.float64) @ np.array(json.loads(query), np.float64)
print(json.dumps({
    'same': bool(np.array_equal(vectors, np.load(npy))),
    'items': json.loads(items.tobytes()),
    'metadata': metadata,
    'order': np.argsort(-scores, kind='stable').tolist(),
    'scores': np.sort(scores)[::-1].tolist(),
}))";
    let embedding = embedded[0]["embedding"].to_string();
    let read: Value = serde_json::from_slice(&python(script, &[file, npy, &embedding])).unwrap();
    assert_eq!(read["same"], true);
    let given: Vec<Value> =
        lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read["items"], Value::from(given.clone()));
    let metadata = &read["metadata"];
    let index = SearchIndex::from_safetensors(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        metadata,
        &json!({
            "format": "isovec index", "version": "1", "model": "prompts", "kind": "text",
            "fingerprint": index.made_by().fingerprint.to_string(), "max_tokens": "64",
            "query_prompt": "query", "passage_prompt": "passage",
        })
    );

    let search = ["search", query, "--model", &model, "--top", "9", "--format", "jsonl"];
    let hits = json_lines(&run(&[&search[..], &["--index", file]].concat(), b""));
    assert_eq!(hits.len(), 4);
    for (rank, hit) in hits.iter().enumerate() {
        let number = hit["index"].as_u64().unwrap() as usize;
        assert_eq!(hit["index"], read["order"][rank]);
        let (found, expected) = (&hit["score"], &read["scores"][rank]);
        let difference = found.as_f64().unwrap() - expected.as_f64().unwrap();
        assert!(difference.abs() < 1e-6, "{found} {expected}");
        for key in ["text", "id", "page"] {
            assert_eq!(hit[key], given[number][key]);
        }
    }
    // The search of the texts themselves finds the same, to the bit.
    let texts = ["--input", "-", "--input-format", "jsonl"];
    let direct = json_lines(&run(&[&search[..], &texts].concat(), lines().as_bytes()));
    let facts = |hits: &[Value]| -> Vec<[Value; 3]> {
        hits.iter().map(|hit| ["index", "score", "text"].map(|key| hit[key].clone())).collect()
    };
    assert_eq!(facts(&hits), facts(&direct));
}

#[test]
fn a_named_model_is_opened_in_its_variant_and_settings() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("index.safetensors");
    let settings = ["--variant", "int8", "--max-tokens", "6"];
    let made = make(&path, &settings);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stderr(&made).contains("by all-MiniLM-L6-v2 (int8): "), "{}", stderr(&made));
    assert!(stderr(&made).contains("; 3 longer than 6 tokens"), "{}", stderr(&made));
    let file = path.to_str().unwrap();
    let search = ["search", "baking", "--top", "2", "--format", "jsonl"];
    let hits = json_lines(&run(&[&search[..], &["--index", file]].concat(), b""));
    let direct = [&search[..], &["--input", "-", "--input-format", "jsonl"], &settings].concat();
    let direct = json_lines(&run(&direct, lines().as_bytes()));
    for (hit, direct) in hits.iter().zip(&direct) {
        assert_eq!((&hit["index"], &hit["score"]), (&direct["index"], &direct["score"]));
    }
    assert_eq!((hits.len(), &hits[0]["index"], &hits[0]["id"]), (2, &json!(1), &json!("no. 1")));
    let table = run(&["search", "baking", "--top", "1", "--index", file], b"").stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("       1  Bread needs flour"), "{table}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_string_lossy().into_owned();
    let (good, cut, missing) = (path("good"), path("cut"), path("missing"));
    assert!(make(Path::new(&good), &["--model", &prompted()]).status.success());
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).unwrap();
    let (model, other, wide) = (prompted(), other_model(), "all-MiniLM-L6-v2");
    let index = SearchIndex::from_safetensors(&bytes).unwrap();
    let fingerprint = index.made_by().fingerprint;
    let cases: Vec<(&str, Vec<&str>, i32, String)> = vec![
        (
            "another model",
            vec!["search", "x", "--index", &good, "--model", &other],
            1,
            format!(
                "isovec: error: {good}: the index was made by prompts, and not by the model given: {other}/model.onnx: max_tokens: 64 is outside of 1 to 48"
            ),
        ),
        (
            "another size",
            vec!["search", "x", "--index", &good, "--model", wide],
            1,
            format!(
                "isovec: error: {good}: the index was made by prompts, fingerprint {fingerprint}; the model given has "
            ),
        ),
        (
            "a model in a folder",
            vec!["search", "x", "--index", &good],
            1,
            format!("isovec: error: {good}: no model is named \"prompts\""),
        ),
        (
            "truncated",
            vec!["search", "x", "--index", &cut, "--model", &model],
            1,
            format!(
                "isovec: error: {cut}: index file: {} bytes of data instead of ",
                index.items_json().len() + 4 * 4 * 64 - 9
            ),
        ),
        (
            "no such file",
            vec!["search", "x", "--index", &missing],
            1,
            format!("isovec: error: cannot read {missing}: No such file"),
        ),
        (
            "no index",
            vec!["search", "x", "--index", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")],
            1,
            format!(
                "isovec: error: {}/Cargo.toml: index file: the header would have ",
                env!("CARGO_MANIFEST_DIR")
            ),
        ),
        (
            "index and texts",
            vec!["search", "x", "--index", &good, "--input", "-"],
            2,
            "error: the argument '--index <FILE>' cannot be used with '--input <FILE|->'".into(),
        ),
        (
            "index and images",
            vec!["search", "x", "--index", &good, "--images", "."],
            2,
            "error: the argument '--index <FILE>' cannot be used with '--images <DIR>...'".into(),
        ),
        (
            "index and variant",
            vec!["search", "x", "--index", &good, "--variant", "int8"],
            2,
            "error: the argument '--index <FILE>' cannot be used with '--variant <VARIANT>'".into(),
        ),
        (
            "nothing to index",
            vec!["index", "--input", "-", "--model", &model, "-o", &missing],
            1,
            "isovec: error: - holds no text to index\n".into(),
        ),
        (
            "no output",
            vec!["index", "--input", "-"],
            2,
            "error: the following required arguments were not provided:\n  --output <FILE>".into(),
        ),
    ];
    let mut failures = Failures::default();
    for (name, args, code, message) in cases {
        let output = run(&args, b"");
        let stderr = stderr(&output);
        failures.check(output.status.code() == Some(code), || format!("{name}: {}", output.status));
        failures.check(stderr.starts_with(&message), || format!("{name}:\n{stderr}not\n{message}"));
        failures.check(output.stdout.is_empty(), || format!("{name}: output"));
    }
    failures.report();
    assert!(!Path::new(&missing).exists());

    // A run that fails leaves the index that was there.
    let args = ["index", "--input", "-", "--model", &model, "--output", &good];
    let output = run(&args, b"fine\nbad \xff byte\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&good).unwrap(), bytes);
    let names: Vec<_> = std::fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
