//! Constants that blocks are made of.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::super::layers::Layer;
use super::super::stored::Stored;
use super::super::weights::Weight;
use super::parts::{constant, producer};

/// Operations on the axes of a weight in the file: tract leaves one or two. A hostile file may have any number.
const MOST_AXIS_OPS: usize = 8;

/// A constant of f32.
#[derive(Clone)]
pub(super) enum Constant {
    /// One that is in the file, and what is done with its axes, the last first.
    Stored(Arc<Weight>, Vec<AxisOp>),
    Tensor(Arc<Tensor>),
}

impl Constant {
    /// The constant that `outlet` is.
    pub(super) fn of(model: &TypedModel, mut outlet: OutletId) -> Option<Self> {
        let mut axes = Vec::new();
        while let Some(op) = producer(model, outlet).op_as::<AxisOp>() {
            if axes.len() == MOST_AXIS_OPS {
                return None;
            }
            axes.push(op.clone());
            outlet = *producer(model, outlet).inputs.first()?;
        }
        match producer(model, outlet).op_as::<Stored>() {
            Some(Stored(weight)) => Some(Constant::Stored(Arc::clone(weight), axes)),
            None if axes.is_empty() => constant(model, outlet).map(Constant::Tensor),
            None => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Constant::Tensor(tensor) => tensor.len(),
            Constant::Stored(weight, _) => weight.shape().iter().product(),
        }
    }

    pub(super) fn tensor(&self) -> TractResult<Arc<Tensor>> {
        match self {
            Constant::Tensor(tensor) => Ok(Arc::clone(tensor)),
            Constant::Stored(weight, axes) => {
                let mut tensor = weight.tensor()?;
                axes.iter().rev().try_for_each(|op| op.change_tensor(&mut tensor, false))?;
                Ok(tensor.into_arc_tensor())
            }
        }
    }

    /// Becomes what is in its place in another layer. All that is not in the file is the same there.
    pub(super) fn become_that_of(&mut self, layer: &Layer) {
        if let Constant::Stored(weight, _) = self
            && let Some(other) = layer.get(weight.name())
        {
            *weight = Arc::clone(other);
        }
    }
}

/// A constant that is one row along the last axis.
#[derive(Clone)]
pub(super) struct Row(pub(super) Constant);

impl Row {
    pub(super) fn of(model: &TypedModel, outlet: OutletId) -> Option<Self> {
        let constant = Constant::of(model, outlet)?;
        let shape = model.outlet_fact(outlet).ok()?.shape.as_concrete()?;
        let is_row = shape.last() == Some(&constant.len());
        is_row.then_some(Row(constant))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn values(&self) -> TractResult<Vec<f32>> {
        let tensor = self.0.tensor()?;
        let plain = tensor.try_as_plain_ram()?;
        Ok(plain.as_slice::<f32>()?.to_vec())
    }
}
