//! Four lanes: WebAssembly's registers, or arrays, which every compiler knows how to put into registers.

use super::{Integers, Simd, Words};
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

impl Integers for Lanes4 {
    type Register = imp::Register;
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn spread(group: i32) -> imp::Register {
        imp::spread(group)
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> imp::Register {
        // SAFETY: as the caller promises.
        unsafe { imp::load_weights(from) }
    }

    #[inline(always)]
    unsafe fn dot(
        row: imp::Register,
        weights: imp::Register,
        sums: imp::Register,
    ) -> imp::Register {
        imp::dot(row, weights, sums)
    }

    #[inline(always)]
    unsafe fn minus_product(a: imp::Register, b: i32, c: *const i32) -> F32x4 {
        // SAFETY: as the caller promises.
        F32x4::from_array(unsafe { imp::minus_product(a, b, c) })
    }

    #[inline(always)]
    unsafe fn store_integers(x: F32x4, to: *mut u8) {
        // SAFETY: as the caller promises.
        unsafe { imp::store_integers(x.to_array(), to) }
    }

    #[inline(always)]
    unsafe fn gather(x: F32x4, bits: u32, groups: *mut u32, sums: *mut i32) {
        // SAFETY: as the caller promises.
        unsafe { imp::gather(x.to_array(), bits, groups, sums) }
    }
}

impl Words for Lanes4 {
    #[inline(always)]
    unsafe fn load_words(from: *const i16) -> imp::Register {
        // SAFETY: a register's bytes, as the caller promises.
        unsafe { imp::load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(to: *mut i16, words: imp::Register) {
        // SAFETY: a register's bytes, as the caller promises.
        unsafe { imp::store(to.cast(), words) }
    }

    #[inline(always)]
    unsafe fn add_words(a: imp::Register, b: imp::Register) -> imp::Register {
        imp::add_words(a, b)
    }

    #[inline(always)]
    unsafe fn sub_words(a: imp::Register, b: imp::Register) -> imp::Register {
        imp::sub_words(a, b)
    }

    #[inline(always)]
    unsafe fn load_sums(from: *const i32) -> imp::Register {
        // SAFETY: a register's bytes, as the caller promises.
        unsafe { imp::load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_sums(to: *mut i32, sums: imp::Register) {
        // SAFETY: a register's bytes, as the caller promises.
        unsafe { imp::store(to.cast(), sums) }
    }

    #[inline(always)]
    unsafe fn add_sums(a: imp::Register, b: imp::Register) -> imp::Register {
        imp::add_sums(a, b)
    }

    #[inline(always)]
    unsafe fn sub_sums(a: imp::Register, b: imp::Register) -> imp::Register {
        imp::sub_sums(a, b)
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod imp {
    use std::arch::wasm32::*;

    pub(crate) use std::arch::wasm32::{
        i16x8_add as add_words, i16x8_sub as sub_words, i32x4_add as add_sums,
        i32x4_sub as sub_sums,
    };

    pub(crate) type Register = v128;

    #[inline(always)]
    pub(crate) fn spread(group: i32) -> v128 {
        i32x4_splat(group)
    }

    #[inline(always)]
    pub(crate) unsafe fn load(from: *const u8) -> v128 {
        // SAFETY: as the caller promises.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    pub(crate) unsafe fn store(to: *mut u8, register: v128) {
        // SAFETY: as the caller promises.
        unsafe { v128_store(to.cast(), register) }
    }

    #[inline(always)]
    pub(crate) unsafe fn load_weights(from: *const i8) -> v128 {
        // SAFETY: as the caller promises.
        unsafe { i16x8_load_extend_i8x8(from) }
    }

    #[inline(always)]
    pub(crate) fn dot(row: v128, weights: v128, sums: v128) -> v128 {
        i32x4_add(sums, i32x4_dot_i16x8(row, weights))
    }

    #[inline(always)]
    pub(crate) unsafe fn minus_product(a: v128, b: i32, c: *const i32) -> [f32; 4] {
        // SAFETY: as the caller promises.
        let product = i32x4_mul(i32x4_splat(b), unsafe { v128_load(c.cast()) });
        let x = f32x4_convert_i32x4(i32x4_sub(a, product));
        // SAFETY: both are sixteen bytes.
        unsafe { std::mem::transmute::<v128, [f32; 4]>(x) }
    }

    #[inline(always)]
    pub(crate) unsafe fn gather(x: [f32; 4], bits: u32, groups: *mut u32, sums: *mut i32) {
        // SAFETY: both are sixteen bytes.
        let x = i32x4_shl(unsafe { std::mem::transmute::<[f32; 4], v128>(x) }, 24);
        // SAFETY: as the caller promises.
        unsafe {
            let sum = i32x4_add(v128_load(sums.cast()), i32x4_shr(x, 24));
            v128_store(sums.cast(), sum);
            let group = v128_or(v128_load(groups.cast()), u32x4_shr(x, 24 - bits));
            v128_store(groups.cast(), group);
        }
    }

    #[inline(always)]
    pub(crate) unsafe fn store_integers(x: [f32; 4], to: *mut u8) {
        // SAFETY: both are sixteen bytes.
        let x = unsafe { std::mem::transmute::<[f32; 4], v128>(x) };
        let integers = v128_and(x, i32x4_splat(0xff));
        // SAFETY: eight bytes, as the caller promises.
        unsafe { v128_store64_lane::<0>(i16x8_narrow_i32x4(integers, integers), to.cast()) }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod imp {
    use std::array::from_fn;

    /// Eight integers of 16 bits, or four sums of 32.
    #[derive(Clone, Copy)]
    pub(crate) struct Register([i32; 4]);

    impl Register {
        #[inline(always)]
        fn pairs(self) -> [[i16; 2]; 4] {
            self.0.map(|pair| [pair as i16, (pair >> 16) as i16])
        }
    }

    #[inline(always)]
    pub(crate) fn spread(group: i32) -> Register {
        Register([group; 4])
    }

    /// What is done to each integer of 16 bits.
    #[inline(always)]
    fn words(a: Register, b: Register, with: impl Fn(i16, i16) -> i16) -> Register {
        let (a, b) = (a.pairs(), b.pairs());
        let word = |i: usize, j: usize| i32::from(with(a[i][j], b[i][j]));
        Register(from_fn(|i| word(i, 0) & 0xffff | word(i, 1) << 16))
    }

    #[inline(always)]
    pub(crate) fn add_words(a: Register, b: Register) -> Register {
        words(a, b, i16::wrapping_add)
    }

    #[inline(always)]
    pub(crate) fn sub_words(a: Register, b: Register) -> Register {
        words(a, b, i16::wrapping_sub)
    }

    #[inline(always)]
    pub(crate) fn add_sums(a: Register, b: Register) -> Register {
        Register(from_fn(|i| a.0[i].wrapping_add(b.0[i])))
    }

    #[inline(always)]
    pub(crate) fn sub_sums(a: Register, b: Register) -> Register {
        Register(from_fn(|i| a.0[i].wrapping_sub(b.0[i])))
    }

    #[inline(always)]
    pub(crate) unsafe fn load(from: *const u8) -> Register {
        // SAFETY: as the caller promises.
        Register(unsafe { from.cast::<[i32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    pub(crate) unsafe fn store(to: *mut u8, register: Register) {
        // SAFETY: as the caller promises.
        unsafe { to.cast::<[i32; 4]>().write_unaligned(register.0) }
    }

    #[inline(always)]
    pub(crate) unsafe fn load_weights(from: *const i8) -> Register {
        // SAFETY: as the caller promises.
        let weights = unsafe { from.cast::<[[i8; 2]; 4]>().read_unaligned() };
        Register(weights.map(|[a, b]| i32::from(a) & 0xffff | i32::from(b) << 16))
    }

    #[inline(always)]
    pub(crate) fn dot(row: Register, weights: Register, sums: Register) -> Register {
        let (row, weights) = (row.pairs(), weights.pairs());
        let product = |i: usize, j: usize| i32::from(row[i][j]) * i32::from(weights[i][j]);
        Register(from_fn(|i| sums.0[i].wrapping_add(product(i, 0)).wrapping_add(product(i, 1))))
    }

    #[inline(always)]
    pub(crate) unsafe fn minus_product(a: Register, b: i32, c: *const i32) -> [f32; 4] {
        // SAFETY: as the caller promises.
        let c = unsafe { c.cast::<[i32; 4]>().read_unaligned() };
        from_fn(|i| (a.0[i] - b * c[i]) as f32)
    }

    #[inline(always)]
    pub(crate) unsafe fn gather(x: [f32; 4], bits: u32, groups: *mut u32, sums: *mut i32) {
        for (i, x) in x.into_iter().enumerate() {
            let byte = x.to_bits() as u8;
            // SAFETY: as the caller promises.
            unsafe {
                *sums.add(i) += i32::from(byte.cast_signed());
                *groups.add(i) |= u32::from(byte) << bits;
            }
        }
    }

    #[inline(always)]
    pub(crate) unsafe fn store_integers(x: [f32; 4], to: *mut u8) {
        // Lowest bits first, so these are 16 of each lane, of which the upper eight are not the integer's.
        let integers = x.map(|x| x.to_bits() as u16 & 0xff);
        // SAFETY: as the caller promises.
        unsafe { to.cast::<[u16; 4]>().write_unaligned(integers) }
    }
}
