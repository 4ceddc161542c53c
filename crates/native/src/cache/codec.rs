//! Vectors as the bytes of a value on Redis.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 3 | `isvc` |
//! | 4 | the version of this format: 1 |
//! | 5 | the kind: 0 a text, 1 an image |
//! | 6 | the numbers: 0 f32, 1 f16 |
//! | 7 | of a text: 1 if it was truncated, else 0; of an image its format: 0 JPEG, 1 PNG, 2 WebP |
//! | 8 to 11 | the number of dimensions |
//! | 12 to 19 | of a text: its tokens and 0; of an image: width and height |
//! | 20 to 23 | the CRC-32 of the key, the bytes before and the bytes after |
//! | 24 to the end | the numbers |
//!
//! All numbers are little-endian. The checksum covers the key, so that a value that was copied or renamed to
//! another key is not taken for that key's.

use std::sync::Arc;

use half::f16;

use super::{Entry, Facts, Key};
use crate::ImageFormat;
use crate::config::ValueType;

/// The version of the format: in each value, and in each key's name.
pub(super) const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"isvc";
const SUM: std::ops::Range<usize> = 20..24;
const HEADER: usize = 24;

/// Why a value is none of ours, or of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// Not what was written.
    Corrupt,
    /// Of another version of the format.
    Version,
    /// Of another number of dimensions than the model's vectors have.
    Dims,
}

pub(super) fn encode(key: &Key, entry: &Entry, value_type: ValueType) -> Vec<u8> {
    let (kind, detail, facts) = match entry.facts {
        Facts::Text { tokens, truncated } => (0, u8::from(truncated), [tokens, 0]),
        Facts::Image { width, height, format } => (1, format_code(format), [width, height]),
    };
    // A number that is too large for 16 bits would come back as infinity: such a vector stays as it is.
    let halves = value_type == ValueType::F16
        && entry.vector.iter().all(|&number| f16::from_f32(number).is_finite());
    let mut out = Vec::with_capacity(HEADER + size_of_val(&*entry.vector));
    out.extend(MAGIC);
    out.extend([VERSION, kind, u8::from(halves), detail]);
    out.extend((entry.vector.len() as u32).to_le_bytes());
    out.extend(facts.iter().flat_map(|fact| fact.to_le_bytes()));
    out.extend([0; SUM.end - SUM.start]);
    if halves {
        out.extend(entry.vector.iter().flat_map(|&n| f16::from_f32(n).to_le_bytes()));
    } else {
        out.extend(entry.vector.iter().flat_map(|n| n.to_le_bytes()));
    }
    let (head, body) = out.split_at(HEADER);
    let sum = checksum(key, &head[..SUM.start], body);
    out[SUM].copy_from_slice(&sum.to_le_bytes());
    out
}

pub(super) fn decode(key: &Key, bytes: &[u8], dims: usize) -> Result<Entry, Invalid> {
    let (head, body) = bytes.split_first_chunk::<HEADER>().ok_or(Invalid::Corrupt)?;
    let [m0, m1, m2, m3, version, kind, numbers, detail, ref words @ ..] = *head;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(Invalid::Corrupt);
    }
    let (words, _) = words.as_chunks::<4>();
    let &[length, first, second, sum] = words else { return Err(Invalid::Corrupt) };
    if u32::from_le_bytes(sum) != checksum(key, &head[..SUM.start], body) {
        return Err(Invalid::Corrupt);
    }
    // Only now: a flipped bit is not a new version.
    if version != VERSION {
        return Err(Invalid::Version);
    }
    let vector: Arc<[f32]> = match numbers {
        0 => exact(body.as_chunks::<4>())?.iter().map(|&n| f32::from_le_bytes(n)).collect(),
        1 => {
            exact(body.as_chunks::<2>())?.iter().map(|&n| f16::from_le_bytes(n).to_f32()).collect()
        }
        _ => return Err(Invalid::Corrupt),
    };
    if vector.len() != u32::from_le_bytes(length) as usize {
        return Err(Invalid::Corrupt);
    }
    if vector.len() != dims {
        return Err(Invalid::Dims);
    }
    // A vector with NaN is no vector, whoever wrote it.
    if !vector.iter().all(|number| number.is_finite()) {
        return Err(Invalid::Corrupt);
    }
    let (first, second) = (u32::from_le_bytes(first), u32::from_le_bytes(second));
    let facts = match (kind, detail) {
        (0, 0 | 1) if second == 0 => Facts::Text { tokens: first, truncated: detail == 1 },
        (1, code) => {
            let format = format_of(code).ok_or(Invalid::Corrupt)?;
            Facts::Image { width: first, height: second, format }
        }
        _ => return Err(Invalid::Corrupt),
    };
    Ok(Entry { vector, facts })
}

fn exact<'a, const N: usize>(
    (whole, rest): (&'a [[u8; N]], &'a [u8]),
) -> Result<&'a [[u8; N]], Invalid> {
    if rest.is_empty() { Ok(whole) } else { Err(Invalid::Corrupt) }
}

fn checksum(key: &Key, head: &[u8], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.fingerprint.as_bytes());
    sum.update(&key.input);
    sum.update(head);
    sum.update(body);
    sum.finalize()
}

fn format_code(format: ImageFormat) -> u8 {
    match format {
        ImageFormat::Jpeg => 0,
        ImageFormat::Png => 1,
        ImageFormat::WebP => 2,
        // A code that `format_of` does not know: such a value is never read back as another format.
        _ => u8::MAX,
    }
}

fn format_of(code: u8) -> Option<ImageFormat> {
    match code {
        0 => Some(ImageFormat::Jpeg),
        1 => Some(ImageFormat::Png),
        2 => Some(ImageFormat::WebP),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Fingerprint;

    const DIMS: usize = 7;

    fn key() -> Key {
        Key::of_text(Fingerprint::mock("codec", DIMS), None, "a text")
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let format =
            prop_oneof![Just(ImageFormat::Jpeg), Just(ImageFormat::Png), Just(ImageFormat::WebP)];
        prop_oneof![
            (any::<u32>(), any::<bool>())
                .prop_map(|(tokens, truncated)| Facts::Text { tokens, truncated }),
            (any::<u32>(), any::<u32>(), format).prop_map(|(width, height, format)| Facts::Image {
                width,
                height,
                format
            }),
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (prop::collection::vec(-1.0_f32..1.0, DIMS), facts())
            .prop_map(|(vector, facts)| Entry { vector: vector.into(), facts })
    }

    proptest! {
        #[test]
        fn f32_comes_back_to_the_bit(entry in entry()) {
            let bytes = encode(&key(), &entry, ValueType::F32);
            prop_assert_eq!(bytes.len(), HEADER + 4 * DIMS);
            prop_assert_eq!(decode(&key(), &bytes, DIMS), Ok(entry));
        }

        #[test]
        fn f16_comes_back_rounded_once(entry in entry()) {
            let bytes = encode(&key(), &entry, ValueType::F16);
            prop_assert_eq!(bytes.len(), HEADER + 2 * DIMS);
            let back = decode(&key(), &bytes, DIMS).unwrap();
            prop_assert_eq!(back.facts, entry.facts);
            for (stored, computed) in back.vector.iter().zip(&*entry.vector) {
                prop_assert!((stored - computed).abs() <= 0.0005, "{} for {}", stored, computed);
            }
            // What is promoted to another tier is not rounded further.
            prop_assert_eq!(encode(&key(), &back, ValueType::F16), bytes);
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&key(), &bytes, DIMS).is_err());
        }

        #[test]
        fn any_bytes_after_a_right_start_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let start: Vec<u8> = MAGIC.into_iter().chain([VERSION]).chain(bytes).collect();
            prop_assert_eq!(decode(&key(), &start, DIMS), Err(Invalid::Corrupt));
        }

        #[test]
        fn a_cut_or_longer_value_is_refused(entry in entry(), length in 0..HEADER + 4 * DIMS, more in 1..9_usize) {
            let mut bytes = encode(&key(), &entry, ValueType::F32);
            prop_assert!(decode(&key(), &bytes[..length], DIMS).is_err());
            bytes.resize(bytes.len() + more, 0);
            prop_assert!(decode(&key(), &bytes, DIMS).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let facts = Facts::Text { tokens: 5, truncated: false };
        let entry = Entry { vector: [0.5, -0.5, 0.25, 0.0, 1.0, -1.0, 0.125].into(), facts };
        for value_type in [ValueType::F32, ValueType::F16] {
            let bytes = encode(&key(), &entry, value_type);
            for bit in 0..8 * bytes.len() {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&key(), &flipped, DIMS), Err(Invalid::Corrupt), "bit {bit}");
            }
        }
    }

    fn sealed(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        change(&mut bytes);
        let sum = checksum(&key(), &bytes[..SUM.start], &bytes[HEADER..]);
        bytes[SUM].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn what_has_a_right_checksum_is_still_read_strictly() {
        let facts = Facts::Text { tokens: 5, truncated: false };
        let entry = Entry { vector: [0.5; DIMS].into(), facts };
        let bytes = encode(&key(), &entry, ValueType::F32);
        type Change = fn(&mut Vec<u8>);
        let cases: &[(&str, Change, Invalid)] = &[
            ("another version", |b| b[4] = 2, Invalid::Version),
            ("an unknown kind", |b| b[5] = 2, Invalid::Corrupt),
            ("an unknown type of numbers", |b| b[6] = 2, Invalid::Corrupt),
            ("f32 said to be f16", |b| b[6] = 1, Invalid::Corrupt),
            ("an unknown flag", |b| b[7] = 2, Invalid::Corrupt),
            ("an unknown image format", |b| (b[5], b[7]) = (1, 3), Invalid::Corrupt),
            ("a second fact of a text", |b| b[16] = 1, Invalid::Corrupt),
            ("more dimensions than numbers", |b| b[8] += 1, Invalid::Corrupt),
            ("a number cut in two", |b| b.truncate(b.len() - 1), Invalid::Corrupt),
            ("NaN", |b| b[HEADER..HEADER + 4].fill(0xff), Invalid::Corrupt),
        ];
        for (name, change, expected) in cases {
            assert_eq!(
                decode(&key(), &sealed(bytes.clone(), change), DIMS),
                Err(*expected),
                "{name}"
            );
        }
        assert_eq!(decode(&key(), &sealed(bytes.clone(), |_| ()), DIMS), Ok(entry));
        assert_eq!(decode(&key(), &bytes, DIMS + 1), Err(Invalid::Dims));
    }

    #[test]
    fn a_value_answers_for_its_own_key_only() {
        let facts = Facts::Text { tokens: 5, truncated: false };
        let entry = Entry { vector: [0.5; DIMS].into(), facts };
        let bytes = encode(&key(), &entry, ValueType::F32);
        let others = [
            Key::of_text(Fingerprint::mock("codec", DIMS), None, "another text"),
            Key::of_text(Fingerprint::mock("another model", DIMS), None, "a text"),
        ];
        for other in others {
            assert_eq!(decode(&other, &bytes, DIMS), Err(Invalid::Corrupt));
        }
    }

    #[test]
    fn numbers_too_large_for_16_bits_stay_f32() {
        let facts = Facts::Text { tokens: 5, truncated: true };
        let entry = Entry { vector: [1e6, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0].into(), facts };
        let bytes = encode(&key(), &entry, ValueType::F16);
        assert_eq!(decode(&key(), &bytes, DIMS), Ok(entry));
    }
}
