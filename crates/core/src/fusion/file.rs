//! The file of a fusion: safetensors, read strictly, since it may come from anybody.
//!
//! The format is small: the length of a JSON header as a little-endian u64, the header (each
//! tensor's type, shape and place, and `__metadata__`), then the tensors. It is read and written
//! here rather than by the crate `safetensors`, whose errors do not name the tensor, whose writer
//! orders the metadata at random, so that equal fusions would give different files, and whose reader
//! overflows on offsets near 2^64. The tests hold both ends against that crate.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::linear::Affine;
use super::{Fusion, FusionKind, FusionWeights, Map, Provenance};
use crate::{Error, ErrorKind, Result, limits};

const FORMAT: &str = "isovec fusion";
const VERSION: &str = "1";

/// The four tensors of a learned fusion, in the order of the file.
const TENSORS: [&str; 4] = ["text.weight", "text.bias", "image.weight", "image.bias"];

/// The most bytes of a header; four tensors and a report need a few thousand.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// A header's entry for one tensor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorInfo {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// `__metadata__`: every key must be taken, or the file says something that would be ignored.
struct Metadata(BTreeMap<String, String>);

/// Whether `text` is one value of JSON.
pub(super) fn check_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ())
}

pub(super) fn read(bytes: &[u8]) -> Result<Fusion> {
    if bytes.len() > limits::MAX_FUSION_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "fusion file: {} bytes is over the cap of {}",
                bytes.len(),
                limits::MAX_FUSION_BYTES
            ),
        ));
    }
    read_checked(bytes).map_err(|e| match e.kind() {
        ErrorKind::TooLarge => e.context("fusion file"),
        // A setting that is impossible is this file's fault, whichever call refused it.
        _ => Error::new(ErrorKind::InvalidFusion, format!("fusion file: {e}")),
    })
}

fn read_checked(bytes: &[u8]) -> Result<Fusion> {
    let (header, data) = split(bytes)?;
    let mut header: BTreeMap<String, Value> = serde_json::from_slice(header)
        .map_err(|e| invalid(format!("the header is no JSON: {e}")))?;
    let metadata = header
        .remove("__metadata__")
        .ok_or_else(|| invalid("there is no __metadata__: not a file of isovec"))?;
    let metadata: BTreeMap<String, String> =
        serde_json::from_value(metadata).map_err(|e| invalid(format!("__metadata__: {e}")))?;
    let mut metadata = Metadata(metadata);
    metadata.expect("format", FORMAT)?;
    metadata.expect("version", VERSION)?;
    let kind = metadata.take("kind")?;
    let weights =
        FusionWeights::new(metadata.number("text_weight")?, metadata.number("image_weight")?)?;
    let about = Provenance {
        text_model: metadata.0.remove("text_model"),
        image_model: metadata.0.remove("image_model"),
        report: metadata.0.remove("report"),
    };
    if let Some(report) = &about.report {
        check_json(report).map_err(|e| invalid(format!("report: not JSON: {e}")))?;
    }
    let mut fusion = match kind.as_str() {
        "concat" => {
            let (text, image) = (metadata.number("text_dims")?, metadata.number("image_dims")?);
            metadata.done()?;
            check_names(&header, &[])?;
            check_offsets(&BTreeMap::new(), data)?;
            Fusion::concat(text, image, weights)?
        }
        "untrained" => {
            let (text, image) = (metadata.number("text_dims")?, metadata.number("image_dims")?);
            let (dims, seed) = (metadata.number("dims")?, metadata.number("seed")?);
            metadata.done()?;
            check_names(&header, &[])?;
            check_offsets(&BTreeMap::new(), data)?;
            // Last, since it is work: everything else is known to be right.
            Fusion::untrained(text, image, dims, seed, weights)?
        }
        "learned" => {
            metadata.done()?;
            let (text, image) = read_tensors(header, data)?;
            Fusion::learned(text, image, weights)?
        }
        other => {
            return Err(invalid(format!(
                "kind: {other:?} is not known; there are: {}",
                [FusionKind::Concat, FusionKind::Learned, FusionKind::Untrained]
                    .map(FusionKind::as_str)
                    .join(", ")
            )));
        }
    };
    fusion.about = about;
    Ok(fusion)
}

/// The header and the data after it.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| invalid(format!("{} bytes are no safetensors file", bytes.len())))?;
    let length = u64::from_le_bytes(*length);
    let fits = usize::try_from(length).ok().filter(|&n| n <= MAX_HEADER_BYTES.min(rest.len()));
    let length = fits.ok_or_else(|| {
        invalid(format!(
            "the header would have {length} bytes; there are {}, and at most {MAX_HEADER_BYTES} \
             are read",
            rest.len()
        ))
    })?;
    Ok(rest.split_at(length))
}

fn read_tensors(header: BTreeMap<String, Value>, data: &[u8]) -> Result<(Affine, Affine)> {
    check_names(&header, &TENSORS)?;
    let mut infos = BTreeMap::new();
    for (name, entry) in header {
        let info: TensorInfo =
            serde_json::from_value(entry).map_err(|e| invalid(format!("{name}: {e}")))?;
        if info.dtype != "F32" {
            return Err(invalid(format!("{name}: dtype {} instead of F32", info.dtype)));
        }
        infos.insert(name, info);
    }
    // The biases say how many dimensions there are, the text's first.
    let [dims] = shape(&infos, "text.bias", [None])?;
    let [_, text_dims] = shape(&infos, "text.weight", [Some(dims), None])?;
    let [_, image_dims] = shape(&infos, "image.weight", [Some(dims), None])?;
    shape(&infos, "image.bias", [Some(dims)])?;
    for (name, entries) in [
        ("text.weight", (dims, text_dims)),
        ("text.bias", (dims, 1)),
        ("image.weight", (dims, image_dims)),
        ("image.bias", (dims, 1)),
    ] {
        let (from, to) = infos[name].data_offsets;
        // In u64: a matrix of the largest sizes has 2^32 entries, which wasm32 cannot count.
        let expected = 4 * entries.0 as u64 * entries.1 as u64;
        if to.checked_sub(from).map(|found| found as u64) != Some(expected) {
            return Err(invalid(format!(
                "{name}: data_offsets {from} to {to} instead of {expected} bytes for shape {:?}",
                infos[name].shape
            )));
        }
    }
    check_offsets(&infos, data)?;
    let tensor = |name: &str| {
        let (from, to) = infos[name].data_offsets;
        let (numbers, _) = data[from..to].as_chunks::<4>();
        numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let side = |weight, bias| Affine { weight: tensor(weight), bias: tensor(bias) };
    Ok((side("text.weight", "text.bias"), side("image.weight", "image.bias")))
}

/// The tensor's shape, if it has as many axes as `expected`, each of a length from 1 to the cap and,
/// where `expected` gives one, of that.
fn shape<const N: usize>(
    infos: &BTreeMap<String, TensorInfo>,
    name: &str,
    expected: [Option<usize>; N],
) -> Result<[usize; N]> {
    let found = &infos[name].shape;
    let fits = |(&found, expected): (&usize, Option<usize>)| {
        (1..=limits::MAX_DIMS).contains(&found) && expected.is_none_or(|n| n == found)
    };
    match <[usize; N]>::try_from(found.as_slice()) {
        Ok(shape) if found.iter().zip(expected).all(fits) => Ok(shape),
        _ => {
            let axes = expected
                .map(|n| n.map_or_else(|| format!("1 to {}", limits::MAX_DIMS), |n| n.to_string()));
            Err(invalid(format!("{name}: shape {found:?} instead of [{}]", axes.join(", "))))
        }
    }
}

fn check_names(header: &BTreeMap<String, Value>, expected: &[&str]) -> Result<()> {
    if let Some(name) = expected.iter().find(|name| !header.contains_key(**name)) {
        return Err(invalid(format!("{name}: there is no such tensor")));
    }
    if let Some(name) = header.keys().find(|name| !expected.contains(&name.as_str())) {
        return Err(invalid(format!("{name:?}: a tensor that does not belong there")));
    }
    Ok(())
}

/// Checks that the tensors lie one after the other and are all the data there is.
fn check_offsets(infos: &BTreeMap<String, TensorInfo>, data: &[u8]) -> Result<()> {
    let mut order: Vec<_> = infos.iter().map(|(name, info)| (info.data_offsets, name)).collect();
    order.sort_unstable();
    let mut end = 0;
    for ((from, to), name) in order {
        if from != end {
            return Err(invalid(format!("{name}: data_offsets begin at {from} instead of {end}")));
        }
        end = to;
    }
    if end != data.len() {
        return Err(invalid(format!("{} bytes of data instead of {end}", data.len())));
    }
    Ok(())
}

pub(super) fn write(fusion: &Fusion) -> Result<Vec<u8>> {
    let text = |value: String| Some(Value::from(value));
    let sizes = |n: usize| (fusion.kind() != FusionKind::Learned).then(|| n.to_string().into());
    let about = &fusion.about;
    let entries = [
        ("format", text(FORMAT.into())),
        ("version", text(VERSION.into())),
        ("kind", text(fusion.kind().to_string())),
        ("text_weight", text(fusion.weights.text().to_string())),
        ("image_weight", text(fusion.weights.image().to_string())),
        ("text_dims", sizes(fusion.text_dims)),
        ("image_dims", sizes(fusion.image_dims)),
        ("dims", sizes(fusion.dims).filter(|_| fusion.kind() != FusionKind::Concat)),
        ("seed", fusion.seed().map(|seed| seed.to_string().into())),
        ("text_model", about.text_model.clone().and_then(text)),
        ("image_model", about.image_model.clone().and_then(text)),
        ("report", about.report.clone().and_then(text)),
    ];
    let metadata: BTreeMap<_, _> =
        entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let mut header = BTreeMap::from([("__metadata__", json!(metadata))]);
    let mut data = Vec::new();
    if let Map::Learned(linear) = &fusion.map {
        let dims = fusion.dims;
        let tensors = [
            (linear.text.rows(), vec![dims, fusion.text_dims]),
            (linear.text.bias().to_vec(), vec![dims]),
            (linear.image.rows(), vec![dims, fusion.image_dims]),
            (linear.image.bias().to_vec(), vec![dims]),
        ];
        for (name, (values, shape)) in TENSORS.into_iter().zip(tensors) {
            let from = data.len();
            data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]});
            header.insert(name, entry);
        }
    }
    let mut header = json!(header).to_string().into_bytes();
    // The format wants the data aligned to eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let size = 8 + header.len() + data.len();
    if header.len() > MAX_HEADER_BYTES || size > limits::MAX_FUSION_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "a file of {size} bytes with a header of {} could not be read again: the caps are \
                 {} and {MAX_HEADER_BYTES}",
                header.len(),
                limits::MAX_FUSION_BYTES
            ),
        ));
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(data);
    Ok(bytes)
}

impl Metadata {
    fn take(&mut self, key: &str) -> Result<String> {
        self.0.remove(key).ok_or_else(|| invalid(format!("{key}: not in __metadata__")))
    }

    fn expect(&mut self, key: &str, expected: &str) -> Result<()> {
        let found = self.take(key)?;
        if found == expected {
            return Ok(());
        }
        Err(invalid(format!("{key}: {found:?} instead of {expected:?}")))
    }

    fn number<N: std::str::FromStr<Err: std::fmt::Display>>(&mut self, key: &str) -> Result<N> {
        let found = self.take(key)?;
        found.parse().map_err(|e| invalid(format!("{key}: {found:?}: {e}")))
    }

    /// Checks that nothing is left.
    fn done(&self) -> Result<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(invalid(format!("{key:?} does not belong into __metadata__"))),
        }
    }
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidFusion, detail)
}

#[cfg(test)]
mod tests;
