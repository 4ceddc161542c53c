//! Replaces the blocks of an encoder in tract's graph by operators of our own.

mod block;
mod labels;
mod parts;

use std::collections::HashMap;

use isovec_kernels::{Block, Isa};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::Softmax;

use super::encoder::EncoderBlock;

/// Replaces what is recognised, in a decluttered graph, and says how many blocks that were. What is not
/// recognised stays as it is.
///
/// `attention_mask` is the input that is fed with ones, since each text runs alone.
pub(super) fn fuse(
    model: &mut TypedModel,
    attention_mask: Option<OutletId>,
    isa: Isa,
) -> TractResult<usize> {
    let mut masks = Masks { attention_mask, nothing_masked: HashMap::new() };
    let mut fused = 0;
    // One after the other: what a block takes is what the one before it gives, and so an operator of ours.
    while let Some(patch) = next(model, &mut masks, isa)? {
        patch.apply(model)?;
        fused += 1;
    }
    if fused > 0 {
        model.compact()?;
    }
    Ok(fused)
}

fn next(model: &TypedModel, masks: &mut Masks, isa: Isa) -> TractResult<Option<TypedModelPatch>> {
    for id in model.eval_order()? {
        if model.node(id).op_is::<Softmax>()
            && let Some(found) = block::around(model, id)
            && let Ok(block) = Block::new(&found.weights(), isa)
        {
            let mut patch = TypedModelPatch::default();
            let mut inputs = tvec!(patch.tap_model(model, found.tokens)?);
            if let Some(mask) = found.mask
                && !masks.mask_nothing(model, mask)
            {
                inputs.push(patch.tap_model(model, mask)?);
            }
            let name = format!("{}.encoder_block", model.node(found.output.node).name);
            let op = EncoderBlock { block: Arc::new(block) };
            let output = patch.wire_node(name, op, &inputs)?;
            patch.shunt_outside(model, found.output, output[0])?;
            return Ok(Some(patch));
        }
    }
    Ok(None)
}

/// Which masks are zero where the attention mask is all ones.
struct Masks {
    attention_mask: Option<OutletId>,
    nothing_masked: HashMap<OutletId, bool>,
}

impl Masks {
    fn mask_nothing(&mut self, model: &TypedModel, mask: OutletId) -> bool {
        let Some(input) = self.attention_mask else { return false };
        let known = self.nothing_masked.entry(mask);
        *known.or_insert_with(|| is_zero(model, mask, input).unwrap_or(false))
    }
}

/// Whether a mask is made of the attention mask, constants and the number of tokens alone, and zero for ones: tried
/// for some numbers of tokens. What exports make of the mask is the same expression for each
/// token, or for each pair of tokens.
fn is_zero(model: &TypedModel, mask: OutletId, attention_mask: OutletId) -> TractResult<bool> {
    let mut pending = vec![mask.node];
    let mut seen = std::collections::HashSet::new();
    while let Some(id) = pending.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = model.node(id);
        if node.inputs.is_empty()
            && node.outputs[0].fact.konst.is_none()
            && id != attention_mask.node
        {
            return Ok(false);
        }
        pending.extend(node.inputs.iter().map(|input| input.node));
    }
    if !seen.contains(&attention_mask.node) {
        return Ok(false);
    }
    let datum_type = model.outlet_fact(attention_mask)?.datum_type;
    let mut part = model.clone();
    part.set_input_outlets(&[attention_mask])?;
    part.select_output_outlets(&[mask])?;
    part.compact()?;
    let plan = part.into_runnable()?;
    for n in [1, 2, 3, 17, 64] {
        let ones = Tensor::from_shape(&[1, n], &vec![1_i64; n])?;
        let outputs = plan.run(tvec!(ones.cast_to_dt(datum_type)?.into_owned().into_tvalue()))?;
        let output = outputs.first().context("a mask that is no output")?;
        let view = output.try_as_plain_ram()?;
        if view.as_slice::<f32>()?.iter().any(|&x| x != 0.0) {
            return Ok(false);
        }
    }
    Ok(true)
}
