//! Products on the tiles of AMX: matrices of 16 rows of 64 bytes, of which the processor multiplies two at once.
//!
//! Panels are those of AVX-512's loops, of two tiles' columns, and so are rows, but for zeros where a tile is not
//! filled. Sums of integers are exact, and so those of AVX-512. Sums of bf16 are added up in another order: of each 32
//! steps first the even and the odd ones by themselves, each product rounded once.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

use crate::math::activate;
use crate::product::{Operands, Product};
use crate::simd::Simd;
use crate::simd::x86::Avx512;

/// Rows of a tile, and columns of sums.
pub(crate) const ROWS: usize = 16;
/// Steps of a tile, which have four bytes each.
pub(crate) const STEPS: usize = 16;
/// Columns of a panel.
pub(crate) const WIDTH: usize = 2 * ROWS;

/// Bytes of a row of a tile.
const ROW_BYTES: usize = 64;
/// Bytes of what a panel has for a tile's steps.
const PANEL_BYTES: usize = STEPS * WIDTH * 4;
/// How many lines of the cache those are.
const PANEL_LINES: usize = PANEL_BYTES / 64;

/// Whether the processor has tiles for bytes and bf16, and the system lets this process use them.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && system_saves_tiles() && permitted())
}

fn has_instructions() -> bool {
    const BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & BF16_TILE_INT8 == BF16_TILE_INT8
}

/// Whether the system saves the tiles of a thread that has to wait.
fn system_saves_tiles() -> bool {
    const XSAVE_IN_USE: u32 = 1 << 27;
    const TILES: u64 = 1 << 17 | 1 << 18;

    #[target_feature(enable = "xsave")]
    unsafe fn saved() -> u64 {
        // SAFETY: the caller promises the instruction.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: the instruction is there if the system uses it.
    __cpuid(1).ecx & XSAVE_IN_USE != 0 && unsafe { saved() } & TILES == TILES
}

/// Linux gives tiles to processes that ask for them, since a thread's state becomes larger by 8 KiB.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: it changes nothing but what the system allows this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// What all eight tiles are, as the instruction reads it.
#[repr(C, align(64))]
struct Palette {
    number: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Palette {
    /// Whole tiles.
    const WHOLE: Palette = {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < 8 {
            row_bytes[tile] = ROW_BYTES as u16;
            rows[tile] = ROWS as u8;
            tile += 1;
        }
        Palette { number: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    };
}

/// The sums of two by two tiles.
#[repr(C, align(64))]
pub(crate) struct Sums([u32; 2 * ROWS * WIDTH]);

/// Where a block of such sums is.
pub(crate) struct Place {
    a: *const u8,
    a_stride_bytes: usize,
    b: *const u8,
    /// Of tiles; not zero.
    steps: usize,
    /// What is asked for meanwhile, some lines for each tile's steps.
    ahead: *const u8,
}

/// Sums of one tile of rows, or of two, while so many lines are asked for at each step.
pub(crate) trait Tiles {
    /// # Safety
    ///
    /// The processor has the instructions, all tiles are whole, and rows and panels have as many steps as is said.
    unsafe fn one<const LINES: usize>(place: &Place, sums: &mut Sums);
    /// # Safety
    ///
    /// As of [`one`](Self::one).
    unsafe fn two<const LINES: usize>(place: &Place, sums: &mut Sums);
}

/// Products of bytes, unsigned by signed ones.
pub(crate) struct ByteTiles;
/// Products of pairs of bf16.
pub(crate) struct PairTiles;

macro_rules! tiles {
    ($tiles:ident, $dot:literal) => {
        impl Tiles for $tiles {
            #[inline(always)]
            unsafe fn one<const LINES: usize>(place: &Place, sums: &mut Sums) {
                // SAFETY: reads rows and a panel as far as the caller promises, and writes two tiles of sums. All tiles
                // that it uses it sets first.
                unsafe {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "2:",
                        "tileloadd tmm4, [{a} + {a_stride}]",
                        "tileloadd tmm6, [{b} + {b_stride}]",
                        "tileloadd tmm7, [{b} + {b_stride} + 64]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        ".rept {lines}",
                        "prefetcht1 [{ahead}]",
                        "add {ahead}, 64",
                        ".endr",
                        "add {a}, 64",
                        "add {b}, {panel}",
                        "dec {steps}",
                        "jnz 2b",
                        "tilestored [{sums} + {b_stride}], tmm0",
                        "tilestored [{sums} + {b_stride} + 64], tmm1",
                        a = inout(reg) place.a => _,
                        a_stride = in(reg) place.a_stride_bytes,
                        b = inout(reg) place.b => _,
                        b_stride = in(reg) 4 * WIDTH,
                        steps = inout(reg) place.steps => _,
                        ahead = inout(reg) place.ahead => _,
                        sums = in(reg) sums.0.as_mut_ptr(),
                        panel = const PANEL_BYTES,
                        lines = const LINES,
                        out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }

            #[inline(always)]
            unsafe fn two<const LINES: usize>(place: &Place, sums: &mut Sums) {
                // SAFETY: as above, of two tiles of rows and four of sums.
                unsafe {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "tilezero tmm2",
                        "tilezero tmm3",
                        "2:",
                        "tileloadd tmm4, [{a} + {a_stride}]",
                        "tileloadd tmm6, [{b} + {b_stride}]",
                        "tileloadd tmm7, [{b} + {b_stride} + 64]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        "tileloadd tmm5, [{below} + {a_stride}]",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        concat!($dot, " tmm3, tmm5, tmm7"),
                        ".rept {lines}",
                        "prefetcht1 [{ahead}]",
                        "add {ahead}, 64",
                        ".endr",
                        "add {a}, 64",
                        "add {below}, 64",
                        "add {b}, {panel}",
                        "dec {steps}",
                        "jnz 2b",
                        "tilestored [{sums} + {b_stride}], tmm0",
                        "tilestored [{sums} + {b_stride} + 64], tmm1",
                        "tilestored [{sums} + {b_stride} + {half}], tmm2",
                        "tilestored [{sums} + {b_stride} + {half} + 64], tmm3",
                        a = inout(reg) place.a => _,
                        a_stride = in(reg) place.a_stride_bytes,
                        below = inout(reg) place.a.wrapping_add(ROWS * place.a_stride_bytes) => _,
                        b = inout(reg) place.b => _,
                        b_stride = in(reg) 4 * WIDTH,
                        steps = inout(reg) place.steps => _,
                        ahead = inout(reg) place.ahead => _,
                        sums = in(reg) sums.0.as_mut_ptr(),
                        panel = const PANEL_BYTES,
                        half = const ROWS * 4 * WIDTH,
                        lines = const LINES,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

tiles!(ByteTiles, "tdpbusd");
tiles!(PairTiles, "tdpbf16ps");

/// The product; see [`crate::product::product`].
///
/// # Safety
///
/// The processor has AVX-512F and tiles. Pointers are valid for what [`Product`] says, `a` for rows up to a multiple of
/// [`ROWS`]; steps are a multiple of [`STEPS`] and not zero.
#[inline(always)]
pub(crate) unsafe fn product<T: Tiles, O: Operands<Avx512>>(
    product: &Product<O, O::Left, O::Right>,
) {
    const { assert!(size_of::<O::Left>() == 4 && size_of::<O::Sums>() == ROW_BYTES) };
    let steps = product.steps / STEPS;
    let panel_bytes = steps * PANEL_BYTES;
    let a_stride_bytes = product.a_stride * size_of::<O::Left>();
    let blocks = product.rows.div_ceil(2 * ROWS);
    let mut sums = Sums([0; 2 * ROWS * WIDTH]);
    // SAFETY: the palette is a valid one, and lives until it is read.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &Palette::WHOLE, options(nostack, readonly)) };
    for panel in 0..product.n.div_ceil(WIDTH) {
        let b = product.b.cast::<u8>().wrapping_add(panel * panel_bytes);
        for block in 0..blocks {
            let row = block * 2 * ROWS;
            let rows = (product.rows - row).min(2 * ROWS);
            // Each block asks for its share of the next panel; where there is one block only, or nobody asked for this
            // panel, for what it needs itself.
            let (lines, ahead) = if blocks == 1 || panel + block == 0 {
                (PANEL_LINES, b.wrapping_add(2 * PANEL_BYTES))
            } else {
                let lines = PANEL_LINES.div_ceil(blocks).next_power_of_two();
                (lines, b.wrapping_add(panel_bytes + block * steps * lines * 64))
            };
            let a = product.a.cast::<u8>().wrapping_add(row * a_stride_bytes);
            let place = Place { a, a_stride_bytes, b, steps, ahead };
            // SAFETY: inside of what the caller promises.
            unsafe {
                match (rows <= ROWS, lines) {
                    (true, PANEL_LINES) => T::one::<PANEL_LINES>(&place, &mut sums),
                    (true, _) => T::one::<4>(&place, &mut sums),
                    (false, PANEL_LINES) => T::two::<PANEL_LINES>(&place, &mut sums),
                    (false, 16) => T::two::<16>(&place, &mut sums),
                    (false, 8) => T::two::<8>(&place, &mut sums),
                    (false, _) => T::two::<4>(&place, &mut sums),
                }
                finish(product, &sums, (row, rows), panel * WIDTH);
            }
        }
    }
    // SAFETY: nobody needs the tiles any more, and a thread without them is saved sooner.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Makes numbers of sums.
///
/// # Safety
///
/// As of [`product`]: the rows and the columns from there on are inside of it.
#[inline(always)]
unsafe fn finish<O: Operands<Avx512>>(
    product: &Product<O, O::Left, O::Right>,
    sums: &Sums,
    (row, rows): (usize, usize),
    column: usize,
) {
    let columns = WIDTH.min(product.n - column);
    for i in 0..rows {
        // SAFETY: inside of what the caller promises; a row of sums has two registers.
        unsafe {
            let c = product.c.add((row + i) * product.c_stride + column);
            let sums = sums.0.as_ptr().add(i * WIDTH);
            let number = |j: usize| {
                let sums = sums.add(j).cast::<O::Sums>().read();
                product.operands.numbers(sums, row + i, column + j)
            };
            // Both at once, since each waits for one operation after the other.
            let (mut left, mut right) = (number(0), number(Avx512::LANES));
            if let Some(of) = product.activation {
                left = activate::<Avx512>(of, left);
                right = activate::<Avx512>(of, right);
            }
            let mut whole = [0.0; WIDTH];
            let to = if columns == WIDTH { c } else { whole.as_mut_ptr() };
            Avx512::store(to, left);
            Avx512::store(to.add(Avx512::LANES), right);
            if columns != WIDTH {
                whole.as_ptr().copy_to_nonoverlapping(c, columns);
            }
        }
    }
}
