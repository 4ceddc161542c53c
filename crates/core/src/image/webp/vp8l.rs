//! Lossless WebP (VP8L, RFC 9649), to exactly the pixels that Pillow gives.
//!
//! Written here for what it may cost. A file can name 65,536 groups of Huffman codes in a few bytes
//! each, whatever the size of its image; a decoder that makes tables of them all takes gigabytes. This
//! one, like libwebp, makes tables of those that some block of the image uses, and counts their bytes.
//! Rows go out as soon as they are ready, and of the pixels only those are kept that a copy can reach.
//!
//! Alpha is decoded, as other pixels may be predicted by it, and then dropped.

mod bits;
mod pixels;
mod prefix;
mod transforms;

use self::bits::Bits;
use self::pixels::Codes;
use self::prefix::{Group, Reader};
use self::transforms::{Blocks, Palette, Predictor, Transform, blocks};
use super::error;
use crate::image::rows::RowSink;
use crate::{Error, ErrorKind, Result};

/// The most bytes that Huffman tables may take. (15,000 groups, all of them used, took 36 MB.)
const MOST_TABLE_BYTES: usize = 64 << 20;
/// Which groups are used, and where they went; the tables while they are read.
const FIXED_BYTES: usize = 256 << 10;

/// Width and height, from the header.
pub(super) fn size(body: &[u8]) -> Result<(usize, usize)> {
    match body.get(..5) {
        Some(&[0x2f, a, b, c, d]) => {
            let bits = u32::from_le_bytes([a, b, c, d]) as usize;
            Ok(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => Err(error("its lossless header is damaged")),
    }
}

/// An upper bound of the bytes that decoding allocates, from the header and the length of the data.
pub(super) fn working_bytes(size: (usize, usize), length: usize) -> usize {
    pixel_bytes(size).saturating_add(most_table_bytes(length))
}

/// The most bytes of tables that are made of data of this length: past them it is an error. A group
/// takes some 30 bytes of a file at the least.
fn most_table_bytes(length: usize) -> usize {
    length.saturating_mul(512).min(MOST_TABLE_BYTES)
}

/// An upper bound of the bytes that decoding allocates beside the tables.
fn pixel_bytes((width, height): (usize, usize)) -> usize {
    let smallest_blocks = blocks(width, 2).saturating_mul(blocks(height, 2));
    // A predictor, a colour and a group for each block; a row, the one above, the planes.
    pixels::working_bytes(width.saturating_mul(height))
        .saturating_add(smallest_blocks.saturating_mul(1 + 4 + 2))
        .saturating_add(width.saturating_mul(4 + 4 + 3))
        .saturating_add(FIXED_BYTES)
}

/// Decodes the content of a VP8L chunk and gives the rows that `sink` looks at, in order. The data
/// behind them is read too: a truncated file is an error, whatever is cropped.
pub(super) fn decode(body: &[u8], max_bytes: usize, sink: &mut dyn RowSink) -> Result<()> {
    let size = size(body)?;
    let mut memory = Memory { left: max_bytes };
    memory.charge(pixel_bytes(size))?;
    memory.left = memory.left.min(most_table_bytes(body.len()));
    let mut bits = Bits::new(&body[5..]);
    if body[4] >> 5 != 0 {
        return Err(error("it is of an unknown version of the lossless format"));
    }
    let mut decoder = Decoder { bits: &mut bits, memory, transforms: Vec::new() };
    let result = decoder.decode(size, sink);
    // What goes wrong behind the end is made of bits that were made up.
    if bits.ran_out() { Err(error("the file is truncated")) } else { result }
}

/// What may still be allocated.
struct Memory {
    left: usize,
}

impl Memory {
    fn charge(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::TooLarge,
                "the lossless WebP needs more memory to decode than it may take",
            )),
        }
    }
}

struct Decoder<'a, 'b> {
    bits: &'a mut Bits<'b>,
    memory: Memory,
    /// In the order in which the encoder did them.
    transforms: Vec<Transform>,
}

impl Decoder<'_, '_> {
    fn decode(&mut self, (width, height): (usize, usize), sink: &mut dyn RowSink) -> Result<()> {
        let stored = (self.transforms((width, height))?, height);
        let cache_bits = self.cache_bits()?;
        let codes = self.codes(stored, cache_bits)?;
        let wanted = sink.window().rows.clone();
        let mut row = vec![0; width];
        let mut planes: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; width]);
        let transforms = &mut self.transforms;
        pixels::decode(self.bits, &codes, stored, |y, pixels| {
            if y >= wanted.end {
                return;
            }
            row[..pixels.len()].copy_from_slice(pixels);
            for transform in transforms.iter_mut().rev() {
                transform.undo(y, &mut row);
            }
            if wanted.contains(&y) {
                for (plane, shift) in planes.iter_mut().zip([16, 8, 0]) {
                    for (out, &pixel) in plane.iter_mut().zip(&row) {
                        *out = (pixel >> shift) as u8;
                    }
                }
                let [r, g, b] = &planes;
                sink.row(y, [r, g, b]);
            }
        })
    }

    /// Reads the transforms and gives the width of the image as it is stored.
    fn transforms(&mut self, (mut width, height): (usize, usize)) -> Result<usize> {
        let mut seen = [false; 4];
        while self.bits.flag() {
            let kind = self.bits.take(2);
            if std::mem::replace(&mut seen[kind], true) {
                return Err(error("a transform is there twice"));
            }
            let transform = match kind {
                0 => {
                    let mode = |pixel: u32| (pixel >> 8 & 15) as u8;
                    Transform::Predictor(Predictor::new(self.blocks((width, height), mode)?))
                }
                1 => Transform::Colour(self.blocks((width, height), |pixel| pixel)?),
                2 => Transform::SubtractGreen,
                _ => {
                    let count = self.bits.take(8) + 1;
                    let colours = self.small_image((count, 1), |pixel| pixel)?;
                    let palette = Palette::new(&colours, width);
                    width = blocks(width, Palette::packing(count));
                    Transform::Palette(Box::new(palette))
                }
            };
            self.transforms.push(transform);
        }
        Ok(width)
    }

    /// Reads something for each block of an image of this size.
    fn blocks<T>(&mut self, size: (usize, usize), each: impl Fn(u32) -> T) -> Result<Blocks<T>> {
        let bits = self.bits.take(3) as u32 + 2;
        let data = self.small_image((blocks(size.0, bits), blocks(size.1, bits)), each)?;
        Ok(Blocks { width: size.0, bits, data })
    }

    /// Reads an image that serves to decode the large one.
    fn small_image<T>(&mut self, size: (usize, usize), each: impl Fn(u32) -> T) -> Result<Vec<T>> {
        let cache_bits = self.cache_bits()?;
        let group = Reader::new(cache_size(cache_bits)).group(self.bits, &mut self.memory)?;
        let codes = Codes::new(vec![group], cache_bits);
        let mut data = Vec::with_capacity(size.0 * size.1);
        pixels::decode(self.bits, &codes, size, |_, pixels| {
            data.extend(pixels.iter().map(|&pixel| each(pixel)));
        })?;
        Ok(data)
    }

    /// Reads the logarithm of the size of the colour cache, which is 0 if there is none.
    fn cache_bits(&mut self) -> Result<u32> {
        if !self.bits.flag() {
            return Ok(0);
        }
        match self.bits.take(4) {
            bits @ 1..=11 => Ok(bits as u32),
            _ => Err(error("its colour cache is of an impossible size")),
        }
    }

    /// Reads the codes of the image itself.
    fn codes(&mut self, size: (usize, usize), cache_bits: u32) -> Result<Codes> {
        let mut reader = Reader::new(cache_size(cache_bits));
        if !self.bits.flag() {
            return Ok(Codes::new(vec![reader.group(self.bits, &mut self.memory)?], cache_bits));
        }
        let mut map = self.blocks(size, |pixel| (pixel >> 8) as u16)?;
        let named = map.data.iter().max().map_or(0, |&last| usize::from(last) + 1);
        let mut used = vec![false; named];
        for &group in &map.data {
            used[usize::from(group)] = true;
        }
        let count = used.iter().filter(|&&used| used).count();
        // With what the allocator adds to each one's tables.
        self.memory.charge(count.saturating_mul(size_of::<Group>() + 32))?;
        let mut groups = Vec::with_capacity(count);
        let mut places = vec![0; named];
        for (place, used) in places.iter_mut().zip(used) {
            if used {
                *place = groups.len() as u16;
                groups.push(reader.group(self.bits, &mut self.memory)?);
            } else {
                reader.unused_group(self.bits)?;
            }
        }
        for group in &mut map.data {
            *group = places[usize::from(*group)];
        }
        let across = blocks(size.0, map.bits);
        Ok(Codes { groups, blocks: map.data, across, block_bits: map.bits, cache_bits })
    }
}

fn cache_size(bits: u32) -> usize {
    if bits == 0 { 0 } else { 1 << bits }
}
