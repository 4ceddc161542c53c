//! Products of rows by a packed matrix.
//!
//! The matrix lies in panels of as many columns as a tile has, step after step, so that it is read from the first
//! element to the last. Rows are taken as they lie, a few at a time; each element of them is
//! spread over a register. A tile's sums stay in registers for the whole length of a row.
//!
//! Each number of the result is one sum in the order of the steps, whatever the number of rows and however they are
//! shared out: a row's result does not depend on its neighbours.

use crate::math::{Activation, activate};
use crate::simd::Simd;

/// The most numbers that a tile has: 8 rows of 3 registers of 16.
const LARGEST_TILE: usize = 8 * 48;

/// How far ahead of its use a panel is asked for that nothing was asked for before, in bytes. Processors do that
/// by themselves, but each 4 KiB anew.
const NEAR: usize = 2048;

const CACHE_LINE: usize = 64;

/// What is multiplied, and how sums become numbers.
///
/// # Safety
///
/// Of every function: that of [`Simd`]; pointers are valid for what they are said to be.
pub(crate) trait Operands<S: Simd> {
    /// What a row has for each step.
    type Left;
    /// What the matrix has.
    type Right;
    /// A register of either.
    type Register: Copy;
    type Sums: Copy;
    /// The matrix' elements in a register: one column for each lane.
    const RIGHT: usize;

    unsafe fn spread(from: *const Self::Left) -> Self::Register;
    /// The next [`STEPS`](Simd::STEPS) of a row.
    unsafe fn load_left(from: *const Self::Left) -> Self::Register;
    unsafe fn load(from: *const Self::Right) -> Self::Register;
    unsafe fn zeros() -> Self::Sums;
    /// `left * right + sums`, of one of the steps that were loaded, or of the first, which one that was spread is.
    unsafe fn add_product<const STEP: i32>(
        left: Self::Register,
        right: Self::Register,
        sums: Self::Sums,
    ) -> Self::Sums;
    /// The numbers of a row from a column on.
    unsafe fn numbers(&self, sums: Self::Sums, row: usize, column: usize) -> S::Vector;
}

/// `c = activation(a * b)`, where the operands know what else belongs to a sum.
pub(crate) struct Product<O, Left, Right> {
    pub(crate) operands: O,
    /// `rows` rows of `steps` elements, the first elements of two of them `a_stride` apart.
    pub(crate) a: *const Left,
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    pub(crate) steps: usize,
    /// Panels of `steps` rows, as many as `n` columns need.
    pub(crate) b: *const Right,
    pub(crate) n: usize,
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
pub(crate) unsafe fn product<
    S: Simd,
    O: Operands<S>,
    const REGISTERS: usize,
    const MAX_ROWS: usize,
>(
    product: &Product<O, O::Left, O::Right>,
) {
    let width = REGISTERS * S::LANES;
    let panel_len = REGISTERS * O::RIGHT * product.steps;
    let panel_bytes = panel_len * size_of::<O::Right>();
    for panel in 0..product.n.div_ceil(width) {
        let column = panel * width;
        let tiles = product.rows.div_ceil(MAX_ROWS);
        let mut row = 0;
        // Tiles of about the same number of rows: one of a single row has too few sums to keep the units busy.
        for tiles_left in (1..=tiles).rev() {
            let rows = (product.rows - row).div_ceil(tiles_left);
            // Each tile asks for its share of the next panel; where there is one tile only, or nobody asked for
            // this panel, for what it needs next.
            let index = tiles - tiles_left;
            let b = product.b.wrapping_add(panel * panel_len);
            let step_bytes = panel_bytes / product.steps;
            let (ahead, step) = if tiles == 1 || panel + index == 0 {
                (b.wrapping_byte_add(NEAR), step_bytes)
            } else {
                (b.wrapping_byte_add(panel_bytes + index * panel_bytes / tiles), step_bytes / tiles)
            };
            let columns = width.min(product.n - column);
            let place = Tile { row, column, columns, b, ahead, step };
            // SAFETY: inside of what the caller promises.
            unsafe {
                match rows {
                    1 => tile::<S, O, REGISTERS, 1>(product, &place),
                    2 => tile::<S, O, REGISTERS, 2>(product, &place),
                    3 => tile::<S, O, REGISTERS, 3>(product, &place),
                    4 => tile::<S, O, REGISTERS, 4>(product, &place),
                    5 if MAX_ROWS > 4 => tile::<S, O, REGISTERS, 5>(product, &place),
                    6 if MAX_ROWS > 4 => tile::<S, O, REGISTERS, 6>(product, &place),
                    7 if MAX_ROWS > 6 => tile::<S, O, REGISTERS, 7>(product, &place),
                    8 if MAX_ROWS > 6 => tile::<S, O, REGISTERS, 8>(product, &place),
                    _ => unreachable!("a tile of {rows} rows"),
                }
            }
            row += rows;
        }
    }
}

/// Where a tile is.
struct Tile<Right> {
    row: usize,
    column: usize,
    columns: usize,
    b: *const Right,
    /// What is asked for at the first step, and how many bytes later at each further one.
    ahead: *const Right,
    step: usize,
}

#[inline(always)]
unsafe fn tile<S: Simd, O: Operands<S>, const REGISTERS: usize, const ROWS: usize>(
    product: &Product<O, O::Left, O::Right>,
    tile: &Tile<O::Right>,
) {
    let width = REGISTERS * S::LANES;
    // SAFETY: inside of what the caller promises.
    unsafe {
        let sums = sums::<S, O, REGISTERS, ROWS>(product, tile);
        let c = product.c.add(tile.row * product.c_stride + tile.column);
        // What does not fill the columns goes through a place of its own.
        let mut whole = [0.0; LARGEST_TILE];
        let (to, stride) =
            if tile.columns == width { (c, product.c_stride) } else { (whole.as_mut_ptr(), width) };
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sums) in sums.iter().enumerate() {
                let column = tile.column + j * S::LANES;
                let numbers = product.operands.numbers(sums, tile.row + i, column);
                S::store(to.add(i * stride + j * S::LANES), numbers);
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
                row.copy_to_nonoverlapping(c.add(i * product.c_stride), tile.columns);
            }
        }
    }
}

#[inline(always)]
unsafe fn sums<S: Simd, O: Operands<S>, const REGISTERS: usize, const ROWS: usize>(
    product: &Product<O, O::Left, O::Right>,
    tile: &Tile<O::Right>,
) -> [[O::Sums; REGISTERS]; ROWS] {
    const { assert!(S::STEPS == 1 || S::STEPS == 4) }
    // SAFETY: inside of what the caller promises.
    unsafe {
        let rows: [*const O::Left; ROWS] =
            std::array::from_fn(|i| product.a.add((tile.row + i) * product.a_stride));
        let mut sums = [[O::zeros(); REGISTERS]; ROWS];
        let mut at = At { b: tile.b, ahead: tile.ahead, step: tile.step };
        for i in 0..product.steps / S::STEPS {
            let step = i * S::STEPS;
            if S::STEPS == 1 {
                at.add::<S, O, REGISTERS, ROWS, 0>(|i| O::load_left(rows[i].add(step)), &mut sums);
                continue;
            }
            let lefts = rows.map(|row| O::load_left(row.add(step)));
            at.add::<S, O, REGISTERS, ROWS, 0>(|i| lefts[i], &mut sums);
            at.add::<S, O, REGISTERS, ROWS, 1>(|i| lefts[i], &mut sums);
            at.add::<S, O, REGISTERS, ROWS, 2>(|i| lefts[i], &mut sums);
            at.add::<S, O, REGISTERS, ROWS, 3>(|i| lefts[i], &mut sums);
        }
        if S::STEPS > 1 {
            for step in product.steps - product.steps % S::STEPS..product.steps {
                at.add::<S, O, REGISTERS, ROWS, 0>(|i| O::spread(rows[i].add(step)), &mut sums);
            }
        }
        sums
    }
}

/// Where the next step of a tile is, and what is asked for meanwhile.
struct At<Right> {
    b: *const Right,
    ahead: *const Right,
    step: usize,
}

impl<Right> At<Right> {
    /// Adds one step to the sums.
    ///
    /// # Safety
    ///
    /// There is one more.
    #[inline(always)]
    unsafe fn add<
        S: Simd,
        O: Operands<S, Right = Right>,
        const REGISTERS: usize,
        const ROWS: usize,
        const STEP: i32,
    >(
        &mut self,
        left: impl Fn(usize) -> O::Register,
        sums: &mut [[O::Sums; REGISTERS]; ROWS],
    ) {
        let lines = (REGISTERS * O::RIGHT * size_of::<Right>()).div_ceil(CACHE_LINE);
        // SAFETY: inside of what the caller promises.
        unsafe {
            let columns: [O::Register; REGISTERS] =
                std::array::from_fn(|j| O::load(self.b.add(j * O::RIGHT)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = left(i);
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = O::add_product::<STEP>(x, column, *sum);
                }
            }
            for line in 0..lines {
                S::prefetch(self.ahead.wrapping_byte_add(line * CACHE_LINE).cast());
            }
            self.ahead = self.ahead.wrapping_byte_add(self.step);
            self.b = self.b.add(REGISTERS * O::RIGHT);
        }
    }
}
