//! Indices: what is written, that other programs read it, and that a search of it is the search of
//! its texts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use isovec::{IndexedBy, SearchIndex};
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
            "prompts_sha256": IndexedBy::prompts_sha256("query: ", "passage: "),
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
        assert_eq!(hit["item"], given[number]);
    }
    // The search of the texts themselves finds the same, to the bit.
    let texts = ["--input", "-", "--input-format", "jsonl"];
    let direct = json_lines(&run(&[&search[..], &texts].concat(), lines().as_bytes()));
    assert_eq!(hits.len(), direct.len());
    for (hit, direct) in hits.iter().zip(&direct) {
        assert_eq!(direct["text"], hit["item"]["text"]);
        assert_eq!((&hit["index"], &hit["score"]), (&direct["index"], &direct["score"]));
    }
}

#[test]
fn items_are_carried_through_to_the_byte() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("index.safetensors");
    let file = path.to_str().unwrap();
    let item = r#"{"z":12345678901234567890123, "score":-0, "text":"a\u0062c", "index":1.50, "a":{"text":1e2}}"#;
    let args = ["--input", "-", "--input-format", "jsonl", "--model", &prompted()];
    let made =
        run(&[&["index", "-o", file], &args[..]].concat(), format!(" {item} \r\n").as_bytes());
    assert!(made.status.success(), "{}", stderr(&made));
    let index = SearchIndex::from_safetensors(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(index.item(0), Some(item));
    let search = ["search", "abc", "--index", file, "--model", &prompted()];
    let found = run(&[&search[..], &["--format", "jsonl"]].concat(), b"").stdout;
    let found = String::from_utf8(found).unwrap();
    assert!(found.starts_with(r#"{"index":0,"score":"#), "{found}");
    assert!(found.ends_with(&format!(",\"item\":{item}}}\n")), "{found}");

    // An index of another program may have items over several lines.
    let mut pretty = SearchIndex::new(index.made_by().clone(), index.dims()).unwrap();
    pretty.push("{\n\t\"text\":\r\n\"a\\nb\"}", index.vectors()).unwrap();
    std::fs::write(&path, pretty.to_safetensors().unwrap()).unwrap();
    let hits = json_lines(&run(&[&search[..], &["--format", "jsonl"]].concat(), b""));
    assert_eq!((hits.len(), &hits[0]["item"]), (1, &json!({"text": "a\nb"})));

    // Two texts: a parser would take either.
    let two = b"{\"text\":\"a\"}\n\n{\"text\":\"a\",\"text\":\"b\"}\n";
    let made = run(&[&["index", "-o", file], &args[..]].concat(), two);
    let message = "isovec: error: standard input line 3: item 1: has more than one \"text\"\n";
    assert_eq!(stderr(&made), message);
}

/// A copy of the model with prompts, in which `edit` changes what its settings say of them.
fn with_prompts(folder: &Path, edit: (&str, &str)) -> String {
    let copy = folder.join("prompts");
    std::fs::create_dir_all(copy.join("1_Pooling")).unwrap();
    let settings = "config_sentence_transformers.json";
    let files = ["config.json", "model.onnx", "tokenizer.json", "1_Pooling/config.json", settings];
    for name in files {
        std::fs::copy(Path::new(&prompted()).join(name), copy.join(name)).unwrap();
    }
    let text = std::fs::read_to_string(copy.join(settings)).unwrap();
    assert!(text.contains(edit.0), "{text}");
    std::fs::write(copy.join(settings), text.replace(edit.0, edit.1)).unwrap();
    copy.to_str().unwrap().to_owned()
}

#[test]
fn a_prompt_that_was_edited_or_dropped_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("index.safetensors");
    let file = path.to_str().unwrap();
    assert!(make(&path, &["--model", &prompted()]).status.success());
    let search = |model: &str, file: &str| {
        run(&["search", "x", "--quiet", "--index", file, "--model", model], b"")
    };
    assert!(search(&prompted(), file).status.success());
    let others = "and the prompts of the model given have other texts";
    for (from, to, expected) in [
        ("\"query: \"", "\"query:\"", others),
        ("\"passage: \"", "\"\"", others),
        (
            "\"query\":",
            "\"question\":",
            "with the prompt \"query\" for queries; the model given has none",
        ),
    ] {
        let found = search(&with_prompts(temp.path(), (from, to)), file);
        let expected = format!("isovec: error: {file}: the index was made by prompts, {expected}");
        assert!(stderr(&found).starts_with(&expected), "{}", stderr(&found));
        assert_eq!(found.status.code(), Some(1));
    }

    // A file that says nothing of the prompt, though everything else is right.
    let index = SearchIndex::from_safetensors(&std::fs::read(&path).unwrap()).unwrap();
    let lying = IndexedBy { query_prompt: None, ..index.made_by().clone() };
    let mut lying = SearchIndex::new(lying, index.dims()).unwrap();
    lying.push(r#"{"text":""}"#, &index.vectors()[..index.dims()]).unwrap();
    std::fs::write(&path, lying.to_safetensors().unwrap()).unwrap();
    let found = search(&prompted(), file);
    let expected = "with the prompt none for queries; the model given has \"query\"";
    assert!(stderr(&found).contains(expected), "{}", stderr(&found));
}

#[cfg(unix)]
#[test]
fn a_file_without_end_is_not_read_without_end() {
    let found = run(&["search", "x", "--index", "/dev/zero"], b"");
    let message =
        "isovec: error: /dev/zero: more than 1073741824 bytes, over the cap of 1073741824\n";
    assert_eq!((found.status.code(), stderr(&found).as_str()), (Some(1), message));
    let found = run(&["fuse", "show", "/dev/zero"], b"");
    let message =
        "isovec: error: /dev/zero: more than 268435456 bytes, over the cap of 268435456\n";
    assert_eq!((found.status.code(), stderr(&found).as_str()), (Some(1), message));
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
    let best = (&hits[0]["index"], &hits[0]["item"]["id"]);
    assert_eq!((hits.len(), best), (2, (&json!(1), &json!("no. 1"))));
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
    let impossible = path("impossible");
    let (model, other, wide) = (prompted(), other_model(), "all-MiniLM-L6-v2");
    let index = SearchIndex::from_safetensors(&bytes).unwrap();
    let fingerprint = index.made_by().fingerprint;
    let made_by = IndexedBy {
        model: "all-MiniLM-L6-v2".into(),
        dimensions: Some(64),
        ..index.made_by().clone()
    };
    let never = SearchIndex::new(made_by, 64).unwrap();
    std::fs::write(&impossible, never.to_safetensors().unwrap()).unwrap();
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
            "isovec: error: standard input holds no text to index\n".into(),
        ),
        (
            "index to standard output",
            vec!["index", "--input", "-", "-o", "-"],
            2,
            "error: an index is written to a file; --output - would be".into(),
        ),
        (
            "settings that the index's own model does not have",
            vec!["search", "x", "--index", &impossible],
            1,
            format!("isovec: error: {impossible}: dimensions: 64 is not one that model "),
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
    // A text that is too long, with its prompt, is named by its line.
    let long = format!("fine\n\n{}\n", "x".repeat(1_048_577));
    let message = "isovec: error: standard input line 3: the text is 10485";
    assert!(stderr(&run(&args, long.as_bytes())).starts_with(message));
    let args = ["search", "x", "--input", "-", "--model", &model];
    assert!(stderr(&run(&args, long.as_bytes())).starts_with(message));
    let names: Vec<_> = std::fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}
