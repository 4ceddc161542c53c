//! The registers of x86-64.

use std::arch::x86_64::*;

use super::{Integers, Simd, Words};

/// AVX-512F: sixteen lanes.
pub(crate) struct Avx512;

// SAFETY (all blocks below): as the trait's caller promises.
impl Simd for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: every x86-64 has the instruction, which does nothing for an address that is not there.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the instructions are there, and so are the numbers.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m512) {
        // SAFETY: the instructions are there, and so is the place.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn add_to_exponent(x: __m512, power: __m512) -> __m512 {
        // SAFETY: the instructions are there.
        unsafe {
            let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(power));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), power))
        }
    }
}

/// AVX2 and FMA: eight lanes.
pub(crate) struct Avx2;

// SAFETY (all blocks below): as the trait's caller promises.
impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: every x86-64 has the instruction, which does nothing for an address that is not there.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the instructions are there, and so are the numbers.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m256) {
        // SAFETY: the instructions are there, and so is the place.
        unsafe { _mm256_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn add_to_exponent(x: __m256, power: __m256) -> __m256 {
        // SAFETY: the instructions are there.
        unsafe {
            let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(power));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), power))
        }
    }
}

/// With VNNI.
impl Integers for Avx512 {
    type Register = __m512i;
    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn spread(group: i32) -> __m512i {
        // SAFETY: the instructions are there.
        unsafe { _mm512_set1_epi32(group) }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> __m512i {
        // SAFETY: the instructions are there, and so are the weights.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn dot(row: __m512i, weights: __m512i, sums: __m512i) -> __m512i {
        // SAFETY: the instructions are there.
        unsafe { _mm512_dpbusd_epi32(sums, row, weights) }
    }

    #[inline(always)]
    unsafe fn minus_product(a: __m512i, b: i32, c: *const i32) -> __m512 {
        // SAFETY: the instructions are there, and so are the integers.
        unsafe {
            let product = _mm512_mullo_epi32(_mm512_set1_epi32(b), _mm512_loadu_si512(c.cast()));
            _mm512_cvtepi32_ps(_mm512_sub_epi32(a, product))
        }
    }

    #[inline(always)]
    unsafe fn store_integers(x: __m512, to: *mut u8) {
        // SAFETY: the instructions are there, and so is the place.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(x))) }
    }

    #[inline(always)]
    unsafe fn gather(x: __m512, bits: u32, groups: *mut u32, sums: *mut i32) {
        // SAFETY: the instructions are there, and so are the places.
        unsafe {
            let x = _mm512_slli_epi32::<24>(_mm512_castps_si512(x));
            let before = _mm512_loadu_si512(sums.cast());
            let sum = _mm512_add_epi32(before, _mm512_srai_epi32::<24>(x));
            _mm512_storeu_si512(sums.cast(), sum);
            let byte = _mm512_srl_epi32(x, _mm_cvtsi32_si128(24 - bits as i32));
            let group = _mm512_or_si512(_mm512_loadu_si512(groups.cast()), byte);
            _mm512_storeu_si512(groups.cast(), group);
        }
    }
}

/// Without VNNI: AVX2's products of bytes would saturate.
impl Integers for Avx2 {
    type Register = __m256i;
    const GROUP: usize = 2;

    #[inline(always)]
    unsafe fn spread(group: i32) -> __m256i {
        // SAFETY: the instructions are there.
        unsafe { _mm256_set1_epi32(group) }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> __m256i {
        // SAFETY: the instructions are there, and so are the weights.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn dot(row: __m256i, weights: __m256i, sums: __m256i) -> __m256i {
        // SAFETY: the instructions are there.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(row, weights)) }
    }

    #[inline(always)]
    unsafe fn minus_product(a: __m256i, b: i32, c: *const i32) -> __m256 {
        // SAFETY: the instructions are there, and so are the integers.
        unsafe {
            let c = _mm256_loadu_si256(c.cast());
            let product = _mm256_mullo_epi32(_mm256_set1_epi32(b), c);
            _mm256_cvtepi32_ps(_mm256_sub_epi32(a, product))
        }
    }

    #[inline(always)]
    unsafe fn store_integers(x: __m256, to: *mut u8) {
        // SAFETY: the instructions are there, and so is the place.
        unsafe {
            let x = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0xff));
            let halves = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            _mm_storeu_si128(to.cast(), _mm_packus_epi32(halves.0, halves.1));
        }
    }

    #[inline(always)]
    unsafe fn gather(x: __m256, bits: u32, groups: *mut u32, sums: *mut i32) {
        // SAFETY: the instructions are there, and so are the places.
        unsafe {
            let x = _mm256_slli_epi32::<24>(_mm256_castps_si256(x));
            let before = _mm256_loadu_si256(sums.cast());
            let sum = _mm256_add_epi32(before, _mm256_srai_epi32::<24>(x));
            _mm256_storeu_si256(sums.cast(), sum);
            let byte = _mm256_srl_epi32(x, _mm_cvtsi32_si128(24 - bits as i32));
            let group = _mm256_or_si256(_mm256_loadu_si256(groups.cast()), byte);
            _mm256_storeu_si256(groups.cast(), group);
        }
    }
}

// SAFETY (all blocks below): the instructions are there, and so is what the pointers promise.
impl Words for Avx2 {
    #[inline(always)]
    unsafe fn load_words(from: *const i16) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(to: *mut i16, words: __m256i) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), words) }
    }

    #[inline(always)]
    unsafe fn add_words(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi16(a, b) }
    }

    #[inline(always)]
    unsafe fn sub_words(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sub_epi16(a, b) }
    }

    #[inline(always)]
    unsafe fn load_sums(from: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_sums(to: *mut i32, sums: __m256i) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), sums) }
    }

    #[inline(always)]
    unsafe fn add_sums(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn sub_sums(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sub_epi32(a, b) }
    }
}
