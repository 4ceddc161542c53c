//! Pillow's resampling filters and their coefficients.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How pixels are interpolated: Pillow's filters, under Pillow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Filter {
    /// The nearest pixel (Pillow's number 0).
    Nearest,
    /// Lanczos over three lobes (1).
    Lanczos,
    /// A triangle (2).
    Bilinear,
    /// A cubic with a = -0.5 (3).
    Bicubic,
    /// The mean of the pixels covered (4).
    Box,
    /// A triangle smoothed by a cosine (5).
    Hamming,
}

impl Filter {
    /// The filter of this number in Pillow, which is what `resample` is in a
    /// `preprocessor_config.json`.
    pub(super) fn from_pillow(number: u64) -> Option<Self> {
        Some(match number {
            0 => Filter::Nearest,
            1 => Filter::Lanczos,
            2 => Filter::Bilinear,
            3 => Filter::Bicubic,
            4 => Filter::Box,
            5 => Filter::Hamming,
            _ => return None,
        })
    }

    /// How far it reaches, in pixels of the smaller of the two images.
    fn support(self) -> f64 {
        match self {
            Filter::Nearest => 0.0,
            Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// Its value, computed in the order of Pillow's C.
    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let sinc = |x: f64| {
            if x == 0.0 {
                return 1.0;
            }
            let x = x * std::f64::consts::PI;
            x.sin() / x
        };
        let distance = x.abs();
        match self {
            Filter::Nearest => 0.0,
            Filter::Box => f64::from(x > -0.5 && x <= 0.5),
            Filter::Bilinear if distance < 1.0 => 1.0 - distance,
            Filter::Hamming if distance == 0.0 => 1.0,
            Filter::Hamming if distance < 1.0 => {
                let x = distance * std::f64::consts::PI;
                // The C has these two as single-precision constants.
                x.sin() / x * (f64::from(0.54f32) + f64::from(0.46f32) * x.cos())
            }
            Filter::Bicubic if distance < 1.0 => {
                ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
            }
            Filter::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
            }
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// Fractional bits of a coefficient: 8 for the result, and 2 to spare for filters that overshoot.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Bits of the lower part of a coefficient.
pub(super) const LOW_BITS: u32 = 11;

/// The taps are a multiple of this, to be summed in whole vectors.
pub(super) const LANES: usize = 16;

/// For each pixel of a resized line, the weights of the source pixels that it is made of.
///
/// A weight of 22 fractional bits is kept as two numbers of 16 bits, high x 2^11 + low, since machines
/// multiply 16-bit numbers two to four times as fast as 32-bit ones. The sums are the same integers.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// The number of weights kept for each pixel, unused ones being zero.
    pub(super) taps: usize,
    /// The first source pixel, and how many there are, of each pixel.
    pub(super) bounds: Vec<(usize, usize)>,
    pub(super) high: Vec<i16>,
    pub(super) low: Vec<i16>,
}

impl Weights {
    /// The weights for `wanted` of `target` pixels made from `source` pixels.
    pub(super) fn new(filter: Filter, source: usize, target: usize, wanted: Range<usize>) -> Self {
        let scale = source as f64 / target as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let inverse = 1.0 / filter_scale;
        let bound = |x: usize| {
            let center = (x as f64 + 0.5) * scale;
            // Casts of negative numbers give 0 here, as Pillow's two steps do.
            let first = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(source);
            (first, end.saturating_sub(first))
        };
        let bounds: Vec<_> = wanted.clone().map(bound).collect();
        let longest = bounds.iter().map(|&(_, count)| count).max().unwrap_or(0);
        let taps = longest.next_multiple_of(LANES).max(LANES);
        let (mut high, mut low) = (vec![0; taps * bounds.len()], vec![0; taps * bounds.len()]);
        let mut weights = Vec::with_capacity(longest);
        for (index, (x, &(first, count))) in wanted.zip(&bounds).enumerate() {
            let center = (x as f64 + 0.5) * scale;
            weights.clear();
            weights.extend(
                (0..count).map(|k| filter.at(((k + first) as f64 - center + 0.5) * inverse)),
            );
            let sum: f64 = weights.iter().sum();
            for (k, &weight) in weights.iter().enumerate() {
                let weight = if sum == 0.0 { weight } else { weight / sum };
                let scaled = weight * f64::from(1 << PRECISION_BITS);
                let fixed = if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 } as i32;
                high[index * taps + k] = (fixed >> LOW_BITS) as i16;
                low[index * taps + k] = (fixed & ((1 << LOW_BITS) - 1)) as i16;
            }
        }
        Weights { taps, bounds, high, low }
    }

    /// The source pixels that any of the weights touch.
    pub(super) fn sources(&self) -> Range<usize> {
        let first = self.bounds.iter().map(|&(first, _)| first).min().unwrap_or(0);
        let end = self.bounds.iter().map(|&(first, count)| first + count).max().unwrap_or(0);
        first..end
    }
}

/// A sum of the two parts of weighted pixels, rounded and cut to 8 bits.
#[inline(always)]
pub(super) fn to_u8(high: i32, low: i32) -> u8 {
    let sum = (high << LOW_BITS).wrapping_add(low).wrapping_add(1 << (PRECISION_BITS - 1));
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one() {
        let sizes = [(1, 1), (1, 224), (224, 1), (1024, 298), (3, 7), (1000, 999), (16384, 224)];
        for filter in
            [Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos]
        {
            for (source, target) in sizes {
                let weights = Weights::new(filter, source, target, 0..target);
                for (x, (high, low)) in weights
                    .high
                    .chunks(weights.taps)
                    .zip(weights.low.chunks(weights.taps))
                    .enumerate()
                {
                    let sum: i32 = high
                        .iter()
                        .zip(low)
                        .map(|(&h, &l)| (i32::from(h) << LOW_BITS) + i32::from(l))
                        .sum();
                    let error = (sum - (1 << PRECISION_BITS)).abs();
                    assert!(
                        error <= weights.taps as i32,
                        "{filter:?} {source} to {target} at {x}: {error}"
                    );
                }
                assert_eq!(weights.sources(), 0..source, "{filter:?} {source} to {target}");
            }
        }
    }

    #[test]
    fn a_part_has_the_weights_of_the_whole() {
        let whole = Weights::new(Filter::Lanczos, 500, 77, 0..77);
        let part = Weights::new(Filter::Lanczos, 500, 77, 20..30);
        assert_eq!(part.bounds, whole.bounds[20..30]);
        assert_eq!(part.high[..part.taps], whole.high[20 * whole.taps..][..part.taps]);
    }
}
