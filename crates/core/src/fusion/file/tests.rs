//! Files that are right, wrong, and anything at all.

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;
use crate::tensor_file::{MAX_HEADER_BYTES, split};

fn learned() -> Fusion {
    let side = |inputs: usize, first: f32| Affine {
        weight: (0..4 * inputs).map(|i| first + i as f32).collect(),
        bias: vec![0.25; 4],
    };
    Fusion::learned(side(2, 1.0), side(3, -5.0), FusionWeights::new(0.7, 0.3).unwrap())
        .unwrap()
        .with_models("text fingerprint", "image fingerprint")
        .with_report(r#"{"recall":1.0}"#)
        .unwrap()
}

/// A file of this header, then `data` bytes of zero.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// The learned file's header and how much data follows.
fn good() -> (String, usize) {
    let bytes = learned().to_safetensors().unwrap();
    let (header, data) = split(&bytes).unwrap();
    (String::from_utf8(header.to_vec()).unwrap(), data.len())
}

#[test]
fn every_kind_survives_its_file() {
    let weights = FusionWeights::new(1.0, 2.0).unwrap();
    for fusion in [
        Fusion::concat(2, 3, weights).unwrap(),
        Fusion::untrained(2, 3, 4, u64::MAX, weights).unwrap().with_models("a", "é\n\""),
        learned(),
    ] {
        let bytes = fusion.to_safetensors().unwrap();
        let again = Fusion::from_safetensors(&bytes).unwrap();
        assert_eq!(again.fingerprint(), fusion.fingerprint());
        assert_eq!(again.weights(), fusion.weights());
        assert_eq!(again.about, fusion.about);
        assert_eq!(again.about(), fusion.about());
        assert_eq!(again.seed(), fusion.seed());
        let (text, image) = ([3.0, -1.0].as_slice(), [0.5, 2.0, 7.0].as_slice());
        for (text, image) in [(Some(text), Some(image)), (Some(text), None), (None, Some(image))] {
            assert_eq!(again.fuse(text, image).unwrap(), fusion.fuse(text, image).unwrap());
        }
        assert_eq!(again.to_safetensors().unwrap(), bytes);
    }
}

#[test]
fn the_crate_safetensors_reads_the_same() {
    let bytes = learned().to_safetensors().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let weight = file.tensor("image.weight").unwrap();
    assert_eq!(weight.shape(), [4, 3]);
    assert_eq!(weight.data()[..8], [(-5.0f32).to_le_bytes(), (-4.0f32).to_le_bytes()].concat());
    // And what it writes, with its own order of keys, is read here.
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let rewritten = safetensors::serialize(file.tensors(), header.metadata().clone()).unwrap();
    let again = Fusion::from_safetensors(&rewritten).unwrap();
    assert_eq!(again.fingerprint(), learned().fingerprint());
}

#[test]
fn bad_files_name_what_is_wrong() {
    let (header, data) = good();
    let edit = |from: &str, to: &str| {
        assert!(header.contains(from), "{from} is not in {header}");
        file(&header.replacen(from, to, 1), data)
    };
    let untrained = |dims: &str, seed: &str| {
        file(
            &format!(
                r#"{{"__metadata__":{{"format":"isovec fusion","version":"1","kind":"untrained",
                "text_weight":"1","image_weight":"1","text_dims":"30000","image_dims":"30000",
                "dims":"{dims}","seed":"{seed}"}}}}"#
            ),
            0,
        )
    };
    let nan = {
        let mut bytes = file(&header, data);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes
    };
    let empty = || file("{}", 0);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "0 bytes are no safetensors file"),
        ("short", vec![1; 7], "7 bytes are no safetensors file"),
        (
            "long header",
            u64::MAX.to_le_bytes().to_vec(),
            "the header would have 18446744073709551615 bytes; there are 0",
        ),
        ("no JSON", file("{", 0), "the header: EOF"),
        ("JSON of another type", file("[]", 0), "the header: invalid type: sequence"),
        ("no metadata", empty(), "there is no __metadata__: not a file of isovec"),
        (
            "metadata of numbers",
            edit(r#""version":"1""#, r#""version":1"#),
            "__metadata__: version is 1; expected a string",
        ),
        ("format", edit("isovec fusion", "pt"), r#"format: "pt" instead of "isovec fusion""#),
        ("no format", edit(r#""format":"isovec fusion","#, ""), "format: not in __metadata__"),
        ("version", edit(r#""version":"1""#, r#""version":"2""#), r#"version: "2" instead of "1""#),
        (
            "kind",
            edit(r#""learned""#, r#""magic""#),
            r#"kind: "magic" is not known; there are: concat, learned, untrained"#,
        ),
        (
            "weight that is no number",
            edit(r#""text_weight":"0.7""#, r#""text_weight":"much""#),
            r#"text_weight: "much": invalid float literal"#,
        ),
        (
            "weight that is NaN",
            edit(r#""text_weight":"0.7""#, r#""text_weight":"nan""#),
            "weights: NaN for text",
        ),
        (
            "negative weight",
            edit(r#""text_weight":"0.7""#, r#""text_weight":"-1""#),
            "weights: -1 for text",
        ),
        ("no weight", edit(r#""text_weight":"0.7","#, r#"  "#), "text_weight: not in __metadata__"),
        (
            "key that is not known",
            edit(r#""text_weight":"#, r#""sead":"1","text_weight":"#),
            r#""sead" does not belong into __metadata__"#,
        ),
        (
            "seed of a learned one",
            edit(r#""text_weight":"#, r#""seed":"1","text_weight":"#),
            r#""seed" does not belong into __metadata__"#,
        ),
        (
            "report that is no JSON",
            edit(r#"{\"recall\":1.0}"#, "so so"),
            "report: not JSON: expected value",
        ),
        (
            "no tensor",
            edit(r#""text.bias""#, r#""text.bios""#),
            "text.bias: there is no such tensor",
        ),
        (
            "one tensor more",
            edit(r#""text.bias":"#, r#""x":{},"text.bias":"#),
            r#""x": a tensor that does not belong there"#,
        ),
        (
            "tensor of another form",
            edit(r#""dtype":"F32","#, ""),
            "image.bias: missing field `dtype`",
        ),
        ("dtype", edit("F32", "F16"), "image.bias: dtype F16 instead of F32"),
        ("negative shape", edit("[4,3]", "[4,-3]"), "image.weight: invalid value: integer `-3`"),
        (
            "columns",
            edit("[4,3]", "[4,0]"),
            "image.weight: shape [4, 0] instead of [4, 1 to 65536]",
        ),
        ("rows", edit("[4,3]", "[3,4]"), "image.weight: shape [3, 4] instead of [4, 1 to 65536]"),
        ("axes", edit("[4,3]", "[12]"), "image.weight: shape [12] instead of [4, 1 to 65536]"),
        (
            "wide",
            edit("[4,3]", "[4,65537]"),
            "image.weight: shape [4, 65537] instead of [4, 1 to 65536]",
        ),
        ("dims", edit(r#""shape":[4]"#, r#""shape":[5]"#), "image.bias: shape [5] instead of [4]"),
        (
            "no dims",
            edit(r#"[32,48],"dtype":"F32","shape":[4]"#, r#"[32,48],"dtype":"F32","shape":[0]"#),
            "text.bias: shape [0] instead of [1 to 65536]",
        ),
        (
            "offsets of another length",
            edit("[48,96]", "[48,92]"),
            "image.weight: data_offsets 48 to 92 instead of 48 bytes for shape [4, 3]",
        ),
        (
            "offsets that end first",
            edit("[48,96]", "[96,48]"),
            "image.weight: data_offsets 96 to 48 instead of",
        ),
        (
            "offsets past the end",
            edit("[48,96]", "[18446744073709551567,18446744073709551615]"),
            "image.bias: data_offsets begin at 96 instead of 48",
        ),
        (
            "tensors on each other",
            edit("[48,96]", "[0,48]"),
            "image.weight: data_offsets begin at 0 instead of 32",
        ),
        ("less data", file(&header, data - 1), "111 bytes of data instead of 112"),
        ("more data", file(&header, data + 1), "113 bytes of data instead of 112"),
        ("NaN", nan, "image.bias: NaN at index 3"),
        ("seed", untrained("1", "-1"), r#"seed: "-1": invalid digit found in string"#),
        (
            "dims of an untrained one",
            untrained("60001", "1"),
            "dims: 60001 is outside of 1 to 60000",
        ),
    ];
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        match Fusion::from_safetensors(&bytes) {
            Ok(_) => failures.push(format!("{name}: accepted")),
            Err(e) if e.kind() != ErrorKind::InvalidFusion => {
                failures.push(format!("{name}: kind {}", e.kind()));
            }
            Err(e) if !e.to_string().starts_with(&format!("fusion file: {expected}")) => {
                failures.push(format!("{name}: {e}"));
            }
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    // Some hundred bytes must not cost minutes.
    let error = Fusion::from_safetensors(&untrained("60000", "1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().starts_with("fusion file: an untrained projection of 60000 x 60000"));
}

#[test]
fn a_report_that_could_not_be_read_again_is_not_written() {
    let report = format!("\"{}\"", "x".repeat(MAX_HEADER_BYTES));
    let error = learned().with_report(report).unwrap().to_safetensors().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let error = learned().with_report("so so").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// Reads, and if that succeeds does what a program would do next.
fn survive(bytes: &[u8]) {
    if let Ok(fusion) = Fusion::from_safetensors(bytes) {
        let (text, image) = (vec![1.0; fusion.text_dims()], vec![-1.0; fusion.image_dims()]);
        if let Ok(fused) = fusion.fuse(Some(&text), Some(&image)) {
            assert!(fused.vector().iter().all(|x| x.is_finite()));
        }
        let again = Fusion::from_safetensors(&fusion.to_safetensors().unwrap()).unwrap();
        assert_eq!(again.fingerprint(), fusion.fingerprint());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_a_fusion(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes);
        survive(&file(&String::from_utf8_lossy(&bytes), 8));
    }

    #[test]
    fn any_change_to_a_good_file_is_an_error_or_a_fusion(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let mut bytes = learned().to_safetensors().unwrap();
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
