//! Indices against numpy and the Python package safetensors (`tests/golden/make_index.py`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::Path;

use isovec::{IndexedBy, ModelKind, SearchIndex};
use isovec_tests::{json, rows};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Expected {
    query: Vec<f32>,
    indices: Vec<usize>,
    scores: Vec<f32>,
    items: Vec<Value>,
}

#[test]
fn an_index_of_python_is_searched_as_numpy_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let bytes = std::fs::read(folder.join("index.safetensors")).unwrap();
    let expected: Expected = json(&folder.join("index-hits.json"));
    let index = SearchIndex::from_safetensors(&bytes).unwrap();
    let made_by = index.made_by();
    assert_eq!((made_by.model.as_str(), made_by.kind), ("numpy", ModelKind::Text));
    assert_eq!(made_by.fingerprint.to_string(), "0123456789abcdef".repeat(4));
    assert_eq!((made_by.max_tokens, made_by.dimensions), (64, None));
    assert_eq!(
        (made_by.variant.as_deref(), made_by.query_prompt.as_deref()),
        (None, Some("query"))
    );
    assert_eq!(made_by.prompts_sha256, IndexedBy::prompts_sha256("query: ", ""));
    let vectors = rows(&SafeTensors::deserialize(&bytes).unwrap(), "vectors");
    assert_eq!(index.vectors(), vectors.concat());

    let hits = index.search(&expected.query, index.len()).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.index).collect::<Vec<_>>(), expected.indices);
    for (hit, score) in hits.iter().zip(&expected.scores) {
        assert!((hit.score - score).abs() < 1e-6, "{} {score}", hit.score);
        let item: Value = serde_json::from_str(index.item(hit.index).unwrap()).unwrap();
        assert_eq!(item, expected.items[hit.index]);
    }
}
