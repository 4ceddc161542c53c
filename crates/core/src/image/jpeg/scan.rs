//! The coefficients of one block, from the bits of one scan.

use super::corrupt;
use super::header::ZIGZAG;
use super::huffman::{Ac, Bits, Table};
use crate::Result;

/// Decodes a block of a sequential scan, dequantised, in natural order; says whether anything but the
/// first coefficient may be other than zero.
///
/// `block` must be zero. The quantiser is in the order of the file. Products wrap at 16 bits, as they
/// do in libjpeg-turbo's vector code.
#[inline]
pub(super) fn sequential(
    bits: &mut Bits<'_>,
    (dc, ac): (&Table, &Table),
    quantiser: &[u16; 64],
    prediction: &mut i32,
    block: &mut [i16; 64],
) -> Result<bool> {
    bits.refill();
    *prediction = prediction.wrapping_add(bits.difference(dc)?);
    block[0] = (*prediction as i16).wrapping_mul(quantiser[0] as i16);
    let mut k = 1;
    let mut flat = true;
    while k < 64 {
        bits.refill();
        match bits.ac(ac)? {
            Ac::Number { run, value } => {
                k += run as usize;
                let Some(&at) = ZIGZAG.get(k) else {
                    return Err(corrupt("a block has more than 64 coefficients"));
                };
                block[usize::from(at & 63)] = (value as i16).wrapping_mul(quantiser[k & 63] as i16);
                flat = false;
                k += 1;
            }
            Ac::Run(15) => k += 16,
            Ac::Run(_) => break,
        }
    }
    Ok(!flat)
}

/// The first scan of DC coefficients of a progressive file.
#[inline]
pub(super) fn dc_first(
    bits: &mut Bits<'_>,
    dc: &Table,
    low: u32,
    prediction: &mut i32,
    block: &mut [i16; 64],
) -> Result<()> {
    bits.refill();
    *prediction = prediction.wrapping_add(bits.difference(dc)?);
    block[0] = (*prediction << low) as i16;
    Ok(())
}

/// A later scan of DC coefficients: one more bit.
#[inline]
pub(super) fn dc_refine(bits: &mut Bits<'_>, low: u32, block: &mut [i16; 64]) {
    bits.refill();
    if bits.take(1) == 1 {
        block[0] |= 1 << low;
    }
}

/// The first scan of a band of AC coefficients. `blank` counts the blocks still to come of which the
/// rest of the band is zero. `present` has a bit for each coefficient, in the order of the file, that
/// is not zero.
#[inline]
pub(super) fn ac_first(
    bits: &mut Bits<'_>,
    ac: &Table,
    (first, last): (usize, usize),
    low: u32,
    blank: &mut u32,
    (block, present): (&mut [i16; 64], &mut u64),
) -> Result<()> {
    if *blank > 0 {
        *blank -= 1;
        return Ok(());
    }
    let mut k = first;
    while k <= last {
        bits.refill();
        match bits.ac(ac)? {
            Ac::Number { run, value } => {
                k += run as usize;
                let Some(&at) = ZIGZAG.get(k) else {
                    return Err(corrupt("a block has more than 64 coefficients"));
                };
                let value = (value << low) as i16;
                block[usize::from(at & 63)] = value;
                *present |= u64::from(value != 0) << (k & 63);
                k += 1;
            }
            Ac::Run(15) => k += 16,
            Ac::Run(size) => {
                *blank = (1 << size) - 1 + bits.take(size);
                break;
            }
        }
    }
    Ok(())
}

/// A later scan of a band of AC coefficients: one more bit for those that are not zero, and new ones
/// of the lowest magnitude.
pub(super) fn ac_refine(
    bits: &mut Bits<'_>,
    ac: &Table,
    (first, last): (usize, usize),
    low: u32,
    blank: &mut u32,
    (block, present): (&mut [i16; 64], &mut u64),
) -> Result<()> {
    let bit = 1i16 << low;
    let mut k = first;
    if *blank == 0 {
        while k <= last {
            bits.refill();
            let (mut run, size) = bits.run_and_size(ac)?;
            let mut new = 0;
            if size != 0 {
                new = if bits.take(1) == 1 { bit } else { -bit };
            } else if run != 15 {
                *blank = (1 << run) + bits.take(run);
                break;
            }
            // Over what is there already, and over as many zeros as the run says.
            while k <= last {
                let coefficient = &mut block[usize::from(ZIGZAG[k] & 63)];
                if *coefficient != 0 {
                    bits.refill();
                    correct(bits, coefficient, bit);
                } else if run == 0 {
                    *coefficient = new;
                    *present |= u64::from(new != 0) << (k & 63);
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            if k > last && new != 0 {
                return Err(corrupt("a run of zeros goes past the end of its band"));
            }
            k += 1;
        }
    }
    if *blank > 0 {
        let mut rest = *present & band(k, last);
        while rest != 0 {
            let coefficient = &mut block[usize::from(ZIGZAG[rest.trailing_zeros() as usize] & 63)];
            bits.refill();
            correct(bits, coefficient, bit);
            rest &= rest - 1;
        }
        *blank -= 1;
    }
    Ok(())
}

/// The bits of the coefficients from `first` to `last`, both included.
#[inline]
pub(super) fn band(first: usize, last: usize) -> u64 {
    u64::MAX << (first & 63) & u64::MAX >> (63 - (last & 63))
}

/// One more bit of the magnitude of a coefficient that is not zero.
#[inline]
fn correct(bits: &mut Bits<'_>, coefficient: &mut i16, bit: i16) {
    if bits.take(1) == 1 && *coefficient & bit == 0 {
        let step = if *coefficient >= 0 { bit } else { -bit };
        *coefficient = coefficient.wrapping_add(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands() {
        for (first, last) in [(1, 63), (1, 1), (5, 9), (63, 63), (0, 0)] {
            for k in 0..64 {
                let inside = (first..=last).contains(&k);
                assert_eq!(band(first, last) >> k & 1 == 1, inside, "{k} in {first} to {last}");
            }
        }
    }
}
