//! Resizing, bit for bit as Pillow's `Image.resize` does it for RGB.
//!
//! Each row is taken as it comes from the decoder, so that the whole image is never needed. Between
//! the horizontal and the vertical pass pixels are rounded to 8 bits, so their order shows in the
//! result. Only what the crop keeps is computed; each pixel is a sum of its own, so the others do not
//! change it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::filter::{Filter, LANES, LOW_BITS, PRECISION_BITS, Weights, to_u8};
use super::rows::{RowSink, Window};

/// Pixels of one vertical step, summed in registers.
const BLOCK: usize = 16;

/// Which of the two passes of a resize comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PassOrder {
    /// As Pillow 13: the vertical one where the height shrinks by more than twice as many pixels as the
    /// width, such as for a photograph twice as high as wide.
    #[default]
    Pillow13,
    /// Always the horizontal one, as Pillow up to 12. Of tall images some pixels differ from those
    /// of Pillow 13 by 1 or 2.
    HorizontalFirst,
}

impl PassOrder {
    fn is_vertical_first(self, source: (usize, usize), target: (usize, usize)) -> bool {
        let less = |source: usize, target: usize| source as i64 - target as i64;
        let (width, height) = (less(source.0, target.0), less(source.1, target.1));
        self == PassOrder::Pillow13 && height > 0 && height > 2 * width
    }
}

/// What one axis needs.
#[derive(Clone, Debug)]
enum Axis {
    /// The size stays: these pixels as they are.
    Copy(Range<usize>),
    /// One source pixel each.
    Pick(Vec<usize>),
    /// Weighted sums.
    Sum(Weights),
}

impl Axis {
    fn new(filter: Filter, source: usize, target: usize, wanted: Range<usize>) -> Self {
        if source == target {
            Axis::Copy(wanted)
        } else if filter == Filter::Nearest {
            Axis::Pick(nearest(source, target, wanted))
        } else {
            Axis::Sum(Weights::new(filter, source, target, wanted))
        }
    }

    /// One row of one colour.
    fn apply(&self, line: &[u8], out: &mut [u8]) {
        match self {
            Axis::Copy(range) => out.copy_from_slice(&line[range.clone()]),
            Axis::Pick(picks) => {
                for (out, &x) in out.iter_mut().zip(picks) {
                    *out = line[x];
                }
            }
            Axis::Sum(weights) => sum_pixels(weights, line, out),
        }
    }

    fn sources(&self) -> Range<usize> {
        match self {
            Axis::Copy(range) => range.clone(),
            Axis::Pick(picks) => {
                let first = picks.iter().copied().min().unwrap_or(0);
                first..picks.iter().copied().max().map_or(0, |last| last + 1)
            }
            Axis::Sum(weights) => weights.sources(),
        }
    }
}

/// Pillow adds up the step instead of multiplying, and so do we, to round where it rounds.
fn nearest(source: usize, target: usize, wanted: Range<usize>) -> Vec<usize> {
    let step = source as f64 / target as f64;
    let mut at = step * 0.5;
    let mut picks = Vec::with_capacity(wanted.len());
    for x in 0..wanted.end {
        if x >= wanted.start {
            picks.push((at as usize).min(source - 1));
        }
        at += step;
    }
    picks
}

/// Takes an image's rows and gives a part of the resized image.
pub(super) struct Resizer {
    window: Window,
    horizontal: Axis,
    vertical: Axis,
    vertical_first: bool,
    /// Of the source.
    source_width: usize,
    /// Of the part that is kept.
    width: usize,
    height: usize,
    /// The rows that wait for the vertical step: red, green, blue and padding each.
    held: Vec<u8>,
    /// The width of one colour in them, and the bytes from one row to the next.
    held_width: usize,
    stride: usize,
    /// Which row of the source the first of them is.
    first_held: usize,
    /// A row of one colour, with room behind it: weights are read in whole vectors.
    line: Vec<u8>,
    /// One row of all colours after the vertical step.
    summed: Vec<u8>,
    /// The next row of the result.
    next: usize,
    /// The result: red, green and blue planes.
    out: Vec<u8>,
}

impl Resizer {
    /// For an image of `source` (width, height) that is resized to `target`, of which `columns` and
    /// `rows` are kept.
    pub(super) fn new(
        (filter, order): (Filter, PassOrder),
        source: (usize, usize),
        target: (usize, usize),
        (columns, rows): (Range<usize>, Range<usize>),
    ) -> Self {
        let (width, height) = (columns.len(), rows.len());
        let horizontal = Axis::new(filter, source.0, target.0, columns);
        let vertical = Axis::new(filter, source.1, target.1, rows);
        let window = Window { columns: horizontal.sources(), rows: vertical.sources() };
        let taps = if let Axis::Sum(weights) = &horizontal { weights.taps } else { 0 };
        let vertical_first = order.is_vertical_first(source, target);
        let held_width = if vertical_first { source.0 } else { width };
        let stride = (3 * held_width).next_multiple_of(BLOCK);
        Resizer {
            first_held: window.rows.start,
            window,
            horizontal,
            vertical,
            vertical_first,
            source_width: source.0,
            width,
            height,
            held: Vec::new(),
            held_width,
            stride,
            line: vec![0; source.0 + taps],
            summed: vec![0; stride],
            next: 0,
            out: vec![0; 3 * width * height],
        }
    }

    /// The resized part, once every row of the window has come: red, green and blue planes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// The rows of the source that a row of the result is made of.
    fn needs(&self, y: usize) -> Range<usize> {
        match &self.vertical {
            Axis::Copy(rows) => rows.start + y..rows.start + y + 1,
            Axis::Pick(picks) => picks[y]..picks[y] + 1,
            Axis::Sum(weights) => weights.bounds[y].0..weights.bounds[y].0 + weights.bounds[y].1,
        }
    }

    /// Makes a row of the result of the rows held.
    fn make(&mut self, y: usize) {
        let start = (self.needs(y).start - self.first_held) * self.stride;
        let rows = &self.held[start..];
        match &self.vertical {
            Axis::Sum(weights) => sum_rows(weights, y, rows, self.stride, &mut self.summed),
            _ => self.summed.copy_from_slice(&rows[..self.stride]),
        }
        let plane = self.width * self.height;
        for (colour, pixels) in self.summed.chunks_exact(self.held_width).take(3).enumerate() {
            let out = &mut self.out[colour * plane + y * self.width..][..self.width];
            if self.vertical_first {
                self.line[..self.source_width].copy_from_slice(pixels);
                self.horizontal.apply(&self.line, out);
            } else {
                out.copy_from_slice(pixels);
            }
        }
    }
}

impl RowSink for Resizer {
    fn window(&self) -> &Window {
        &self.window
    }

    fn row(&mut self, y: usize, planes: [&[u8]; 3]) {
        let columns = self.window.columns.clone();
        let start = self.held.len();
        self.held.resize(start + self.stride, 0);
        let held = &mut self.held[start..];
        for (plane, held) in planes.iter().zip(held.chunks_exact_mut(self.held_width)) {
            if self.vertical_first {
                held[columns.clone()].copy_from_slice(&plane[columns.clone()]);
            } else {
                self.line[columns.clone()].copy_from_slice(&plane[columns.clone()]);
                self.horizontal.apply(&self.line, held);
            }
        }
        while self.next < self.height && self.needs(self.next).end <= y + 1 {
            self.make(self.next);
            self.next += 1;
        }
        // What no later row needs is dropped, when it is worth moving the rest.
        let keep_from = if self.next < self.height { self.needs(self.next).start } else { y + 1 };
        let dead = keep_from.saturating_sub(self.first_held).min(self.held.len() / self.stride);
        if 2 * dead * self.stride > self.held.len() {
            self.held.drain(..dead * self.stride);
            self.first_held += dead;
        }
    }
}

/// One vertical step for a whole row: `rows` begin with the first that is needed.
fn sum_rows(weights: &Weights, y: usize, rows: &[u8], stride: usize, out: &mut [u8]) {
    let parts = y * weights.taps..y * weights.taps + weights.bounds[y].1;
    let (highs, lows) = (&weights.high[parts.clone()], &weights.low[parts]);
    for (index, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let (mut high, mut low) = ([0i32; BLOCK], [0i32; BLOCK]);
        let rows = rows[index * BLOCK..].chunks(stride);
        for ((row, &h), &l) in rows.zip(highs).zip(lows) {
            let Some(pixels) = row.first_chunk::<BLOCK>() else { continue };
            for k in 0..BLOCK {
                let pixel = i32::from(pixels[k]);
                high[k] = high[k].wrapping_add(pixel * i32::from(h));
                low[k] = low[k].wrapping_add(pixel * i32::from(l));
            }
        }
        for k in 0..BLOCK {
            out[k] = to_u8(high[k], low[k]);
        }
    }
}

/// One horizontal step for a row of one colour. The two parts of the weights are summed one after the
/// other, in blocks: compilers make scalar code of two sums in one loop.
fn sum_pixels(weights: &Weights, line: &[u8], out: &mut [u8]) {
    let size = BLOCK * weights.taps;
    let parts = weights.high.chunks(size).zip(weights.low.chunks(size));
    let bounds = weights.bounds.chunks(BLOCK);
    for ((out, bounds), (high, low)) in out.chunks_mut(BLOCK).zip(bounds).zip(parts) {
        let (mut a, mut b) = ([0; BLOCK], [0; BLOCK]);
        sums(line, bounds, high, weights.taps, &mut a);
        sums(line, bounds, low, weights.taps, &mut b);
        for ((out, &high), &low) in out.iter_mut().zip(&a).zip(&b) {
            *out = to_u8(high, low);
        }
    }
}

#[inline(never)]
fn sums(
    line: &[u8],
    bounds: &[(usize, usize)],
    weights: &[i16],
    taps: usize,
    out: &mut [i32; BLOCK],
) {
    for ((out, &(first, _)), weights) in out.iter_mut().zip(bounds).zip(weights.chunks_exact(taps))
    {
        let pixels = line[first..first + taps].as_chunks::<LANES>().0;
        let weights = weights.as_chunks::<LANES>().0;
        let pairs = pixels.iter().zip(weights);
        *out = pairs.fold(0, |sum: i32, (pixels, weights)| sum.wrapping_add(dot(pixels, weights)));
    }
}

/// In this shape, of a fixed length, compilers see the machine's multiply-and-add of 16-bit pairs.
#[inline(always)]
fn dot(pixels: &[u8; LANES], weights: &[i16; LANES]) -> i32 {
    pixels.iter().zip(weights).fold(0, |sum: i32, (&pixel, &weight)| {
        sum.wrapping_add(i32::from(pixel) * i32::from(weight))
    })
}

// A pixel times either part of a weight stays far from the limits of 32 bits.
const _: () = assert!(LOW_BITS < 15 && PRECISION_BITS - LOW_BITS < 15);

#[cfg(test)]
mod tests {
    use super::super::rows::Raster;
    use super::*;

    fn noise(width: usize, height: usize) -> Raster {
        let mut raster = Raster::collect((width, height));
        let mut state = 7u32;
        for plane in &mut raster.planes {
            plane.extend((0..width * height).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }));
        }
        raster
    }

    fn resized(
        image: &Raster,
        filter: Filter,
        target: (usize, usize),
        part: (Range<usize>, Range<usize>),
    ) -> Vec<u8> {
        let mut resizer =
            Resizer::new((filter, PassOrder::Pillow13), (image.width, image.height), target, part);
        image.send(&mut resizer);
        resizer.finish()
    }

    #[test]
    fn a_part_is_that_part_of_the_whole() {
        let image = noise(61, 47);
        for filter in [Filter::Nearest, Filter::Box, Filter::Bicubic, Filter::Lanczos] {
            for (width, height) in [(20, 15), (61, 15), (50, 20), (20, 47), (130, 90), (61, 47)] {
                let whole = resized(&image, filter, (width, height), (0..width, 0..height));
                let (columns, rows) = (5..width - 4, 3..height - 2);
                let part =
                    resized(&image, filter, (width, height), (columns.clone(), rows.clone()));
                let mut expected: Vec<u8> = Vec::new();
                for colour in 0..3 {
                    for y in rows.clone() {
                        let start = (colour * height + y) * width;
                        expected.extend(&whole[start + columns.start..start + columns.end]);
                    }
                }
                assert_eq!(part, expected, "{filter:?} {width} x {height}");
            }
        }
    }

    #[test]
    fn one_colour_stays_that_colour() {
        let mut image = Raster::collect((33, 21));
        image.planes = [vec![0; 693], vec![255; 693], vec![131; 693]];
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Hamming, Filter::Lanczos] {
            let out = resized(&image, filter, (50, 7), (0..50, 0..7));
            for (plane, colour) in out.chunks(350).zip([0, 255, 131]) {
                assert!(plane.iter().all(|&x| x == colour), "{filter:?}");
            }
        }
    }
}
