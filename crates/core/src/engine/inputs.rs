//! What a model is fed with: its inputs found by name, checked, and given their shapes.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, ShapeFactoid};
use tract_onnx::tract_hir::internal::DimLike;

use super::{Takes, chain};
use crate::{Error, ErrorKind, Result};

/// One input, in the order of the graph, and the number type it wants.
#[derive(Clone, Copy)]
pub(super) struct Input {
    pub(super) role: Role,
    pub(super) datum_type: DatumType,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    InputIds,
    AttentionMask,
    TokenTypeIds,
    PixelValues,
}

impl Role {
    fn of(name: &str, takes: Takes) -> Option<Self> {
        match (takes, name) {
            (Takes::Text, "input_ids") => Some(Role::InputIds),
            (Takes::Text, "attention_mask") => Some(Role::AttentionMask),
            (Takes::Text, "token_type_ids") => Some(Role::TokenTypeIds),
            (Takes::Pixels { .. }, "pixel_values") => Some(Role::PixelValues),
            _ => None,
        }
    }
}

/// Gives each input its role by name, and its shape: a batch of one, and of a text a symbolic length.
pub(super) fn bind(model: &mut InferenceModel, takes: Takes) -> Result<Vec<Input>> {
    let sequence = model.symbols.new_with_prefix("isovec_sequence");
    let outlets = model.input_outlets().map(<[_]>::to_vec).unwrap_or_default();
    let mut inputs = Vec::with_capacity(outlets.len());
    for (index, outlet) in outlets.into_iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
        let invalid = |detail: String| {
            Error::new(ErrorKind::InvalidModel, format!("input {name:?} {detail}"))
        };
        let Some(role) = Role::of(&name, takes) else {
            return Err(invalid(
                match takes {
                    Takes::Text => {
                        "is not one of a text model: input_ids, attention_mask, token_type_ids"
                    }
                    Takes::Pixels { .. } => "is not one of an image model: pixel_values",
                }
                .into(),
            ));
        };
        let declared = model.outlet_fact(outlet).map_err(|e| invalid(chain(&e)))?;
        let datum_type = declared.datum_type.concretize();
        let (datum_type, shape): (_, TVec<TDim>) = match takes {
            Takes::Text => {
                let datum_type = datum_type.unwrap_or(DatumType::I64);
                if !matches!(datum_type, DatumType::I64 | DatumType::I32) {
                    return Err(invalid(format!(
                        "is of {datum_type:?}; expected 64- or 32-bit integers"
                    )));
                }
                (datum_type, tvec![1.to_dim(), sequence.to_dim()])
            }
            Takes::Pixels { rows, columns } => {
                let datum_type = datum_type.unwrap_or(DatumType::F32);
                if !matches!(datum_type, DatumType::F32 | DatumType::F16) {
                    return Err(invalid(format!(
                        "is of {datum_type:?}; expected 32- or 16-bit floats"
                    )));
                }
                if !fits(&declared.shape, rows, columns) {
                    return Err(invalid(format!(
                        "has the shape {:?}; the preprocessing gives [N, 3, {rows}, {columns}]",
                        declared.shape
                    )));
                }
                (datum_type, [1, 3, rows, columns].iter().map(|dim| dim.to_dim()).collect())
            }
        };
        model.set_input_fact(index, InferenceFact::dt_shape(datum_type, shape)).map_err(|e| {
            Error::new(ErrorKind::InvalidModel, format!("input {name:?}: {}", chain(&e)))
        })?;
        inputs.push(Input { role, datum_type });
    }
    let (needed, name) = match takes {
        Takes::Text => (Role::InputIds, "input_ids"),
        Takes::Pixels { .. } => (Role::PixelValues, "pixel_values"),
    };
    if !inputs.iter().any(|input| input.role == needed) {
        return Err(Error::new(ErrorKind::InvalidModel, format!("the model has no input {name}")));
    }
    Ok(inputs)
}

/// Whether pixels of this size can be fed to an input of the declared shape. Its batch is not looked at:
/// that is one of the export's examples, or any number.
fn fits(declared: &ShapeFactoid, rows: usize, columns: usize) -> bool {
    let dims: Vec<Option<usize>> =
        declared.dims().map(|dim| dim.concretize().and_then(|dim| dim.to_usize().ok())).collect();
    let rank = dims.len() == 4 || declared.is_open();
    let wanted = [None, Some(3), Some(rows), Some(columns)];
    rank && dims
        .iter()
        .zip(wanted)
        .all(|(dim, wanted)| dim.is_none() || wanted.is_none() || *dim == wanted)
}
