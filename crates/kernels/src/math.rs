//! exp, erf and the activations made of them, on registers.
//!
//! exp is Cephes' `expf` (S. Moshier, 1992), erf the rational function that Eigen has
//! (`generic_fast_erf_float`). `isa`'s tests hold the activations against them in `f64`.

use crate::simd::Simd;

/// A number whose last bit has the value 1, so that adding it rounds to an integer, in its lowest bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// What comes after the first of an encoder's two products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x / 2 * (1 + erf(x / sqrt(2)))`, GELU itself.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
    GeluTanh,
    /// `x * sigmoid(1.702 * x)`, CLIP's.
    QuickGelu,
}

/// e to the x; the result for less than -86 is that for -86, about 4e-38. NaN is kept.
///
/// # Safety
///
/// That of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::Vector) -> S::Vector {
    const COEFFICIENTS: [f32; 5] =
        [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
    // SAFETY: as the caller promises.
    unsafe {
        // The bound comes first: so a NaN is what is left.
        let x = S::max(S::splat(-86.0), S::min(S::splat(88.0), x));
        let power = S::mul_add(x, S::splat(std::f32::consts::LOG2_E), S::splat(ROUND));
        let n = S::sub(power, S::splat(ROUND));
        // ln(2) in two parts, of which the first has so few bits that its product with n is exact.
        let r = S::mul_add(n, S::splat(-0.693_359_4), x);
        let r = S::mul_add(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for c in COEFFICIENTS {
            p = S::mul_add(p, r, S::splat(c));
        }
        let y = S::add(S::mul_add(p, S::mul(r, r), r), S::splat(1.0));
        // Zero, or NaN: whatever adding to the exponent makes of it.
        S::add(S::add_to_exponent(y, power), S::sub(x, x))
    }
}

/// The error function. NaN is kept.
///
/// # Safety
///
/// That of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn erf<S: Simd>(x: S::Vector) -> S::Vector {
    const ODD: [f32; 6] = [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const EVEN: [f32; 4] = [-2.133_740_6e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_473_9e-2];
    // SAFETY: as the caller promises.
    unsafe {
        let x = S::max(S::splat(-4.0), S::min(S::splat(4.0), x));
        let square = S::mul(x, x);
        let mut above = S::splat(-2.726_142_3e-10);
        for c in ODD {
            above = S::mul_add(above, square, S::splat(c));
        }
        let mut below = S::splat(-1.456_607_2e-5);
        for c in EVEN {
            below = S::mul_add(below, square, S::splat(c));
        }
        S::div(S::mul(x, above), below)
    }
}

/// `x` after the activation.
///
/// # Safety
///
/// That of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(activation: Activation, x: S::Vector) -> S::Vector {
    // SAFETY: as the caller promises.
    unsafe {
        match activation {
            Activation::Gelu => {
                let erf = erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2)));
                S::mul(S::mul(x, S::splat(0.5)), S::add(erf, S::splat(1.0)))
            }
            // (1 + tanh(u)) / 2 is 1 / (1 + e^(-2u)).
            Activation::GeluTanh => {
                let cubic = S::mul_add(S::mul(x, x), S::splat(0.044_715), S::splat(1.0));
                times_sigmoid::<S>(x, S::mul(S::mul(x, S::splat(-1.595_769)), cubic))
            }
            Activation::QuickGelu => times_sigmoid::<S>(x, S::mul(x, S::splat(-1.702))),
        }
    }
}

/// `x / (1 + e^minus_u)`.
///
/// # Safety
///
/// That of [`Simd`].
#[inline(always)]
unsafe fn times_sigmoid<S: Simd>(x: S::Vector, minus_u: S::Vector) -> S::Vector {
    // SAFETY: as the caller promises.
    unsafe { S::div(x, S::add(exp::<S>(minus_u), S::splat(1.0))) }
}
