//! The file of a fusion.

use std::collections::BTreeMap;

use super::linear::Affine;
use super::{Fusion, FusionKind, FusionWeights, Map, Provenance};
use crate::tensor_file::{Contents, Data, Sort, Tensor, Tensors, invalid};
use crate::{ErrorKind, Result, limits};

const FUSION: Sort = Sort {
    name: "fusion file",
    format: "isovec fusion",
    version: "1",
    invalid: ErrorKind::InvalidFusion,
    max_bytes: limits::MAX_FUSION_BYTES,
};

/// The four tensors of a learned fusion, in the order of the file.
const TENSORS: [&str; 4] = ["text.weight", "text.bias", "image.weight", "image.bias"];

/// Whether `text` is one value of JSON.
pub(super) fn check_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ())
}

pub(super) fn read(bytes: &[u8]) -> Result<Fusion> {
    FUSION.read(bytes, read_contents)
}

fn read_contents(mut file: Contents<'_>) -> Result<Fusion> {
    let metadata = &mut file.metadata;
    let kind = metadata.take("kind")?;
    let weights =
        FusionWeights::new(metadata.number("text_weight")?, metadata.number("image_weight")?)?;
    let about = Provenance {
        text_model: metadata.find("text_model"),
        image_model: metadata.find("image_model"),
        report: metadata.find("report"),
    };
    if let Some(report) = &about.report {
        check_json(report).map_err(|e| invalid(format!("report: not JSON: {e}")))?;
    }
    let mut fusion = match kind.as_str() {
        "concat" => {
            let (text, image) = (metadata.number("text_dims")?, metadata.number("image_dims")?);
            metadata.done()?;
            file.tensors(&[])?.check_places()?;
            Fusion::concat(text, image, weights)?
        }
        "untrained" => {
            let (text, image) = (metadata.number("text_dims")?, metadata.number("image_dims")?);
            let (dims, seed) = (metadata.number("dims")?, metadata.number("seed")?);
            metadata.done()?;
            file.tensors(&[])?.check_places()?;
            // Last, since it is work: everything else is known to be right.
            Fusion::untrained(text, image, dims, seed, weights)?
        }
        "learned" => {
            metadata.done()?;
            let (text, image) = read_sides(&file.tensors(&TENSORS.map(|name| (name, "F32")))?)?;
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

fn read_sides(tensors: &Tensors<'_>) -> Result<(Affine, Affine)> {
    // The biases say how many dimensions there are, the text's first.
    let any = 1..=limits::MAX_DIMS;
    let [dims] = tensors.shape("text.bias", [any.clone()])?;
    tensors.shape("text.weight", [dims..=dims, any.clone()])?;
    tensors.shape("image.weight", [dims..=dims, any])?;
    tensors.shape("image.bias", [dims..=dims])?;
    tensors.check_places()?;
    let side = |weight, bias| -> Result<Affine> {
        Ok(Affine { weight: tensors.floats(weight)?, bias: tensors.floats(bias)? })
    };
    Ok((side("text.weight", "text.bias")?, side("image.weight", "image.bias")?))
}

pub(super) fn write(fusion: &Fusion) -> Result<Vec<u8>> {
    let sizes = |n: usize| (fusion.kind() != FusionKind::Learned).then(|| n.to_string());
    let about = &fusion.about;
    let entries = [
        ("kind", Some(fusion.kind().to_string())),
        ("text_weight", Some(fusion.weights.text().to_string())),
        ("image_weight", Some(fusion.weights.image().to_string())),
        ("text_dims", sizes(fusion.text_dims)),
        ("image_dims", sizes(fusion.image_dims)),
        ("dims", sizes(fusion.dims).filter(|_| fusion.kind() != FusionKind::Concat)),
        ("seed", fusion.seed().map(|seed| seed.to_string())),
        ("text_model", about.text_model.clone()),
        ("image_model", about.image_model.clone()),
        ("report", about.report.clone()),
    ];
    let metadata: BTreeMap<_, _> =
        entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let mut tensors = Vec::new();
    if let Map::Learned(linear) = &fusion.map {
        let dims = fusion.dims;
        let parts = [
            (linear.text.rows(), vec![dims, fusion.text_dims]),
            (linear.text.bias().to_vec(), vec![dims]),
            (linear.image.rows(), vec![dims, fusion.image_dims]),
            (linear.image.bias().to_vec(), vec![dims]),
        ];
        for (name, (values, shape)) in TENSORS.into_iter().zip(parts) {
            tensors.push(Tensor { name, shape, data: Data::F32(values.into()) });
        }
    }
    FUSION.write(metadata, &tensors)
}

#[cfg(test)]
mod tests;
