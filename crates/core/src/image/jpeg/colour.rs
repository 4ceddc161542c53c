//! YCbCr, CMYK and YCCK to RGB, as libjpeg and then Pillow compute them.

/// One row of YCbCr to RGB, where `rgb` comes with Y, Cb and Cr in it.
///
/// libjpeg's 16-bit fixed point. A factor of 1.402 is taken as 1 and 0.402, and so on: the same
/// integers, with factors that fit 16 bits.
pub(super) fn ycc_to_rgb(red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let y = i32::from(*red);
        let cb = i32::from(*green) - 128;
        let cr = i32::from(*blue) - 128;
        let r = y + cr + ((cr * 26345 + 32768) >> 16);
        let g = y - cr + ((cb * -22554 + cr * 18734 + 32768) >> 16);
        let b = y + 2 * cb + ((cb * -14942 + 32768) >> 16);
        *red = r.clamp(0, 255) as u8;
        *green = g.clamp(0, 255) as u8;
        *blue = b.clamp(0, 255) as u8;
    }
}

/// One row of CMYK to RGB, in place of C, M and Y.
///
/// As Pillow does, this takes the file to be inverted, which is Adobe's habit: 255 is no ink.
pub(super) fn cmyk_to_rgb(planes: [&mut [u8]; 3], black: &[u8]) {
    for plane in planes {
        for (colour, &black) in plane.iter_mut().zip(black) {
            *colour = less_ink(*colour, black);
        }
    }
}

/// One row of YCCK to RGB, in place of Y, Cb and Cr.
pub(super) fn ycck_to_rgb([y, cb, cr]: [&mut [u8]; 3], black: &[u8]) {
    ycc_to_rgb(y, cb, cr);
    // libjpeg's CMY is 255 less this, and the file is inverted like any CMYK.
    for plane in [y, cb, cr] {
        for (colour, &black) in plane.iter_mut().zip(black) {
            *colour = less_ink(255 - *colour, black);
        }
    }
}

/// Pillow's conversion of one colour of CMYK, where both come inverted.
fn less_ink(colour: u8, black: u8) -> u8 {
    let (ink, white) = (u32::from(255 - colour), u32::from(black));
    let product = ink * white + 128;
    white.saturating_sub(((product >> 8) + product) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ycc_equals_libjpegs_tables() {
        for y in [0, 1, 77, 128, 254, 255] {
            for cb in 0..=255u8 {
                for cr in 0..=255u8 {
                    let (b, r) = (i32::from(cb) - 128, i32::from(cr) - 128);
                    let expected = [
                        i32::from(y) + ((91881 * r + 32768) >> 16),
                        i32::from(y) + ((-22554 * b - 46802 * r + 32768) >> 16),
                        i32::from(y) + ((116130 * b + 32768) >> 16),
                    ]
                    .map(|x| x.clamp(0, 255) as u8);
                    let mut rgb = [[y], [cb], [cr]];
                    let [red, green, blue] = &mut rgb;
                    ycc_to_rgb(red, green, blue);
                    assert_eq!(rgb.map(|x| x[0]), expected, "{y} {cb} {cr}");
                }
            }
        }
    }

    #[test]
    fn inverted_cmyk() {
        // No ink, full black, full cyan, half of each.
        for ((colour, black), expected) in
            [((255, 255), 255), ((255, 0), 0), ((0, 255), 0), ((128, 128), 64)]
        {
            assert_eq!(less_ink(colour, black), expected, "{colour} {black}");
        }
    }
}
