//! The files that isovec writes and reads: safetensors, read strictly, since they may come from
//! anybody.
//!
//! The format is small: the length of a JSON header as a little-endian u64, the header (each
//! tensor's type, shape and place, and `__metadata__`), then the tensors. It is read and written
//! here rather than by the crate `safetensors`, whose errors do not name the tensor, whose writer
//! orders the metadata at random, so that equal contents would give different files, and whose reader
//! overflows on offsets near 2^64. The tests hold both ends against that crate.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, ErrorKind, Result};

/// The most bytes of a header; some tensors and a report need a few thousand.
pub(crate) const MAX_HEADER_BYTES: usize = 1 << 20;

/// What the files of one sort have in common.
pub(crate) struct Sort {
    /// What errors call a file.
    pub(crate) name: &'static str,
    /// Its `format` in the metadata.
    pub(crate) format: &'static str,
    /// Its `version` in the metadata.
    pub(crate) version: &'static str,
    /// The kind of the error for a file that is not right.
    pub(crate) invalid: ErrorKind,
    /// The largest file.
    pub(crate) max_bytes: usize,
}

/// A file whose header was read and whose tensors were not looked at yet.
pub(crate) struct Contents<'a> {
    /// Without `format` and `version`, which were found right.
    pub(crate) metadata: Metadata,
    tensors: BTreeMap<String, Value>,
    data: &'a [u8],
}

/// `__metadata__`: every key must be taken, or the file says something that would be ignored.
pub(crate) struct Metadata(BTreeMap<String, String>);

/// The tensors of a file, which are those that were expected. Their places are right once
/// [`check_places`](Self::check_places) has said so.
pub(crate) struct Tensors<'a> {
    infos: BTreeMap<String, TensorInfo>,
    data: &'a [u8],
}

/// A header's entry for one tensor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorInfo {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// A tensor to be written.
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data<'a>,
}

/// The numbers of a tensor.
pub(crate) enum Data<'a> {
    F32(Cow<'a, [f32]>),
    U8(&'a [u8]),
}

impl Sort {
    /// Reads a file of this sort. Whatever `read` refuses, even a setting that another call found
    /// impossible, is this file's fault.
    pub(crate) fn read<'a, T>(
        &self,
        bytes: &'a [u8],
        read: impl FnOnce(Contents<'a>) -> Result<T>,
    ) -> Result<T> {
        if bytes.len() > self.max_bytes {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{}: {} bytes is over the cap of {}",
                    self.name,
                    bytes.len(),
                    self.max_bytes
                ),
            ));
        }
        self.contents(bytes).and_then(read).map_err(|e| match e.kind() {
            ErrorKind::TooLarge => e.context(self.name),
            _ => Error::new(self.invalid, format!("{}: {e}", self.name)),
        })
    }

    fn contents<'a>(&self, bytes: &'a [u8]) -> Result<Contents<'a>> {
        let (header, data) = split(bytes)?;
        let mut header: BTreeMap<String, Value> = serde_json::from_slice(header)
            .map_err(|e| invalid(format!("the header is no JSON: {e}")))?;
        let metadata = header
            .remove("__metadata__")
            .ok_or_else(|| invalid("there is no __metadata__: not a file of isovec"))?;
        let metadata: BTreeMap<String, String> =
            serde_json::from_value(metadata).map_err(|e| invalid(format!("__metadata__: {e}")))?;
        let mut metadata = Metadata(metadata);
        metadata.expect("format", self.format)?;
        metadata.expect("version", self.version)?;
        Ok(Contents { metadata, tensors: header, data })
    }

    /// The bytes of a file of this sort. Equal contents give equal bytes.
    pub(crate) fn write(
        &self,
        mut metadata: BTreeMap<&str, String>,
        tensors: &[Tensor<'_>],
    ) -> Result<Vec<u8>> {
        metadata.insert("format", self.format.to_owned());
        metadata.insert("version", self.version.to_owned());
        let mut header = BTreeMap::from([("__metadata__", json!(metadata))]);
        let mut end = 0;
        for Tensor { name, shape, data } in tensors {
            let from = end;
            end += data.bytes();
            let entry = json!({"dtype": data.dtype(), "shape": shape, "data_offsets": [from, end]});
            header.insert(name, entry);
        }
        let mut header = json!(header).to_string().into_bytes();
        // The format wants the data aligned to eight bytes.
        header.resize(header.len().next_multiple_of(8), b' ');
        let size = 8 + header.len() + end;
        if header.len() > MAX_HEADER_BYTES || size > self.max_bytes {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a file of {size} bytes with a header of {} could not be read again: the caps \
                     are {} and {MAX_HEADER_BYTES}",
                    header.len(),
                    self.max_bytes
                ),
            ));
        }
        let mut bytes = Vec::with_capacity(size);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for tensor in tensors {
            match &tensor.data {
                Data::F32(numbers) => bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes())),
                Data::U8(data) => bytes.extend_from_slice(data),
            }
        }
        Ok(bytes)
    }
}

impl Data<'_> {
    fn bytes(&self) -> usize {
        match self {
            Data::F32(numbers) => 4 * numbers.len(),
            Data::U8(bytes) => bytes.len(),
        }
    }

    fn dtype(&self) -> &'static str {
        match self {
            Data::F32(_) => "F32",
            Data::U8(_) => "U8",
        }
    }
}

/// The header and the data after it.
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
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

impl<'a> Contents<'a> {
    /// The tensors, which must be these, each with its `dtype`.
    pub(crate) fn tensors(self, expected: &[(&str, &str)]) -> Result<Tensors<'a>> {
        if let Some((name, _)) = expected.iter().find(|(name, _)| !self.tensors.contains_key(*name))
        {
            return Err(invalid(format!("{name}: there is no such tensor")));
        }
        let mut infos = BTreeMap::new();
        let dtype_of = |name: &str| expected.iter().find(|(n, _)| *n == name).map(|(_, d)| *d);
        if let Some(name) = self.tensors.keys().find(|name| dtype_of(name).is_none()) {
            return Err(invalid(format!("{name:?}: a tensor that does not belong there")));
        }
        for (name, entry) in self.tensors {
            let info: TensorInfo =
                serde_json::from_value(entry).map_err(|e| invalid(format!("{name}: {e}")))?;
            if let Some(dtype) = dtype_of(&name)
                && info.dtype != dtype
            {
                return Err(invalid(format!("{name}: dtype {} instead of {dtype}", info.dtype)));
            }
            infos.insert(name, info);
        }
        Ok(Tensors { infos, data: self.data })
    }
}

impl<'a> Tensors<'a> {
    /// The tensor's shape, if it has as many axes as `expected`, each of a length in its range.
    pub(crate) fn shape<const N: usize>(
        &self,
        name: &str,
        expected: [RangeInclusive<usize>; N],
    ) -> Result<[usize; N]> {
        let found = &self.infos[name].shape;
        match <[usize; N]>::try_from(found.as_slice()) {
            Ok(shape) if found.iter().zip(&expected).all(|(n, range)| range.contains(n)) => {
                Ok(shape)
            }
            _ => {
                let axes = expected.map(|range| match range.into_inner() {
                    (from, to) if from == to => from.to_string(),
                    (from, to) => format!("{from} to {to}"),
                });
                Err(invalid(format!("{name}: shape {found:?} instead of [{}]", axes.join(", "))))
            }
        }
    }

    /// Checks that each tensor's place is as long as its shape says, and that they lie one after the
    /// other and are all the data there is.
    pub(crate) fn check_places(&self) -> Result<()> {
        for (name, TensorInfo { dtype, shape, data_offsets: (from, to) }) in &self.infos {
            let width = if dtype == "F32" { 4u64 } else { 1 };
            // In u64: a matrix of the largest sizes has 2^32 entries, which wasm32 cannot count.
            let expected = shape.iter().fold(width, |product, &n| product.saturating_mul(n as u64));
            if to.checked_sub(*from).map(|found| found as u64) != Some(expected) {
                return Err(invalid(format!(
                    "{name}: data_offsets {from} to {to} instead of {expected} bytes for shape \
                     {shape:?}"
                )));
            }
        }
        let mut order: Vec<_> =
            self.infos.iter().map(|(name, info)| (info.data_offsets, name)).collect();
        order.sort_unstable();
        let mut end = 0;
        for ((from, to), name) in order {
            if from != end {
                return Err(invalid(format!(
                    "{name}: data_offsets begin at {from} instead of {end}"
                )));
            }
            end = to;
        }
        if end != self.data.len() {
            return Err(invalid(format!("{} bytes of data instead of {end}", self.data.len())));
        }
        Ok(())
    }

    /// The bytes of a tensor, after [`check_places`](Self::check_places).
    pub(crate) fn bytes(&self, name: &str) -> &'a [u8] {
        let (from, to) = self.infos[name].data_offsets;
        &self.data[from..to]
    }

    /// The numbers of a tensor of F32, after [`check_places`](Self::check_places).
    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        let (numbers, _) = self.bytes(name).as_chunks::<4>();
        numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

impl Metadata {
    /// What stands under `key`, if it is there.
    pub(crate) fn find(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    pub(crate) fn take(&mut self, key: &str) -> Result<String> {
        self.find(key).ok_or_else(|| invalid(format!("{key}: not in __metadata__")))
    }

    fn expect(&mut self, key: &str, expected: &str) -> Result<()> {
        let found = self.take(key)?;
        if found == expected {
            return Ok(());
        }
        Err(invalid(format!("{key}: {found:?} instead of {expected:?}")))
    }

    pub(crate) fn number<N: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        key: &str,
    ) -> Result<N> {
        let found = self.take(key)?;
        found.parse().map_err(|e| invalid(format!("{key}: {found:?}: {e}")))
    }

    pub(crate) fn optional_number<N: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        key: &str,
    ) -> Result<Option<N>> {
        if self.0.contains_key(key) { self.number(key).map(Some) } else { Ok(None) }
    }

    /// Checks that nothing is left.
    pub(crate) fn done(&self) -> Result<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(invalid(format!("{key:?} does not belong into __metadata__"))),
        }
    }
}

/// An error about the content of a file. Its kind becomes that of the sort.
pub(crate) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, detail)
}
