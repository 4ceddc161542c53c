//! Replaces the blocks of an encoder in tract's graph by operators of our own.

mod block;
mod constant;
mod labels;
mod parts;

use std::collections::{HashMap, HashSet};

use isovec_kernels::{Block, BlockWeights, Isa, Precision};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, GatherNd, MultiBroadcastTo};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::Softmax;

use self::block::{Found, Room};
use super::border;
use super::encoder::EncoderBlock;
use super::layers::Layer;
use super::split::ancestors;
use crate::{Error, ErrorKind, guard};

/// Replaces what is recognised, in a decluttered graph, and says how many blocks that were. What is not
/// recognised stays as it is. Behind the block between two borders come those of the `others`.
///
/// `attention_mask` is the input that is fed with ones, since no text is padded. `budget` is how many numbers packed
/// weights may have still: a file that uses the same weights over and over must not become many times its size.
pub(super) fn fuse(
    model: &mut TypedModel,
    attention_mask: Option<OutletId>,
    packing: Packing,
    budget: &mut usize,
    others: &[Layer],
) -> TractResult<usize> {
    let masks = Masks { attention_mask, nothing_masked: HashMap::new() };
    let room = Room::default();
    let mut search = Search { masks, refused: HashSet::new(), packing, budget, room, others };
    let mut fused = 0;
    // One after the other: what a block takes is what the one before it gives, and so an operator of ours.
    while let Some((patch, blocks)) = search.next(model)? {
        patch.apply(model)?;
        fused += blocks;
    }
    if fused > 0 {
        model.compact()?;
    }
    Ok(fused)
}

/// Whether there may be a block in a graph.
pub(super) fn has_attention(model: &TypedModel) -> bool {
    model.nodes().iter().any(|node| node.op_is::<Softmax>())
}

/// What weights are packed for.
pub(super) type Packing = (Isa, Precision);

struct Search<'a> {
    masks: Masks,
    /// The softmaxes around which there is no block.
    refused: HashSet<usize>,
    packing: Packing,
    budget: &'a mut usize,
    room: Room,
    others: &'a [Layer],
}

impl Search<'_> {
    /// A patch, and how many blocks it puts into the graph.
    fn next(&mut self, model: &TypedModel) -> TractResult<Option<(TypedModelPatch, usize)>> {
        if *self.budget == 0 {
            return Ok(None);
        }
        for id in model.eval_order()? {
            if !model.node(id).op_is::<Softmax>() || self.refused.contains(&id) {
                continue;
            }
            // What cannot be replaced, for whatever reason, can still be run.
            if let Some(Ok(patch)) =
                block::around(model, id).and_then(|found| self.replace(model, &found))
            {
                return Ok(Some(patch));
            }
            self.refused.insert(id);
        }
        Ok(None)
    }

    /// The patch that puts an operator in the place of a block, and those of other layers behind it.
    fn replace(
        &mut self,
        model: &TypedModel,
        found: &Found,
    ) -> Option<TractResult<(TypedModelPatch, usize)>> {
        let mask = found.mask.filter(|mask| !self.masks.mask_nothing(model, *mask));
        // A token that may see none has no probabilities: such a model then takes them for zero, our loops for an
        // error. Without a mask only scores that are infinite have none.
        if mask.is_some() && found.without_nan {
            return None;
        }
        let mut blocks = vec![self.pack(found)?];
        let mut ends = (found.tokens, found.output);
        if let Some(outside) = border::around(model, found.tokens, found.output) {
            // One that is made of the tokens would be another one for each layer.
            let of_tokens =
                |mask: OutletId| ancestors(model, mask.node, None).contains(&found.tokens.node);
            if mask.is_some_and(of_tokens) {
                return None;
            }
            for layer in self.others {
                blocks.push(self.pack(&found.of_layer(layer))?);
            }
            ends = outside;
        }
        let patch = || {
            let mut patch = TypedModelPatch::default();
            let count = blocks.len();
            let mut tokens = patch.tap_model(model, ends.0)?;
            let mask = mask.map(|mask| patch.tap_model(model, mask)).transpose()?;
            for (index, block) in blocks.into_iter().enumerate() {
                let name = format!("{}.encoder_block.{index}", model.node(found.output.node).name);
                let inputs: TVec<_> = [tokens].into_iter().chain(mask).collect();
                tokens = patch.wire_node(name, EncoderBlock { block }, &inputs)?[0];
            }
            patch.shunt_outside(model, ends.1, tokens)?;
            Ok((patch, count))
        };
        Some(patch())
    }

    fn pack(&mut self, found: &Found) -> Option<Arc<Block>> {
        let Search { packing, budget, room, .. } = self;
        let block = found.with_weights(room, |weights| pack(weights, *packing, budget)).ok()??;
        Some(Arc::new(block))
    }
}

fn pack(
    weights: &BlockWeights<'_>,
    (isa, precision): Packing,
    budget: &mut usize,
) -> Option<Block> {
    let left = budget.checked_sub(weights.packed_len(isa, precision)?);
    // Reading weights takes its time too: what is over the budget ends the search.
    *budget = left.unwrap_or(0);
    left?;
    Block::new(weights, isa, precision).ok()
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
        *known.or_insert_with(|| {
            // Places that are picked may be outside of what is tried.
            let panicked = |message: &str| Error::new(ErrorKind::EnginePanic, message);
            guard::guarded(|| Ok(is_zero(model, mask, input).unwrap_or(false)), panicked)
                .unwrap_or(false)
        })
    }
}

/// Whether a mask is zero for an attention mask of ones.
///
/// It is, if it is made of nothing but the attention mask and single numbers, by operations that do the same to each
/// element, or pick elements: all are then the same number, which one run shows. Anything else that knows where an
/// element is (a range, a triangle, a slice) could begin to mask at some length that nobody tried.
fn is_zero(model: &TypedModel, mask: OutletId, attention_mask: OutletId) -> TractResult<bool> {
    let mut pending = vec![mask.node];
    let mut seen = HashSet::new();
    while let Some(id) = pending.pop() {
        let node = model.node(id);
        if !seen.insert(id) || id == attention_mask.node {
            continue;
        }
        // One that is an expression depends on the length.
        let number = node.outputs[0]
            .fact
            .konst
            .as_ref()
            .is_some_and(|konst| konst.len() == 1 && konst.datum_type() != TDim::datum_type());
        if !number && !treats_all_alike(node) {
            return Ok(false);
        }
        // Which elements are picked does not matter where all are the same.
        let picked = if picks(node) { 1 } else { node.inputs.len() };
        pending.extend(node.inputs.iter().take(picked).map(|input| input.node));
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
    let ones = Tensor::from_shape(&[1, 3], &[1_i64; 3])?;
    let outputs = plan.run(tvec!(ones.cast_to_dt(datum_type)?.into_owned().into_tvalue()))?;
    let output = outputs.first().context("a mask that is no output")?;
    Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.iter().all(|&x| x == 0.0))
}

/// Whether an operation gives equal elements for equal elements, wherever they are.
fn treats_all_alike(node: &TypedNode) -> bool {
    node.op_is::<AxisOp>()
        || node.op_is::<Cast>()
        || node.op_is::<ElementWiseOp>()
        || node.op_is::<TypedBinOp>()
        || node.op_is::<Iff>()
        || node.op_is::<MultiBroadcastTo>()
        || picks(node)
}

/// Whether an operation gives elements of its first input, at the places that the others name.
fn picks(node: &TypedNode) -> bool {
    node.op_is::<Gather>() || node.op_is::<GatherNd>()
}
