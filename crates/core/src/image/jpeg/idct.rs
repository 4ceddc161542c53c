//! The inverse discrete cosine transform of libjpeg's "islow" method, bit for bit.
//!
//! Loeffler, Ligtenberg and Moschytz with 13-bit constants: columns first, 2 more bits kept between
//! the passes. The products are regrouped as libjpeg-turbo's vector code has them, which is the same
//! sum of integers: each factor is then a 16-bit number, and compilers find the machine's 16-bit
//! multiply. Like that code, and unlike the C one, values out of range saturate.

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

const F_0_298: i32 = 2446;
const F_0_390: i32 = 3196;
const F_0_541: i32 = 4433;
const F_0_765: i32 = 6270;
const F_0_899: i32 = 7373;
const F_1_175: i32 = 9633;
const F_1_501: i32 = 12299;
const F_1_847: i32 = 15137;
const F_1_961: i32 = 16069;
const F_2_053: i32 = 16819;
const F_2_562: i32 = 20995;
const F_3_072: i32 = 25172;

type Lanes = [i16; 8];

/// The 8 x 8 samples of a block of dequantised coefficients (both row by row), written to `out` with
/// rows `stride` apart. `out` must hold seven strides and eight samples.
#[inline]
pub(super) fn block(coefficients: &[i16; 64], out: &mut [u8], stride: usize) {
    let (rows, _) = coefficients.as_chunks::<8>();
    let mut work = [[0i16; 8]; 8];
    for (lanes, row) in work.iter_mut().zip(rows) {
        *lanes = *row;
    }
    let columns = pass::<{ CONST_BITS - PASS1_BITS }>(&work);
    let samples = pass::<{ CONST_BITS + PASS1_BITS + 3 }>(&transposed(&columns));
    let samples = transposed(&samples);
    for (line, row) in out.chunks_mut(stride).zip(&samples) {
        for (out, &sample) in line.iter_mut().zip(row) {
            *out = (sample.clamp(-128, 127) + 128) as u8;
        }
    }
}

/// [`block`] where only the first coefficient is not zero.
#[inline]
pub(super) fn flat_block(dc: i16, out: &mut [u8], stride: usize) {
    let sample = (i32::from(dc) + (1 << PASS1_BITS)) >> (PASS1_BITS + 1);
    let sample = (sample.clamp(-128, 127) + 128) as u8;
    for line in out.chunks_mut(stride).take(8) {
        for out in line.iter_mut().take(8) {
            *out = sample;
        }
    }
}

#[inline(always)]
fn transposed(rows: &[Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[0; 8]; 8];
    for (i, row) in rows.iter().enumerate() {
        for (j, &x) in row.iter().enumerate() {
            out[j][i] = x;
        }
    }
    out
}

/// One pass of eight transforms at once: `input[k][lane]` is coefficient k of the lane's transform.
#[inline(always)]
fn pass<const SHIFT: u32>(input: &[Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[0i16; 8]; 8];
    let round = 1 << (SHIFT - 1);
    for lane in 0..8 {
        let x: [i32; 8] = std::array::from_fn(|k| i32::from(input[k][lane]));

        // The even part.
        let t2 = x[2] * F_0_541 + x[6] * (F_0_541 - F_1_847);
        let t3 = x[2] * (F_0_541 + F_0_765) + x[6] * F_0_541;
        // In 16 bits, as the vector code adds them.
        let sum = input[0][lane].wrapping_add(input[4][lane]);
        let difference = input[0][lane].wrapping_sub(input[4][lane]);
        let t0 = (i32::from(sum) << CONST_BITS) + round;
        let t1 = (i32::from(difference) << CONST_BITS) + round;
        // Wrapping from here on: only coefficients that no encoder writes come near the limits.
        let even =
            [t0.wrapping_add(t3), t1.wrapping_add(t2), t1.wrapping_sub(t2), t0.wrapping_sub(t3)];

        // The odd part.
        let z3 = i32::from(input[7][lane].wrapping_add(input[3][lane]));
        let z4 = i32::from(input[5][lane].wrapping_add(input[1][lane]));
        let y3 = z3 * (F_1_175 - F_1_961) + z4 * F_1_175;
        let y4 = z3 * F_1_175 + z4 * (F_1_175 - F_0_390);
        let odd = [
            (x[7] * -F_0_899 + x[1] * (F_1_501 - F_0_899)).wrapping_add(y4),
            (x[5] * -F_2_562 + x[3] * (F_3_072 - F_2_562)).wrapping_add(y3),
            (x[5] * (F_2_053 - F_2_562) + x[3] * -F_2_562).wrapping_add(y4),
            (x[7] * (F_0_298 - F_0_899) + x[1] * -F_0_899).wrapping_add(y3),
        ];

        for k in 0..4 {
            out[k][lane] = saturate(even[k].wrapping_add(odd[k]) >> SHIFT);
            out[7 - k][lane] = saturate(even[k].wrapping_sub(odd[k]) >> SHIFT);
        }
    }
    out
}

#[inline(always)]
fn saturate(x: i32) -> i16 {
    x.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform by its definition, in floating point.
    fn by_definition(coefficients: &[i16; 64]) -> [f64; 64] {
        let mut out = [0.0; 64];
        for y in 0..8 {
            for x in 0..8 {
                let mut sum = 0.0;
                for v in 0..8 {
                    for u in 0..8 {
                        let c = |k: usize| if k == 0 { 0.5f64.sqrt() } else { 1.0 };
                        let angle = |i: usize, k: usize| {
                            ((2 * i + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
                        };
                        sum += c(u)
                            * c(v)
                            * f64::from(coefficients[v * 8 + u])
                            * angle(x, u)
                            * angle(y, v);
                    }
                }
                out[y * 8 + x] = (sum / 4.0 + 128.0).clamp(0.0, 255.0);
            }
        }
        out
    }

    #[test]
    fn close_to_the_definition() {
        let mut state = 1u32;
        let mut random = |span: i32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as i32 % (2 * span + 1) - span) as i16
        };
        for trial in 0..200 {
            let mut coefficients = [0; 64];
            coefficients[0] = random(900);
            for (c, k) in coefficients.iter_mut().zip(0i32..).skip(1) {
                *c = random((300 / k).max(2));
            }
            let mut out = [0; 64];
            block(&coefficients, &mut out, 8);
            let expected = by_definition(&coefficients);
            for (k, (a, b)) in out.iter().zip(expected).enumerate() {
                assert!((f64::from(*a) - b).abs() < 1.01, "trial {trial}, sample {k}: {a}, {b}");
            }
        }
    }

    #[test]
    fn the_short_cut_for_flat_blocks_is_exact() {
        for dc in (-2100..2100).chain([i16::MIN, i16::MAX]) {
            let mut coefficients = [0; 64];
            coefficients[0] = dc;
            let (mut a, mut b) = ([0; 64], [0; 64]);
            block(&coefficients, &mut a, 8);
            flat_block(dc, &mut b, 8);
            if (-8192..8191).contains(&dc) {
                assert_eq!(a, b, "{dc}");
            }
        }
    }
}
