//! A graph in three parts: what is before the encoder's blocks, the blocks, and what is behind them.
//!
//! The blocks are the parts that read many weights. So several texts or images go through them together; before and behind
//! them each runs alone. The result is the same to the last bit, since no row of a block's products knows another.

use std::collections::HashSet;

use isovec_kernels::{Block, Team};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::encoder::EncoderBlock;

pub(super) struct Split {
    before: Arc<TypedRunnableModel>,
    /// Which of the graph's inputs are those of `before`.
    inputs: Vec<usize>,
    blocks: Vec<Arc<Block>>,
    after: Option<Arc<TypedRunnableModel>>,
}

impl Split {
    /// The parts of a graph whose blocks follow each other, without masks, and are all that its output depends on.
    pub(super) fn of(model: &TypedModel) -> TractResult<Option<Self>> {
        let Some(Chain { blocks, first, last }) = chain(model)? else { return Ok(None) };
        let output = model.output_outlets()?[0];
        if depends_on_more(model, output, last) {
            return Ok(None);
        }
        let needed = ancestors(model, first.node, None);
        let outlets = model.input_outlets()?;
        let inputs: Vec<usize> =
            (0..outlets.len()).filter(|&i| needed.contains(&outlets[i].node)).collect();
        let from: Vec<OutletId> = inputs.iter().map(|&i| outlets[i]).collect();
        let before = part(model, &from, first)?;
        let after = if output == last { None } else { Some(part(model, &[last], output)?) };
        Ok(Some(Split { before, inputs, blocks, after }))
    }

    /// The outputs of several texts or images, whose inputs are those of the whole graph. One by itself is shared out
    /// among the threads of `team`.
    pub(super) fn run(
        &self,
        items: Vec<TVec<TValue>>,
        team: &dyn Team,
    ) -> TractResult<Vec<TValue>> {
        let mut shapes = Vec::with_capacity(items.len());
        let mut tokens: Vec<f32> = Vec::new();
        for inputs in items {
            let inputs = self.inputs.iter().map(|&i| inputs[i].clone()).collect();
            let outputs = self.before.run(inputs)?;
            let output = outputs.first().context("no tokens")?;
            shapes.push(output.shape().to_vec());
            tokens.extend_from_slice(output.try_as_plain_ram()?.as_slice()?);
        }
        let hidden = self.blocks.first().map_or(1, |block| block.hidden());
        let lengths: Vec<usize> =
            shapes.iter().map(|shape| shape.iter().product::<usize>() / hidden).collect();
        let mut next = vec![0.0; tokens.len()];
        for block in &self.blocks {
            ensure!(block.hidden() == hidden, "blocks of different tokens");
            if lengths.len() == 1 {
                block.run_by(team, &tokens, &mut next);
            } else {
                block.run_each(&tokens, &lengths, &mut next);
            }
            std::mem::swap(&mut tokens, &mut next);
        }

        let mut rest = tokens.as_slice();
        let mut outputs = Vec::with_capacity(shapes.len());
        for (shape, n) in shapes.iter().zip(lengths) {
            let (own, others) = rest.split_at(n * hidden);
            rest = others;
            let value = Tensor::from_shape(shape, own)?.into_tvalue();
            outputs.push(match &self.after {
                None => value,
                Some(after) => after.run(tvec!(value))?.into_iter().next().context("no output")?,
            });
        }
        Ok(outputs)
    }
}

/// The blocks of a graph, one behind the other.
struct Chain {
    blocks: Vec<Arc<Block>>,
    /// What goes into the first.
    first: OutletId,
    /// What comes out of the last.
    last: OutletId,
}

fn chain(model: &TypedModel) -> TractResult<Option<Chain>> {
    let mut blocks = Vec::new();
    let mut ends: Option<(OutletId, OutletId)> = None;
    for id in model.eval_order()? {
        let node = model.node(id);
        let Some(op) = node.op_as::<EncoderBlock>() else { continue };
        let [input] = *node.inputs.as_slice() else { return Ok(None) };
        let first = match ends {
            None => input,
            Some((first, last)) if last == input => first,
            Some(_) => return Ok(None),
        };
        ends = Some((first, id.into()));
        blocks.push(Arc::clone(&op.block));
    }
    Ok(ends.map(|(first, last)| Chain { blocks, first, last }))
}

/// Whether a value depends on an input of the graph otherwise than by `only`.
fn depends_on_more(model: &TypedModel, value: OutletId, only: OutletId) -> bool {
    ancestors(model, value.node, Some(only.node))
        .into_iter()
        .any(|id| model.node(id).op_is::<TypedSource>())
}

/// A node, and those that it depends on, up to and without one of them.
pub(super) fn ancestors(model: &TypedModel, node: usize, without: Option<usize>) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let mut pending = vec![node];
    while let Some(id) = pending.pop() {
        if Some(id) != without && seen.insert(id) {
            pending.extend(model.node(id).inputs.iter().map(|input| input.node));
        }
    }
    seen
}

/// The part of a graph between values.
fn part(
    model: &TypedModel,
    from: &[OutletId],
    to: OutletId,
) -> TractResult<Arc<TypedRunnableModel>> {
    let mut part = model.clone();
    part.set_input_outlets(from)?;
    part.select_output_outlets(&[to])?;
    part.compact()?;
    part.into_optimized()?.into_runnable()
}
