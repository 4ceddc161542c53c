//! EXIF orientation: that of a JPEG's first EXIF segment, a PNG's eXIf chunk, a WebP's EXIF chunk.
//!
//! Pillow's `ImageOps.exif_transpose` also knows two rarer places, XMP data and the text chunks that
//! ImageMagick keeps EXIF data in ("Raw profile type exif"). These are not read here: such an image
//! stays as it is stored.

use super::rows::{Raster, RowSink, Window};

/// The orientation that EXIF data gives, from 1 (upright) to 8; 1 where there is none that makes
/// sense. Damaged EXIF data is common, and no reason to refuse an image.
pub(super) fn orientation(exif: &[u8]) -> u8 {
    read(exif).filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

fn read(tiff: &[u8]) -> Option<u8> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = tiff.get(at..at.checked_add(length)?)?;
        let join = |all: usize, &byte: &u8| all << 8 | usize::from(byte);
        Some(if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    };
    let directory = number(4, 4)?;
    for index in 0..number(directory, 2)? {
        let entry = directory + 2 + 12 * index;
        if number(entry, 2)? == 0x112 {
            let length = match number(entry + 2, 2)? {
                1 => 1,
                3 => 2,
                4 => 4,
                _ => return None,
            };
            return number(entry + 8, length)?.try_into().ok();
        }
    }
    None
}

/// Whether width and height change places.
pub(super) fn swaps_sides(orientation: u8) -> bool {
    orientation >= 5
}

/// Rows that are made at once where columns become rows: what is loaded of a column is then used.
const BAND: usize = 64;

/// The bytes from one of them to the next: an odd number of cache lines, so that a column of them does
/// not compete for a few places of the cache.
fn stride(width: usize) -> usize {
    (width.div_ceil(64) | 1) * 64
}

/// An upper bound of the bytes that turning takes, the image included.
pub(super) fn working_bytes((width, height): (usize, usize)) -> u64 {
    let band = (width.max(height) as u64 + 2 * BAND as u64) * BAND as u64;
    (width as u64).saturating_mul(height as u64).saturating_add(band).saturating_mul(3)
}

/// Gives the image upright, as Pillow's `ImageOps.exif_transpose` turns it, some rows at a time: a
/// second image would be as large as the first.
pub(super) fn send_upright(image: &Raster, orientation: u8, sink: &mut dyn RowSink) {
    let (w, h) = (image.width, image.height);
    let Window { columns, rows } = sink.window().clone();
    let swaps = swaps_sides(orientation);
    let (band, stride, width) = if swaps { (BAND, stride(h), h) } else { (1, w, w) };
    let mut made: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; band * stride]);
    for start in rows.clone().step_by(band) {
        let end = (start + band).min(rows.end);
        for (new, old) in made.iter_mut().zip(&image.planes) {
            if !swaps {
                let y = if matches!(orientation, 3 | 4) { h - 1 - start } else { start };
                new.copy_from_slice(&old[y * w..(y + 1) * w]);
                if matches!(orientation, 2 | 3) {
                    new.reverse();
                }
                continue;
            }
            for x in columns.clone() {
                let y = if matches!(orientation, 6 | 7) { h - 1 - x } else { x };
                let line = &old[y * w..(y + 1) * w];
                let column = new[x..].iter_mut().step_by(stride);
                if matches!(orientation, 7 | 8) {
                    let pixels = line[w - end..w - start].iter().rev();
                    column.zip(pixels).for_each(|(new, &old)| *new = old);
                } else {
                    column.zip(&line[start..end]).for_each(|(new, &old)| *new = old);
                }
            }
        }
        for y in start..end {
            let row = (y - start) * stride..(y - start) * stride + width;
            let [r, g, b] = &made;
            sink.row(y, [&r[row.clone()], &g[row.clone()], &b[row]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_of_three_by_two() {
        let mut image = Raster::collect((3, 2));
        image.planes = [vec![1, 2, 3, 4, 5, 6], vec![0; 6], vec![0; 6]];
        let cases: [(u8, [u8; 6]); 8] = [
            (1, [1, 2, 3, 4, 5, 6]),
            (2, [3, 2, 1, 6, 5, 4]),
            (3, [6, 5, 4, 3, 2, 1]),
            (4, [4, 5, 6, 1, 2, 3]),
            (5, [1, 4, 2, 5, 3, 6]),
            (6, [4, 1, 5, 2, 6, 3]),
            (7, [6, 3, 5, 2, 4, 1]),
            (8, [3, 6, 2, 5, 1, 4]),
        ];
        for (orientation, expected) in cases {
            let size = if swaps_sides(orientation) { (2, 3) } else { (3, 2) };
            let mut upright = Raster::collect(size);
            send_upright(&image, orientation, &mut upright);
            assert_eq!(upright.planes[0], expected, "{orientation}");
        }
    }

    #[test]
    fn damaged_exif_is_upright() {
        let good = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        assert_eq!(orientation(good), 6);
        for length in 0..20 {
            assert_eq!(orientation(&good[..length]), 1, "the first {length} bytes");
        }
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), 1);
    }
}
