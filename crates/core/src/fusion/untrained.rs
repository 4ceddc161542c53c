//! A projection made of a seed, the same on every platform.

use super::linear::Affine;

/// Both sides of the projection of this seed: the first `text_dims` columns of a matrix with
/// orthonormal rows, scaled, and the rest of it. Needs `1 <= dims <= text_dims + image_dims`.
pub(super) fn projection(
    text_dims: usize,
    image_dims: usize,
    dims: usize,
    seed: u64,
) -> (Affine, Affine) {
    let total = text_dims + image_dims;
    // A random projection keeps dims / total of a squared length, on average.
    let scale = (total as f64 / dims as f64).sqrt();
    let side = |columns: usize| Affine {
        weight: Vec::with_capacity(dims * columns),
        bias: vec![0.0; dims],
    };
    let (mut text, mut image) = (side(text_dims), side(image_dims));
    for row in orthonormal_rows(dims, total, seed).chunks_exact(total) {
        let (of_text, of_image) = row.split_at(text_dims);
        text.weight.extend(of_text.iter().map(|x| (scale * x) as f32));
        image.weight.extend(of_image.iter().map(|x| (scale * x) as f32));
    }
    (text, image)
}

/// `rows` random orthonormal vectors of `width` entries, by modified Gram-Schmidt.
fn orthonormal_rows(rows: usize, width: usize, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64(seed);
    let mut done: Vec<f64> = Vec::with_capacity(rows * width);
    while done.len() < rows * width {
        let mut row: Vec<f64> = (0..width).map(|_| random.nearly_gaussian()).collect();
        let drawn = dot(&row, &row);
        subtract_projections(&mut row, &done);
        // Once more where most of the row went: rounding in what went is large beside what is left
        // ("twice is enough", Giraud and others 2005). For other rows once is as exact.
        if dot(&row, &row) < 0.25 * drawn {
            subtract_projections(&mut row, &done);
        }
        let left = dot(&row, &row);
        // All but in the span of the rows before it: what is left is rounding. Draw another. (It
        // takes a matrix of very few columns, or a look at all seeds, to see this happen.)
        if left <= drawn * 1e-20 {
            continue;
        }
        let length = left.sqrt();
        done.extend(row.into_iter().map(|x| x / length));
    }
    done
}

fn subtract_projections(row: &mut [f64], basis: &[f64]) {
    for other in basis.chunks_exact(row.len()) {
        let along = dot(row, other);
        for (x, y) in row.iter_mut().zip(other) {
            *x -= along * y;
        }
    }
}

/// Eight interleaved sums, then their sum: a fixed order that vector units can follow, where one
/// long sum would wait for each addition.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * y;
        }
    }
    for (sum, (x, y)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += x * y;
    }
    sums.iter().fold(0.0, |total, sum| total + sum)
}

/// The generator SplitMix64 (Steele, Lea and Flood 2014): any seed is a good one, and it is integers
/// only.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The sum of twelve uniform numbers from 0 to 1, less 6: mean 0 and variance 1, and close to a
    /// Gaussian up to three deviations. Exact: the sum is of integers, and a Gaussian proper would
    /// need a logarithm, which platforms round differently.
    fn nearly_gaussian(&mut self) -> f64 {
        let mut sum = 0u64;
        for _ in 0..6 {
            let bits = self.next();
            sum += (bits >> 32) + (bits & 0xffff_ffff);
        }
        // Six for the halves: a 32-bit number stands for the middle of its interval.
        let centred = sum.cast_signed() + 6 - (6 << 32);
        centred as f64 / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for the seed 1234567, as published with the generator's reference code.
    #[test]
    fn generator_is_splitmix64() {
        let mut random = SplitMix64(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn entries_have_mean_0_and_variance_1() {
        let mut random = SplitMix64(3);
        let draws: Vec<f64> = (0..100_000).map(|_| random.nearly_gaussian()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn rows_are_orthonormal_even_where_they_fill_the_space() {
        for (rows, width) in [(1, 1), (2, 2), (3, 17), (64, 64), (50, 90)] {
            for seed in 0..5 {
                let matrix = orthonormal_rows(rows, width, seed);
                for (i, a) in matrix.chunks(width).enumerate() {
                    for (j, b) in matrix.chunks(width).enumerate() {
                        let expected = if i == j { 1.0 } else { 0.0 };
                        assert!((dot(a, b) - expected).abs() < 1e-12, "{rows}x{width} {i} {j}");
                    }
                }
            }
        }
    }
}
