//! What blocks are made of: products by weights, layer normalisations, constants.

use isovec_kernels::NormWeights;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{Add, Mul, Sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

use super::super::weights::Weight;
use super::constant::{Constant, Row};
use super::labels::{self, Label};

/// A product by weights and the sum with a bias.
#[derive(Clone)]
pub(super) struct Linear {
    weight: Matrix,
    pub(super) bias: Row,
}

/// The weights of a product.
#[derive(Clone)]
struct Matrix {
    constant: Constant,
    /// Its axes that are longer than one come in this order: inputs, which may be two axes, and outputs.
    order: Vec<usize>,
}

impl Linear {
    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// How many inputs it has, if its weights fit its bias.
    pub(super) fn inputs(&self) -> TractResult<usize> {
        let weights = self.weight.constant.len();
        let outputs = self.outputs();
        ensure!(
            outputs > 0 && weights.is_multiple_of(outputs),
            "{weights} weights, {outputs} outputs"
        );
        Ok(weights / outputs)
    }

    /// Writes the weights, `(inputs, outputs)`, into the rows of a matrix of `width` columns, from the column `first`
    /// on.
    pub(super) fn write(&self, matrix: &mut [f32], width: usize, first: usize) -> TractResult<()> {
        let outputs = self.outputs();
        let places = matrix.chunks_exact_mut(width).map(|row| &mut row[first..][..outputs]);
        match self.in_order() {
            Some(weight) => weight.write_rows(places),
            None => {
                let tensor = self.tensor()?;
                let weights = tensor.try_as_plain_ram()?;
                let rows = weights.as_slice::<f32>()?.chunks_exact(outputs);
                places.zip(rows).for_each(|(place, row)| place.copy_from_slice(row));
                Ok(())
            }
        }
    }

    /// The weight in the file, if its elements are there row by row as they are needed.
    fn in_order(&self) -> Option<&Weight> {
        let Matrix { constant: Constant::Stored(weight, axes), order } = &self.weight else {
            return None;
        };
        let moved = !order.is_sorted() || axes.iter().any(|op| matches!(op, AxisOp::Move(..)));
        (!moved && weight.shape().last() == Some(&self.outputs())).then_some(&**weight)
    }

    /// The weights, `(inputs, outputs)` but for axes of one.
    fn tensor(&self) -> TractResult<Arc<Tensor>> {
        let Matrix { constant, order } = &self.weight;
        let tensor = constant.tensor()?;
        if order.is_sorted() {
            return Ok(tensor);
        }
        Ok(Arc::unwrap_or_clone(tensor).permute_axes(order)?.into_arc_tensor())
    }

    pub(super) fn constants(&mut self) -> [&mut Constant; 2] {
        [&mut self.weight.constant, &mut self.bias.0]
    }
}

/// A layer normalisation, and what it is of.
#[derive(Clone)]
pub(super) struct Norm {
    pub(super) of: OutletId,
    gamma: Row,
    beta: Row,
    epsilon: f32,
}

impl Norm {
    /// Gamma and beta.
    pub(super) fn values(&self) -> TractResult<[Vec<f32>; 2]> {
        Ok([self.gamma.values()?, self.beta.values()?])
    }

    pub(super) fn weights<'a>(&self, [gamma, beta]: &'a [Vec<f32>; 2]) -> NormWeights<'a> {
        NormWeights { gamma, beta, epsilon: self.epsilon }
    }

    pub(super) fn constants(&mut self) -> [&mut Constant; 2] {
        [&mut self.gamma.0, &mut self.beta.0]
    }
}

/// Whether a node is this operation on two values.
pub(super) fn is<O: BinMiniOp>(node: &TypedNode) -> bool {
    node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<O>())
}

pub(super) fn producer(model: &TypedModel, outlet: OutletId) -> &TypedNode {
    model.node(outlet.node)
}

pub(super) fn constant(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    let constant = model.outlet_fact(outlet).ok()?.konst.clone()?;
    (constant.datum_type() == f32::datum_type()).then_some(constant)
}

/// A constant of one number.
pub(super) fn scalar(model: &TypedModel, outlet: OutletId) -> Option<f32> {
    let constant = constant(model, outlet)?;
    let view = constant.try_as_plain_ram().ok()?;
    match view.as_slice::<f32>().ok()? {
        [x] => Some(*x),
        _ => None,
    }
}

/// The two inputs of a node, in both orders.
pub(super) fn both_ways(node: &TypedNode) -> impl Iterator<Item = (OutletId, OutletId)> {
    let pair = match node.inputs.as_slice() {
        [a, b] => Some((*a, *b)),
        _ => None,
    };
    pair.into_iter().flat_map(|(a, b)| [(a, b), (b, a)])
}

/// The nodes that take a value.
pub(super) fn takers(model: &TypedModel, outlet: OutletId) -> impl Iterator<Item = &TypedNode> {
    let node = model.node(outlet.node);
    let takers = node.outputs.get(outlet.slot).map_or(&[][..], |output| &output.successors);
    takers.iter().map(|taker| model.node(taker.node))
}

/// The only node that takes a value.
pub(super) fn only_taker(model: &TypedModel, outlet: OutletId) -> Option<&TypedNode> {
    let mut takers = takers(model, outlet);
    let first = takers.next()?;
    takers.next().is_none().then_some(first)
}

/// Follows operations on axes forwards, to the value that something else takes.
pub(super) fn skip_axes(
    model: &TypedModel,
    mut outlet: OutletId,
    mut axes: TVec<Label>,
    heads: &mut Option<usize>,
) -> Option<(OutletId, TVec<Label>)> {
    while let Some(op) =
        only_taker(model, outlet).and_then(|node| node.op_as::<AxisOp>().map(|op| (node, op)))
    {
        axes = labels::after(op.1, axes, heads)?;
        outlet = op.0.id.into();
    }
    Some((outlet, axes))
}

/// The product by constant weights that takes `x`, whose axes are `axes`: the weights as `(inputs, outputs)`, and
/// the axes of the product.
fn product_by_weights(
    model: &TypedModel,
    node: &TypedNode,
    x: OutletId,
    axes: &[Label],
) -> Option<(Matrix, TVec<Label>)> {
    let einsum = node.op_as::<EinSum>()?;
    if node.inputs.len() != 2
        || einsum.q_params.is_some()
        || einsum.operating_dt != f32::datum_type()
    {
        return None;
    }
    let slot = node.inputs.iter().position(|input| *input == x)?;
    let weight = *node.inputs.get(1 - slot)?;
    let constant = Constant::of(model, weight)?;
    let shape = model.outlet_fact(weight).ok()?.shape.as_concrete()?;
    let mut summed = tvec![];
    let mut kept = tvec![];
    let mut ones = tvec![];
    let mut output = tvec![Label::One; einsum.axes.rank(InOut::Out(0))];
    for axis in einsum.axes.iter_all_axes() {
        let label = match axis.inputs[slot].as_slice() {
            [] => None,
            [position] => Some(*axes.get(*position)?),
            _ => return None,
        };
        let of_weight = match axis.inputs[1 - slot].as_slice() {
            [] => None,
            [position] => Some(*position),
            _ => return None,
        };
        let stays = !axis.outputs[0].is_empty();
        let in_output = match (label, of_weight, stays) {
            (Some(label @ (Label::Feature | Label::Head | Label::Dim)), Some(position), false) => {
                summed.push((label, position));
                Label::One
            }
            (Some(Label::Token), None, true) => Label::Token,
            (None | Some(Label::One), Some(position), true) if shape[position] != 1 => {
                kept.push(position);
                Label::Feature
            }
            (None | Some(Label::One), of_weight, _) => {
                ones.extend(of_weight);
                Label::One
            }
            _ => return None,
        };
        match axis.outputs[0].as_slice() {
            [] => {}
            [position] => *output.get_mut(*position)? = in_output,
            _ => return None,
        }
    }
    // Features are the heads' one after the other.
    summed.sort_by_key(|(label, _)| *label == Label::Dim);
    let whole = match summed.as_slice() {
        [(Label::Feature, _)] | [(Label::Head, _), (Label::Dim, _)] => kept.len() == 1,
        _ => false,
    };
    if !whole || ones.iter().any(|&position| shape[position] != 1) {
        return None;
    }
    let order: Vec<usize> =
        ones.into_iter().chain(summed.iter().map(|(_, position)| *position)).chain(kept).collect();
    Some((Matrix { constant, order }, output))
}

/// The sum with a bias behind a product: the value it is, and the bias.
fn bias_after(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, Row)> {
    let add = only_taker(model, outlet)?;
    let (_, bias) = both_ways(add).find(|(x, _)| is::<Add>(add) && *x == outlet)?;
    Some((add.id.into(), Row::of(model, bias)?))
}

/// The product that `node` is, of `x`, whose axes are `axes`, and the sum with its bias. Also where its value is, which has
/// the axes `[.., tokens, features]`.
pub(super) fn linear_after(
    model: &TypedModel,
    node: &TypedNode,
    x: OutletId,
    axes: &[Label],
) -> Option<(Linear, OutletId)> {
    let (weight, axes) = product_by_weights(model, node, x, axes)?;
    let (outlet, axes) = skip_axes(model, node.id.into(), axes, &mut None)?;
    let (outlet, bias) = bias_after(model, outlet)?;
    (labels::of_tokens(model.outlet_fact(outlet).ok()?)? == axes)
        .then_some((Linear { weight, bias }, outlet))
}

/// The product and the sum whose value is `outlet`: what it is of, and the axes of the value.
pub(super) fn linear_before(
    model: &TypedModel,
    outlet: OutletId,
) -> Option<(Linear, OutletId, TVec<Label>)> {
    let add = producer(model, outlet);
    if !is::<Add>(add) {
        return None;
    }
    let (product, bias) = both_ways(add).find(|(_, bias)| Constant::of(model, *bias).is_some())?;
    let node = producer(model, product);
    let x = *node.inputs.iter().find(|input| Constant::of(model, **input).is_none())?;
    let axes = labels::of_tokens(model.outlet_fact(x).ok()?)?;
    let (weight, axes) = product_by_weights(model, node, x, &axes)?;
    let last = axes.last() == Some(&Label::Feature);
    let bias = Row::of(model, bias).filter(|_| last)?;
    Some((Linear { weight, bias }, x, axes))
}

/// The layer normalisation whose value is `outlet`.
pub(super) fn norm_before(model: &TypedModel, outlet: OutletId) -> Option<Norm> {
    let (node, beta) = with_row::<Add>(model, producer(model, outlet))?;
    let (node, gamma) = with_row::<Mul>(model, node)?;
    let rms = node.op_as::<RmsNorm>()?;
    let rank = model.outlet_fact(node.id.into()).ok()?.shape.rank();
    let sub = producer(model, node.inputs[0]);
    let [of, mean] = *sub.inputs.as_slice() else { return None };
    let mean = producer(model, mean);
    let (sum, share) =
        both_ways(mean).find_map(|(sum, share)| Some((sum, scalar(model, share)?)))?;
    let sum = producer(model, sum);
    let reduce = sum.op_as::<Reduce>()?;
    let last = tvec![rank - 1];
    let is_mean = is::<Sub>(sub)
        && is::<Mul>(mean)
        && (share * gamma.len() as f32 - 1.0).abs() < 1e-6
        && reduce.reducer == Reducer::Sum
        && reduce.axes == last
        && rms.axis == rank - 1
        && sum.inputs[0] == of;
    let epsilon = rms.eps.cast_to_scalar::<f32>().ok()?;
    is_mean.then_some(Norm { of, gamma, beta, epsilon })
}

/// A node that is this operation on a value and a constant row: what the value is from, and the row.
fn with_row<'a, O: BinMiniOp>(
    model: &'a TypedModel,
    node: &TypedNode,
) -> Option<(&'a TypedNode, Row)> {
    let (x, row) = both_ways(node).find_map(|(x, row)| Some((x, Row::of(model, row)?)))?;
    is::<O>(node).then(|| (producer(model, x), row))
}

/// The layer normalisation of `outlet`, and its value.
pub(super) fn norm_after(model: &TypedModel, outlet: OutletId) -> Option<(Norm, OutletId)> {
    takers(model, outlet).find_map(|node| {
        let mut value: OutletId = node.id.into();
        // Less the mean, over the deviation, times gamma, plus beta.
        for _ in 0..3 {
            value = only_taker(model, value)?.id.into();
        }
        let norm = norm_before(model, value)?;
        (norm.of == outlet).then_some((norm, value))
    })
}
