//! Products of rows by a packed matrix.
//!
//! The matrix lies in panels of as many columns as a tile has, row after row, so that it is read from the first
//! number to the last. Rows are taken as they lie, a few at a time; each number of them is
//! spread over a register. A tile's sums stay in registers for the whole length of a row.
//!
//! Each number of the result is one sum in the order of k, whatever the number of rows and however they are
//! shared out: a row's result does not depend on its neighbours.

use crate::math::{Activation, activate};
use crate::simd::Simd;

/// The most numbers that a tile has: 8 rows of 3 registers of 16.
const LARGEST_TILE: usize = 8 * 48;

/// How far ahead of its use a panel is asked for that nothing was asked for before, in numbers. Processors do that
/// by themselves, but each 4 KiB anew.
const NEAR: usize = 512;

/// `c = activation(a * b + bias)`.
pub(crate) struct Product {
    /// `rows` rows of `k` numbers, the first numbers of two of them `a_stride` apart.
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    pub(crate) k: usize,
    /// Panels of `k` rows, as many as `n` columns need.
    pub(crate) b: *const f32,
    pub(crate) n: usize,
    /// Null, or one number for each column, and as many more as fill the last panel.
    pub(crate) bias: *const f32,
    pub(crate) activation: Option<Activation>,
    /// `rows` rows of `n` numbers.
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
}

/// Tiles of up to `MAX_ROWS` rows and `REGISTERS` registers of columns.
///
/// # Safety
///
/// That of [`Simd`], and the pointers are valid for what [`Product`] says.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, const REGISTERS: usize, const MAX_ROWS: usize>(
    product: &Product,
) {
    let width = REGISTERS * S::LANES;
    for panel in 0..product.n.div_ceil(width) {
        let first = panel * width;
        let columns = width.min(product.n - first);
        let panel_len = width * product.k;
        let tiles = product.rows.div_ceil(MAX_ROWS);
        let mut row = 0;
        // Tiles of about the same number of rows: one of a single row has too few sums to keep the units busy.
        for tiles_left in (1..=tiles).rev() {
            let rows = (product.rows - row).div_ceil(tiles_left);
            // Each tile asks for its share of the next panel; where there is one tile only, or nobody asked for
            // this panel, for what it needs next.
            let tile_index = tiles - tiles_left;
            let b = product.b.wrapping_add(first * product.k);
            let (ahead, step) = if tiles == 1 || panel + tile_index == 0 {
                (b.wrapping_add(NEAR), width)
            } else {
                (b.wrapping_add(panel_len + tile_index * panel_len / tiles), width / tiles)
            };
            // SAFETY: inside of what the caller promises.
            unsafe {
                let place = Tile {
                    ahead,
                    step,
                    a: product.a.add(row * product.a_stride),
                    b,
                    bias: if product.bias.is_null() {
                        product.bias
                    } else {
                        product.bias.add(first)
                    },
                    c: product.c.add(row * product.c_stride + first),
                    columns,
                };
                match rows {
                    1 => tile::<S, REGISTERS, 1>(product, &place),
                    2 => tile::<S, REGISTERS, 2>(product, &place),
                    3 => tile::<S, REGISTERS, 3>(product, &place),
                    4 => tile::<S, REGISTERS, 4>(product, &place),
                    5 if MAX_ROWS > 4 => tile::<S, REGISTERS, 5>(product, &place),
                    6 if MAX_ROWS > 4 => tile::<S, REGISTERS, 6>(product, &place),
                    7 if MAX_ROWS > 6 => tile::<S, REGISTERS, 7>(product, &place),
                    8 if MAX_ROWS > 6 => tile::<S, REGISTERS, 8>(product, &place),
                    _ => unreachable!("a tile of {rows} rows"),
                }
            }
            row += rows;
        }
    }
}

/// Where a tile's numbers are.
struct Tile {
    /// What is asked for at the first step of k, and how much later at each further one.
    ahead: *const f32,
    step: usize,
    a: *const f32,
    b: *const f32,
    bias: *const f32,
    c: *mut f32,
    columns: usize,
}

#[inline(always)]
unsafe fn tile<S: Simd, const REGISTERS: usize, const ROWS: usize>(product: &Product, tile: &Tile) {
    let width = REGISTERS * S::LANES;
    // SAFETY: inside of what the caller promises.
    unsafe {
        let sums = sums::<S, REGISTERS, ROWS>(product, tile);
        // What does not fill the columns goes through a place of its own.
        let mut whole = [0.0; LARGEST_TILE];
        let (to, stride) = if tile.columns == width {
            (tile.c, product.c_stride)
        } else {
            (whole.as_mut_ptr(), width)
        };
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                let sum = if tile.bias.is_null() {
                    sum
                } else {
                    S::add(sum, S::load(tile.bias.add(j * S::LANES)))
                };
                S::store(to.add(i * stride + j * S::LANES), sum);
            }
        }
        if let Some(activation) = product.activation {
            for i in 0..ROWS {
                for j in 0..REGISTERS {
                    let at = to.add(i * stride + j * S::LANES);
                    S::store(at, activate::<S>(activation, S::load(at)));
                }
            }
        }
        if tile.columns != width {
            for i in 0..ROWS {
                let row = whole.as_ptr().add(i * width);
                row.copy_to_nonoverlapping(tile.c.add(i * product.c_stride), tile.columns);
            }
        }
    }
}

#[inline(always)]
unsafe fn sums<S: Simd, const REGISTERS: usize, const ROWS: usize>(
    product: &Product,
    tile: &Tile,
) -> [[S::Vector; REGISTERS]; ROWS] {
    // SAFETY: inside of what the caller promises.
    unsafe {
        let rows: [*const f32; ROWS] = std::array::from_fn(|i| tile.a.add(i * product.a_stride));
        let mut sums = [[S::splat(0.0); REGISTERS]; ROWS];
        let (mut b, mut ahead) = (tile.b, tile.ahead);
        for k in 0..product.k {
            let columns: [S::Vector; REGISTERS] =
                std::array::from_fn(|j| S::load(b.add(j * S::LANES)));
            for (row, sums) in rows.iter().zip(&mut sums) {
                let x = S::splat(*row.add(k));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = S::mul_add(x, column, *sum);
                }
            }
            for line in (0..REGISTERS * S::LANES).step_by(16) {
                S::prefetch(ahead.wrapping_add(line));
            }
            ahead = ahead.wrapping_add(tile.step);
            b = b.add(REGISTERS * S::LANES);
        }
        sums
    }
}
