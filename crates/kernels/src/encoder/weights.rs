//! What blocks are made of, as the caller has it.

use std::fmt;

use crate::isa::Isa;
use crate::linear;
use crate::math::Activation;

/// Where a block normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormPlacement {
    /// Before attention and before the two products, as ViT and CLIP do.
    Before,
    /// After each sum with what went in, as BERT does.
    After,
}

/// A product by weights and a sum with a bias.
#[derive(Clone, Copy, Debug)]
pub struct LinearWeights<'a> {
    /// `(inputs, outputs)`, an input's numbers one after the other.
    pub weight: &'a [f32],
    /// One number for each output.
    pub bias: &'a [f32],
}

/// Layer normalisation's scale, shift and epsilon.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights<'a> {
    /// The scale: one number for each feature.
    pub gamma: &'a [f32],
    /// The shift: one number for each feature.
    pub beta: &'a [f32],
    /// What is added to the variance.
    pub epsilon: f32,
}

/// What the products by weights of a block are computed in. All else is in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// `f32`.
    #[default]
    Fp32,
    /// Numbers of 16 bits, of which eight are an `f32`'s exponent; sums in `f32`. With AVX-512 BF16 twice as many are
    /// multiplied at once, with AMX more; elsewhere it takes the time of `f32`.
    Bf16,
    /// Integers of eight bits, with a scale for each output of a product and a range for each token; sums in
    /// 32 bits. A token's range is its own, so what a text gives does not depend on its neighbours.
    Int8,
}

/// What a block is made of. `hidden` is the length of a token's vector, and so that of `norm_1.gamma`.
#[derive(Clone, Copy, Debug)]
pub struct BlockWeights<'a> {
    /// Of attention; has to divide `hidden`.
    pub heads: usize,
    /// What scores are multiplied by before softmax, usually 1 / sqrt(hidden / heads).
    pub scale: f32,
    /// Queries, keys and values side by side: `(hidden, 3 * hidden)`.
    pub qkv: LinearWeights<'a>,
    /// Of attention: `(hidden, hidden)`.
    pub output: LinearWeights<'a>,
    /// The first of the two products, `(hidden, intermediate)`, before the activation.
    pub up: LinearWeights<'a>,
    /// What is between the two.
    pub activation: Activation,
    /// The second, `(intermediate, hidden)`.
    pub down: LinearWeights<'a>,
    /// Where the two normalisations are.
    pub placement: NormPlacement,
    /// That of attention.
    pub norm_1: NormWeights<'a>,
    /// That of the two products.
    pub norm_2: NormWeights<'a>,
}

impl BlockWeights<'_> {
    /// The numbers that the weights take once they are packed for an instruction set; none if those are more than there
    /// can be, or the machine does not have it.
    pub fn packed_len(&self, isa: Isa, precision: Precision) -> Option<usize> {
        let (multiple, width) = linear::padding(isa, precision)?;
        [self.qkv, self.output, self.up, self.down].into_iter().try_fold(0_usize, |sum, linear| {
            let outputs = linear.bias.len();
            let inputs = linear.weight.len() / outputs.max(1);
            let inputs = inputs.checked_next_multiple_of(multiple)?;
            sum.checked_add(outputs.checked_next_multiple_of(width)?.checked_mul(inputs)?)
        })
    }
}

/// Weights that do not fit each other, or an instruction set that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockError(pub(crate) String);

impl BlockError {
    pub(crate) fn no(isa: Isa) -> Self {
        BlockError(format!("this machine has no {}", isa.name()))
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BlockError {}
