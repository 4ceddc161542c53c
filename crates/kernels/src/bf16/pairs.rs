//! Pairs of bf16, which AVX-512 BF16 multiplies and adds up at once.

use std::arch::x86_64::*;

use super::rounded;
use crate::linear::Floats;
use crate::memory::Aligned;
use crate::product::{Operands, Product};
use crate::simd::Simd;
use crate::simd::x86::Avx512;

/// Two inputs, the first of them in the upper half: the processor adds the product of that half first.
pub(crate) type Pair = i32;

/// A product of pairs.
pub(crate) type PairProduct = Product<Pairs, Pair, Pair>;

/// The loops for products of pairs. Each is unsafe for its pointers, and for its instructions: a table is only given
/// out on machines that can run it.
pub(crate) struct PairLoops {
    /// Columns of a panel.
    pub(crate) width: usize,
    /// What the numbers of rows and of steps are multiples of; what fills them up may be anything of rows, and zero of
    /// steps.
    pub(crate) rows: usize,
    pub(crate) steps: usize,
    pub(crate) product: unsafe fn(&PairProduct),
    pub(crate) round: unsafe fn(&[f32], &mut [Pair]),
}

impl PairLoops {
    pub(crate) fn steps_of(&self, inputs: usize) -> usize {
        inputs.div_ceil(2).next_multiple_of(self.steps)
    }
}

/// What is known of both sides of a product: the bias.
pub(crate) struct Pairs(pub(super) Floats);

// SAFETY (all blocks below): as the trait's caller promises, who has AVX-512 BF16 too.
impl Operands<Avx512> for Pairs {
    type Left = Pair;
    type Right = Pair;
    type Register = __m512i;
    type Sums = __m512;
    const RIGHT: usize = Avx512::LANES;

    #[inline(always)]
    unsafe fn spread(from: *const Pair) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_set1_epi32(from.read()) }
    }

    #[inline(always)]
    unsafe fn load_left(from: *const Pair) -> __m512i {
        // SAFETY: as the caller promises; AVX-512 takes one step at a time.
        unsafe { <Self as Operands<Avx512>>::spread(from) }
    }

    #[inline(always)]
    unsafe fn load(from: *const Pair) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn zeros() -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { Avx512::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn add_product<const STEP: i32>(left: __m512i, right: __m512i, sums: __m512) -> __m512 {
        // SAFETY: the instructions are there, and both types are 64 bytes.
        unsafe {
            let [left, right] = [left, right].map(|x| std::mem::transmute::<__m512i, __m512bh>(x));
            _mm512_dpbf16_ps(sums, left, right)
        }
    }

    #[inline(always)]
    unsafe fn numbers(&self, sums: __m512, row: usize, column: usize) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { <Floats as Operands<Avx512>>::numbers(&self.0, sums, row, column) }
    }
}

#[inline(always)]
fn pair(first: f32, second: f32) -> Pair {
    (rounded(first) | rounded(second) >> 16).cast_signed()
}

/// Rounds a row to pairs. An odd one out is paired with zero, and zeros fill what is left.
#[inline(always)]
pub(crate) fn round_to_pairs(row: &[f32], to: &mut [Pair]) {
    let (pairs, rest) = row.as_chunks::<2>();
    for ([first, second], to) in pairs.iter().zip(&mut *to) {
        *to = pair(*first, *second);
    }
    let left = &mut to[pairs.len()..];
    left.fill(0);
    if let ([last], Some(to)) = (rest, left.first_mut()) {
        *to = pair(*last, 0.0);
    }
}

/// Packs `(inputs, outputs)` weights into panels: for each two inputs and each column a pair.
pub(super) fn pack(weights: &[f32], outputs: usize, (width, steps): (usize, usize)) -> Aligned {
    let mut panels = Aligned::zeros(outputs.next_multiple_of(width) * steps);
    for (i, panel) in panels.integers_mut().chunks_exact_mut(width * steps).enumerate() {
        // Beyond the last panel there may be numbers that only fill a cache line.
        let columns = (i * width).min(outputs)..outputs.min((i + 1) * width);
        for (rows, to) in weights.chunks(2 * outputs).zip(panel.chunks_exact_mut(width)) {
            let (first, second) = rows.split_at(outputs);
            let second = second.get(columns.clone()).unwrap_or(&[]);
            // Where the number of inputs is odd, the last one has zero beside it.
            let second = second.iter().copied().chain(std::iter::repeat(0.0));
            for ((first, second), to) in first[columns.clone()].iter().zip(second).zip(to) {
                *to = pair(*first, second);
            }
        }
    }
    panels
}
