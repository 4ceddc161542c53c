//! The operator that marks in tract's graph where a layer begins and where it ends. It is gone before a graph is run.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{InferenceOp, InferenceResult, Solver, TensorProxy};
use tract_onnx::tract_hir::internal::{check_input_arity, check_output_arity};
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// Gives what it takes. No pass of tract's sees through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Border;

/// As tract makes it of ONNX.
pub(super) fn parse(
    _: &ParsingContext,
    _: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(Border), vec![]))
}

impl Expansion for Border {
    fn name(&self) -> StaticName {
        "Border".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Border {
    fn name(&self) -> StaticName {
        "Border".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Border {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }
}

impl TypedOp for Border {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }
}

/// Whether there is one in a graph.
pub(super) fn is_in(model: &TypedModel) -> bool {
    model.nodes().iter().any(|node| node.op_is::<Border>())
}

/// The layer from `first` to `last`, if borders are all that is around it: what it is given in front of the one, and
/// the value behind the other.
pub(super) fn around(
    model: &TypedModel,
    first: OutletId,
    last: OutletId,
) -> Option<(OutletId, OutletId)> {
    let front = model.node(first.node);
    let [behind] = *model.node(last.node).outputs.get(last.slot)?.successors.as_slice() else {
        return None;
    };
    let both = front.op_is::<Border>() && model.node(behind.node).op_is::<Border>();
    let behind = OutletId::from(behind.node);
    let [first, last] = [model.outlet_fact(first).ok()?, model.outlet_fact(behind).ok()?];
    let alike = first.datum_type == last.datum_type && first.shape == last.shape;
    (both && alike).then_some((*front.inputs.first()?, behind))
}
