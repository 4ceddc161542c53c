//! What an encoder did to the pixels so that they pack better, undone row by row.

use std::ops::Range;

/// A transform of the image, with what it takes to undo it.
pub(super) enum Transform {
    /// Each pixel is a difference from what its neighbours predict.
    Predictor(Predictor),
    /// Green was taken from red and blue, and red from blue, in parts.
    Colour(Blocks<u32>),
    /// Green was taken from red and blue.
    SubtractGreen,
    /// Pixels are indices.
    Palette(Box<Palette>),
}

impl Transform {
    /// Undoes it in row `y`, which has as many pixels as the image, or as the palette packed.
    pub(super) fn undo(&mut self, y: usize, row: &mut [u32]) {
        match self {
            Transform::Predictor(predictor) => predictor.undo(y, row),
            Transform::Colour(blocks) => {
                let side = 1 << blocks.bits;
                let row = &mut row[..blocks.width];
                for (pixels, &factors) in row.chunks_mut(side).zip(blocks.row(y)) {
                    add_parts(pixels, factors);
                }
            }
            Transform::SubtractGreen => {
                for pixel in row {
                    let green = *pixel >> 8 & 0xff;
                    *pixel = add(*pixel, green << 16 | green);
                }
            }
            Transform::Palette(palette) => palette.undo(row),
        }
    }
}

/// Something for each block of an image.
pub(super) struct Blocks<T> {
    /// The width of the image.
    pub(super) width: usize,
    /// The logarithm of a block's side.
    pub(super) bits: u32,
    pub(super) data: Vec<T>,
}

impl<T> Blocks<T> {
    /// Those of the blocks that row `y` goes through.
    fn row(&self, y: usize) -> &[T] {
        let across = blocks(self.width, self.bits);
        &self.data[(y >> self.bits) * across..][..across]
    }
}

/// How many blocks so many pixels need.
pub(super) fn blocks(pixels: usize, bits: u32) -> usize {
    pixels.div_ceil(1 << bits)
}

/// Adds each of the four bytes to its like.
#[inline(always)]
fn add(a: u32, b: u32) -> u32 {
    let alpha_green = (a & 0xff00_ff00).wrapping_add(b & 0xff00_ff00);
    let red_blue = (a & 0x00ff_00ff) + (b & 0x00ff_00ff);
    alpha_green & 0xff00_ff00 | red_blue & 0x00ff_00ff
}

fn add_parts(pixels: &mut [u32], factors: u32) {
    let [green_to_red, green_to_blue, red_to_blue, _] = factors.to_le_bytes();
    let part = |factor: u8, colour: u32| {
        let product = i32::from(factor as i8) * i32::from(colour as i8);
        (product >> 5) as u32
    };
    for pixel in pixels {
        let green = *pixel >> 8;
        let red = (*pixel >> 16).wrapping_add(part(green_to_red, green));
        let blue = pixel.wrapping_add(part(green_to_blue, green));
        let blue = blue.wrapping_add(part(red_to_blue, red));
        *pixel = *pixel & 0xff00_ff00 | (red & 0xff) << 16 | blue & 0xff;
    }
}

/// The colours that indices stand for.
pub(super) struct Palette {
    /// Black and transparent where the file has none.
    colours: [u32; 256],
    /// The width of the image.
    width: usize,
    /// The logarithm of how many indices are packed in a pixel.
    bits: u32,
}

impl Palette {
    /// The logarithm of how many indices into so many colours are packed in a pixel.
    pub(super) fn packing(colours: usize) -> u32 {
        match colours {
            0..=2 => 3,
            3..=4 => 2,
            5..=16 => 1,
            _ => 0,
        }
    }

    /// A palette of colours each of which is stored as the difference from the one before.
    pub(super) fn new(stored: &[u32], width: usize) -> Self {
        let mut colours = [0; 256];
        let mut colour = 0;
        for (out, &difference) in colours.iter_mut().zip(stored) {
            colour = add(colour, difference);
            *out = colour;
        }
        Palette { colours, width, bits: Self::packing(stored.len()) }
    }

    fn undo(&self, row: &mut [u32]) {
        match self.bits {
            0 => self.unpack::<1>(row),
            1 => self.unpack::<2>(row),
            2 => self.unpack::<4>(row),
            _ => self.unpack::<8>(row),
        }
    }

    /// Makes of each pixel as many as it has indices.
    #[inline(always)]
    fn unpack<const COUNT: usize>(&self, row: &mut [u32]) {
        let colours = |packed: u32| -> [u32; COUNT] {
            std::array::from_fn(|i| {
                let index = packed >> 8 >> (i * 8 / COUNT) & (0xff >> (8 - 8 / COUNT));
                self.colours[usize::from(index as u8)]
            })
        };
        // From the end: none is written over before it is read.
        let whole = self.width / COUNT;
        if whole * COUNT < self.width {
            let last = colours(row[whole]);
            let rest = &mut row[whole * COUNT..self.width];
            rest.copy_from_slice(&last[..rest.len()]);
        }
        for at in (0..whole).rev() {
            let pixels = colours(row[at]);
            row[at * COUNT..(at + 1) * COUNT].copy_from_slice(&pixels);
        }
    }
}

/// The predictor of each block, and the row above.
pub(super) struct Predictor {
    modes: Blocks<u8>,
    /// One pixel wider than the image: the pixel above and to the right of the last is the first of
    /// the row itself.
    above: Vec<u32>,
}

impl Predictor {
    pub(super) fn new(modes: Blocks<u8>) -> Self {
        let above = vec![0; modes.width + 1];
        Predictor { modes, above }
    }

    fn undo(&mut self, y: usize, row: &mut [u32]) {
        let width = self.modes.width;
        let row = &mut row[..width];
        if y == 0 {
            row[0] = add(row[0], 0xff00_0000);
            predict(1, row, &self.above, 1..width);
        } else {
            row[0] = add(row[0], self.above[0]);
            self.above[width] = row[0];
            let mut x = 1;
            for (block, &mode) in self.modes.row(y).iter().enumerate() {
                let end = width.min((block + 1) << self.modes.bits);
                predict(mode, row, &self.above, x..end);
                x = end;
            }
        }
        self.above[..width].copy_from_slice(row);
    }
}

/// Adds to some pixels, of which none is the first of its row, what they are predicted to be.
fn predict(mode: u8, row: &mut [u32], above: &[u32], range: Range<usize>) {
    match mode {
        1 => serial(row, above, range, |left, _, _, _| left),
        2 => apart(row, above, range, |_, top, _| top),
        3 => apart(row, above, range, |_, _, top_right| top_right),
        4 => apart(row, above, range, |top_left, _, _| top_left),
        5 => serial(row, above, range, |l, _, t, tr| l.mean(tr).mean(t)),
        6 => serial(row, above, range, |l, tl, _, _| l.mean(tl)),
        7 => serial(row, above, range, |l, _, t, _| l.mean(t)),
        8 => apart(row, above, range, |top_left, top, _| mean(top_left, top)),
        9 => apart(row, above, range, |_, top, top_right| mean(top, top_right)),
        10 => serial(row, above, range, |l, tl, t, tr| l.mean(tl).mean(t.mean(tr))),
        11 => serial(row, above, range, Lanes::nearer),
        12 => serial(row, above, range, |l, tl, t, _| l.plus_clamped(t.less(tl))),
        13 => serial(row, above, range, |l, tl, t, _| {
            let mean = l.mean(t);
            mean.plus_clamped(mean.less(tl).halved())
        }),
        _ => apart(row, above, range, |_, _, _| 0xff00_0000),
    }
}

/// Adds what is made of the pixels above to the left, above, and above to the right: of all pixels at
/// once, as none depends on another.
#[inline(always)]
fn apart(
    row: &mut [u32],
    above: &[u32],
    range: Range<usize>,
    predicted: impl Fn(u32, u32, u32) -> u32,
) {
    if range.is_empty() {
        return;
    }
    let above = above[range.start - 1..range.end + 1].windows(3);
    for (pixel, above) in row[range].iter_mut().zip(above) {
        *pixel = add(*pixel, predicted(above[0], above[1], above[2]));
    }
}

/// Adds what is made of the pixel to the left too, which is ready just before.
#[inline(always)]
fn serial(
    row: &mut [u32],
    above: &[u32],
    range: Range<usize>,
    predicted: impl Fn(Lanes, Lanes, Lanes, Lanes) -> Lanes,
) {
    if range.is_empty() {
        return;
    }
    let mut left = Lanes::new(row[range.start - 1]);
    let mut top_left = Lanes::new(above[range.start - 1]);
    let mut top = Lanes::new(above[range.start]);
    let above = &above[range.start + 1..range.end + 1];
    for (pixel, &top_right) in row[range].iter_mut().zip(above) {
        let top_right = Lanes::new(top_right);
        left = Lanes::new(*pixel).plus(predicted(left, top_left, top, top_right));
        *pixel = left.pixel();
        (top_left, top) = (top, top_right);
    }
}

/// Of each of the four bytes, rounded down.
#[inline(always)]
fn mean(a: u32, b: u32) -> u32 {
    ((a ^ b) >> 1 & 0x7f7f_7f7f) + (a & b)
}

/// The four bytes of a pixel, 16 bits for each: with room to calculate, all four in one step.
#[derive(Clone, Copy)]
struct Lanes(u64);

/// Differences of bytes, of which each is 256 too large.
#[derive(Clone, Copy)]
struct Differences(u64);

/// In every lane.
const ONE: u64 = 0x0001_0001_0001_0001;
const BYTE: u64 = 255 * ONE;
const BIAS: u64 = 256 * ONE;

impl Lanes {
    #[inline(always)]
    fn new(pixel: u32) -> Self {
        Lanes(u64::from(pixel & 0x00ff_00ff) | u64::from(pixel >> 8 & 0x00ff_00ff) << 32)
    }

    #[inline(always)]
    fn pixel(self) -> u32 {
        self.0 as u32 | ((self.0 >> 32) as u32) << 8
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Lanes((self.0 + other.0) & BYTE)
    }

    /// Rounded down.
    #[inline(always)]
    fn mean(self, other: Self) -> Self {
        Lanes((self.0 + other.0) >> 1 & BYTE)
    }

    #[inline(always)]
    fn less(self, other: Self) -> Differences {
        Differences((self.0 | BIAS) - other.0)
    }

    /// As far as bytes go: from 0 to 255.
    #[inline(always)]
    fn plus_clamped(self, other: Differences) -> Self {
        // From 1 to 766, so one bit says that it is a byte, and the next one that it is too large.
        let sum = self.0 + other.0;
        let (fits, over) = (sum >> 8 & ONE, sum >> 9 & ONE);
        Lanes(sum & ((fits << 8) - fits) | ((over << 8) - over))
    }

    /// Left or top, whichever is nearer to left + top - top left.
    #[inline(always)]
    fn nearer(self, top_left: Self, top: Self, _: Self) -> Self {
        let from_top = self.less(top_left).distance();
        let from_left = top.less(top_left).distance();
        if from_left < from_top { self } else { top }
    }
}

impl Differences {
    /// Rounded towards zero.
    #[inline(always)]
    fn halved(self) -> Self {
        let negative = !(self.0 >> 8) & ONE;
        Differences(((self.0 + negative) >> 1 & BYTE) + BIAS / 2)
    }

    /// The sum of what they are without their signs, and 4.
    #[inline(always)]
    fn distance(self) -> u64 {
        let positive = self.0 >> 8 & ONE;
        // A negative one has 256 less its size in its lower byte, and all ones less that is its size
        // less one.
        let flip = BYTE - ((positive << 8) - positive);
        (((self.0 ^ flip) & BYTE) + 2 * ONE - positive).wrapping_mul(ONE) >> 48
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(f: impl Fn(i32, i32, i32) -> i32, l: u32, tl: u32, t: u32) -> u32 {
        let [l, tl, t] = [l, tl, t].map(|x| x.to_le_bytes().map(i32::from));
        u32::from_le_bytes(std::array::from_fn(|i| f(l[i], tl[i], t[i]) as u8))
    }

    /// As the standard has them, byte by byte.
    #[test]
    fn lanes_calculate_as_bytes_do() {
        let mut state = 1u32;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            // Ends of the range too.
            state & if state & 1 == 0 { 0xff00_ffff } else { !0 }
        };
        for _ in 0..100_000 {
            let (l, tl, t) = (random(), random(), random());
            let [left, top_left, top] = [l, tl, t].map(Lanes::new);
            assert_eq!(left.pixel(), l);
            assert_eq!(left.plus(top).pixel(), add(l, t));
            let means = each(|l, _, t| (l + t) / 2, l, tl, t);
            assert_eq!((left.mean(top).pixel(), mean(l, t)), (means, means));
            let full = each(|l, tl, t| (l + t - tl).clamp(0, 255), l, tl, t);
            assert_eq!(left.plus_clamped(top.less(top_left)).pixel(), full);
            let half =
                each(|l, tl, t| ((l + t) / 2 + ((l + t) / 2 - tl) / 2).clamp(0, 255), l, tl, t);
            let middle = left.mean(top);
            assert_eq!(middle.plus_clamped(middle.less(top_left).halved()).pixel(), half);
            let far = |a: u32, b: u32| {
                let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
                (0..4).map(|i| u32::from(a[i].abs_diff(b[i]))).sum::<u32>()
            };
            let nearer = if far(t, tl) < far(l, tl) { l } else { t };
            assert_eq!(left.nearer(top_left, top, top).pixel(), nearer);
        }
    }
}
