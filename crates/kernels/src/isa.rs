//! The instruction sets, and the loops compiled for each.

#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::bf16;
#[cfg(target_arch = "x86_64")]
use crate::bf16::{Pair, PairLoops, PairProduct, Pairs};
use crate::linear::Floats;
use crate::math::Activation;
use crate::product::{Product, product};
use crate::quantized::{ByHalves, Bytes, IntProduct, RowScale, pack, quantize};
use crate::rows;
use crate::simd::lanes4::Lanes4;
#[cfg(target_arch = "aarch64")]
use crate::simd::neon::{Neon, NeonDot};
#[cfg(target_arch = "x86_64")]
use crate::simd::x86::{Avx2, Avx512};
use crate::strassen;

/// An instruction set that there are loops for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// What the program was compiled for, four lanes at a time: everywhere, and all there is in
    /// WebAssembly.
    Plain,
    /// NEON, of AArch64; products of bytes where it has those (`dotprod`).
    Neon,
    /// AVX2 and FMA, of x86-64.
    Avx2,
    /// AVX-512F, of x86-64.
    Avx512,
    /// AVX-512, and AMX for products of bytes and of bf16, of x86-64.
    Amx,
}

impl Isa {
    /// All, the slowest first.
    pub const ALL: [Isa; 5] = [Isa::Plain, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Amx];

    /// The fastest that this machine has.
    ///
    /// ```
    /// assert!(isovec_kernels::Isa::best().is_available());
    /// ```
    pub fn best() -> Self {
        let available = Isa::ALL.into_iter().rev().find(|isa| isa.is_available());
        available.unwrap_or(Isa::Plain)
    }

    /// `plain`, `neon`, `avx2`, `avx512` or `amx`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Plain => "plain",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
        }
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Plain => true,
            // Groups of bytes lie as if the lowest came first.
            Isa::Neon => cfg!(all(target_arch = "aarch64", target_endian = "little")),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            // What rounds rows is compiled for the other two.
            Isa::Amx => {
                Isa::Avx512.is_available()
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512bf16")
                    && amx::is_available()
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 | Isa::Amx => false,
        }
    }

    /// Its loops, if this machine can run them.
    pub(crate) fn loops(self) -> Option<&'static Loops> {
        if !self.is_available() {
            return None;
        }
        match self {
            Isa::Plain => Some(&plain::LOOPS),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Some(&neon::LOOPS),
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon => None,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Some(&avx2::LOOPS),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => Some(&avx512::LOOPS),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 | Isa::Amx => None,
        }
    }

    /// Its loops for products in integers, if this machine can run them. The first processors with AVX-512 have no
    /// VNNI, and take those of AVX2.
    pub(crate) fn int_loops(self) -> Option<&'static IntLoops> {
        if !self.is_available() {
            return None;
        }
        match self {
            Isa::Plain => Some(&plain_words::LOOPS),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if std::arch::is_aarch64_feature_detected!("dotprod") => {
                Some(&neon_dot_ints::LOOPS)
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Some(&neon_ints::LOOPS),
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon => None,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => Some(&vnni_ints::LOOPS),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => Some(&avx2_words::LOOPS),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Some(&amx_ints::LOOPS),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 | Isa::Amx => None,
        }
    }

    /// Its loops for products of pairs in bf16, if it has instructions for them and this machine can run them.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn pair_loops(self) -> Option<&'static PairLoops> {
        match self {
            Isa::Amx if self.is_available() => Some(&amx_pairs::LOOPS),
            Isa::Avx512 if self.is_available() && is_x86_feature_detected!("avx512bf16") => {
                Some(&bf16_pairs::LOOPS)
            }
            _ => None,
        }
    }
}

/// A product of numbers.
type FloatProduct = Product<Floats, f32, f32>;

/// The loops of one instruction set. Each is unsafe for its pointers alone: a table is only given out on
/// machines that can run it.
pub(crate) struct Loops {
    /// Numbers of a register; rows of scores are as long as full registers.
    pub(crate) lanes: usize,
    /// Columns of a panel, for products by weights.
    pub(crate) wide: usize,
    pub(crate) wide_product: unsafe fn(&FloatProduct),
    /// Columns of a panel, for products of attention, which has few columns.
    pub(crate) narrow: usize,
    pub(crate) narrow_product: unsafe fn(&FloatProduct),
    pub(crate) softmax: unsafe fn(*mut f32, usize, f32, *const f32),
    pub(crate) add: unsafe fn(*mut f32, *const f32, *const f32, usize),
    /// To bf16.
    pub(crate) round: unsafe fn(&[f32], &mut [f32]),
    pub(crate) normalize: unsafe fn(*mut f32, *const f32, (*const f32, *const f32), f32, usize),
    #[cfg_attr(not(test), expect(dead_code, reason = "for the tests: the rest has it inlined"))]
    pub(crate) activate: unsafe fn(Activation, *mut f32),
}

/// The loops of one instruction set for products in integers, likewise.
pub(crate) struct IntLoops {
    /// How many products are added up at once.
    pub(crate) group: usize,
    /// Columns of a panel.
    pub(crate) width: usize,
    /// What the numbers of rows and of steps are multiples of; what fills them up may be anything of rows, and zero of
    /// steps.
    pub(crate) rows: usize,
    pub(crate) steps: usize,
    pub(crate) product: unsafe fn(&IntProduct),
    /// The same for so many rows and more, where integers have 16 bits when they are multiplied.
    pub(crate) by_halves: Option<(usize, ByHalves)>,
    pub(crate) quantize: unsafe fn(*const f32, usize, *mut u8) -> RowScale,
    #[cfg(test)]
    pub(crate) least: i32,
    /// What is done to each row of weights at load.
    pub(crate) raise: unsafe fn(&[f32], &mut [f32]),
    pub(crate) round: unsafe fn(&[f32], u32, &mut pack::Gathered<'_>),
}

/// One instruction set's functions, each compiled for it as a whole.
macro_rules! loops {
    ($module:ident, $simd:ident, wide: $wide:literal x $wide_rows:literal,
     narrow: $narrow:literal x $narrow_rows:literal $(, $feature:literal)?) => {
        mod $module {
            use super::*;
            use crate::simd::Simd;

            pub(super) static LOOPS: Loops = Loops {
                lanes: <$simd>::LANES,
                wide: $wide * <$simd>::LANES,
                wide_product,
                narrow: $narrow * <$simd>::LANES,
                narrow_product,
                softmax,
                add,
                round,
                normalize,
                activate,
            };

            $(#[target_feature(enable = $feature)])?
            unsafe fn wide_product(of: &FloatProduct) {
                // SAFETY: the caller promises the pointers, and Isa::loops the instructions.
                unsafe { product::<$simd, Floats, $wide, $wide_rows>(of) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn narrow_product(of: &FloatProduct) {
                // SAFETY: as above.
                unsafe { product::<$simd, Floats, $narrow, $narrow_rows>(of) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn softmax(row: *mut f32, n: usize, scale: f32, mask: *const f32) {
                // SAFETY: as above.
                unsafe { rows::softmax::<$simd>(row, n, scale, mask) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn add(to: *mut f32, a: *const f32, b: *const f32, n: usize) {
                // SAFETY: as above.
                unsafe { rows::add::<$simd>(to, a, b, n) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn round(numbers: &[f32], to: &mut [f32]) {
                bf16::round(numbers, to);
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn normalize(
                to: *mut f32,
                row: *const f32,
                affine: (*const f32, *const f32),
                epsilon: f32,
                n: usize,
            ) {
                // SAFETY: as above.
                unsafe { rows::normalize::<$simd>(to, row, affine, epsilon, n) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn activate(activation: Activation, at: *mut f32) {
                // SAFETY: as above.
                unsafe {
                    let x = <$simd>::load(at);
                    <$simd>::store(at, crate::math::activate::<$simd>(activation, x));
                }
            }
        }
    };
}

// Sums of a tile, its columns and one more fill the registers: 16 of them, or 32 with AVX-512. NEON, which has 32 too,
// keeps four steps of each row in them.
loops!(plain, Lanes4, wide: 2 x 4, narrow: 2 x 4);
#[cfg(target_arch = "aarch64")]
loops!(neon, Neon, wide: 2 x 8, narrow: 2 x 8);
#[cfg(target_arch = "x86_64")]
loops!(avx2, Avx2, wide: 2 x 6, narrow: 2 x 6, "avx2,fma");
#[cfg(target_arch = "x86_64")]
loops!(avx512, Avx512, wide: 3 x 8, narrow: 2 x 8, "avx512f");

macro_rules! int_loops {
    ($module:ident, $simd:ident, $registers:literal x $rows:literal $(, $feature:literal)?) => {
        mod $module {
            use super::*;
            use crate::simd::{Integers, Simd};

            pub(super) static LOOPS: IntLoops = IntLoops {
                group: <$simd>::GROUP,
                width: $registers * <$simd>::LANES,
                rows: 1,
                steps: 1,
                product: int_product,
                by_halves: None,
                quantize: quantize_row,
                #[cfg(test)]
                least: <$simd>::LEAST,
                raise,
                round,
            };

            $(#[target_feature(enable = $feature)])?
            unsafe fn int_product(of: &IntProduct) {
                // SAFETY: the caller promises the pointers, and Isa::int_loops the instructions.
                unsafe { product::<$simd, Bytes, $registers, $rows>(of) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn quantize_row(row: *const f32, n: usize, to: *mut u8) -> RowScale {
                // SAFETY: as above.
                unsafe { quantize::<$simd>(row, n, to) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn raise(row: &[f32], largest: &mut [f32]) {
                // SAFETY: as above.
                unsafe { pack::raise::<$simd>(row, largest) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn round(row: &[f32], bits: u32, to: &mut pack::Gathered<'_>) {
                // SAFETY: as above.
                unsafe { pack::round::<$simd>(row, bits, to) }
            }
        }
    };
}

/// Those of instruction sets that multiply 16 bits, with the fewest rows of which halves are faster (measured).
macro_rules! word_loops {
    ($module:ident: $ints:ident, $simd:ident, $registers:literal x $rows:literal,
     halves from $least:literal $(, $feature:literal)?) => {
        int_loops!($ints, $simd, $registers x $rows $(, $feature)?);

        mod $module {
            use super::*;

            pub(super) static LOOPS: IntLoops =
                IntLoops { rows: 2, by_halves: Some(($least, by_halves)), ..$ints::LOOPS };

            $(#[target_feature(enable = $feature)])?
            unsafe fn by_halves(of: &IntProduct, room: *mut i16) -> usize {
                // SAFETY: the caller promises the pointers, and Isa::int_loops the instructions.
                unsafe { strassen::by_halves::<$simd, $registers, $rows>(of, room) }
            }
        }
    };
}

word_loops!(plain_words: plain_ints, Lanes4, 2 x 4, halves from 32);
#[cfg(target_arch = "aarch64")]
int_loops!(neon_ints, Neon, 2 x 8);
#[cfg(target_arch = "aarch64")]
int_loops!(neon_dot_ints, NeonDot, 2 x 8, "dotprod");
#[cfg(target_arch = "x86_64")]
word_loops!(avx2_words: avx2_ints, Avx2, 2 x 6, halves from 64, "avx2,fma");
#[cfg(target_arch = "x86_64")]
int_loops!(vnni_ints, Avx512, 3 x 8, "avx512f,avx512vnni");

#[cfg(target_arch = "x86_64")]
mod bf16_pairs {
    use super::*;
    use crate::simd::Simd;

    pub(super) static LOOPS: PairLoops =
        PairLoops { width: 3 * Avx512::LANES, rows: 1, steps: 1, product: pair_product, round };

    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn pair_product(of: &PairProduct) {
        // SAFETY: the caller promises the pointers, and Isa::pair_loops the instructions.
        unsafe { product::<Avx512, Pairs, 3, 8>(of) }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn round(row: &[f32], to: &mut [Pair]) {
        bf16::round_to_pairs(row, to);
    }
}

#[cfg(target_arch = "x86_64")]
mod amx_ints {
    use super::*;

    pub(super) static LOOPS: IntLoops = IntLoops {
        width: amx::WIDTH,
        rows: amx::ROWS,
        steps: amx::STEPS,
        product: int_product,
        ..vnni_ints::LOOPS
    };

    #[target_feature(enable = "avx512f")]
    unsafe fn int_product(of: &IntProduct) {
        // SAFETY: the caller promises the pointers, and Isa::int_loops the instructions.
        unsafe { amx::product::<amx::ByteTiles, Bytes>(of) }
    }
}

#[cfg(target_arch = "x86_64")]
mod amx_pairs {
    use super::*;

    pub(super) static LOOPS: PairLoops = PairLoops {
        width: amx::WIDTH,
        rows: amx::ROWS,
        steps: amx::STEPS,
        product: pair_product,
        ..bf16_pairs::LOOPS
    };

    #[target_feature(enable = "avx512f")]
    unsafe fn pair_product(of: &PairProduct) {
        // SAFETY: the caller promises the pointers, and Isa::pair_loops the instructions.
        unsafe { amx::product::<amx::PairTiles, Pairs>(of) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far from the truth an activation may be: some roundings of what goes into it.
    const TOLERANCE: f64 = 4e-7;

    #[test]
    fn activations_are_what_they_should_be() {
        let erf = |x: f64| x / 2.0 * (1.0 + libm::erf(x / 2f64.sqrt()));
        let tanh = |x: f64| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x / 2.0 * (1.0 + inner.tanh())
        };
        let quick = |x: f64| x / (1.0 + (-1.702 * x).exp());
        let cases: [(Activation, &dyn Fn(f64) -> f64); 3] = [
            (Activation::Gelu, &erf),
            (Activation::GeluTanh, &tanh),
            (Activation::QuickGelu, &quick),
        ];
        for loops in Isa::ALL.into_iter().filter_map(Isa::loops) {
            for (activation, expected) in cases {
                for i in -40_000..40_000 {
                    let x = i as f32 / 2000.0;
                    let mut lanes = [x; 16];
                    // SAFETY: no register has more than sixteen lanes.
                    unsafe { (loops.activate)(activation, lanes.as_mut_ptr()) };
                    let expected = expected(f64::from(x));
                    let error =
                        (f64::from(lanes[0]) - expected).abs() / f64::from(x.abs().max(1.0));
                    assert!(error < TOLERANCE, "{activation:?}({x}): {}, not {expected}", lanes[0]);
                }
            }
        }
    }
}
