//! Four `f32` side by side: a register of WebAssembly, or an array elsewhere.

/// Four numbers.
#[derive(Clone, Copy)]
pub(crate) struct F32x4(imp::Repr);

impl F32x4 {
    #[inline(always)]
    pub(crate) fn splat(x: f32) -> Self {
        F32x4(imp::splat(x))
    }

    /// # Safety
    ///
    /// `from` is readable for four numbers; it need not be aligned.
    #[inline(always)]
    pub(crate) unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller promises.
        F32x4(unsafe { imp::load(from) })
    }

    /// # Safety
    ///
    /// `to` is writable for four numbers; it need not be aligned.
    #[inline(always)]
    pub(crate) unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller promises.
        unsafe { imp::store(to, self.0) }
    }

    #[inline(always)]
    pub(crate) fn to_array(self) -> [f32; 4] {
        let mut array = [0.0; 4];
        // SAFETY: the array has four numbers.
        unsafe { self.store(array.as_mut_ptr()) };
        array
    }

    #[inline(always)]
    pub(crate) fn from_array(array: [f32; 4]) -> Self {
        // SAFETY: the array has four numbers.
        unsafe { Self::load(array.as_ptr()) }
    }

    #[inline(always)]
    pub(crate) fn add(self, other: Self) -> Self {
        F32x4(imp::add(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn sub(self, other: Self) -> Self {
        F32x4(imp::sub(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn mul(self, other: Self) -> Self {
        F32x4(imp::mul(self.0, other.0))
    }

    /// `self + a * b`, rounded twice, so that the sum is the same on every machine.
    #[inline(always)]
    pub(crate) fn add_product(self, a: Self, b: Self) -> Self {
        self.add(a.mul(b))
    }

    #[inline(always)]
    pub(crate) fn div(self, other: Self) -> Self {
        F32x4(imp::div(self.0, other.0))
    }

    /// Adds the lowest bits of `power`, an integer, to the exponents.
    #[inline(always)]
    pub(crate) fn add_to_exponent(self, power: Self) -> Self {
        F32x4(imp::add_to_exponent(self.0, power.0))
    }

    #[inline(always)]
    pub(crate) fn min(self, other: Self) -> Self {
        F32x4(imp::min(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        F32x4(imp::max(self.0, other.0))
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod imp {
    use std::arch::wasm32;

    pub(super) use wasm32::{
        f32x4_add as add, f32x4_div as div, f32x4_mul as mul, f32x4_splat as splat,
        f32x4_sub as sub, v128 as Repr,
    };

    // Not `f32x4_min`, which takes six instructions of x86-64 to find NaN and tell zeros apart. These are one each, and
    // give `b` where either is NaN, as x86-64 does.
    #[inline(always)]
    pub(super) fn min(a: Repr, b: Repr) -> Repr {
        wasm32::f32x4_pmin(b, a)
    }

    #[inline(always)]
    pub(super) fn max(a: Repr, b: Repr) -> Repr {
        wasm32::f32x4_pmax(b, a)
    }

    #[inline(always)]
    pub(super) fn add_to_exponent(x: Repr, power: Repr) -> Repr {
        wasm32::i32x4_add(x, wasm32::i32x4_shl(power, 23))
    }

    #[inline(always)]
    pub(super) unsafe fn load(from: *const f32) -> Repr {
        // SAFETY: readable, as the caller promises; v128.load needs no alignment.
        unsafe { wasm32::v128_load(from.cast()) }
    }

    #[inline(always)]
    pub(super) unsafe fn store(to: *mut f32, x: Repr) {
        // SAFETY: writable, as the caller promises; v128.store needs no alignment.
        unsafe { wasm32::v128_store(to.cast(), x) }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod imp {
    pub(super) type Repr = [f32; 4];

    #[inline(always)]
    pub(super) fn splat(x: f32) -> Repr {
        [x; 4]
    }

    #[inline(always)]
    pub(super) unsafe fn load(from: *const f32) -> Repr {
        // SAFETY: readable, as the caller promises.
        unsafe { from.cast::<Repr>().read_unaligned() }
    }

    #[inline(always)]
    pub(super) unsafe fn store(to: *mut f32, x: Repr) {
        // SAFETY: writable, as the caller promises.
        unsafe { to.cast::<Repr>().write_unaligned(x) }
    }

    fn each(a: Repr, b: Repr, f: impl Fn(f32, f32) -> f32) -> Repr {
        std::array::from_fn(|i| f(a[i], b[i]))
    }

    pub(super) fn add(a: Repr, b: Repr) -> Repr {
        each(a, b, |a, b| a + b)
    }

    pub(super) fn sub(a: Repr, b: Repr) -> Repr {
        each(a, b, |a, b| a - b)
    }

    pub(super) fn mul(a: Repr, b: Repr) -> Repr {
        each(a, b, |a, b| a * b)
    }

    pub(super) fn div(a: Repr, b: Repr) -> Repr {
        each(a, b, |a, b| a / b)
    }

    // `b` where either is NaN.
    pub(super) fn min(a: Repr, b: Repr) -> Repr {
        each(a, b, |a, b| if a < b { a } else { b })
    }

    pub(super) fn max(a: Repr, b: Repr) -> Repr {
        each(a, b, |a, b| if a > b { a } else { b })
    }

    pub(super) fn add_to_exponent(x: Repr, power: Repr) -> Repr {
        each(x, power, |x, power| f32::from_bits(x.to_bits().wrapping_add(power.to_bits() << 23)))
    }
}
