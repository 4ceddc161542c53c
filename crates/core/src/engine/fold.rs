//! Restores weights that are stored in fewer bits, once, when a model is loaded.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::TypedModelPatch;

/// Replaces every node that only works element by element on constants by its result.
///
/// A weight-only int8 export stores `Mul(Cast(weight), scale)`. tract folds that by itself where the
/// result stays below a few megabytes, and else computes it again in every run: for MiniLM's table
/// of words, 40 ms for each text.
///
/// A result may have no more elements than the largest input, so memory stays bounded by the size of
/// the file: something that expands a constant is left to run.
pub(super) fn fold_weights(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let node = model.node(id);
        if node.inputs.is_empty() || node.outputs.len() != 1 {
            continue;
        }
        let facts = model.node_input_facts(id)?;
        let constants: Option<TVec<_>> = facts.iter().map(|fact| fact.konst.clone()).collect();
        drop(facts);
        let Some(inputs) = constants else { continue };
        let largest = inputs.iter().map(|input| input.volume()).max().unwrap_or(0);
        let volume = node.outputs[0].fact.shape.as_concrete().map(|s| s.iter().product::<usize>());
        if volume.is_none_or(|volume| volume > largest) {
            continue;
        }
        let inputs = inputs.into_iter().map(|input| input.into_tvalue()).collect();
        let Some(results) = node.op.eval_out_of_plan(inputs)? else { continue };
        let Some(result) = results.into_iter().next() else { continue };
        let mut patch = TypedModelPatch::default();
        let folded = patch.add_const(&node.name, result.into_tensor())?;
        patch.shunt_outside(model, id.into(), folded)?;
        patch.apply(model)?;
    }
    Ok(())
}
