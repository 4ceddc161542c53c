//! The registers of AArch64: NEON.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Integers, Simd};

/// Four lanes, and integers of 16 bits in products.
pub(crate) type Neon = Registers<false>;

/// The same with the instructions for sums of products of bytes, `dotprod`: in all since Armv8.4, and in many before.
pub(crate) type NeonDot = Registers<true>;

pub(crate) struct Registers<const DOT: bool>;

// SAFETY (all blocks below): as the trait's caller promises.
impl<const DOT: bool> Simd for Registers<DOT> {
    type Vector = float32x4_t;
    const LANES: usize = 4;
    const STEPS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: the instructions are there, and so are the numbers.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: float32x4_t) {
        // SAFETY: the instructions are there, and so is the place.
        unsafe { vst1q_f32(to, x) }
    }

    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vminq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vmaxq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    unsafe fn add_to_exponent(x: float32x4_t, power: float32x4_t) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe {
            let power = vshlq_n_s32::<23>(vreinterpretq_s32_f32(power));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), power))
        }
    }

    #[inline(always)]
    unsafe fn load_steps(from: *const f32) -> float32x4_t {
        // SAFETY: as the caller promises.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn mul_step_add<const STEP: i32>(
        a: float32x4_t,
        b: float32x4_t,
        c: float32x4_t,
    ) -> float32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vfmaq_laneq_f32::<STEP>(c, b, a) }
    }
}

/// Without `dotprod`, of the eight weights of a register those of even steps come first: each of a row's two integers is
/// multiplied by four of them.
impl<const DOT: bool> Integers for Registers<DOT> {
    type Register = int32x4_t;
    const GROUP: usize = if DOT { 4 } else { 2 };
    // Both sides of a product of bytes are signed.
    const LEAST: i32 = if DOT { i8::MIN as i32 } else { 0 };

    #[inline(always)]
    unsafe fn spread(group: i32) -> int32x4_t {
        // SAFETY: the instructions are there.
        unsafe { vdupq_n_s32(group) }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> int32x4_t {
        // SAFETY: the instructions are there, and so are the weights.
        unsafe {
            if DOT {
                return vld1q_s32(from.cast());
            }
            let pairs = vld1_s8(from);
            let [even, odd] = [vuzp1_s8(pairs, pairs), vuzp2_s8(pairs, pairs)];
            vreinterpretq_s32_s16(vmovl_s8(vext_s8::<4>(even, odd)))
        }
    }

    #[inline(always)]
    unsafe fn dot(row: int32x4_t, weights: int32x4_t, sums: int32x4_t) -> int32x4_t {
        // SAFETY: as the caller promises.
        unsafe { Self::dot_step::<0>(row, weights, sums) }
    }

    #[inline(always)]
    unsafe fn load_groups(from: *const i32) -> int32x4_t {
        // SAFETY: the instructions are there, and so are the groups.
        unsafe { vld1q_s32(from) }
    }

    #[inline(always)]
    unsafe fn dot_step<const STEP: i32>(
        row: int32x4_t,
        weights: int32x4_t,
        sums: int32x4_t,
    ) -> int32x4_t {
        if DOT {
            let mut sums = sums;
            // The intrinsic is not stable yet.
            // SAFETY: the instruction is there, and does nothing but that.
            unsafe {
                asm!(
                    "sdot {sums:v}.4s, {weights:v}.16b, {row:v}.4b[{step}]",
                    sums = inlateout(vreg) sums,
                    weights = in(vreg) weights,
                    row = in(vreg) row,
                    step = const STEP,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            return sums;
        }
        // SAFETY: the instructions are there.
        unsafe {
            let (row, weights) = (vreinterpretq_s16_s32(row), vreinterpretq_s16_s32(weights));
            let even = vget_low_s16(weights);
            // A lane is a number that the compiler knows, and it knows no sum of one with another.
            match STEP {
                0 => {
                    let sums = vmlal_laneq_s16::<0>(sums, even, row);
                    vmlal_high_laneq_s16::<1>(sums, weights, row)
                }
                1 => {
                    let sums = vmlal_laneq_s16::<2>(sums, even, row);
                    vmlal_high_laneq_s16::<3>(sums, weights, row)
                }
                2 => {
                    let sums = vmlal_laneq_s16::<4>(sums, even, row);
                    vmlal_high_laneq_s16::<5>(sums, weights, row)
                }
                _ => {
                    let sums = vmlal_laneq_s16::<6>(sums, even, row);
                    vmlal_high_laneq_s16::<7>(sums, weights, row)
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn minus_product(a: int32x4_t, b: i32, c: *const i32) -> float32x4_t {
        // SAFETY: the instructions are there, and so are the integers.
        unsafe { vcvtq_f32_s32(vmlsq_s32(a, vdupq_n_s32(b), vld1q_s32(c))) }
    }

    #[inline(always)]
    unsafe fn store_integers(x: float32x4_t, to: *mut u8) {
        // SAFETY: the instructions are there, and so is the place, which need not be aligned.
        unsafe {
            let words = vmovn_u32(vreinterpretq_u32_f32(x));
            if DOT {
                let bytes = vmovn_u16(vcombine_u16(words, words));
                to.cast::<u32>().write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)));
            } else {
                vst1_u8(to, vreinterpret_u8_u16(vand_u16(words, vdup_n_u16(0xff))));
            }
        }
    }

    #[inline(always)]
    unsafe fn gather(x: float32x4_t, bits: u32, groups: *mut u32, sums: *mut i32) {
        // SAFETY: the instructions are there, and so are the places.
        unsafe {
            let x = vshlq_n_s32::<24>(vreinterpretq_s32_f32(x));
            vst1q_s32(sums, vsraq_n_s32::<24>(vld1q_s32(sums), x));
            // To the left by less than nothing is to the right.
            let byte = vshlq_u32(vreinterpretq_u32_s32(x), vdupq_n_s32(bits as i32 - 24));
            vst1q_u32(groups, vorrq_u32(vld1q_u32(groups), byte));
        }
    }
}
