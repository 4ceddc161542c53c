//! The file of an index.

use std::collections::BTreeMap;

use super::items::Items;
use super::{IndexedBy, SearchIndex, check_finite};
use crate::tensor_file::{Contents, Data, Sort, Tensor, invalid};
use crate::{ErrorKind, ModelKind, Precision, Result, limits};

const INDEX: Sort = Sort {
    name: "index file",
    format: "isovec index",
    version: "1",
    invalid: ErrorKind::InvalidIndex,
    max_bytes: limits::MAX_INDEX_BYTES,
};

pub(super) fn read(bytes: &[u8]) -> Result<SearchIndex> {
    INDEX.read(bytes, read_contents)
}

fn read_contents(mut file: Contents<'_>) -> Result<SearchIndex> {
    let metadata = &mut file.metadata;
    let made_by = IndexedBy {
        model: metadata.take("model")?,
        variant: metadata.find("variant"),
        kind: kind(&metadata.take("kind")?)?,
        fingerprint: metadata.number("fingerprint")?,
        max_tokens: metadata.number("max_tokens")?,
        dimensions: metadata.optional_number("dimensions")?,
        precision: metadata.optional_number("precision")?.unwrap_or_default(),
        query_prompt: metadata.find("query_prompt"),
        passage_prompt: metadata.find("passage_prompt"),
        prompts_sha256: metadata.take("prompts_sha256")?,
    };
    metadata.done()?;
    let tensors = file.tensors(&[("vectors", "F32"), ("items", "U8")])?;
    let most = limits::MAX_INDEX_BYTES;
    let [count, dims] = tensors.shape("vectors", [0..=most / 4, 1..=limits::MAX_DIMS])?;
    tensors.shape("items", [0..=most])?;
    tensors.check_places()?;
    let mut index = SearchIndex::new(made_by, dims)?;
    index.items = Items::read(tensors.bytes("items"), count)?;
    index.vectors = tensors.floats("vectors")?;
    check_finite(&index.vectors, dims, 0)?;
    Ok(index)
}

fn kind(name: &str) -> Result<ModelKind> {
    let known = [ModelKind::Text, ModelKind::ClipText];
    known.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
        invalid(format!(
            "kind: {name:?} is not that of a model of texts; expected text or clip-text"
        ))
    })
}

pub(super) fn write(index: &SearchIndex) -> Result<Vec<u8>> {
    let made_by = &index.made_by;
    let entries = [
        ("model", Some(made_by.model.clone())),
        ("variant", made_by.variant.clone()),
        ("kind", Some(made_by.kind.to_string())),
        ("fingerprint", Some(made_by.fingerprint.to_string())),
        ("max_tokens", Some(made_by.max_tokens.to_string())),
        ("dimensions", made_by.dimensions.map(|n| n.to_string())),
        // The usual one was the only one when the first files were written.
        (
            "precision",
            (made_by.precision != Precision::Fp32).then(|| made_by.precision.to_string()),
        ),
        ("query_prompt", made_by.query_prompt.clone()),
        ("passage_prompt", made_by.passage_prompt.clone()),
        ("prompts_sha256", Some(made_by.prompts_sha256.clone())),
    ];
    let metadata: BTreeMap<_, _> =
        entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let items = index.items.json().as_bytes();
    let vectors = Tensor {
        name: "vectors",
        shape: vec![index.len(), index.dims],
        data: Data::F32(index.vectors.as_slice().into()),
    };
    let items = Tensor { name: "items", shape: vec![items.len()], data: Data::U8(items) };
    INDEX.write(metadata, &[vectors, items])
}

#[cfg(test)]
mod tests;
