//! The files that isovec writes and reads: safetensors, read strictly, since they may come from
//! anybody.
//!
//! The format is small: the length of a JSON header as a little-endian u64, the header (each
//! tensor's type, shape and place, and `__metadata__`), then the tensors. It is read and written
//! here rather than by the crate `safetensors`, whose errors do not name the tensor, whose writer
//! orders the metadata at random, so that equal contents would give different files, and whose reader
//! overflows on offsets near 2^64. The tests hold both ends against that crate.

use std::borrow::Cow;
use std::collections::{BTreeMap, TryReserveError};
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
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
    tensors: BTreeMap<String, Unique<Value>>,
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

/// An object of JSON in which no key stands twice: of two, programs would not agree on which counts.
struct Unique<V>(BTreeMap<String, V>);

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
            ErrorKind::TooLarge | ErrorKind::OutOfMemory => e.context(self.name),
            _ => Error::new(self.invalid, format!("{}: {e}", self.name)),
        })
    }

    fn contents<'a>(&self, bytes: &'a [u8]) -> Result<Contents<'a>> {
        let (header, data) = split(bytes)?;
        // Two levels, `__metadata__` and the tensors: what lies deeper holds no objects.
        let Unique(mut header): Unique<Unique<Value>> =
            serde_json::from_slice(header).map_err(|e| invalid(format!("the header: {e}")))?;
        let metadata = header
            .remove("__metadata__")
            .ok_or_else(|| invalid("there is no __metadata__: not a file of isovec"))?;
        let text = |(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            other => Err(invalid(format!("__metadata__: {key} is {other}; expected a string"))),
        };
        let mut metadata = Metadata(metadata.0.into_iter().map(text).collect::<Result<_>>()?);
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
        for (name, Unique(entry)) in self.tensors {
            let entry = Value::Object(entry.into_iter().collect());
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
    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let (bytes, _) = self.bytes(name).as_chunks::<4>();
        let mut numbers = vec_of(bytes.len())?;
        numbers.extend(bytes.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        Ok(numbers)
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

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Unique<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Unique<V>, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if entries.contains_key(&key) {
                        return Err(M::Error::custom(format!("{key:?} stands there twice")));
                    }
                    entries.insert(key, value);
                }
                Ok(Unique(entries))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// Room for `count` elements: a file of up to a gigabyte is read where there may be less.
pub(crate) fn vec_of<T>(count: usize) -> Result<Vec<T>> {
    let mut elements = Vec::new();
    elements.try_reserve_exact(count).map_err(|e| no_room(count, &e))?;
    Ok(elements)
}

/// A copy of `text`, likewise.
pub(crate) fn copy_of(text: &str) -> Result<String> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|e| no_room(text.len(), &e))?;
    copy.push_str(text);
    Ok(copy)
}

fn no_room(count: usize, e: &TryReserveError) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("there is no room for {count} elements: {e}"))
}

/// An error about the content of a file. Its kind becomes that of the sort.
pub(crate) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_memory_has_no_room_for_is_an_error() {
        assert_eq!(vec_of::<f32>(usize::MAX / 8).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(vec_of::<u8>(9).unwrap().capacity(), 9);
        assert_eq!(copy_of("text").unwrap(), "text");
        // It is not the file's fault.
        let sort = Sort {
            name: "file",
            format: "x",
            version: "1",
            invalid: ErrorKind::InvalidIndex,
            max_bytes: 1 << 20,
        };
        let bytes = sort.write(BTreeMap::new(), &[]).unwrap();
        let error = sort.read(&bytes, |_| vec_of::<f32>(usize::MAX / 8)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().starts_with("file: there is no room for "), "{error}");
    }
}
