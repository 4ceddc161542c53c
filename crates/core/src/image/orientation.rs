//! EXIF orientation.

use super::rows::Raster;

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

/// The image upright, as Pillow's `ImageOps.exif_transpose` turns it.
pub(super) fn upright(image: &Raster, orientation: u8) -> Raster {
    let (w, h) = (image.width, image.height);
    let size = if swaps_sides(orientation) { (h, w) } else { (w, h) };
    let mut out = Raster::collect(size);
    // For each new pixel, the old one.
    let source = |x: usize, y: usize| match orientation {
        2 => (w - 1 - x, y),
        3 => (w - 1 - x, h - 1 - y),
        4 => (x, h - 1 - y),
        5 => (y, x),
        6 => (y, h - 1 - x),
        7 => (w - 1 - y, h - 1 - x),
        8 => (w - 1 - y, x),
        _ => (x, y),
    };
    for (new, old) in out.planes.iter_mut().zip(&image.planes) {
        new.reserve(w * h);
        for y in 0..size.1 {
            new.extend((0..size.0).map(|x| {
                let (x, y) = source(x, y);
                old[y * w + x]
            }));
        }
    }
    out
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
            assert_eq!(upright(&image, orientation).planes[0], expected, "{orientation}");
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
