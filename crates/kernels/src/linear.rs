//! A product by weights that were packed once.

use std::marker::PhantomData;
use std::ops::Range;

use crate::Precision;
use crate::bf16::{self, Rounded};
use crate::encoder::{BlockError, LinearWeights};
use crate::isa::{Isa, Loops};
use crate::math::Activation;
use crate::memory::Aligned;
use crate::product::{Operands, Product};
use crate::quantized::{MOST_INPUTS, Quantized};
use crate::simd::Simd;

pub(crate) struct Linear {
    inputs: usize,
    outputs: usize,
    /// How many columns a panel has.
    width: usize,
    weights: Weights,
    bias: Aligned,
}

enum Weights {
    Fp32 {
        loops: &'static Loops,
        /// See [`Product::b`].
        panels: Aligned,
    },
    Bf16(Rounded),
    Int8(Quantized),
}

impl Linear {
    pub(crate) fn new(
        (isa, precision): (Isa, Precision),
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
        let unavailable = || BlockError::no(isa);
        let (width, packed) = match precision {
            Precision::Fp32 => {
                let loops = isa.loops().ok_or_else(unavailable)?;
                let width = loops.wide;
                let mut panels = Aligned::zeros(outputs.next_multiple_of(width) * inputs);
                pack(weights.weight, outputs, outputs, width, panels.as_mut_slice());
                (width, Weights::Fp32 { loops, panels })
            }
            Precision::Bf16 => {
                let (_, width) = bf16::padding(isa).ok_or_else(unavailable)?;
                let packed = Rounded::new(isa, weights.weight, outputs);
                (width, Weights::Bf16(packed.ok_or_else(unavailable)?))
            }
            Precision::Int8 => {
                if inputs > MOST_INPUTS {
                    return Err(BlockError(format!(
                        "{name} has {inputs} inputs, over the {MOST_INPUTS} that int8 can add up"
                    )));
                }
                let loops = isa.int_loops().ok_or_else(unavailable)?;
                (loops.width, Weights::Int8(Quantized::new(loops, weights.weight, outputs)))
            }
        };
        let mut bias = Aligned::zeros(outputs.next_multiple_of(width));
        bias.as_mut_slice()[..outputs].copy_from_slice(weights.bias);
        Ok(Linear { inputs, outputs, width, weights: packed, bias })
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// How many panels its weights are in.
    pub(crate) fn panels(&self) -> usize {
        self.outputs.div_ceil(self.width)
    }

    /// How many numbers' room it needs beside its input and output, for `n` rows; none where that is more than there
    /// can be.
    pub(crate) fn scratch(&self, n: usize) -> Option<usize> {
        match &self.weights {
            Weights::Fp32 { .. } => Some(0),
            Weights::Bf16(weights) => weights.scratch(n),
            Weights::Int8(weights) => weights.scratch(n),
        }
    }

    /// The first `(n, inputs)` of `rows` in, the first `(n, outputs)` of `to` out.
    pub(crate) fn run(
        &self,
        n: usize,
        rows: &[f32],
        activation: Option<Activation>,
        to: &mut [f32],
        scratch: &mut [f32],
    ) {
        // SAFETY: no other part is worked on.
        unsafe { self.run_part(n, rows, activation, &Shared::of(to), scratch, (0, 1)) }
    }

    /// As [`run`](Self::run), but only the part of this number, of so many, of the columns that come out: panels of
    /// weights are shared out, and each number comes out the same.
    ///
    /// # Safety
    ///
    /// No part of `to` is worked on twice at a time.
    pub(crate) unsafe fn run_part(
        &self,
        n: usize,
        rows: &[f32],
        activation: Option<Activation>,
        to: &Shared<'_>,
        scratch: &mut [f32],
        (part, parts): (usize, usize),
    ) {
        let fits = |len: usize, row: usize| n.checked_mul(row).is_some_and(|needed| needed <= len);
        let room = self.scratch(n).is_some_and(|needed| needed <= scratch.len());
        assert!(fits(rows.len(), self.inputs) && fits(to.len, self.outputs) && room, "{n} rows");
        assert!(part < parts, "part {part} of {parts}");
        let column = |part: usize| (self.panels() * part / parts * self.width).min(self.outputs);
        let columns =
            Columns { to: to.first, of: self.outputs, range: column(part)..column(part + 1) };
        if columns.range.is_empty() {
            return;
        }
        let bias = self.bias.as_slice();
        match &self.weights {
            Weights::Fp32 { loops, panels } => {
                let first = columns.range.start;
                let product = Product {
                    operands: Floats { bias: bias[first..].as_ptr() },
                    a: rows.as_ptr(),
                    a_stride: self.inputs,
                    rows: n,
                    steps: self.inputs,
                    b: panels.as_slice()[first * self.inputs..].as_ptr(),
                    n: columns.range.len(),
                    activation,
                    c: columns.place(),
                    c_stride: self.outputs,
                };
                // SAFETY: `n` rows are in both, and the panels were made for so many inputs and outputs.
                unsafe { (loops.wide_product)(&product) }
            }
            Weights::Bf16(weights) => {
                // SAFETY: as above.
                unsafe { weights.run(n, rows, bias, activation, &columns, scratch) }
            }
            Weights::Int8(weights) => {
                // SAFETY: as above.
                unsafe { weights.run(n, rows, bias, activation, &columns, scratch) }
            }
        }
    }
}

/// A matrix of which several threads write a part of the columns each.
pub(crate) struct Shared<'a> {
    first: *mut f32,
    len: usize,
    of: PhantomData<&'a mut [f32]>,
}

// SAFETY: nothing is done with it but by `run_part`, whose callers promise that no number is written by two.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn of(matrix: &'a mut [f32]) -> Self {
        Shared { first: matrix.as_mut_ptr(), len: matrix.len(), of: PhantomData }
    }
}

/// The columns that a product gives, of a matrix that has more; with the first of them begins a panel.
pub(crate) struct Columns {
    to: *mut f32,
    /// How many the matrix has.
    pub(crate) of: usize,
    pub(crate) range: Range<usize>,
}

impl Columns {
    /// All of a matrix of so many.
    #[cfg(test)]
    pub(crate) fn all(matrix: &mut [f32], of: usize) -> Self {
        Columns::some(matrix, of, 0..of)
    }

    #[cfg(test)]
    pub(crate) fn some(matrix: &mut [f32], of: usize, range: Range<usize>) -> Self {
        Columns { to: matrix.as_mut_ptr(), of, range }
    }

    /// Where the first of them is.
    pub(crate) fn place(&self) -> *mut f32 {
        self.to.wrapping_add(self.range.start)
    }
}

/// What packed weights have a multiple of: inputs, and outputs.
pub(crate) fn padding(isa: Isa, precision: Precision) -> Option<(usize, usize)> {
    match precision {
        Precision::Fp32 => isa.loops().map(|loops| (1, loops.wide)),
        Precision::Bf16 => bf16::padding(isa),
        Precision::Int8 => isa.int_loops().map(|loops| (loops.group * loops.steps, loops.width)),
    }
}

/// So many rows are put into all panels before the next ones are: they stay in a core's cache meanwhile.
const ROWS_TOGETHER: usize = 32;

/// Packs `columns` columns of rows that are `stride` apart into panels of `width` columns. Where the last one is not
/// filled, `to` stays as it is.
pub(crate) fn pack(rows: &[f32], stride: usize, columns: usize, width: usize, to: &mut [f32]) {
    let panel_len = width * rows.len().div_ceil(stride);
    for (i, rows) in rows.chunks(stride * ROWS_TOGETHER).enumerate() {
        let done = i * ROWS_TOGETHER * width;
        let panels = to.chunks_mut(panel_len).take(columns.div_ceil(width));
        for (panel, to) in panels.enumerate() {
            let (first, to) = (panel * width, &mut to[done..]);
            match width {
                _ if first + width > columns => {
                    pack_columns(rows, stride, first..columns, width, to);
                }
                8 => pack_panel::<8>(rows, stride, first, to),
                16 => pack_panel::<16>(rows, stride, first, to),
                32 => pack_panel::<32>(rows, stride, first, to),
                48 => pack_panel::<48>(rows, stride, first, to),
                _ => pack_columns(rows, stride, first..first + width, width, to),
            }
        }
    }
}

/// Rows of one of these panels. A function of its own, so that WebAssembly's engines, which begin without optimising,
/// have it optimised when the next one is called; and for a width that is known, without a call for each row.
#[inline(never)]
fn pack_panel<const WIDTH: usize>(rows: &[f32], stride: usize, first: usize, to: &mut [f32]) {
    for (row, to) in rows.chunks(stride).zip(to.as_chunks_mut::<WIDTH>().0) {
        to.copy_from_slice(&row[first..][..WIDTH]);
    }
}

/// Rows of a panel of any width, or of one that is not filled.
fn pack_columns(rows: &[f32], stride: usize, columns: Range<usize>, width: usize, to: &mut [f32]) {
    for (row, to) in rows.chunks(stride).zip(to.chunks_exact_mut(width)) {
        to[..columns.len()].copy_from_slice(&row[columns.clone()]);
    }
}

/// Numbers as they are.
pub(crate) struct Floats {
    /// Null, or one number for each column, and as many more as fill the last panel.
    pub(crate) bias: *const f32,
}

// SAFETY (all blocks below): as the trait's caller promises.
impl<S: Simd> Operands<S> for Floats {
    type Left = f32;
    type Right = f32;
    type Register = S::Vector;
    type Sums = S::Vector;
    const RIGHT: usize = S::LANES;

    #[inline(always)]
    unsafe fn spread(from: *const f32) -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe { S::splat(*from) }
    }

    #[inline(always)]
    unsafe fn load_left(from: *const f32) -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe { S::load_steps(from) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe { S::load(from) }
    }

    #[inline(always)]
    unsafe fn zeros() -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe { S::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn add_product<const STEP: i32>(
        left: S::Vector,
        right: S::Vector,
        sums: S::Vector,
    ) -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe { S::mul_step_add::<STEP>(left, right, sums) }
    }

    #[inline(always)]
    unsafe fn numbers(&self, sums: S::Vector, _: usize, column: usize) -> S::Vector {
        if self.bias.is_null() {
            return sums;
        }
        // SAFETY: as the caller promises.
        unsafe { S::add(sums, S::load(self.bias.add(column))) }
    }
}
