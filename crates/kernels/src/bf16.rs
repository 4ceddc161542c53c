//! Products in bf16: numbers that are the upper half of an `f32`. Weights are rounded once, rows as they come, and
//! sums are in `f32`, where each product of two is exact.
//!
//! Where the processor multiplies pairs of them (AVX-512 BF16), weights lie as pairs, in half the memory. Elsewhere
//! what was rounded stays an `f32`, for the loops of `f32`. Both add up in the same order and round each sum once, so
//! that AVX-512's vectors are the same with and without those instructions (but for numbers below 1e-38, which they
//! take for zero).

#[cfg(target_arch = "x86_64")]
mod pairs;

use crate::isa::{Isa, Loops};
use crate::linear::{Columns, Floats, pack};
use crate::math::Activation;
use crate::memory::Aligned;
use crate::product::Product;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::pairs::{Pair, PairLoops, PairProduct, Pairs, round_to_pairs};

/// Weights of a product.
pub(crate) struct Rounded {
    inputs: usize,
    /// See [`Product::b`].
    panels: Aligned,
    loops: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Floats(&'static Loops),
    #[cfg(target_arch = "x86_64")]
    Pairs(&'static PairLoops),
}

impl Kind {
    fn of(isa: Isa) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if let Some(loops) = isa.pair_loops() {
            return Some(Kind::Pairs(loops));
        }
        isa.loops().map(Kind::Floats)
    }

    fn width(self) -> usize {
        match self {
            Kind::Floats(loops) => loops.wide,
            #[cfg(target_arch = "x86_64")]
            Kind::Pairs(loops) => loops.width,
        }
    }
}

/// What packed weights have a multiple of: inputs, and outputs.
pub(crate) fn padding(isa: Isa) -> Option<(usize, usize)> {
    let loops = Kind::of(isa)?;
    let inputs = match loops {
        Kind::Floats(_) => 1,
        #[cfg(target_arch = "x86_64")]
        Kind::Pairs(loops) => 2 * loops.steps,
    };
    Some((inputs, loops.width()))
}

impl Rounded {
    /// Of `(inputs, outputs)` weights; none if the machine does not have the instruction set.
    pub(crate) fn new(isa: Isa, weights: &[f32], outputs: usize) -> Option<Self> {
        let inputs = weights.len() / outputs;
        let loops = Kind::of(isa)?;
        let width = loops.width();
        let columns = outputs.next_multiple_of(width);
        let panels = match loops {
            Kind::Floats(_) => {
                let mut panels = Aligned::zeros(columns * inputs);
                pack(weights, outputs, outputs, width, panels.as_mut_slice());
                for x in panels.as_mut_slice() {
                    *x = f32::from_bits(rounded(*x));
                }
                panels
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Pairs(loops) => pairs::pack(weights, outputs, (width, loops.steps_of(inputs))),
        };
        Some(Rounded { inputs, panels, loops })
    }

    /// How many numbers a row takes once it is rounded.
    fn row_len(&self) -> usize {
        match self.loops {
            Kind::Floats(_) => self.inputs,
            #[cfg(target_arch = "x86_64")]
            Kind::Pairs(loops) => loops.steps_of(self.inputs),
        }
    }

    /// How many numbers' room it needs beside its input and output, for `n` rows; none where that is more than there
    /// can be.
    pub(crate) fn scratch(&self, n: usize) -> Option<usize> {
        let rows = match self.loops {
            Kind::Floats(_) => 1,
            #[cfg(target_arch = "x86_64")]
            Kind::Pairs(loops) => loops.rows,
        };
        self.row_len().checked_mul(n.checked_next_multiple_of(rows)?)
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
        let rows = &rows[..n * self.inputs];
        let first = to.range.start;
        let operands = Floats { bias: bias[first..].as_ptr() };
        let (c, c_stride) = (to.place(), to.of);
        let steps = self.row_len();
        let panels = &self.panels.as_slice()[first * steps..];
        match self.loops {
            Kind::Floats(loops) => {
                // SAFETY: the table is only given out where it can run.
                unsafe { (loops.round)(rows, scratch) };
                let product = Product {
                    operands,
                    a: scratch.as_ptr(),
                    a_stride: steps,
                    rows: n,
                    steps,
                    b: panels.as_ptr(),
                    n: to.range.len(),
                    activation,
                    c,
                    c_stride,
                };
                // SAFETY: as the caller promises.
                unsafe { (loops.wide_product)(&product) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Pairs(loops) => {
                // SAFETY: a pair is as long as a number, and any bits are one.
                let pairs = unsafe {
                    std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast::<Pair>(), n * steps)
                };
                for (row, to) in rows.chunks_exact(self.inputs).zip(pairs.chunks_exact_mut(steps)) {
                    // SAFETY: the table is only given out where it can run.
                    unsafe { (loops.round)(row, to) };
                }
                let product = Product {
                    operands: Pairs(operands),
                    a: pairs.as_ptr(),
                    a_stride: steps,
                    rows: n,
                    steps,
                    b: panels.as_ptr().cast(),
                    n: to.range.len(),
                    activation,
                    c,
                    c_stride,
                };
                // SAFETY: as the caller promises.
                unsafe { (loops.product)(&product) }
            }
        }
    }
}

/// The bits of the nearest bf16, of two as near the even one, and zeros below. NaN stays NaN.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    const UPPER: u32 = 0xffff_0000;
    const QUIET: u32 = 0x0040_0000;
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (if x.is_nan() { bits | QUIET } else { nearest }) & UPPER
}

/// Rounds numbers, as many as both have.
#[inline(always)]
pub(crate) fn round(numbers: &[f32], to: &mut [f32]) {
    for (x, to) in numbers.iter().zip(to) {
        *to = f32::from_bits(rounded(*x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_nearest_and_of_two_to_the_even_one() {
        let bits = |x: u32| rounded(f32::from_bits(x));
        for (x, expected) in [
            (0x3f80_0000, 0x3f80_0000),
            (0x3f80_7fff, 0x3f80_0000),
            (0x3f80_8000, 0x3f80_0000),
            (0x3f80_8001, 0x3f81_0000),
            (0x3f81_7fff, 0x3f81_0000),
            (0x3f81_8000, 0x3f82_0000),
            (0xbfff_8000, 0xc000_0000),
            (0x0000_8001, 0x0001_0000),
            (0x8000_0000, 0x8000_0000),
            // The largest number becomes infinity, which stays itself.
            (0x7f7f_ffff, 0x7f80_0000),
            (0xff80_0000, 0xff80_0000),
            // NaN of which nothing would be left, or which would wrap around.
            (0x7f80_0001, 0x7fc0_0000),
            (0xffff_ffff, 0xffff_0000),
        ] {
            assert_eq!(bits(x), expected, "{x:#x}");
        }
    }

    #[test]
    fn every_instruction_set_rounds_alike() {
        let numbers: Vec<f32> =
            (0..1003_u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))).collect();
        for loops in Isa::ALL.into_iter().filter_map(Isa::loops) {
            let mut to = vec![0.0; numbers.len()];
            // SAFETY: the table is only given out where it can run.
            unsafe { (loops.round)(&numbers, &mut to) };
            for (x, to) in numbers.iter().zip(&to) {
                assert_eq!(to.to_bits(), rounded(*x), "{x}");
            }
        }
    }

    /// Numbers of which sums are not exact, from -1 to 1.
    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mix = |i: usize| (i as u32).wrapping_add(seed).wrapping_mul(0x9e37_79b9) >> 8;
        (0..n).map(|i| mix(i) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    #[test]
    fn a_product_is_the_sum_of_rounded_numbers() {
        for (inputs, outputs) in [(1, 1), (2, 50), (5, 50), (64, 96), (301, 33)] {
            let (weights, rows) = (numbers(inputs * outputs, 1), numbers(3 * inputs, 7));
            for isa in Isa::ALL {
                let Some(product) = Rounded::new(isa, &weights, outputs) else { continue };
                let bias = vec![0.25; outputs.next_multiple_of(product.loops.width())];
                let mut scratch = vec![f32::NAN; product.scratch(3).unwrap_or_default()];
                let mut got = vec![0.0; 3 * outputs];
                // SAFETY: three rows, three times the outputs, and the bias and the scratch that are asked for.
                unsafe {
                    product.run(
                        3,
                        &rows,
                        &bias,
                        None,
                        &Columns::all(&mut got, outputs),
                        &mut scratch,
                    );
                }
                for (i, row) in rows.chunks_exact(inputs).enumerate() {
                    for j in 0..outputs {
                        let column = weights.iter().skip(j).step_by(outputs);
                        let pairs = row.iter().zip(column);
                        let of = |x: &f32| f32::from_bits(rounded(*x));
                        let exact: f64 =
                            pairs.clone().map(|(a, b)| f64::from(of(a)) * f64::from(of(b))).sum();
                        let got = got[i * outputs + j];
                        let error = (f64::from(got) - exact - 0.25).abs();
                        assert!(error < 1e-5 * (inputs as f64).sqrt(), "{isa:?}: {got}, {exact}");
                        if isa == Isa::Plain {
                            continue;
                        }
                        // Those that round once agree to the last bit, but for the order.
                        let pairs: Vec<(f32, f32)> = pairs.map(|(a, b)| (of(a), of(b))).collect();
                        let add = |sum: f32, (a, b): &(f32, f32)| a.mul_add(*b, sum);
                        let sum = if isa == Isa::Amx {
                            let tile = |tile: &[(f32, f32)]| {
                                let even = tile.iter().step_by(2).fold(0.0, add);
                                even + tile.iter().skip(1).step_by(2).fold(0.0, add)
                            };
                            pairs.chunks(32).fold(0.0, |sum, pairs| sum + tile(pairs))
                        } else {
                            pairs.iter().fold(0.0, add)
                        };
                        assert_eq!(got, sum + 0.25, "{isa:?}, {inputs} x {outputs}");
                    }
                }
            }
        }
    }
}
