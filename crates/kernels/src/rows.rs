//! What is done to a row at a time: softmax, sums and layer normalisation.

use crate::math::exp;
use crate::simd::Simd;

/// Softmax of `scale * row + mask`, in place. The row's last lanes up to a full register are scratch, and
/// are zero afterwards.
///
/// # Safety
///
/// That of [`Simd`]. `row` is valid for `n` numbers rounded up to full registers; `mask` is null, or as long.
#[inline(always)]
pub(crate) unsafe fn softmax<S: Simd>(row: *mut f32, n: usize, scale: f32, mask: *const f32) {
    let padded = n.next_multiple_of(S::LANES);
    // SAFETY: inside of what the caller promises.
    unsafe {
        let scale = S::splat(scale);
        let mut largest = S::splat(f32::NEG_INFINITY);
        for i in (0..padded).step_by(S::LANES) {
            let mut x = S::mul(S::load(row.add(i)), scale);
            if !mask.is_null() {
                x = S::add(x, S::load(mask.add(i)));
            }
            S::store(row.add(i), x);
            if i + S::LANES > n {
                for lane in n..padded {
                    *row.add(lane) = f32::NEG_INFINITY;
                }
                x = S::load(row.add(i));
            }
            largest = S::max(x, largest);
        }
        let largest = S::splat(S::fold(largest, f32::max));
        let mut sum = S::splat(0.0);
        for i in (0..padded).step_by(S::LANES) {
            let x = exp::<S>(S::sub(S::load(row.add(i)), largest));
            S::store(row.add(i), x);
            if i + S::LANES > n {
                for lane in n..padded {
                    *row.add(lane) = 0.0;
                }
            }
            sum = S::add(sum, S::load(row.add(i)));
        }
        let inverse = S::splat(1.0 / S::fold(sum, |a, b| a + b));
        for i in (0..padded).step_by(S::LANES) {
            S::store(row.add(i), S::mul(S::load(row.add(i)), inverse));
        }
    }
}

/// `to = a + b`.
///
/// # Safety
///
/// That of [`Simd`]. All are valid for `n` numbers; `to` may be `a` or `b`.
#[inline(always)]
pub(crate) unsafe fn add<S: Simd>(to: *mut f32, a: *const f32, b: *const f32, n: usize) {
    let whole = n - n % S::LANES;
    // SAFETY: inside of what the caller promises.
    unsafe {
        for i in (0..whole).step_by(S::LANES) {
            S::store(to.add(i), S::add(S::load(a.add(i)), S::load(b.add(i))));
        }
        for i in whole..n {
            *to.add(i) = *a.add(i) + *b.add(i);
        }
    }
}

/// `to = (row - mean) / sqrt(variance + epsilon) * gamma + beta`.
///
/// # Safety
///
/// That of [`Simd`]. All are valid for `n` numbers; `to` may be `row`.
#[inline(always)]
pub(crate) unsafe fn normalize<S: Simd>(
    to: *mut f32,
    row: *const f32,
    (gamma, beta): (*const f32, *const f32),
    epsilon: f32,
    n: usize,
) {
    let whole = n - n % S::LANES;
    let plus = |a: f32, b: f32| a + b;
    // SAFETY: inside of what the caller promises.
    unsafe {
        let mut sums = S::splat(0.0);
        for i in (0..whole).step_by(S::LANES) {
            sums = S::add(sums, S::load(row.add(i)));
        }
        let mut sum = S::fold(sums, plus);
        for i in whole..n {
            sum += *row.add(i);
        }
        let mean = sum / n as f32;

        let means = S::splat(mean);
        let mut squares = S::splat(0.0);
        for i in (0..whole).step_by(S::LANES) {
            let distance = S::sub(S::load(row.add(i)), means);
            squares = S::mul_add(distance, distance, squares);
        }
        let mut square = S::fold(squares, plus);
        for i in whole..n {
            square += (*row.add(i) - mean) * (*row.add(i) - mean);
        }
        let factor = 1.0 / (square / n as f32 + epsilon).sqrt();

        let factors = S::splat(factor);
        for i in (0..whole).step_by(S::LANES) {
            let x = S::mul(S::sub(S::load(row.add(i)), means), factors);
            let x = S::add(S::mul(x, S::load(gamma.add(i))), S::load(beta.add(i)));
            S::store(to.add(i), x);
        }
        for i in whole..n {
            *to.add(i) = (*row.add(i) - mean) * factor * *gamma.add(i) + *beta.add(i);
        }
    }
}
