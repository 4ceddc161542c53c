//! The pixels that prefix codes stand for: literals, copies of earlier ones, the colour cache.

use super::bits::Bits;
use super::error;
use super::prefix::Group;
use crate::Result;

/// No copy reaches farther back than this.
const HISTORY: usize = 1 << 20;
/// No copy is longer than this.
const LONGEST_COPY: usize = 4096;
/// How many pixels are kept at most. More than the history, so that moving it is rare.
const MOST_KEPT: usize = 2 * HISTORY;

/// Where the first 120 distances lie: rows up in the upper half, 8 less columns to the left in the
/// lower.
#[rustfmt::skip]
const NEAR: [u8; 120] = [
    0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a,
    0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36, 0x3a, 0x25, 0x2b, 0x48, 0x04,
    0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45,
    0x4b, 0x34, 0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d,
    0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e,
    0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e,
    0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e,
    0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e,
    0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d,
    0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
];

/// The codes of an image.
pub(super) struct Codes {
    pub(super) groups: Vec<Group>,
    /// For each block of the image, row by row, its group. None: there is one of each.
    pub(super) blocks: Vec<u16>,
    /// How many blocks there are in a row.
    pub(super) across: usize,
    /// The logarithm of a block's side.
    pub(super) block_bits: u32,
    /// The logarithm of the size of the colour cache, or 0 for none.
    pub(super) cache_bits: u32,
}

impl Codes {
    /// One group for all pixels.
    pub(super) fn new(groups: Vec<Group>, cache_bits: u32) -> Self {
        // A block of the largest side there is.
        Codes { groups, blocks: Vec::new(), across: 0, block_bits: 14, cache_bits }
    }

    /// The group of a pixel.
    fn group(&self, x: usize, y: usize) -> Option<&Group> {
        let block = (y >> self.block_bits) * self.across + (x >> self.block_bits);
        self.groups.get(self.blocks.get(block).map_or(0, |&index| usize::from(index)))
    }
}

/// The bytes that [`decode`] allocates.
pub(super) fn working_bytes(pixels: usize) -> usize {
    // The largest colour cache has 2048 entries.
    size_of::<u32>() * (pixels.min(MOST_KEPT) + 2048)
}

/// Decodes an image and gives its rows to `each`, in order. What is behind the reach of a copy is
/// forgotten, so a large image needs no more memory than a middling one.
pub(super) fn decode(
    bits: &mut Bits<'_>,
    codes: &Codes,
    (width, height): (usize, usize),
    mut each: impl FnMut(usize, &[u32]),
) -> Result<()> {
    let total = width * height;
    let mut pixels = vec![0; total.min(MOST_KEPT)];
    let cache = Cache::new(codes.cache_bits);
    let mut image = Image { pixels: &mut pixels, at: 0, end: total, width, cache };
    let (mut row, mut y) = (0, 0);
    loop {
        // Here a block has ended, which a row does too, or a copy that ran over its end.
        while image.at - row >= width {
            each(y, &image.pixels[row..row + width]);
            (row, y) = (row + width, y + 1);
        }
        if bits.ran_out() {
            return Err(error("the file is truncated"));
        }
        if y == height {
            return Ok(());
        }
        if image.end > image.pixels.len() && image.at + width + LONGEST_COPY > image.pixels.len() {
            row -= image.forget();
        }
        let x = image.at - row;
        let Some(group) = codes.group(x, y) else {
            return Err(error("a block has no Huffman codes"));
        };
        let block_end = ((x >> codes.block_bits) + 1) << codes.block_bits;
        let stop = row + block_end.min(width);
        if let Some(pixel) = group.pixel {
            image.pixels[image.at..stop].fill(pixel);
            image.at = stop;
        } else {
            image.block(bits, group, stop)?;
        }
    }
}

/// An image as far as it is decoded, less what has been forgotten.
struct Image<'a> {
    pixels: &'a mut [u32],
    /// Where the next pixel goes.
    at: usize,
    /// Where the image ends, which may be behind the end of `pixels`.
    end: usize,
    width: usize,
    cache: Cache,
}

impl Image<'_> {
    /// Decodes pixels until there are `stop`.
    fn block(&mut self, bits: &mut Bits<'_>, group: &Group, stop: usize) -> Result<()> {
        // A copy of the reader, which can stay in registers.
        let mut own = *bits;
        let result = self.block_with(&mut own, group, stop);
        *bits = own;
        result
    }

    #[inline(always)]
    fn block_with(&mut self, bits: &mut Bits<'_>, group: &Group, stop: usize) -> Result<()> {
        while self.at < stop {
            bits.refill();
            let green = group.green(bits);
            if green < 256 {
                let others = match group.literal {
                    Some(literal) => literal,
                    None => group.red_blue_alpha(bits),
                };
                self.pixels[self.at] = others | (green as u32) << 8;
                self.at += 1;
            } else if green < 280 {
                self.copy(bits, group, green - 256)?;
            } else {
                self.cache.update(&self.pixels[..self.at]);
                let Some(&pixel) = self.cache.pixels.get(green - 280) else {
                    return Err(error("it takes a colour from beyond its cache"));
                };
                self.pixels[self.at] = pixel;
                self.at += 1;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn copy(&mut self, bits: &mut Bits<'_>, group: &Group, class: usize) -> Result<()> {
        let length = number(bits, class);
        let class = group.distance(bits);
        bits.refill();
        let distance = match number(bits, class) {
            code @ 1..=120 => {
                let near = usize::from(NEAR[code - 1]);
                // In a narrow image some are not behind, and count as the pixel just before.
                ((near >> 4) * self.width + 8).saturating_sub(near & 15).max(1)
            }
            code => code - 120,
        };
        let Image { pixels, at, end, .. } = self;
        if distance > *at || length > *end - *at {
            return Err(error("a copy reaches out of the image"));
        }
        let from = *at - distance;
        if distance == 1 {
            let pixel = pixels[from];
            pixels[*at..*at + length].fill(pixel);
        } else {
            // A copy may overlap itself: then what it has made is copied too, twice as much each time.
            let mut done = 0;
            while done < length {
                let part = (distance + done).min(length - done);
                pixels.copy_within(from..from + part, *at + done);
                done += part;
            }
        }
        *at += length;
        Ok(())
    }

    /// Forgets what no copy can reach, and gives how many pixels that were.
    #[cold]
    fn forget(&mut self) -> usize {
        let count = self.at - HISTORY;
        self.cache.update(&self.pixels[..self.at]);
        self.pixels.copy_within(count..self.at, 0);
        self.at -= count;
        self.end -= count;
        self.cache.seen -= count;
        count
    }
}

/// The number of a class: small ones directly, of others there are some bits more.
#[inline(always)]
fn number(bits: &mut Bits<'_>, class: usize) -> usize {
    if class < 4 {
        return class + 1;
    }
    let more = (class as u32 - 2) / 2;
    ((2 + class % 2) << more) + bits.take_valid(more) + 1
}

/// Colours of the pixels so far, each in the place that its hash gives.
struct Cache {
    pixels: Vec<u32>,
    shift: u32,
    /// How many pixels are in, or were. They go in only when a colour is taken out.
    seen: usize,
}

impl Cache {
    fn new(bits: u32) -> Self {
        let size = if bits == 0 { 0 } else { 1 << bits };
        Cache { pixels: vec![0; size], shift: 32 - bits, seen: 0 }
    }

    /// Puts in those of `pixels` that are new.
    #[inline]
    fn update(&mut self, pixels: &[u32]) {
        for &pixel in pixels.get(self.seen..).unwrap_or_default() {
            let hash = pixel.wrapping_mul(0x1e35_a7bd).checked_shr(self.shift).unwrap_or(0);
            if let Some(slot) = self.pixels.get_mut(hash as usize) {
                *slot = pixel;
            }
        }
        self.seen = pixels.len();
    }
}
