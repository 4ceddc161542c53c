//! Products of integers with an eighth fewer multiplications, by V. Strassen's scheme ("Gaussian elimination is not
//! optimal", 1969): of halves of the rows, of the inputs and of the columns, seven products in the place of eight.
//!
//! Integers only: their sums are exact in any order, so a row's result is what it is without, whichever row it is paired
//! with. The scheme adds up integers of eight bits before it multiplies them, so it is for instruction sets that
//! multiply those of sixteen.

use std::array;
use std::ops::Range;

use crate::math::activate;
use crate::product::Operands;
use crate::quantized::{Bytes, Group, IntProduct};
use crate::simd::Words;

/// The fewest pairs of panels with which it is faster: what is done to the rows is done once for all of them.
const LEAST_PAIRS: usize = 2;

/// The integers of a step.
const STEP: usize = 2;

/// How many products there are, and how many of them have sums of rows on their left.
const PRODUCTS: usize = 7;
const SUMS_OF_ROWS: usize = 5;

/// The most numbers of a tile: 6 rows of 2 registers of 8.
const LARGEST_TILE: usize = 6 * 16;

/// The sums of each product for a tile.
type Products = [[i32; LARGEST_TILE]; PRODUCTS];

/// Whether it is for so many inputs and columns: the halves of the inputs fill registers, which have an integer for each
/// column of a panel.
pub(crate) fn suits(inputs: usize, columns: usize, width: usize) -> bool {
    inputs.is_multiple_of(2 * width) && columns / (2 * width) >= LEAST_PAIRS
}

/// How many integers of 16 bits it needs room for; none where that is more than there can be.
pub(crate) fn room(rows: usize, inputs: usize, width: usize) -> Option<usize> {
    let sums = (SUMS_OF_ROWS * (inputs / 2)).checked_mul(rows.div_ceil(2))?;
    sums.checked_add(PRODUCTS * width * (inputs / 2))
}

/// As [`product()`](crate::product::product), but only of panels that have a partner: of the first so many columns.
///
/// # Safety
///
/// As of that one; [`suits`] says yes, and there is as much [`room`], aligned as groups are. Behind an odd number of rows
/// there is one more, of integers of eight bits.
#[inline(always)]
pub(crate) unsafe fn by_halves<S: Words, const REGISTERS: usize, const MAX_ROWS: usize>(
    of: &IntProduct,
    room: *mut i16,
) -> usize {
    const {
        assert!(REGISTERS == STEP, "a register has an integer for each column of a panel");
        assert!(MAX_ROWS * REGISTERS * S::LANES <= LARGEST_TILE);
    }
    let width = REGISTERS * S::LANES;
    let pairs = of.n / (2 * width);
    let halves = Halves { of, rows: of.rows.div_ceil(2), inputs: of.steps / 2 * STEP, width };
    let mut products = [[0; LARGEST_TILE]; PRODUCTS];
    // SAFETY: inside of what the caller promises.
    unsafe {
        let lefts = halves.lefts::<S>(room);
        let rights = room.add(SUMS_OF_ROWS * halves.rows * halves.inputs);
        for pair in 0..pairs {
            halves.add_rights::<S>(pair, rights);
            let mut row = 0;
            for tiles_left in (1..=halves.rows.div_ceil(MAX_ROWS)).rev() {
                let count = (halves.rows - row).div_ceil(tiles_left);
                for (i, (left, to)) in lefts.iter().zip(&mut products).enumerate() {
                    let rows = Rows { first: left.first.add(row * left.stride), ..*left };
                    let right = rights.add(i * halves.inputs * width);
                    let steps = halves.inputs / STEP;
                    // Of as many rows as there are, tiles of about the same size have three or more.
                    match count {
                        3 => multiply::<S, REGISTERS, 3>(rows, right, steps, to),
                        4 => multiply::<S, REGISTERS, 4>(rows, right, steps, to),
                        5 if MAX_ROWS > 4 => multiply::<S, REGISTERS, 5>(rows, right, steps, to),
                        6 if MAX_ROWS > 4 => multiply::<S, REGISTERS, 6>(rows, right, steps, to),
                        _ => unreachable!("a tile of {count} rows"),
                    }
                }
                halves.finish::<S>(&products, row..row + count, 2 * width * pair);
                row += count;
            }
        }
    }
    2 * width * pairs
}

/// Rows of integers, so many of them apart.
#[derive(Clone, Copy)]
struct Rows {
    first: *const i16,
    stride: usize,
}

/// A product whose rows, inputs and panels are halved: here is how many of them a half has.
struct Halves<'a> {
    of: &'a IntProduct,
    rows: usize,
    inputs: usize,
    /// Of a panel.
    width: usize,
}

// SAFETY (all blocks below): inside of what the callers promise.
impl Halves<'_> {
    /// The left sides of the products, whose sums of rows are written to `to`.
    ///
    /// # Safety
    ///
    /// There is room for them.
    #[inline(always)]
    unsafe fn lefts<S: Words>(&self, to: *mut i16) -> [Rows; PRODUCTS] {
        let (inputs, stride) = (self.inputs, self.of.a_stride * STEP);
        let above: *const i16 = self.of.a.cast();
        let below = above.wrapping_add(self.rows * stride);
        let quarters = [above, above.wrapping_add(inputs), below, below.wrapping_add(inputs)];
        for row in 0..self.rows {
            for i in (0..inputs).step_by(STEP * S::LANES) {
                // SAFETY: see above.
                unsafe {
                    let [a11, a12, a21, a22] =
                        quarters.map(|quarter| S::load_words(quarter.add(row * stride + i)));
                    let sums: [S::Register; SUMS_OF_ROWS] = [
                        S::add_words(a11, a22),
                        S::add_words(a21, a22),
                        S::add_words(a11, a12),
                        S::sub_words(a21, a11),
                        S::sub_words(a12, a22),
                    ];
                    for (sum, words) in sums.into_iter().enumerate() {
                        S::store_words(to.add((sum * self.rows + row) * inputs + i), words);
                    }
                }
            }
        }
        let sum =
            |i: usize| Rows { first: to.wrapping_add(i * self.rows * inputs), stride: inputs };
        let rows = |first| Rows { first, stride };
        [sum(0), sum(1), rows(quarters[0]), rows(quarters[3]), sum(2), sum(3), sum(4)]
    }

    /// Writes the right sides of the products, of a pair of panels, to `to`, one after the other.
    ///
    /// # Safety
    ///
    /// There is such a pair, and room for them.
    #[inline(always)]
    unsafe fn add_rights<S: Words>(&self, pair: usize, to: *mut i16) {
        let n = self.inputs * self.width;
        for i in (0..n).step_by(STEP * S::LANES) {
            // SAFETY: see above.
            unsafe {
                // Each panel has the first half of its inputs first.
                let [b11, b21, b12, b22]: [S::Register; 4] =
                    array::from_fn(|q| S::load_weights(self.of.b.add((4 * pair + q) * n + i)));
                let rights: [S::Register; PRODUCTS] = [
                    S::add_words(b11, b22),
                    b11,
                    S::sub_words(b12, b22),
                    S::sub_words(b21, b11),
                    b22,
                    S::add_words(b11, b12),
                    S::add_words(b21, b22),
                ];
                for (right, words) in rights.into_iter().enumerate() {
                    S::store_words(to.add(right * n + i), words);
                }
            }
        }
    }

    /// The numbers of a tile, which is at these rows of the first half and begins with this column, in all quarters. The
    /// row that makes an odd number even has none.
    ///
    /// # Safety
    ///
    /// There is such a tile.
    #[inline(always)]
    unsafe fn finish<S: Words>(&self, products: &Products, rows: Range<usize>, column: usize) {
        for (i, row) in rows.enumerate() {
            for j in (0..self.width).step_by(S::LANES) {
                // SAFETY: see above.
                unsafe {
                    let [m1, m2, m3, m4, m5, m6, m7]: [S::Register; PRODUCTS] =
                        array::from_fn(|m| {
                            S::load_sums(products[m].as_ptr().add(i * self.width + j))
                        });
                    let quarters: [S::Register; 4] = [
                        S::add_sums(S::sub_sums(S::add_sums(m1, m4), m5), m7),
                        S::add_sums(m3, m5),
                        S::add_sums(m2, m4),
                        S::add_sums(S::add_sums(S::sub_sums(m1, m2), m3), m6),
                    ];
                    for (quarter, sums) in quarters.into_iter().enumerate() {
                        let row = row + quarter / 2 * self.rows;
                        if row == self.of.rows {
                            continue;
                        }
                        let column = column + quarter % 2 * self.width + j;
                        let mut x =
                            <Bytes as Operands<S>>::numbers(&self.of.operands, sums, row, column);
                        if let Some(activation) = self.of.activation {
                            x = activate::<S>(activation, x);
                        }
                        S::store(self.of.c.add(row * self.of.c_stride + column), x);
                    }
                }
            }
        }
    }
}

/// The sums of one tile of one of the products.
///
/// In WebAssembly a function of its own: as a part of a larger one V8 has no registers left for its loop, which then takes
/// a quarter longer.
///
/// # Safety
///
/// That of [`Simd`](crate::simd::Simd); the rows have so many steps, and so have the columns.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
unsafe fn multiply<S: Words, const REGISTERS: usize, const ROWS: usize>(
    rows: Rows,
    columns: *const i16,
    steps: usize,
    to: &mut [i32; LARGEST_TILE],
) {
    let register = S::LANES * STEP;
    // SAFETY: inside of what the caller promises.
    unsafe {
        let rows: [*const Group; ROWS] = array::from_fn(|i| rows.first.add(i * rows.stride).cast());
        let mut sums = [[S::spread(0); REGISTERS]; ROWS];
        let mut next = columns;
        for step in 0..steps {
            let columns: [S::Register; REGISTERS] =
                array::from_fn(|j| S::load_words(next.add(j * register)));
            for (row, sums) in rows.iter().zip(&mut sums) {
                let x = S::spread(*row.add(step));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = S::dot(x, column, *sum);
                }
            }
            next = next.add(REGISTERS * register);
        }
        // By place, since an iterator over them would have them in memory.
        for i in 0..ROWS {
            for j in 0..REGISTERS {
                S::store_sums(to[(i * REGISTERS + j) * S::LANES..].as_mut_ptr(), sums[i][j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::isa::{IntLoops, Isa};
    use crate::linear::Columns;
    use crate::math::Activation;
    use crate::memory::Aligned;
    use crate::quantized::Quantized;
    use crate::quantized::tests::numbers;

    /// What comes of rows all at once, and of one at a time, which no scheme is for.
    fn both_ways(
        loops: &'static IntLoops,
        weights: &[f32],
        outputs: usize,
        rows: &[f32],
        activation: Option<Activation>,
    ) -> [Vec<f32>; 2] {
        let inputs = weights.len() / outputs;
        let n = rows.len() / inputs;
        let product = Quantized::new(loops, weights, outputs);
        let bias = vec![0.25; outputs.next_multiple_of(loops.width)];
        let least = loops.by_halves.map_or(usize::MAX, |(least, _)| least);
        let suits = inputs.is_multiple_of(2 * loops.width) && outputs >= 4 * loops.width;
        assert_eq!(product.by_halves(n, outputs).is_some(), suits && n >= least);
        assert!(product.by_halves(1, outputs).is_none());
        [n, 1].map(|together| {
            let needed = product.scratch(together).unwrap_or_default();
            let mut scratch = Aligned::zeros(needed + BEHIND);
            scratch.as_mut_slice()[needed..].fill(7.0);
            let mut got = vec![7.0; n * outputs + BEHIND];
            let rows = rows.chunks_exact(together * inputs);
            for (rows, to) in rows.zip(got.chunks_exact_mut(together * outputs)) {
                // All columns, or a panel and the rest, as threads share them.
                let panel = if activation.is_some() { loops.width.min(outputs) } else { 0 };
                for range in [0..panel, panel..outputs] {
                    let to = Columns::some(to, outputs, range);
                    // SAFETY: as many rows, as many times the outputs, and the bias and the scratch that are asked for.
                    unsafe {
                        product.run(
                            together,
                            rows,
                            &bias,
                            activation,
                            &to,
                            &mut scratch.as_mut_slice()[..needed],
                        );
                    }
                }
            }
            let behind = scratch.as_slice()[needed..].iter().chain(&got[n * outputs..]);
            assert!(behind.copied().all(|x| x == 7.0), "written behind the end");
            got.truncate(n * outputs);
            got
        })
    }

    /// Numbers behind the places that are written to.
    const BEHIND: usize = 16;

    fn all() -> impl Iterator<Item = (Isa, &'static IntLoops)> {
        let ints = Isa::ALL.into_iter().filter_map(|isa| Some((isa, isa.int_loops()?)));
        ints.filter(|(_, loops)| loops.by_halves.is_some())
    }

    /// With a row, a panel, both, or none that have no partner, with a panel that is not full, and with inputs that do not
    /// suit.
    #[test]
    fn rows_come_out_as_without_the_scheme() {
        assert!(all().any(|(isa, _)| isa == Isa::Plain));
        for (inputs, outputs) in
            [(64, 64), (32, 40), (64, 112), (192, 85), (64, 16), (48, 64), (40, 64)]
        {
            let weights = numbers(inputs * outputs);
            for n in (30..90).chain([131]) {
                let rows = numbers(n * inputs);
                for activation in [None, Some(Activation::Gelu)] {
                    for (isa, loops) in all() {
                        let [together, alone] =
                            both_ways(loops, &weights, outputs, &rows, activation);
                        assert_eq!(together, alone, "{isa:?}, {n} x {inputs} x {outputs}");
                    }
                }
            }
        }
    }

    /// Of the largest integers so many that sums between have more than 32 bits.
    #[test]
    fn sums_that_wrap_around_come_back() {
        let (inputs, outputs, n) = (40_000, 64, 64);
        let weights = vec![1.0; inputs * outputs];
        let rows = vec![1.0; n * inputs];
        for (isa, loops) in all() {
            let [together, alone] = both_ways(loops, &weights, outputs, &rows, None);
            assert_eq!(together, alone, "{isa:?}");
            assert!(together.iter().all(|x| (x - 40_000.25).abs() < 1.0), "{isa:?}");
        }
    }

    /// Such a row has no scale; the one it is paired with is as it is without it.
    #[test]
    fn a_row_that_is_no_number_leaves_the_others_alone() {
        let (inputs, outputs, n) = (64, 64, 80);
        let weights = numbers(inputs * outputs);
        let mut rows = numbers(n * inputs);
        for (isa, loops) in all() {
            let [expected, _] = both_ways(loops, &weights, outputs, &rows, None);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                rows[5 * inputs + 3] = bad;
                let [got, _] = both_ways(loops, &weights, outputs, &rows, None);
                let pairs = got.chunks_exact(outputs).zip(expected.chunks_exact(outputs));
                for (i, (got, expected)) in pairs.enumerate() {
                    let all_nan = got.iter().all(|x| x.is_nan());
                    assert!(if i == 5 { all_nan } else { got == expected }, "{isa:?}, {bad}, {i}");
                }
            }
            rows[5 * inputs + 3] = 0.5;
        }
    }
}
