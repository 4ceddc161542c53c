//! Chroma back to full size, as libjpeg's "fancy" upsampling does it, bit for bit.
//!
//! A triangle filter: each new sample is three parts of the nearer old one and one part of the
//! further. libjpeg treats the first and the last column apart; repeating the edge sample comes to the
//! same numbers, so there is no special case here.

use std::ops::Range;

/// How one component is brought to the size of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// It has that size.
    Full,
    /// Twice as wide, interpolated.
    H2,
    /// Twice as high, interpolated.
    V2,
    /// Twice as wide and high, interpolated.
    H2V2,
    /// Each sample repeated this many times across and down.
    Repeat(usize, usize),
}

impl Method {
    /// libjpeg's choice for a component that has to grow by these factors, and is `width` wide.
    pub(super) fn choose(across: usize, down: usize, width: usize) -> Self {
        match (across, down) {
            (1, 1) => Method::Full,
            // Interpolating needs a left, a middle and a right column.
            (2, 1) if width > 2 => Method::H2,
            (2, 2) if width > 2 => Method::H2V2,
            (1, 2) => Method::V2,
            _ => Method::Repeat(across, down),
        }
    }

    /// Whether rows are interpolated between, so that each needs a neighbour.
    pub(super) fn needs_neighbours(self) -> bool {
        matches!(self, Method::V2 | Method::H2V2)
    }
}

/// Writes the samples at `columns` of an output row to the same places of `out`.
///
/// `near` is the row of the component that this row lies in, `far` the other one that is interpolated
/// with; `below` says whether that is the one below. Both are cut to the component's width.
pub(super) fn row(
    method: Method,
    (near, far, below): (&[u8], &[u8], bool),
    columns: &Range<usize>,
    sums: &mut Vec<u16>,
    out: &mut [u8],
) {
    match method {
        Method::Full => out[columns.clone()].copy_from_slice(&near[columns.clone()]),
        Method::V2 => {
            // The rounding alternates so that half is not always rounded up.
            let bias = if below { 2 } else { 1 };
            let pairs = near[columns.clone()].iter().zip(&far[columns.clone()]);
            for (out, (&near, &far)) in out[columns.clone()].iter_mut().zip(pairs) {
                *out = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
            }
        }
        Method::H2 => {
            let sources = columns.start / 2..columns.end.div_ceil(2).min(near.len());
            with_edges(&sources, near.len(), sums, |range, sums| {
                sums.extend(near[range].iter().map(|&x| u16::from(x)));
            });
            spread(sums, &sources, out, |left, middle, right| {
                let middle = middle * 3;
                [(middle + left + 1) >> 2, (middle + right + 2) >> 2]
            });
        }
        Method::H2V2 => {
            let sources = columns.start / 2..columns.end.div_ceil(2).min(near.len());
            with_edges(&sources, near.len(), sums, |range, sums| {
                let pairs = near[range.clone()].iter().zip(&far[range]);
                sums.extend(pairs.map(|(&near, &far)| u16::from(near) * 3 + u16::from(far)));
            });
            spread(sums, &sources, out, |left, middle, right| {
                let middle = middle * 3;
                [(middle + left + 8) >> 4, (middle + right + 7) >> 4]
            });
        }
        Method::Repeat(across, _) => {
            let start = columns.start / across * across;
            let end = columns.end.min(out.len());
            for (out, &x) in out[start..end].chunks_mut(across).zip(&near[start / across..]) {
                out.fill(x);
            }
        }
    }
}

/// Fills `sums` for `sources` and one more on either side, where at the row's ends the outermost is
/// repeated.
fn with_edges(
    sources: &Range<usize>,
    width: usize,
    sums: &mut Vec<u16>,
    fill: impl Fn(Range<usize>, &mut Vec<u16>),
) {
    sums.clear();
    let (before, after) = (sources.start.saturating_sub(1), (sources.end + 1).min(width));
    if before == sources.start {
        fill(before..before + 1, sums);
    }
    fill(before..after, sums);
    if after == sources.end {
        fill(after - 1..after, sums);
    }
}

/// Two samples out of each of `sources` and its neighbours. The last one may stick out of the image.
#[inline(always)]
fn spread(
    sums: &[u16],
    sources: &Range<usize>,
    out: &mut [u8],
    samples: impl Fn(u16, u16, u16) -> [u16; 2],
) {
    let count = sources.len();
    let end = (2 * sources.end).min(out.len());
    let (pairs, rest) = out[2 * sources.start..end].as_chunks_mut::<2>();
    let (left, middle, right) = (&sums[..count], &sums[1..count + 1], &sums[2..count + 2]);
    for (((pair, &left), &middle), &right) in pairs.iter_mut().zip(left).zip(middle).zip(right) {
        *pair = samples(left, middle, right).map(|x| x as u8);
    }
    if let Some(last) = rest.first_mut() {
        *last = samples(left[count - 1], middle[count - 1], right[count - 1])[0] as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_is_three_parts_to_one() {
        let (near, far) = ([10u8, 20, 40, 80], [50u8, 50, 50, 50]);
        let mut sums = Vec::new();
        let mut check = |method, rows: (&[u8], &[u8], bool), expected: &[u8]| {
            let mut out = vec![0; expected.len()];
            row(method, rows, &(0..expected.len()), &mut sums, &mut out);
            assert_eq!(out, expected, "{method:?}");
        };
        let rows = (&near[..], &far[..], true);
        check(Method::H2, rows, &[10, 13, 17, 25, 35, 50, 70, 80]);
        check(Method::H2, rows, &[10, 13, 17, 25, 35, 50, 70]);
        check(Method::V2, rows, &[20, 28, 43, 73]);
        check(Method::H2V2, rows, &[20, 22, 26, 31, 39, 50, 65, 72]);
        check(Method::Repeat(2, 2), rows, &[10, 10, 20, 20, 40, 40, 80]);
    }

    #[test]
    fn a_part_of_a_row_is_that_part_of_the_whole() {
        let near: Vec<u8> = (0..40u32).map(|i| (i * 89 % 256) as u8).collect();
        let far: Vec<u8> = (0..40u32).map(|i| (i * 53 % 256) as u8).collect();
        let mut sums = Vec::new();
        for method in [Method::H2, Method::H2V2, Method::Repeat(2, 1)] {
            let mut whole = vec![0; 79];
            row(method, (&near, &far, false), &(0..79), &mut sums, &mut whole);
            for columns in [0..1, 0..79, 13..50, 12..51, 70..79, 78..79] {
                let mut part = vec![0; 79];
                row(method, (&near, &far, false), &columns, &mut sums, &mut part);
                assert_eq!(part[columns.clone()], whole[columns.clone()], "{method:?} {columns:?}");
            }
        }
    }
}
