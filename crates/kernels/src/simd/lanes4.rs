//! Four lanes: WebAssembly's registers, or arrays, which every compiler knows how to put into registers.

use super::Simd;
use crate::lanes::F32x4;

pub(crate) struct Lanes4;

// SAFETY (all blocks below): as the trait's caller promises.
impl Simd for Lanes4 {
    type Vector = F32x4;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> F32x4 {
        F32x4::splat(x)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> F32x4 {
        // SAFETY: as the caller promises.
        unsafe { F32x4::load(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: F32x4) {
        // SAFETY: as the caller promises.
        unsafe { x.store(to) }
    }

    #[inline(always)]
    unsafe fn add(a: F32x4, b: F32x4) -> F32x4 {
        a.add(b)
    }

    #[inline(always)]
    unsafe fn sub(a: F32x4, b: F32x4) -> F32x4 {
        a.sub(b)
    }

    #[inline(always)]
    unsafe fn mul(a: F32x4, b: F32x4) -> F32x4 {
        a.mul(b)
    }

    #[inline(always)]
    unsafe fn div(a: F32x4, b: F32x4) -> F32x4 {
        a.div(b)
    }

    #[inline(always)]
    unsafe fn min(a: F32x4, b: F32x4) -> F32x4 {
        a.min(b)
    }

    #[inline(always)]
    unsafe fn max(a: F32x4, b: F32x4) -> F32x4 {
        a.max(b)
    }

    #[inline(always)]
    unsafe fn mul_add(a: F32x4, b: F32x4, c: F32x4) -> F32x4 {
        c.add_product(a, b)
    }

    #[inline(always)]
    unsafe fn add_to_exponent(x: F32x4, power: F32x4) -> F32x4 {
        x.add_to_exponent(power)
    }
}
