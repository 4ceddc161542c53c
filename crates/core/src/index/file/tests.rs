//! Files that are right, wrong, and anything at all.

use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use super::super::tests::{ITEMS, VECTORS, index, made_by};
use super::*;
use crate::tensor_file::split;

/// A file of this header, then `data`.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// The file with other items, in their right place.
fn with_items(items: &[u8]) -> Vec<u8> {
    let bytes = index().to_safetensors().unwrap();
    let (header, data) = split(&bytes).unwrap();
    let old = data.len() - 36;
    let header = String::from_utf8(header.to_vec()).unwrap();
    let header = header
        .replace(&format!("[36,{}]", 36 + old), &format!("[36,{}]", 36 + items.len()))
        .replace(&format!("\"shape\":[{old}]"), &format!("\"shape\":[{}]", items.len()));
    file(&header, &[&data[..36], items].concat())
}

#[test]
fn an_index_survives_its_file() {
    let empty = SearchIndex::new(
        IndexedBy {
            variant: None,
            kind: ModelKind::ClipText,
            dimensions: None,
            query_prompt: None,
            passage_prompt: None,
            ..made_by()
        },
        2,
    );
    for index in [empty.unwrap(), index()] {
        let bytes = index.to_safetensors().unwrap();
        let again = SearchIndex::from_safetensors(&bytes).unwrap();
        assert_eq!(again.made_by(), index.made_by());
        assert_eq!((again.len(), again.dims()), (index.len(), index.dims()));
        let bits = |index: &SearchIndex| -> Vec<u32> {
            index.vectors().iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits(&again), bits(&index));
        assert_eq!(again.items_json(), index.items_json());
        assert_eq!(again.to_safetensors().unwrap(), bytes);
        for i in 0..=index.len() {
            assert_eq!(again.item(i), ITEMS.get(i).copied().filter(|_| i < index.len()));
        }
        // And more can be added.
        let mut more = again;
        more.push(ITEMS[1], &vec![0.5; more.dims()]).unwrap();
        assert_eq!(more.item(more.len() - 1), Some(ITEMS[1]));
        let items: Vec<Value> = serde_json::from_str(more.items_json()).unwrap();
        assert_eq!(items.len(), more.len());
    }
}

#[test]
fn the_crate_safetensors_reads_and_writes_the_same() {
    let bytes = index().to_safetensors().unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let vectors = read.tensor("vectors").unwrap();
    assert_eq!((vectors.dtype(), vectors.shape()), (Dtype::F32, [3, 3].as_slice()));
    let expected: Vec<u8> = VECTORS.as_flattened().iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(vectors.data(), expected);
    let items: Vec<Value> = serde_json::from_slice(read.tensor("items").unwrap().data()).unwrap();
    let given: Vec<Value> = ITEMS.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
    assert_eq!(items, given);

    // What that crate writes, with items as another writer of JSON sets them, is read here.
    let pretty = format!(" {}\n", serde_json::to_string_pretty(&given).unwrap());
    let items = TensorView::new(Dtype::U8, vec![pretty.len()], pretty.as_bytes()).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let tensors = [("items", items), ("vectors", vectors)];
    let written = safetensors::serialize(tensors, header.metadata().clone()).unwrap();
    let again = SearchIndex::from_safetensors(&written).unwrap();
    assert_eq!(again.made_by(), &made_by());
    assert_eq!(again.vectors(), index().vectors());
    for (i, item) in given.iter().enumerate() {
        let found: Value = serde_json::from_str(again.item(i).unwrap()).unwrap();
        assert_eq!(&found, item);
    }
}

#[test]
fn bad_files_name_what_is_wrong() {
    let bytes = index().to_safetensors().unwrap();
    let (header, data) = split(&bytes).unwrap();
    let header = std::str::from_utf8(header).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(header.contains(from), "{from} is not in {header}");
        file(&header.replacen(from, to, 1), data)
    };
    let prompts = made_by().prompts_sha256;
    let nan = {
        let mut data = data.to_vec();
        data[16..20].copy_from_slice(&f32::NAN.to_le_bytes());
        file(header, &data)
    };
    let (two, four) = (r#"[{"text":""},{"text":""}]"#, r#"[{"text":""},{"text":""},{},{}]"#);
    let deep = format!(r#"[{{"text":"","x":{}{}}}]"#, "[".repeat(1000), "]".repeat(1000));
    let size = data.len() - 36;
    let cases: Vec<(&str, Vec<u8>, String)> = vec![
        ("empty", vec![], "0 bytes are no safetensors file".into()),
        (
            "truncated",
            bytes[..bytes.len() - 1].to_vec(),
            format!("{} bytes of data instead", data.len() - 1),
        ),
        (
            "one byte more",
            [&bytes[..], b" "].concat(),
            format!("{} bytes of data instead", data.len() + 1),
        ),
        (
            "a fusion",
            edit("isovec index", "isovec fusion"),
            r#"format: "isovec fusion" instead of "isovec index""#.into(),
        ),
        (
            "version",
            edit(r#""version":"1""#, r#""version":"2""#),
            r#"version: "2" instead of "1""#.into(),
        ),
        (
            "a key that stands twice",
            edit(r#""model":"tiny""#, r#""model":"tiny","model":"tiny""#),
            r#"the header: "model" stands there twice"#.into(),
        ),
        (
            "a tensor's key that stands twice",
            edit(r#""dtype":"U8""#, r#""dtype":"U8","dtype":"U8""#),
            r#"the header: "dtype" stands there twice"#.into(),
        ),
        (
            "a tensor that stands twice",
            edit(r#""vectors":"#, r#""vectors":{},"vectors":"#),
            r#"the header: "vectors" stands there twice"#.into(),
        ),
        (
            "metadata that stand twice",
            edit(r#""__metadata__":"#, r#""__metadata__":{},"__metadata__":"#),
            r#"the header: "__metadata__" stands there twice"#.into(),
        ),
        (
            "a variant that is no name",
            edit(r#""variant":"int8""#, r#""variant":"\u001b[2J""#),
            r#"variant: "\u{1b}[2J" is not a plain name"#.into(),
        ),
        (
            "prompts that are no sha256",
            edit(&prompts, &prompts.to_uppercase()),
            format!("prompts_sha256: {:?} must be 64 lower-case", prompts.to_uppercase()),
        ),
        (
            "no prompts_sha256",
            edit("prompts_sha256", "prompts"),
            "prompts_sha256: not in __metadata__".into(),
        ),
        ("no model", edit(r#""model":"tiny","#, ""), "model: not in __metadata__".into()),
        (
            "a path as model",
            edit(r#""model":"tiny""#, r#""model":"../tiny""#),
            r#"model: "../tiny" is not a plain name"#.into(),
        ),
        (
            "kind",
            edit(r#""kind":"text""#, r#""kind":"image""#),
            r#"kind: "image" is not that of a model of texts"#.into(),
        ),
        (
            "fingerprint",
            edit(&"ab".repeat(32), "AB"),
            r#"fingerprint: "AB": not a fingerprint"#.into(),
        ),
        (
            "max_tokens",
            edit(r#""max_tokens":"48""#, r#""max_tokens":"0""#),
            "max_tokens: 0 is outside of 1 to 32768".into(),
        ),
        (
            "max_tokens of letters",
            edit(r#""max_tokens":"48""#, r#""max_tokens":"x""#),
            r#"max_tokens: "x": invalid digit"#.into(),
        ),
        (
            "dimensions",
            edit(r#""dimensions":"3""#, r#""dimensions":"4""#),
            "dimensions: 4, but vectors have 3".into(),
        ),
        (
            "a key that is not known",
            edit(r#""kind":"#, r#""kinds":"1","kind":"#),
            r#""kinds" does not belong into __metadata__"#.into(),
        ),
        (
            "no vectors",
            edit(r#""vectors":"#, r#""vektors":"#),
            "vectors: there is no such tensor".into(),
        ),
        (
            "one tensor more",
            edit(r#""vectors":"#, r#""x":{},"vectors":"#),
            r#""x": a tensor that does not belong there"#.into(),
        ),
        ("dtype", edit("F32", "F16"), "vectors: dtype F16 instead of F32".into()),
        ("dtype of items", edit("U8", "I8"), "items: dtype I8 instead of U8".into()),
        (
            "no dims",
            edit("[3,3]", "[9,0]"),
            "vectors: shape [9, 0] instead of [0 to 268435456, 1 to 65536]".into(),
        ),
        ("axes", edit("[3,3]", "[9]"), "vectors: shape [9] instead of".into()),
        ("many", edit("[3,3]", "[268435457,3]"), "vectors: shape [268435457, 3] instead of".into()),
        (
            "more vectors than bytes",
            edit("[3,3]", "[268435456,65536]"),
            "vectors: data_offsets 0 to 36 instead of 70368744177664 bytes".into(),
        ),
        (
            "offsets",
            edit("[0,36]", "[4,40]"),
            "vectors: data_offsets begin at 4 instead of 0".into(),
        ),
        (
            "overlap",
            edit(&format!("[36,{}]", data.len()), &format!("[0,{size}]")),
            "items: data_offsets begin at 0 instead of".into(),
        ),
        ("NaN", nan, "item 1: its vector holds NaN at index 1 of 3".into()),
        (
            "items of no UTF-8",
            with_items(b"[{\"text\":\"\xff\"}]"),
            "items: not UTF-8 from byte 10".into(),
        ),
        ("no items", with_items(b""), "items: not a JSON array".into()),
        ("an object", with_items(b"{}"), "items: not a JSON array".into()),
        ("no end", with_items(b"[{\"text\":\"\"}"), "items: not a JSON array".into()),
        ("no items in it", with_items(b"[ ]"), "items: 0 for 3 vectors".into()),
        ("too few", with_items(two.as_bytes()), "items: 2 for 3 vectors".into()),
        (
            "too many",
            with_items(r#"[{"text":""},{"text":""},{"text":""},{"text":""}]"#.as_bytes()),
            "items: more than 3, the number of vectors".into(),
        ),
        ("no text", with_items(four.as_bytes()), "items: item 2: has no \"text\"".into()),
        (
            "strings",
            with_items(b"[\"a\",\"b\",\"c\"]"),
            "items: item 0: invalid type: string \"a\", expected an object with a \"text\"".into(),
        ),
        (
            "text of another type",
            with_items(b"[{\"text\":3}]"),
            "items: item 0: \"text\" is a number; expected a string".into(),
        ),
        (
            "two texts",
            with_items(b"[{\"text\":\"\",\"text\":\"\"}]"),
            "items: item 0: has more than one \"text\"".into(),
        ),
        (
            "no comma",
            with_items(b"[{\"text\":\"\"}{\"text\":\"\"}]"),
            "items: item 1: expected a comma before it".into(),
        ),
        (
            "a comma at the end",
            with_items(b"[{\"text\":\"\"},]"),
            "items: item 1: expected an object after the comma".into(),
        ),
        (
            "a comma first",
            with_items(b"[,{\"text\":\"\"}]"),
            "items: item 0: expected value".into(),
        ),
        (
            "two arrays",
            with_items(b"[{\"text\":\"\"}],[{\"text\":\"\"}]"),
            "items: item 1: expected a comma before it".into(),
        ),
        (
            "half an object",
            with_items(b"[{\"text\":\"\"]"),
            "items: item 0: EOF while parsing an object".into(),
        ),
        (
            "a number out of range",
            with_items(b"[{\"text\":\"\",\"n\":1e999}]"),
            "items: item 0: number out of range".into(),
        ),
        (
            "half a surrogate pair",
            with_items(br#"[{"text":"","n":["\ud800"]}]"#),
            "items: item 0: ".into(),
        ),
        ("deep", with_items(deep.as_bytes()), "items: item 0: recursion limit exceeded".into()),
    ];
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        match SearchIndex::from_safetensors(&bytes) {
            Ok(_) => failures.push(format!("{name}: accepted")),
            Err(e) if e.kind() != ErrorKind::InvalidIndex => {
                failures.push(format!("{name}: kind {}", e.kind()));
            }
            Err(e) if !e.to_string().starts_with(&format!("index file: {expected}")) => {
                failures.push(format!("{name}: {e}"));
            }
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Reads, and if that succeeds does what a program would do next.
fn survive(bytes: &[u8]) {
    if let Ok(index) = SearchIndex::from_safetensors(bytes) {
        for i in 0..index.len() {
            let item: Value = serde_json::from_str(index.item(i).unwrap()).unwrap();
            assert!(item["text"].is_string());
        }
        if let Ok(hits) = index.search(&vec![1.0; index.dims()], 2) {
            assert!(hits.iter().all(|hit| hit.score.is_finite() && hit.index < index.len()));
        }
        let again = SearchIndex::from_safetensors(&index.to_safetensors().unwrap()).unwrap();
        assert_eq!(again.made_by(), index.made_by());
        assert_eq!(again.items_json(), index.items_json());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_an_index(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes);
        survive(&with_items(&bytes));
    }

    #[test]
    fn any_change_to_a_good_file_is_an_error_or_an_index(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let mut bytes = index().to_safetensors().unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        survive(&bytes);
    }
}
