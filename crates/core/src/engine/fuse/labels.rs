//! What the axes of a value mean, followed through reshapes, transpositions and products.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

/// What an axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Of length 1.
    One,
    /// Tokens; of scores the tokens that ask.
    Token,
    /// Of scores: the tokens that are asked.
    Key,
    /// All features of a token: the heads' one after the other.
    Feature,
    Head,
    /// A head's features.
    Dim,
}

use Label::{Dim, Feature, Head, Key, One, Token};

/// The axes of `[1, S, features]` or `[S, features]`.
pub(super) fn of_tokens(fact: &TypedFact) -> Option<TVec<Label>> {
    let rank = fact.shape.rank();
    let leading = rank.checked_sub(2)?;
    let ones = fact.shape.iter().take(leading).all(|dim| dim.is_one());
    let labels = std::iter::repeat_n(One, leading).chain([Token, Feature]);
    (fact.datum_type == f32::datum_type() && ones).then(|| labels.collect())
}

/// The labels behind an operation on axes, or nothing if it does what a transformer does not.
pub(super) fn after(
    op: &AxisOp,
    mut labels: TVec<Label>,
    heads: &mut Option<usize>,
) -> Option<TVec<Label>> {
    match op {
        AxisOp::Add(at) => labels.insert(*at, One),
        AxisOp::Rm(at) => {
            if labels.remove(*at) != One {
                return None;
            }
        }
        AxisOp::Move(from, to) => {
            let label = labels.remove(*from);
            labels.insert(*to, label);
        }
        AxisOp::Reshape(at, from, to) => {
            let old = labels.get(*at..*at + from.len())?.to_vec();
            let new = reshaped(&old, from, to, heads)?;
            labels.drain(*at..*at + from.len());
            for (i, label) in new.into_iter().enumerate() {
                labels.insert(*at + i, label);
            }
        }
    }
    Some(labels)
}

/// Ones come and go; features become heads and their dimensions, and back.
fn reshaped(
    old: &[Label],
    from: &[TDim],
    to: &[TDim],
    heads: &mut Option<usize>,
) -> Option<Vec<Label>> {
    let kept: Vec<(Label, &TDim)> =
        old.iter().copied().zip(from).filter(|(label, _)| *label != One).collect();
    let wanted: Vec<&TDim> = to.iter().filter(|dim| !dim.is_one()).collect();
    let mut labels = Vec::new();
    let mut kept = kept.into_iter().peekable();
    let mut wanted_left = wanted.into_iter();
    while let Some((label, length)) = kept.next() {
        let dim = wanted_left.next()?;
        if dim == length {
            labels.push(label);
        } else if label == Feature {
            let count = dim.to_usize().ok()?;
            let size = wanted_left.next()?.to_usize().ok()?;
            if count * size != length.to_usize().ok()? || heads.is_some_and(|heads| heads != count)
            {
                return None;
            }
            *heads = Some(count);
            labels.extend([Head, Dim]);
        } else if label == Head {
            let (next, size) = kept.next()?;
            let whole = length.to_usize().ok()? * size.to_usize().ok()?;
            if next != Dim || dim.to_usize().ok()? != whole {
                return None;
            }
            labels.push(Feature);
        } else {
            return None;
        }
    }
    if wanted_left.next().is_some() {
        return None;
    }
    // The ones between them.
    let mut labels = labels.into_iter();
    to.iter().map(|dim| if dim.is_one() { Some(One) } else { labels.next() }).collect()
}

/// The labels of a product's output. The `first` of its factors is the input `slot`, the `second` is the other one.
/// `summed` are axes of both that are gone, `shared` those of both that stay, and `only_second` says what an axis of the
/// second alone is in the output.
pub(super) fn product(
    einsum: &EinSum,
    slot: usize,
    [first, second]: [&[Label]; 2],
    [summed, shared]: [Label; 2],
    only_second: impl Fn(Label) -> Option<Label>,
) -> Option<TVec<Label>> {
    if einsum.axes.input_count() != 2 || einsum.q_params.is_some() {
        return None;
    }
    let mut output = tvec![One; einsum.axes.rank(InOut::Out(0))];
    for axis in einsum.axes.iter_all_axes() {
        let label_of = |slot: usize, labels: &[Label]| match axis.inputs[slot].as_slice() {
            [] => Some(One),
            [position] => labels.get(*position).copied(),
            _ => None,
        };
        let stays = !axis.outputs[0].is_empty();
        let label = match (label_of(slot, first)?, label_of(1 - slot, second)?) {
            (One, One) => One,
            (a, One) if stays => a,
            (One, b) if stays => only_second(b)?,
            // The tokens that are asked are those whose values are summed.
            (a, b) if a == b || (a == Key && b == Token) => {
                if a != if stays { shared } else { summed } {
                    return None;
                }
                a
            }
            _ => return None,
        };
        match axis.outputs[0].as_slice() {
            [] => {}
            [position] => *output.get_mut(*position)? = label,
            _ => return None,
        }
    }
    Some(output)
}
