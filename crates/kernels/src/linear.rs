//! A product by weights that were packed once.

use crate::encoder::{BlockError, LinearWeights};
use crate::isa::Loops;
use crate::math::Activation;
use crate::memory::Aligned;
use crate::product::Product;

pub(crate) struct Linear {
    loops: &'static Loops,
    inputs: usize,
    outputs: usize,
    /// See [`Product::b`].
    panels: Aligned,
    bias: Aligned,
}

impl Linear {
    pub(crate) fn new(
        loops: &'static Loops,
        name: &str,
        weights: &LinearWeights<'_>,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, BlockError> {
        let (weight, bias) = (weights.weight.len(), weights.bias.len());
        if inputs == 0 || outputs == 0 || weight != inputs * outputs || bias != outputs {
            return Err(BlockError(format!(
                "{name} has {weight} weights and a bias of {bias} numbers for {inputs} inputs and {outputs} outputs"
            )));
        }
        let mut panels = Aligned::zeros(outputs.next_multiple_of(loops.wide) * inputs);
        pack(weights.weight, outputs, outputs, loops.wide, panels.as_mut_slice());
        let mut bias = Aligned::zeros(outputs.next_multiple_of(loops.wide));
        bias.as_mut_slice()[..outputs].copy_from_slice(weights.bias);
        Ok(Linear { loops, inputs, outputs, panels, bias })
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The first `(n, inputs)` of `rows` in, the first `(n, outputs)` of `to` out.
    pub(crate) fn run(
        &self,
        n: usize,
        rows: &[f32],
        activation: Option<Activation>,
        to: &mut [f32],
    ) {
        let fits = |len: usize, row: usize| n.checked_mul(row).is_some_and(|needed| needed <= len);
        assert!(fits(rows.len(), self.inputs) && fits(to.len(), self.outputs), "{n} rows");
        let product = Product {
            a: rows.as_ptr(),
            a_stride: self.inputs,
            rows: n,
            k: self.inputs,
            b: self.panels.as_slice().as_ptr(),
            n: self.outputs,
            bias: self.bias.as_slice().as_ptr(),
            activation,
            c: to.as_mut_ptr(),
            c_stride: self.outputs,
        };
        // SAFETY: `n` rows are in both, and the panels were made for so many inputs and outputs.
        unsafe { (self.loops.wide_product)(&product) }
    }
}

/// Packs `columns` columns of rows that are `stride` apart into panels of `width` columns. Where the last one is not
/// filled, `to` stays as it is.
pub(crate) fn pack(rows: &[f32], stride: usize, columns: usize, width: usize, to: &mut [f32]) {
    let k = rows.len().div_ceil(stride);
    for (panel, to) in to.chunks_mut(width * k).enumerate().take(columns.div_ceil(width)) {
        let first = panel * width;
        let columns = width.min(columns - first);
        for (row, to) in rows.chunks(stride).zip(to.chunks_exact_mut(width)) {
            to[..columns].copy_from_slice(&row[first..first + columns]);
        }
    }
}
