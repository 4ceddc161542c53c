//! Products in integers: weights in eight bits with a scale for each output, rows in eight bits with a scale and a zero
//! point of their own, sums in 32 bits, where they are exact.
//!
//! A row's range is its own, so that it does not depend on its neighbours, as it would by a range for a whole input.
//! `sum((a - zero_point) * b)` is `sum(a * b) - zero_point * sum(b)`, of which the last sum is known beforehand.

pub(crate) mod pack;

use std::ops::Range;

use crate::isa::IntLoops;
use crate::linear::Columns;
use crate::math::{Activation, ROUND};
use crate::memory::Aligned;
use crate::product::{Operands, Product};
use crate::simd::Integers;
use crate::strassen;

/// The most inputs of a product: more could add up to more than 32 bits.
pub(crate) const MOST_INPUTS: usize = i32::MAX as usize / (255 * 128);

/// The least that a range is divided for: less could leave nothing of a scale's digits.
const SMALLEST: f32 = 1e-30;

/// What the integers of a row stand for: `scale * (a - zero_point)`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RowScale {
    scale: f32,
    zero_point: i32,
}

/// Four bytes of a row: as many of its integers as are multiplied at once.
pub(crate) type Group = i32;

/// Weights of a product.
pub(crate) struct Quantized {
    loops: &'static IntLoops,
    inputs: usize,
    /// See [`Product::b`]: for each step and each column a group of weights.
    panels: Aligned,
    /// What a column's weights are multiplied by.
    scales: Aligned,
    /// The sums of a column's integers.
    sums: Aligned,
}

impl Quantized {
    /// Of `(inputs, outputs)` weights.
    pub(crate) fn new(loops: &'static IntLoops, weights: &[f32], outputs: usize) -> Self {
        let inputs = weights.len() / outputs;
        let columns = outputs.next_multiple_of(loops.width);
        let (group, steps) = (loops.group, steps(loops, inputs));
        let mut scales = Aligned::zeros(columns);
        let mut sums = Aligned::zeros(columns);
        let mut panels = Aligned::zeros((columns * steps * group).div_ceil(size_of::<f32>()));
        let largest = scales.as_mut_slice();
        for row in weights.chunks_exact(outputs) {
            // SAFETY: as many as fill panels with the outputs.
            unsafe { (loops.raise)(row, largest) };
        }
        for scale in largest.iter_mut() {
            // What is this small comes to nothing.
            *scale = if *scale < SMALLEST { 1.0 } else { *scale / 127.0 };
        }
        let inverses: Vec<f32> = largest.iter().map(|scale| 1.0 / scale).collect();
        let panel_bytes = loops.width * steps * group;
        let to = (panels.bytes_mut(), sums.integers_mut());
        pack::pack(loops, weights, outputs, &inverses, panel_bytes, to);
        Quantized { loops, inputs, panels, scales, sums }
    }

    /// The bytes of a row of integers.
    fn row_bytes(&self) -> usize {
        // A register of numbers is written at once, and at most sixteen.
        let inputs = self.inputs.next_multiple_of(16).max(self.steps() * self.loops.group);
        inputs * size_of::<Group>() / self.loops.group
    }

    /// How many numbers' room it needs beside its input and output, for `n` rows; none where that is more than there
    /// can be.
    pub(crate) fn scratch(&self, n: usize) -> Option<usize> {
        let rows = n.checked_next_multiple_of(self.loops.rows)?;
        let row = self.row_bytes() + size_of::<RowScale>();
        let columns = self.scales.as_slice().len();
        let halves = match self.by_halves(n, columns) {
            Some(_) => strassen::room(n, self.inputs, self.loops.width)?,
            None => 0,
        };
        let bytes = row.checked_mul(rows)?.checked_add(halves.checked_mul(size_of::<i16>())?)?;
        Some(bytes.div_ceil(size_of::<f32>()))
    }

    /// The loops of [`strassen`] for `n` rows, where they are the faster ones.
    pub(crate) fn by_halves(&self, n: usize, columns: usize) -> Option<ByHalves> {
        let (least, by_halves) = self.loops.by_halves?;
        let suits = n >= least && strassen::suits(self.inputs, columns, self.loops.width);
        suits.then_some(by_halves)
    }

    fn steps(&self) -> usize {
        steps(self.loops, self.inputs)
    }

    /// `activation(rows * weights + bias)`, of some columns.
    ///
    /// # Safety
    ///
    /// `rows` has `n` rows of inputs, `to` has room for `n` rows, and `scratch` is as long as
    /// [`scratch`](Self::scratch) says. There are as many biases as fill the last panel.
    pub(crate) unsafe fn run(
        &self,
        n: usize,
        rows: &[f32],
        bias: &[f32],
        activation: Option<Activation>,
        to: &Columns,
        scratch: &mut [f32],
    ) {
        let (first, column_bytes) = (to.range.start, self.steps() * self.loops.group);
        let integers: *mut u8 = scratch.as_mut_ptr().cast();
        let (row_bytes, rows_of_tiles) = (self.row_bytes(), n.next_multiple_of(self.loops.rows));
        // SAFETY: the room for integers comes first, in whole registers; scales are aligned as numbers are, and so is what
        // comes behind them, the room of `strassen`.
        unsafe {
            let scales: *mut RowScale = integers.add(rows_of_tiles * row_bytes).cast();
            for (i, row) in rows.chunks_exact(self.inputs).take(n).enumerate() {
                let scale =
                    (self.loops.quantize)(row.as_ptr(), self.inputs, integers.add(i * row_bytes));
                scales.add(i).write(scale);
            }
            let product = Product {
                operands: Bytes {
                    rows: scales,
                    scales: self.scales.as_slice()[first..].as_ptr(),
                    sums: self.sums.as_slice()[first..].as_ptr().cast(),
                    bias: bias[first..].as_ptr(),
                },
                a: integers.cast(),
                a_stride: row_bytes / size_of::<Group>(),
                rows: n,
                steps: self.steps(),
                b: self.panels.as_slice().as_ptr().byte_add(first * column_bytes).cast(),
                n: to.range.len(),
                activation,
                c: to.place(),
                c_stride: to.of,
            };
            match self.by_halves(n, product.n) {
                Some(by_halves) => {
                    integers.add(n * row_bytes).write_bytes(0, (rows_of_tiles - n) * row_bytes);
                    let columns = by_halves(&product, scales.add(rows_of_tiles).cast());
                    (self.loops.product)(&product.columns(columns..product.n, self.loops.group));
                }
                None => (self.loops.product)(&product),
            }
        }
    }
}

fn steps(loops: &IntLoops, inputs: usize) -> usize {
    inputs.div_ceil(loops.group).next_multiple_of(loops.steps)
}

/// What is said of [`strassen::by_halves`].
pub(crate) type ByHalves = unsafe fn(&IntProduct, *mut i16) -> usize;

/// A product of integers.
pub(crate) type IntProduct = Product<Bytes, Group, i8>;

impl IntProduct {
    /// The part of these columns, of which the first begins a panel, where a group has so many integers.
    fn columns(&self, columns: Range<usize>, group: usize) -> Self {
        let Bytes { rows, scales, sums, bias } = self.operands;
        Product {
            operands: Bytes {
                rows,
                scales: scales.wrapping_add(columns.start),
                sums: sums.wrapping_add(columns.start),
                bias: bias.wrapping_add(columns.start),
            },
            b: self.b.wrapping_add(columns.start * self.steps * group),
            n: columns.len(),
            c: self.c.wrapping_add(columns.start),
            ..*self
        }
    }
}

/// What is known of both sides of a product.
pub(crate) struct Bytes {
    rows: *const RowScale,
    scales: *const f32,
    sums: *const i32,
    bias: *const f32,
}

// SAFETY (all blocks below): as the trait's caller promises.
impl<S: Integers> Operands<S> for Bytes {
    type Left = Group;
    type Right = i8;
    type Register = S::Register;
    type Sums = S::Register;
    const RIGHT: usize = S::LANES * S::GROUP;

    #[inline(always)]
    unsafe fn spread(from: *const Group) -> S::Register {
        // SAFETY: as the caller promises.
        unsafe { S::spread(from.read()) }
    }

    #[inline(always)]
    unsafe fn load_left(from: *const Group) -> S::Register {
        // SAFETY: as the caller promises.
        unsafe { S::load_groups(from) }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> S::Register {
        // SAFETY: as the caller promises.
        unsafe { S::load_weights(from) }
    }

    #[inline(always)]
    unsafe fn zeros() -> S::Register {
        // SAFETY: as the caller promises.
        unsafe { S::spread(0) }
    }

    #[inline(always)]
    unsafe fn add_product<const STEP: i32>(
        left: S::Register,
        right: S::Register,
        sums: S::Register,
    ) -> S::Register {
        // SAFETY: as the caller promises.
        unsafe { S::dot_step::<STEP>(left, right, sums) }
    }

    #[inline(always)]
    unsafe fn numbers(&self, sums: S::Register, row: usize, column: usize) -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe {
            let RowScale { scale, zero_point } = *self.rows.add(row);
            let sums = S::minus_product(sums, zero_point, self.sums.add(column));
            let scales = S::mul(S::load(self.scales.add(column)), S::splat(scale));
            S::mul_add(sums, scales, S::load(self.bias.add(column)))
        }
    }
}

/// Writes `row`, of `n` numbers, as 256 integers from [`LEAST`](Integers::LEAST) on, so that its range, which includes zero,
/// fills them.
///
/// A row with NaN or infinity gets a scale that is NaN.
///
/// # Safety
///
/// That of [`Simd`]. There is room for `n` integers, rounded up to full registers.
#[inline(always)]
pub(crate) unsafe fn quantize<S: Integers>(row: *const f32, n: usize, to: *mut u8) -> RowScale {
    let whole = n - n % S::LANES;
    // SAFETY: inside of what the caller promises.
    unsafe {
        // The rest, and zeros, which are in the range already.
        let mut last = [0.0; 16];
        row.add(whole).copy_to_nonoverlapping(last.as_mut_ptr(), n - whole);
        let register = |i: usize| S::load(if i < whole { row.add(i) } else { last.as_ptr() });

        let (mut low, mut high, mut nothing) = (S::splat(0.0), S::splat(0.0), S::splat(0.0));
        for i in (0..n).step_by(S::LANES) {
            let x = register(i);
            (low, high) = (S::min(x, low), S::max(x, high));
            nothing = S::add(nothing, S::sub(x, x));
        }
        let (low, high) = (S::fold(low, f32::min), S::fold(high, f32::max));
        let nothing = S::fold(nothing, |a, b| a + b);
        let scale = (high - low) / 255.0;
        // What is this small comes to nothing.
        let scale = if scale > SMALLEST { scale } else { 1.0 };
        let inverse = 1.0 / scale;
        let zero_point = (-low * inverse).round();

        let (from, to_255) = (S::splat(-zero_point), S::splat(255.0 - zero_point));
        let zero_point = zero_point + S::LEAST as f32;
        let (inverse, offset) = (S::splat(inverse), S::splat(zero_point + ROUND));
        for i in (0..n).step_by(S::LANES) {
            let x = S::max(S::min(S::mul(register(i), inverse), to_255), from);
            S::store_integers(S::add(x, offset), to.add(i * size_of::<Group>() / S::GROUP));
        }
        RowScale { scale: scale + nothing, zero_point: zero_point as i32 }
    }
}

/// What integers of eight bits stand for: `(stored - zero_point) * factor`, of as many as all have.
///
/// ```
/// let mut numbers = [0.0; 2];
/// isovec_kernels::restore(&[3, 255], true, &[0.5, 2.0], &[1.0, 0.0], &mut numbers);
/// assert_eq!(numbers, [1.0, -2.0]);
/// ```
pub fn restore(stored: &[u8], signed: bool, factors: &[f32], zero_points: &[f32], to: &mut [f32]) {
    let scales = factors.iter().zip(zero_points);
    let places = to.iter_mut().zip(stored).zip(scales);
    // Each a loop of its own, for compilers that vectorise.
    if signed {
        places.for_each(|((to, x), (factor, zero))| {
            *to = (f32::from(x.cast_signed()) - zero) * factor;
        });
    } else {
        places.for_each(|((to, x), (factor, zero))| *to = (f32::from(*x) - zero) * factor);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::isa::Isa;

    /// Numbers from -1 to 3 that depend on nothing.
    pub(crate) fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i * 7919 % 1009) as f32 / 252.0 - 1.0).collect()
    }

    fn all() -> impl Iterator<Item = (Isa, &'static IntLoops)> {
        Isa::ALL.into_iter().filter_map(|isa| Some((isa, isa.int_loops()?)))
    }

    /// The integers of a row, counted from the least, and what they stand for.
    fn quantized(loops: &IntLoops, row: &[f32]) -> (Vec<u8>, RowScale) {
        let mut bytes =
            vec![0xee; row.len().next_multiple_of(16) * size_of::<Group>() / loops.group];
        // SAFETY: there is room for full registers.
        let mut scale = unsafe { (loops.quantize)(row.as_ptr(), row.len(), bytes.as_mut_ptr()) };
        scale.zero_point -= loops.least;
        let size = size_of::<Group>() / loops.group;
        let integers = bytes.chunks_exact(size).take(row.len()).map(|integer| {
            assert!(integer[1..].iter().all(|byte| *byte == 0), "{integer:?}");
            integer[0].wrapping_sub(loops.least as u8)
        });
        (integers.collect(), scale)
    }

    #[test]
    fn a_row_fills_its_range_and_zero_stays_zero() {
        for n in [1, 3, 4, 15, 16, 17, 64, 100] {
            let mut row = numbers(n);
            row[n / 2] = 0.0;
            let mut first = None;
            for (isa, loops) in all() {
                let (integers, RowScale { scale, zero_point }) = quantized(loops, &row);
                for (x, integer) in row.iter().zip(&integers) {
                    let back = scale * (i32::from(*integer) - zero_point) as f32;
                    assert!((back - x).abs() <= scale * 0.501, "{isa:?}, {n}: {back}, not {x}");
                    assert!(*x != 0.0 || back == 0.0);
                }
                let all = (integers, scale.to_bits(), zero_point);
                assert_eq!(first.get_or_insert(all.clone()), &all, "{isa:?}: as elsewhere");
            }
        }
        for (isa, loops) in all() {
            let (integers, scale) = quantized(loops, &[1e-40, 0.0, -1e-42]);
            assert_eq!((integers, scale.zero_point), (vec![0; 3], 0), "{isa:?}");
            assert!(scale.scale.is_finite());
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let (_, scale) = quantized(loops, &[1.0, bad, 2.0]);
                assert!(scale.scale.is_nan(), "{isa:?}, {bad}");
            }
        }
    }

    #[test]
    fn a_weight_that_is_no_number_is_in_its_columns_sums() {
        for (isa, loops) in all() {
            for bad in [f32::NAN, f32::from_bits(0x7fc0_0055), f32::INFINITY] {
                for place in [0, 2, 4] {
                    let mut weights = numbers(6);
                    weights[place] = bad;
                    let weights = Quantized::new(loops, &weights, 2);
                    let scales = weights.scales.as_slice();
                    assert!(!scales[0].is_finite() && scales[1].is_finite(), "{isa:?}, {place}");
                }
            }
            let weights = Quantized::new(loops, &[1e-42, 1.0, -1e-45, -1.0], 2);
            assert_eq!(weights.scales.as_slice()[..2], [1.0, 1.0 / 127.0]);
        }
    }

    /// The largest integers that there are, and others: sums are exact on each instruction set.
    #[test]
    fn a_product_is_that_of_its_integers() {
        for (inputs, outputs) in [(1, 1), (5, 50), (64, 96), (300, 33), (4000, 3)] {
            let mut weights = numbers(inputs * outputs);
            for row in weights.chunks_exact_mut(outputs) {
                // All of one size: 127.
                row[0] = 2.0;
                row[outputs - 1] = -0.5;
            }
            let rows = [numbers(inputs), vec![1.5; inputs], numbers(2 * inputs)[inputs..].to_vec()];
            // In one tile, in several of two sizes, and in pairs of rows.
            let counts = [3, 9, 10, 67];
            let scales: Vec<f32> = (0..outputs)
                .map(|j| {
                    let column = weights.iter().skip(j).step_by(outputs);
                    column.fold(0.0_f32, |largest, x| largest.max(x.abs())) / 127.0
                })
                .collect();
            for ((isa, loops), n) in all().flat_map(|one| counts.map(|n| (one, n))) {
                let product = Quantized::new(loops, &weights, outputs);
                let bias = vec![0.25; outputs.next_multiple_of(loops.width)];
                let mut scratch = Aligned::zeros(product.scratch(n).unwrap_or_default());
                let mut got = vec![0.0; n * outputs];
                let rows: Vec<&Vec<f32>> = rows.iter().cycle().take(n).collect();
                let all_rows: Vec<f32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
                // SAFETY: as many rows, as many times the outputs, and the bias and the scratch that are asked for.
                unsafe {
                    product.run(
                        n,
                        &all_rows,
                        &bias,
                        None,
                        &Columns::all(&mut got, outputs),
                        scratch.as_mut_slice(),
                    );
                }
                for (i, row) in rows.iter().enumerate() {
                    let (integers, scale) = quantized(loops, row);
                    for (j, column_scale) in scales.iter().enumerate() {
                        let sum: i64 = integers
                            .iter()
                            .enumerate()
                            .map(|(k, a)| {
                                let weight = weights[k * outputs + j] * (1.0 / column_scale);
                                (i64::from(*a) - i64::from(scale.zero_point))
                                    * weight.round_ties_even() as i64
                            })
                            .sum();
                        let expected =
                            sum as f64 * f64::from(scale.scale) * f64::from(*column_scale) + 0.25;
                        let error = (f64::from(got[i * outputs + j]) - expected).abs();
                        assert!(
                            error <= 3e-7 * expected.abs().max(1.0),
                            "{isa:?}, {i}, {j}: {error}"
                        );
                    }
                }
            }
        }
    }
}
