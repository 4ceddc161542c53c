//! One block of an encoder, found around its softmax.

use std::f32::consts::FRAC_1_SQRT_2;

use isovec_kernels::{Activation, BlockWeights, LinearWeights, NormPlacement};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::BinMiniOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::{Add, Erf, IsNan, Mul};
use tract_onnx::tract_core::ops::nn::gelu_approximate::GeluApproximate;
use tract_onnx::tract_core::ops::nn::gelu_exact::GeluExact;
use tract_onnx::tract_core::ops::nn::{Sigmoid, Softmax, SoftmaxKind};

use super::super::layers::Layer;
use super::labels::{self, Label};
use super::parts::{
    Linear, Norm, both_ways, is, linear_after, linear_before, norm_after, norm_before, only_taker,
    producer, scalar, skip_axes, takers,
};

/// Operations on axes, scales and masks between two products: exports have up to six. A file from anybody may have
/// any number, and each is a call within a call.
const MOST_STEPS: usize = 16;

/// A block in the graph.
#[derive(Clone)]
pub(super) struct Found {
    /// What goes in: `[.., S, hidden]`.
    pub(super) tokens: OutletId,
    /// What comes out.
    pub(super) output: OutletId,
    /// What is added to scores, `[.., 1 or S, S]`.
    pub(super) mask: Option<OutletId>,
    /// Whether probabilities that are no numbers are taken for zero.
    pub(super) without_nan: bool,
    heads: usize,
    scale: f32,
    /// Queries, keys and values.
    qkv: [Linear; 3],
    projection: Linear,
    up: Linear,
    activation: Activation,
    down: Linear,
    placement: NormPlacement,
    norms: [Norm; 2],
}

/// Where the weights of a block are put together, one block after the other: memory that is new takes longer to get than
/// to fill.
#[derive(Default)]
pub(super) struct Room([Vec<f32>; 4]);

impl Found {
    /// The block that is in its place in another layer.
    pub(super) fn of_layer(&self, layer: &Layer) -> Self {
        let mut other = self.clone();
        let Found { qkv, projection, up, down, norms, .. } = &mut other;
        let products = qkv.iter_mut().chain([projection, up, down]);
        let constants = products.flat_map(Linear::constants);
        for constant in constants.chain(norms.iter_mut().flat_map(Norm::constants)) {
            constant.become_that_of(layer);
        }
        other
    }

    /// What `take` makes of the block's weights, which are read for it.
    pub(super) fn with_weights<T>(
        &self,
        Room([qkv, output, up, down]): &mut Room,
        take: impl FnOnce(&BlockWeights<'_>) -> T,
    ) -> TractResult<T> {
        let parts = self.qkv.each_ref();
        side_by_side(&parts, qkv)?;
        side_by_side(&[&self.projection], output)?;
        side_by_side(&[&self.up], up)?;
        side_by_side(&[&self.down], down)?;
        let qkv_bias: Vec<Vec<f32>> =
            parts.iter().map(|part| part.bias.values()).collect::<TractResult<_>>()?;
        let qkv_bias = qkv_bias.concat();
        let [output_bias, up_bias, down_bias] =
            [self.projection.bias.values()?, self.up.bias.values()?, self.down.bias.values()?];
        let [norm_1, norm_2] = self.norms.each_ref();
        let [values_1, values_2] = [norm_1.values()?, norm_2.values()?];
        Ok(take(&BlockWeights {
            heads: self.heads,
            scale: self.scale,
            qkv: LinearWeights { weight: qkv, bias: &qkv_bias },
            output: LinearWeights { weight: output, bias: &output_bias },
            up: LinearWeights { weight: up, bias: &up_bias },
            activation: self.activation,
            down: LinearWeights { weight: down, bias: &down_bias },
            placement: self.placement,
            norm_1: norm_1.weights(&values_1),
            norm_2: norm_2.weights(&values_2),
        }))
    }
}

/// The weights of products of the same inputs, as those of one that has all their outputs.
fn side_by_side(parts: &[&Linear], to: &mut Vec<f32>) -> TractResult<()> {
    let outputs = parts.iter().map(|part| part.outputs()).sum();
    let inputs = parts.first().context("a product of nothing")?.inputs()?;
    let length = inputs.checked_mul(outputs).context("weights that no memory can hold")?;
    to.resize(length, 0.0);
    let mut first = 0;
    for part in parts {
        ensure!(part.inputs()? == inputs, "{} inputs beside {inputs}", part.inputs()?);
        part.write(to, outputs, first)?;
        first += part.outputs();
    }
    Ok(())
}

/// The block whose attention has the softmax `id`, if it is one.
pub(super) fn around(model: &TypedModel, id: usize) -> Option<Found> {
    let node = model.node(id);
    let softmax = node.op_as::<Softmax>()?;
    let [axis] = *softmax.axes.as_slice() else { return None };
    if softmax.kind != SoftmaxKind::Softmax || softmax.quant_output_dt.is_some() {
        return None;
    }
    let mut heads = None;
    let scores = scores(model, *node.inputs.first()?, &mut heads, MOST_STEPS)?.asked_along(axis)?;

    let probabilities = without_nan(model, id.into());
    let (weighted, axes) =
        skip_axes(model, probabilities.unwrap_or(id.into()), scores.axes, &mut heads)?;
    let by_values = only_taker(model, weighted)?;
    let slot = by_values.inputs.iter().position(|input| *input == weighted)?;
    let values = heads_of(model, *by_values.inputs.get(1 - slot)?, &mut heads, MOST_STEPS)?;
    let only_values = |label| (label == Label::Dim).then_some(label);
    let axes = labels::product(
        by_values.op_as::<EinSum>()?,
        slot,
        [&axes, &values.axes],
        [Label::Key, Label::Head],
        only_values,
    )?;

    let (context, axes) = skip_axes(model, by_values.id.into(), axes, &mut heads)?;
    let (projection, attended) = linear_after(model, only_taker(model, context)?, context, &axes)?;
    let (sum, residual) = sum_with(model, attended)?;

    let [queries, keys] = [scores.first, scores.second];
    let of = queries.of;
    if keys.of != of || values.of != of || values.scale != 1.0 {
        return None;
    }
    let placement = if residual == of { NormPlacement::After } else { NormPlacement::Before };
    let (norm_1, fed_forward, residual_2) = match placement {
        NormPlacement::After => {
            let (norm, normed) = norm_after(model, sum)?;
            (norm, normed, normed)
        }
        NormPlacement::Before => {
            let norm = norm_before(model, of).filter(|norm| norm.of == residual)?;
            (norm, norm_after(model, sum)?.1, sum)
        }
    };
    let axes = labels::of_tokens(model.outlet_fact(fed_forward).ok()?)?;
    let (up, wide) = takers(model, fed_forward)
        .find_map(|node| linear_after(model, node, fed_forward, &axes))?;
    let (activation, wide) = activation_after(model, wide)?;
    let axes = labels::of_tokens(model.outlet_fact(wide).ok()?)?;
    let (down, narrow) = linear_after(model, only_taker(model, wide)?, wide, &axes)?;
    let (sum_2, _) = sum_with(model, narrow).filter(|(_, with)| *with == residual_2)?;
    let (norm_2, output) = match placement {
        NormPlacement::After => norm_after(model, sum_2)?,
        NormPlacement::Before => (norm_before(model, fed_forward)?, sum_2),
    };
    Some(Found {
        tokens: residual,
        output,
        mask: scores.mask,
        without_nan: probabilities.is_some(),
        heads: heads?,
        scale: scores.scale * queries.scale * keys.scale,
        qkv: [queries.linear, keys.linear, values.linear],
        projection,
        up,
        activation,
        down,
        placement,
        norms: [norm_1, norm_2],
    })
}

/// Queries, keys or values by heads: a product by weights of the tokens `of`.
struct Heads {
    linear: Linear,
    of: OutletId,
    axes: TVec<Label>,
    scale: f32,
}

fn heads_of(
    model: &TypedModel,
    outlet: OutletId,
    heads: &mut Option<usize>,
    steps: usize,
) -> Option<Heads> {
    let steps = steps.checked_sub(1)?;
    let node = producer(model, outlet);
    if let Some(op) = node.op_as::<AxisOp>() {
        let mut found = heads_of(model, *node.inputs.first()?, heads, steps)?;
        found.axes = labels::after(op, found.axes, heads)?;
        return Some(found);
    }
    if is::<Mul>(node) {
        let (x, scale) = both_ways(node).find_map(|(x, s)| Some((x, scalar(model, s)?)))?;
        let mut found = heads_of(model, x, heads, steps)?;
        found.scale *= scale;
        return Some(found);
    }
    let (linear, of, axes) = linear_before(model, outlet)?;
    Some(Heads { linear, of, axes, scale: 1.0 })
}

/// Scores of queries and keys. `first`'s tokens have the label of those who ask until it is known which of the two that are.
struct Scores {
    first: Heads,
    second: Heads,
    axes: TVec<Label>,
    scale: f32,
    mask: Option<OutletId>,
}

impl Scores {
    /// With the tokens that are asked along the axis of the softmax.
    fn asked_along(mut self, axis: usize) -> Option<Self> {
        match self.axes.get(axis)? {
            Label::Key => Some(self),
            // A mask's axes were checked the other way round.
            Label::Token if self.mask.is_none() => {
                std::mem::swap(&mut self.first, &mut self.second);
                for label in &mut self.axes {
                    *label = match *label {
                        Label::Token => Label::Key,
                        Label::Key => Label::Token,
                        other => other,
                    };
                }
                Some(self)
            }
            _ => None,
        }
    }
}

/// `steps` are how many operations may still be between here and the product; a mask's sum is the last of them.
fn scores(
    model: &TypedModel,
    outlet: OutletId,
    heads: &mut Option<usize>,
    steps: usize,
) -> Option<Scores> {
    let steps = steps.checked_sub(1)?;
    let node = producer(model, outlet);
    if let Some(op) = node.op_as::<AxisOp>() {
        let mut found = scores(model, *node.inputs.first()?, heads, steps)?;
        found.axes = labels::after(op, found.axes, heads)?;
        return Some(found);
    }
    if is::<Mul>(node) {
        let (x, scale) = both_ways(node).find_map(|(x, s)| Some((x, scalar(model, s)?)))?;
        let mut found = scores(model, x, heads, steps).filter(|found| found.mask.is_none())?;
        found.scale *= scale;
        return Some(found);
    }
    if is::<Add>(node) {
        return both_ways(node).find_map(|(x, mask)| {
            let found = scores(model, x, heads, steps / 2).filter(|found| found.mask.is_none())?;
            let fits =
                is_mask(model.outlet_fact(mask).ok()?, model.outlet_fact(x).ok()?, &found.axes);
            fits.then_some(Scores { mask: Some(mask), ..found })
        });
    }
    let einsum = node.op_as::<EinSum>()?;
    let first = heads_of(model, *node.inputs.first()?, heads, MOST_STEPS)?;
    let second = heads_of(model, *node.inputs.get(1)?, heads, MOST_STEPS)?;
    let only_second = |label| (label == Label::Token).then_some(Label::Key);
    let axes = labels::product(
        einsum,
        0,
        [&first.axes, &second.axes],
        [Label::Dim, Label::Head],
        only_second,
    )?;
    Some(Scores { first, second, axes, scale: 1.0, mask: None })
}

/// Whether a mask is the same for each head, and has a number for each token that is asked.
fn is_mask(mask: &TypedFact, scores: &TypedFact, axes: &[Label]) -> bool {
    let position = |label| axes.iter().position(|axis| *axis == label);
    mask.datum_type == f32::datum_type()
        && mask.shape.rank() == axes.len()
        && position(Label::Token) < position(Label::Key)
        && axes.iter().enumerate().all(|(i, label)| match label {
            Label::Key => mask.shape[i] == scores.shape[i],
            Label::Token => mask.shape[i].is_one() || mask.shape[i] == scores.shape[i],
            _ => mask.shape[i].is_one(),
        })
}

/// The value of `outlet` with zero in the place of what is no number, as torch exports attention whose mask may leave
/// nothing.
fn without_nan(model: &TypedModel, outlet: OutletId) -> Option<OutletId> {
    takers(model, outlet).filter(|node| node.op_is::<Iff>()).find_map(|node| {
        let [condition, zero, x] = *node.inputs.as_slice() else { return None };
        let condition = producer(model, condition);
        let is_nan = condition.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<IsNan>())
            && condition.inputs.first() == Some(&outlet);
        let only =
            takers(model, outlet).all(|taker| taker.id == node.id || taker.id == condition.id);
        (is_nan && only && x == outlet && scalar(model, zero)? == 0.0).then(|| node.id.into())
    })
}

/// The sum of `outlet` and another value, and that value.
fn sum_with(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, OutletId)> {
    let node = only_taker(model, outlet).filter(|node| is::<Add>(node))?;
    let (_, other) = both_ways(node).find(|(x, _)| *x == outlet)?;
    let shape = |outlet| Some(&model.outlet_fact(outlet).ok()?.shape);
    (shape(outlet)? == shape(other)?).then_some((node.id.into(), other))
}

/// The activation of `outlet`, and its value.
fn activation_after(model: &TypedModel, outlet: OutletId) -> Option<(Activation, OutletId)> {
    if let Some(node) = only_taker(model, outlet) {
        let op = &node.op_as::<ElementWiseOp>()?.0;
        let tanh = op.downcast_ref::<GeluApproximate>().is_some_and(|op| !op.fast_impl);
        let activation = if op.is::<GeluExact>() {
            Activation::Gelu
        } else if tanh {
            Activation::GeluTanh
        } else {
            return None;
        };
        return Some((activation, node.id.into()));
    }
    takers(model, outlet).find_map(|scaled| {
        let (factor, scaled) = with_number::<Mul>(model, scaled, outlet)?;
        let node = only_taker(model, scaled)?;
        let op = &node.op_as::<ElementWiseOp>()?.0;
        let (activation, gate) = if op.is::<Sigmoid>() && (factor - 1.702).abs() < 1e-6 {
            // x * sigmoid(1.702 * x)
            (Activation::QuickGelu, node.id.into())
        } else if op.is::<Erf>() && (factor - FRAC_1_SQRT_2).abs() < 1e-6 {
            // x * (0.5 * (1 + erf(x / sqrt(2)))); other orders tract takes for `GeluExact`.
            let (one, sum) = number_after::<Add>(model, node.id.into())?;
            let (half, gate) = number_after::<Mul>(model, sum)?;
            (one == 1.0 && half == 0.5).then_some((Activation::Gelu, gate))?
        } else {
            return None;
        };
        let product = only_taker(model, gate).filter(|node| is::<Mul>(node))?;
        let gated = both_ways(product).any(|(x, y)| x == outlet && y == gate);
        gated.then(|| (activation, product.id.into()))
    })
}

/// What `node` is, if that is this operation on a value and one number: the number, and the result.
fn with_number<O: BinMiniOp>(
    model: &TypedModel,
    node: &TypedNode,
    of: OutletId,
) -> Option<(f32, OutletId)> {
    let (_, number) = both_ways(node).find(|(x, _)| is::<O>(node) && *x == of)?;
    Some((scalar(model, number)?, node.id.into()))
}

/// As [`with_number`], of the only node that takes the value.
fn number_after<O: BinMiniOp>(model: &TypedModel, of: OutletId) -> Option<(f32, OutletId)> {
    with_number::<O>(model, only_taker(model, of)?, of)
}
