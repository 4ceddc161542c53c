//! Which of a model's outputs is read.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::DimLike;

use super::{Expected, chain};
use crate::{Error, ErrorKind, Pooling, Result};

/// The customary names of the output that holds a vector for each token (or patch of an image), and of
/// that with one for the whole input.
const TOKEN_OUTPUTS: [&str; 3] = ["last_hidden_state", "token_embeddings", "hidden_states"];
const POOLED_OUTPUTS: [&str; 4] =
    ["sentence_embedding", "text_embeds", "image_embeds", "pooler_output"];

/// Keeps the one output that is read, so that nothing else is computed.
pub(super) fn select(
    mut model: TypedModel,
    expected: &Expected<'_>,
) -> Result<(TypedModel, String)> {
    let invalid = |detail: String| Error::new(ErrorKind::InvalidModel, detail);
    let outlets = model.output_outlets().map(<[_]>::to_vec).unwrap_or_default();
    let mut outputs = Vec::with_capacity(outlets.len());
    for outlet in outlets {
        let fact = model.outlet_fact(outlet).map_err(|e| invalid(chain(&e)))?;
        let name = model
            .outlet_label(outlet)
            .map_or_else(|| model.node(outlet.node).name.clone(), str::to_owned);
        outputs.push((outlet, name, fact.shape.to_tvec()));
    }
    let listing = || {
        let list: Vec<_> =
            outputs.iter().map(|(_, name, shape)| format!("{name} {shape:?}")).collect();
        list.join(", ")
    };
    let (rank, names, wanted) = match expected.pooling {
        Pooling::Mean | Pooling::Cls => {
            (3, TOKEN_OUTPUTS.as_slice(), "one vector per token: [1, S, dims]")
        }
        Pooling::None => (2, POOLED_OUTPUTS.as_slice(), "one vector per input: [1, dims]"),
    };
    let chosen = match expected.output {
        Some(wanted) => outputs.iter().find(|(_, name, _)| name == wanted).ok_or_else(|| {
            invalid(format!("the model has no output {wanted:?}; it has: {}", listing()))
        })?,
        None => {
            let fits: Vec<_> = outputs.iter().filter(|(_, _, shape)| shape.len() == rank).collect();
            let customary =
                names.iter().find_map(|name| fits.iter().find(|(_, known, _)| known == name));
            *customary.or(fits.first()).ok_or_else(|| {
                invalid(format!("no output of the model holds {wanted}; it has: {}", listing()))
            })?
        }
    };
    let (outlet, name, shape) = chosen;
    let dims = shape.last().and_then(|dims| dims.to_usize().ok());
    // An output that does not keep the batch first would be pooled over the wrong axis.
    let batch = shape.first().and_then(|batch| batch.to_usize().ok());
    if shape.len() != rank || dims != Some(expected.dims) || batch != Some(1) {
        return Err(invalid(format!(
            "output {name:?} has the shape {shape:?}; expected {wanted} with dims = {}",
            expected.dims
        )));
    }
    let (outlet, name) = (*outlet, name.clone());
    model.select_output_outlets(&[outlet]).map_err(|e| invalid(chain(&e)))?;
    Ok((model, name))
}
