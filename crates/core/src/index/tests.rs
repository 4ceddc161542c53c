//! What an index holds, and what it is searched by.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

pub(super) fn made_by() -> IndexedBy {
    IndexedBy {
        model: "tiny".into(),
        variant: Some("int8".into()),
        kind: ModelKind::Text,
        fingerprint: "ab".repeat(32).parse().unwrap(),
        max_tokens: 48,
        dimensions: Some(3),
        precision: Precision::Int8,
        query_prompt: Some("query".into()),
        passage_prompt: Some("pässage \"1\"".into()),
        prompts_sha256: IndexedBy::prompts_sha256("query: ", "passage: "),
    }
}

pub(super) const ITEMS: [&str; 3] = [
    r#"{"text":"one"}"#,
    r#"{"id":[1,{"text":2}],"text":"zwei, ] } \" \u00e9 🙂"}"#,
    r#"{ "text" : "", "n": -1.5e3 }"#,
];
pub(super) const VECTORS: [[f32; 3]; 3] =
    [[1.0, 0.0, 0.0], [0.0, -0.5, 0.75], [f32::MIN_POSITIVE, -0.0, 2.5]];

pub(super) fn index() -> SearchIndex {
    let mut index = SearchIndex::new(made_by(), 3).unwrap();
    for (item, vector) in ITEMS.iter().zip(VECTORS) {
        index.push(item, &vector).unwrap();
    }
    index
}

#[test]
fn what_cannot_be_searched_is_not_taken() {
    let mut index = index();
    let mut refused = |item: &str, vector: &[f32], kind, text: &str| {
        let error = index.push(item, vector).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
    };
    let good = [1.0; 3];
    let (input, dims) = (ErrorKind::InvalidInput, ErrorKind::DimensionMismatch);
    refused(ITEMS[0], &[1.0; 2], dims, "item 3: a vector of 2 dimensions, expected 3");
    refused(
        ITEMS[0],
        &[1.0, f32::INFINITY, 1.0],
        ErrorKind::NonFinite,
        "item 3: its vector holds inf at index 1 of 3",
    );
    refused(r#"{"id":1}"#, &good, input, "item 3: has no \"text\"");
    refused(r#"{"text":""},{"text":""}"#, &good, input, "item 3: trailing characters");
    refused("", &good, input, "item 3: EOF while parsing a value");
    assert_eq!(index.len(), 3);
    assert_eq!(index.vectors().len(), 9);

    let image = IndexedBy { kind: ModelKind::Image, ..made_by() };
    assert_eq!(SearchIndex::new(image, 3).unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert_eq!(SearchIndex::new(made_by(), 0).unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[test]
fn a_wrong_fingerprint_names_both() {
    let index = index();
    index.check_fingerprint(&index.made_by().fingerprint).unwrap();
    let other: Fingerprint = "cd".repeat(32).parse().unwrap();
    let error = index.check_fingerprint(&other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
    assert_eq!(
        error.to_string(),
        format!(
            "the index was made by tiny (int8), fingerprint {}; the model given has {}: their \
             vectors cannot be compared",
            "ab".repeat(32),
            "cd".repeat(32)
        )
    );
    for wrong in ["", &"AB".repeat(32), &"ab".repeat(31), &"ab".repeat(33), &"a".repeat(63)] {
        assert_eq!(wrong.parse::<Fingerprint>().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_model_with_other_prompts_is_refused() {
    let index = index();
    let other = |name: &str| IndexedBy { model: name.into(), variant: None, ..made_by() };
    // The same files may have another name.
    index.check_model(&other("copy")).unwrap();
    let prompt = |name: &str| Some(name.to_owned());
    let cases = [
        (
            IndexedBy { fingerprint: "cd".repeat(32).parse().unwrap(), ..made_by() },
            "the index was made by tiny (int8), fingerprint abab",
        ),
        (
            IndexedBy { kind: ModelKind::ClipText, ..made_by() },
            "the index was made by tiny, of kind text; the model given is clip-text",
        ),
        (
            IndexedBy { query_prompt: None, ..made_by() },
            "the index was made by tiny, with the prompt \"query\" for queries; the model given has none",
        ),
        (
            IndexedBy { passage_prompt: prompt("document"), ..made_by() },
            "the index was made by tiny, with the prompt \"pässage \\\"1\\\"\" for texts; the model given \
             has \"document\"",
        ),
        (
            IndexedBy {
                prompts_sha256: IndexedBy::prompts_sha256("query: ", "passage:"),
                ..made_by()
            },
            "the index was made by tiny, and the prompts of the model given have other texts",
        ),
    ];
    for (found, expected) in cases {
        let error = index.check_model(&found).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FingerprintMismatch, "{error}");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    // Where the one ends and the other begins is part of it.
    assert_ne!(IndexedBy::prompts_sha256("ab", "c"), IndexedBy::prompts_sha256("a", "bc"));
}

#[test]
fn what_was_taken_has_room_for_its_header() {
    // Zeros that were never written take no memory.
    let long =
        |missing: usize| String::from_utf8(vec![0; limits::MAX_INDEX_BYTES - missing]).unwrap();
    // Of the items' two brackets and the comma, the vector, and the header with its length.
    let others = 3 + 12 + 8 + MAX_HEADER_BYTES;
    let mut index = SearchIndex::new(made_by(), 3).unwrap();
    let mut kind = |missing| index.push(&long(missing), &[1.0; 3]).unwrap_err().kind();
    assert_eq!(kind(others - 1), ErrorKind::TooLarge);
    // It would fit; only that it is no item.
    assert_eq!(kind(others), ErrorKind::InvalidInput);
}

#[test]
fn a_search_is_a_full_sort_by_dot_product() {
    let index = index();
    let hits = index.search(&[0.5, 1.0, 1.0], 10).unwrap();
    let found: Vec<_> = hits.iter().map(|hit| (hit.index, hit.score)).collect();
    assert_eq!(found, [(2, 2.5), (0, 0.5), (1, 0.25)]);
    assert_eq!(index.search(&[0.5, 1.0, 1.0], 1).unwrap(), hits[..1]);
    assert_eq!(index.search(&[0.5, 1.0, 1.0], 0).unwrap(), []);
    let error = index.search(&[1.0], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DimensionMismatch);
    assert_eq!(error.to_string(), "the query has 1 dimensions, and the index 3");
    assert_eq!(index.search(&[f32::NAN; 3], 1).unwrap_err().kind(), ErrorKind::NonFinite);
}

proptest! {
    #[test]
    fn items_are_those_that_a_parser_of_json_finds(
        texts in prop::collection::vec((".*", ".*", any::<i64>()), 0..6),
        blank in "[ \n\t\r]{0,3}",
    ) {
        let objects: Vec<Value> = texts
            .iter()
            .map(|(text, other, n)| serde_json::json!({"text": text, "o": {"text": other}, "n": n}))
            .collect();
        let separated: Vec<String> = objects.iter().map(Value::to_string).collect();
        let comma = format!("{blank},{blank}");
        let json = format!("{blank}[{blank}{}{blank}]{blank}", separated.join(&comma));
        let items = Items::read(json.as_bytes(), objects.len()).unwrap();
        for (i, object) in objects.iter().enumerate() {
            let found: Value = serde_json::from_str(items.get(i).unwrap()).unwrap();
            prop_assert_eq!(&found, object);
        }
        prop_assert!(items.get(objects.len()).is_none());
    }
}
