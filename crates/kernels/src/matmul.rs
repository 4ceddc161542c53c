//! A matrix product in tiles of 8 rows and 4 columns.
//!
//! tract's own kernel for WebAssembly has tiles of 8 x 8. It is near the machine's peak, but what is short
//! fills its tiles badly: the 50 patches of an image are computed as 56. Here four columns are a tile, and
//! eight sums, two registers of A and one of B fit into the sixteen registers of x86-64. Rows are the
//! model's weights, which tract puts first, and columns are tokens, so that four tokens are a tile,
//! and a tile's column is contiguous both in the packed weights and in the output.
//!
//! Each number of the output is one sum over k, in order, each step rounded twice (product, sum), just as
//! in tract's kernel: the bits are the same.

use std::sync::LazyLock;

use tract_linalg::isa::Arch;
use tract_linalg::mmm::{DynKernel, FusedKerSpec, FusedSpec, OutputStoreKer};
use tract_linalg::pack::Packing;

use crate::lanes::F32x4;

/// Rows of a tile.
const MR: usize = 8;
/// Columns of a tile.
const NR: usize = 4;
/// The bytes of one number.
const ITEM: isize = size_of::<f32>() as isize;

/// The sums of a tile, by column: rows 0 to 3, and rows 4 to 7.
type Tile = [[F32x4; 2]; NR];

/// The kernel, as tract takes it.
pub fn wasm_f32_8x4() -> &'static DynKernel<MR, NR, f32> {
    static KERNEL: LazyLock<DynKernel<MR, NR, f32>> = LazyLock::new(|| {
        let packing = (f32::packing(MR).align(16), f32::packing(NR).align(16));
        let kernel = DynKernel::new("isovec_wasm_f32_8x4", run, packing.0, packing.1)
            .with_can_fuse(can_fuse)
            // Before tract's own where the number of columns is not known yet, as for texts.
            .with_boost(|| 1);
        // Of no architecture, for the tests, where it is made of arrays.
        let arch = cfg!(target_arch = "wasm32").then_some(Arch::Wasm32Simd128);
        DynKernel { arch, ..kernel }
    });
    &KERNEL
}

/// What is for integers is left to kernels of integers.
fn can_fuse(spec: &FusedSpec) -> bool {
    !matches!(
        spec,
        FusedSpec::QScale(..) | FusedSpec::RoundingShiftRight(..) | FusedSpec::ShiftLeft(_)
    )
}

/// Computes one tile: follows the steps to the first `Done`. What is not 0 is an error.
///
/// # Safety
///
/// The pointers in `steps` are valid for a tile of this kernel, as tract makes them.
unsafe fn run(steps: &[FusedKerSpec<f32>]) -> isize {
    let mut tile: Tile = zero();
    for step in steps {
        // SAFETY (all blocks below): tract gives pointers to as many numbers as the tile has rows or
        // columns, to the packed panels of k columns, and to the output's place of this tile.
        match *step {
            FusedKerSpec::Done => return 0,
            FusedKerSpec::Clear => tile = zero(),
            // SAFETY: a whole tile, column after column.
            FusedKerSpec::LoadTile(columns, _) => unsafe { load(&mut tile, columns) },
            FusedKerSpec::ScalarMin(x) => scalar(&mut tile, x, F32x4::min),
            FusedKerSpec::ScalarMax(x) => scalar(&mut tile, x, F32x4::max),
            FusedKerSpec::ScalarAdd(x) => scalar(&mut tile, x, F32x4::add),
            FusedKerSpec::ScalarMul(x) => scalar(&mut tile, x, F32x4::mul),
            FusedKerSpec::ScalarSub(x) => scalar(&mut tile, x, F32x4::sub),
            FusedKerSpec::ScalarSubF(x) => scalar(&mut tile, x, flipped_sub),
            FusedKerSpec::LeakyRelu(slope) => leaky_relu(&mut tile, slope),
            // SAFETY: one number for each row.
            FusedKerSpec::PerRowMin(rows) => unsafe { per_row(&mut tile, rows, F32x4::min) },
            // SAFETY: one number for each row.
            FusedKerSpec::PerRowMax(rows) => unsafe { per_row(&mut tile, rows, F32x4::max) },
            // SAFETY: one number for each row.
            FusedKerSpec::PerRowAdd(rows) => unsafe { per_row(&mut tile, rows, F32x4::add) },
            // SAFETY: one number for each row.
            FusedKerSpec::PerRowMul(rows) => unsafe { per_row(&mut tile, rows, F32x4::mul) },
            // SAFETY: one number for each row.
            FusedKerSpec::PerRowSub(rows) => unsafe { per_row(&mut tile, rows, F32x4::sub) },
            // SAFETY: one number for each row.
            FusedKerSpec::PerRowSubF(rows) => unsafe { per_row(&mut tile, rows, flipped_sub) },
            // SAFETY: one number for each column.
            FusedKerSpec::PerColMin(columns) => unsafe { per_col(&mut tile, columns, F32x4::min) },
            // SAFETY: one number for each column.
            FusedKerSpec::PerColMax(columns) => unsafe { per_col(&mut tile, columns, F32x4::max) },
            // SAFETY: one number for each column.
            FusedKerSpec::PerColAdd(columns) => unsafe { per_col(&mut tile, columns, F32x4::add) },
            // SAFETY: one number for each column.
            FusedKerSpec::PerColMul(columns) => unsafe { per_col(&mut tile, columns, F32x4::mul) },
            // SAFETY: one number for each column.
            FusedKerSpec::PerColSub(columns) => unsafe { per_col(&mut tile, columns, F32x4::sub) },
            // SAFETY: one number for each column.
            FusedKerSpec::PerColSubF(columns) => unsafe {
                per_col(&mut tile, columns, flipped_sub)
            },
            // SAFETY: one number for each row, and one for each column.
            FusedKerSpec::AddRowColProducts(rows, columns) => unsafe {
                add_products(1, rows, columns, &mut tile);
            },
            // SAFETY: the place of a whole tile.
            FusedKerSpec::AddUnicast(other) => unsafe { add_unicast(&mut tile, &other) },
            // SAFETY: packed panels of k columns of A and k rows of B.
            FusedKerSpec::AddMatMul { k, pa, pb, packing: 0 } => unsafe {
                add_products(k, pa.cast(), pb.cast(), &mut tile);
            },
            // SAFETY: the place of a whole tile.
            FusedKerSpec::Store(place) if place.item_size == size_of::<f32>() => unsafe {
                store(&tile, &place);
            },
            // Refused by `can_fuse`, by the one packing there is, or by the one type of output.
            FusedKerSpec::Store(_)
            | FusedKerSpec::AddMatMul { .. }
            | FusedKerSpec::QScale(..)
            | FusedKerSpec::RoundingShiftRight(..)
            | FusedKerSpec::ShiftLeft(_) => return 1,
        }
    }
    0
}

fn zero() -> Tile {
    [[F32x4::splat(0.0); 2]; NR]
}

/// The product of two panels, added to the tile. A function of its own, and never inlined, so that its
/// sums have the registers to themselves.
///
/// # Safety
///
/// `a` is readable for `k` times the rows of a tile, `b` for `k` times its columns.
#[inline(never)]
unsafe fn add_products(k: usize, mut a: *const f32, mut b: *const f32, tile: &mut Tile) {
    let mut sums = *tile;
    for _ in 0..k {
        // SAFETY: this step's rows and columns lie in the panels; behind the last step the pointers
        // are one past their ends.
        unsafe {
            let rows = [F32x4::load(a), F32x4::load(a.add(4))];
            for (j, sums) in sums.iter_mut().enumerate() {
                let x = F32x4::splat(*b.add(j));
                sums[0] = sums[0].add_product(rows[0], x);
                sums[1] = sums[1].add_product(rows[1], x);
            }
            a = a.add(MR);
            b = b.add(NR);
        }
    }
    *tile = sums;
}

fn scalar(tile: &mut Tile, x: f32, op: impl Fn(F32x4, F32x4) -> F32x4) {
    let x = F32x4::splat(x);
    for sums in tile.iter_mut().flatten() {
        *sums = op(x, *sums);
    }
}

fn flipped_sub(x: F32x4, sums: F32x4) -> F32x4 {
    sums.sub(x)
}

fn leaky_relu(tile: &mut Tile, slope: f32) {
    for sums in tile.iter_mut().flatten() {
        let each = sums.to_array().map(|x| if x > 0.0 { x } else { x * slope });
        *sums = F32x4::from_array(each);
    }
}

/// # Safety
///
/// `rows` is readable for the rows of a tile.
unsafe fn per_row(tile: &mut Tile, rows: *const f32, op: impl Fn(F32x4, F32x4) -> F32x4) {
    // SAFETY: as the caller promises.
    let rows = unsafe { [F32x4::load(rows), F32x4::load(rows.add(4))] };
    for sums in tile {
        *sums = [op(rows[0], sums[0]), op(rows[1], sums[1])];
    }
}

/// # Safety
///
/// `columns` is readable for the columns of a tile.
unsafe fn per_col(tile: &mut Tile, columns: *const f32, op: impl Fn(F32x4, F32x4) -> F32x4) {
    for (j, sums) in tile.iter_mut().enumerate() {
        // SAFETY: as the caller promises.
        let x = F32x4::splat(unsafe { *columns.add(j) });
        *sums = sums.map(|sums| op(x, sums));
    }
}

/// # Safety
///
/// `columns` is readable for a tile.
unsafe fn load(tile: &mut Tile, columns: *const f32) {
    for (j, sums) in tile.iter_mut().enumerate() {
        // SAFETY: column `j` of the tile.
        unsafe {
            let column = columns.add(MR * j);
            *sums = [F32x4::load(column), F32x4::load(column.add(4))];
        }
    }
}

/// # Safety
///
/// `other` is the place of a tile of `f32`, readable.
unsafe fn add_unicast(tile: &mut Tile, other: &OutputStoreKer) {
    for (j, sums) in tile.iter_mut().enumerate() {
        // SAFETY: column `j` of the place.
        let column = unsafe { other.ptr.offset(other.col_byte_stride * j as isize) };
        let at = |i: usize| {
            // SAFETY: row `i` of that column.
            unsafe {
                column.offset(other.row_byte_stride * i as isize).cast::<f32>().read_unaligned()
            }
        };
        let column = [0, 4].map(|first| F32x4::from_array(std::array::from_fn(|i| at(first + i))));
        *sums = [sums[0].add(column[0]), sums[1].add(column[1])];
    }
}

/// # Safety
///
/// `place` is the place of a tile of `f32`, writable.
unsafe fn store(tile: &Tile, place: &OutputStoreKer) {
    for (j, sums) in tile.iter().enumerate() {
        // SAFETY: column `j` of the place.
        let column = unsafe { place.ptr.offset(place.col_byte_stride * j as isize) };
        if place.row_byte_stride == ITEM {
            // SAFETY: the rows of the column lie one after the other.
            unsafe {
                sums[0].store(column.cast());
                sums[1].store(column.cast::<f32>().add(4));
            }
            continue;
        }
        let rows = sums.iter().flat_map(|sums| sums.to_array());
        for (i, x) in rows.enumerate() {
            // SAFETY: row `i` of that column.
            unsafe {
                column.offset(place.row_byte_stride * i as isize).cast::<f32>().write_unaligned(x);
            }
        }
    }
}
