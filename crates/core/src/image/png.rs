//! PNG, to the RGB that Pillow's `convert("RGB")` gives.

use std::io::Cursor;

use png::{BitDepth, ColorType, Limits, Transformations};

use super::rows::{Raster, RowSink};
use crate::{Error, ErrorKind, Result};

/// Deflate cannot make more of one byte than this.
const MOST_EXPANSION: u64 = 1032;

fn error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let source = source.into();
    Error::new(ErrorKind::InvalidImage, format!("cannot decode the PNG: {source}"))
        .with_source(source)
}

/// A PNG whose header has been read, and no pixel yet.
pub(super) struct Png<'a> {
    bytes: &'a [u8],
    width: usize,
    height: usize,
    bits_per_pixel: usize,
    interlaced: bool,
}

impl<'a> Png<'a> {
    /// Reads the IHDR chunk, which is the first, of a fixed size, and all there is to know.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let Some((b"IHDR", &[w3, w2, w1, w0, h3, h2, h1, h0, depth, colour, _, _, interlace, ..])) =
            bytes.get(12..33).and_then(|header| header.split_first_chunk::<4>())
        else {
            return Err(error("the file is truncated, or does not begin with its header"));
        };
        let width = u32::from_be_bytes([w3, w2, w1, w0]) as usize;
        let height = u32::from_be_bytes([h3, h2, h1, h0]) as usize;
        if width == 0 || height == 0 {
            return Err(error(format!("its size is {width} x {height}")));
        }
        let channels = match colour {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        };
        let bits_per_pixel = channels * usize::from(depth);
        Ok(Png { bytes, width, height, bits_per_pixel, interlaced: interlace != 0 })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The content of the eXIf chunk.
    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        let mut rest = self.bytes.get(8..)?;
        loop {
            let (head, after) = rest.split_first_chunk::<8>()?;
            let [a, b, c, d, kind @ ..] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let body = after.get(..length)?;
            if &kind == b"eXIf" {
                return Some(body);
            }
            rest = after.get(length + 4..)?;
        }
    }

    /// An upper bound of the bytes that decoding allocates, the caller's rows not included.
    pub(super) fn working_bytes(&self) -> u64 {
        let (width, height) = (self.width as u64, self.height as u64);
        // The decoder's buffer is moved back when it has four rows and 128 KiB, and grows by doubling;
        // then there is a row of ours. A chunk is kept in a buffer, and perhaps copied.
        let rows = 16 * self.row_bytes() + 6 * width;
        let chunks = 4 * self.bytes.len() as u64;
        // An interlaced image has to be put together first.
        let whole =
            if self.interlaced { width.saturating_mul(height).saturating_mul(3) } else { 0 };
        rows.saturating_add(whole).saturating_add(chunks + (1 << 20))
    }

    fn row_bytes(&self) -> u64 {
        (self.width as u64 * self.bits_per_pixel as u64).div_ceil(8) + 1
    }

    /// Whether the bytes could hold the image, at deflate's best.
    pub(super) fn is_plausible(&self) -> bool {
        // Less than a row for each is left out: the bytes that name the rows' filters, and the passes'
        // last bits.
        let pixels = (self.row_bytes() - 1).saturating_mul(self.height as u64);
        pixels <= self.bytes.len() as u64 * MOST_EXPANSION
    }

    /// Decodes the rows that `sink` looks at, in order. The rows behind the window are read too: a
    /// truncated file is an error, whatever is cropped.
    pub(super) fn decode(self, max_bytes: usize, sink: &mut dyn RowSink) -> Result<()> {
        let limits = Limits { bytes: max_bytes };
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(self.bytes), limits);
        decoder.set_transformations(Transformations::IDENTITY);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let mut reader = decoder.read_info().map_err(error)?;
        let (colour, depth) = reader.output_color_type();
        let palette = reader.info().palette.as_deref().unwrap_or_default().to_vec();
        if colour == ColorType::Indexed && palette.is_empty() {
            return Err(error("it has no palette"));
        }
        let pixels = Pixels { colour, depth, palette };
        if reader.info().interlaced != self.interlaced {
            return Err(error("its headers contradict each other"));
        }
        if self.interlaced {
            return self.decode_interlaced(reader, &pixels, sink);
        }
        let mut planes: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; self.width]);
        let rows = sink.window().rows.clone();
        for y in 0..self.height {
            let row = reader.next_row().map_err(error)?;
            let row = row.ok_or_else(|| error("the file is truncated"))?;
            if rows.contains(&y) {
                pixels.to_planes(row.data(), &mut planes);
                let [r, g, b] = &planes;
                sink.row(y, [r, g, b]);
            }
        }
        Ok(())
    }

    fn decode_interlaced(
        &self,
        mut reader: png::Reader<Cursor<&[u8]>>,
        pixels: &Pixels,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        // Seven passes, each a thinner image: where it begins and how far apart its pixels are.
        const PASSES: [(usize, usize, usize, usize); 7] = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ];
        let mut raster = Raster::collect((self.width, self.height));
        raster.planes = std::array::from_fn(|_| vec![0; self.width * self.height]);
        for (x0, y0, dx, dy) in PASSES {
            let width = self.width.saturating_sub(x0).div_ceil(dx);
            if width == 0 {
                continue;
            }
            let mut planes: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; width]);
            for y in (y0..self.height).step_by(dy) {
                let row = reader.next_row().map_err(error)?;
                let row = row.ok_or_else(|| error("the file is truncated"))?;
                pixels.to_planes(row.data(), &mut planes);
                for (plane, whole) in planes.iter().zip(&mut raster.planes) {
                    let line = &mut whole[y * self.width..(y + 1) * self.width];
                    for (out, &x) in line.iter_mut().skip(x0).step_by(dx).zip(plane) {
                        *out = x;
                    }
                }
            }
        }
        raster.send(sink);
        Ok(())
    }
}

/// How the bytes of a row make pixels.
struct Pixels {
    colour: ColorType,
    depth: BitDepth,
    palette: Vec<u8>,
}

impl Pixels {
    fn to_planes(&self, row: &[u8], planes: &mut [Vec<u8>; 3]) {
        let [r, g, b] = planes;
        let outs = r.iter_mut().zip(g).zip(b).map(|((r, g), b)| (r, g, b));
        let grey = |(r, g, b): (&mut u8, &mut u8, &mut u8), x| (*r, *g, *b) = (x, x, x);
        let bits = self.depth as usize;
        match (self.colour, self.depth) {
            (ColorType::Grayscale, BitDepth::Sixteen) => {
                // Pillow's mode "I;16", which it clips instead of scaling it.
                for (out, x) in outs.zip(row.as_chunks::<2>().0) {
                    grey(out, if x[0] > 0 { 255 } else { x[1] });
                }
            }
            (ColorType::Grayscale, BitDepth::Eight) => outs.zip(row).for_each(|(o, &x)| grey(o, x)),
            (ColorType::Grayscale, _) => {
                let scale = 255 / ((1u8 << bits) - 1);
                outs.zip(unpacked(row, bits)).for_each(|(out, x)| grey(out, x * scale));
            }
            (ColorType::Indexed, _) => {
                for ((r, g, b), index) in outs.zip(unpacked(row, bits)) {
                    // Pillow's palettes are black behind the last entry.
                    let at = 3 * usize::from(index);
                    let entry = self.palette.get(at..).and_then(<[u8]>::first_chunk);
                    [*r, *g, *b] = entry.copied().unwrap_or([0; 3]);
                }
            }
            // Alpha is dropped, not composited, and of 16 bits the upper 8 are taken.
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
                outs.zip(row.as_chunks::<4>().0).for_each(|(out, x)| grey(out, x[0]));
            }
            (ColorType::GrayscaleAlpha, _) => {
                outs.zip(row.as_chunks::<2>().0).for_each(|(out, x)| grey(out, x[0]));
            }
            (ColorType::Rgb, BitDepth::Sixteen) => {
                for ((r, g, b), x) in outs.zip(row.as_chunks::<6>().0) {
                    (*r, *g, *b) = (x[0], x[2], x[4]);
                }
            }
            (ColorType::Rgb, _) => {
                for ((r, g, b), x) in outs.zip(row.as_chunks::<3>().0) {
                    (*r, *g, *b) = (x[0], x[1], x[2]);
                }
            }
            (ColorType::Rgba, BitDepth::Sixteen) => {
                for ((r, g, b), x) in outs.zip(row.as_chunks::<8>().0) {
                    (*r, *g, *b) = (x[0], x[2], x[4]);
                }
            }
            (ColorType::Rgba, _) => {
                for ((r, g, b), x) in outs.zip(row.as_chunks::<4>().0) {
                    (*r, *g, *b) = (x[0], x[1], x[2]);
                }
            }
        }
    }
}

/// Numbers of 1, 2, 4 or 8 bits, the first in the upper end of a byte.
fn unpacked(row: &[u8], bits: usize) -> impl Iterator<Item = u8> {
    let mask = (0xffu16 >> (8 - bits)) as u8;
    row.iter().flat_map(move |&byte| {
        (0..8 / bits).map(move |index| byte >> (8 - bits - index * bits) & mask)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_unpack_from_the_upper_end() {
        let row = [0b1011_0001];
        assert_eq!(unpacked(&row, 1).collect::<Vec<_>>(), [1, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!(unpacked(&row, 2).collect::<Vec<_>>(), [2, 3, 0, 1]);
        assert_eq!(unpacked(&row, 4).collect::<Vec<_>>(), [11, 1]);
        assert_eq!(unpacked(&row, 8).collect::<Vec<_>>(), [0b1011_0001]);
    }
}
