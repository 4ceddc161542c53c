//! Numbers that lie on the boundaries of cache lines.

/// The numbers of a cache line, which is also the largest register.
const LINE: usize = 16;

/// The numbers that bytes of a file are, the lowest byte first; of as many as both have.
///
/// ```
/// let mut numbers = [0.0; 2];
/// isovec_kernels::read_floats(&[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], &mut numbers);
/// assert_eq!(numbers, [1.0, -2.0]);
/// ```
pub fn read_floats(stored: &[u8], to: &mut [f32]) {
    let stored = stored.as_chunks::<4>().0;
    if cfg!(target_endian = "big") {
        to.iter_mut().zip(stored).for_each(|(to, bytes)| *to = f32::from_le_bytes(*bytes));
        return;
    }
    let count = to.len().min(stored.len());
    // As bytes, since those of a file lie anywhere.
    let (from, to): (*const u8, *mut u8) = (stored.as_ptr().cast(), to.as_mut_ptr().cast());
    // SAFETY: both have so many of four bytes, and any four are a number.
    unsafe { from.copy_to_nonoverlapping(to, count * size_of::<f32>()) }
}

/// Numbers from the start of a cache line on.
#[derive(Default)]
pub(crate) struct Aligned {
    /// Zeros that the system has ready need not be written; it promises no cache line, so some more are asked for.
    numbers: Vec<f32>,
    first: usize,
    len: usize,
}

impl Aligned {
    /// `n` zeros, and up to fifteen more.
    pub(crate) fn zeros(n: usize) -> Self {
        let len = n.div_ceil(LINE) * LINE;
        let numbers = vec![0.0_f32; len + LINE - 1];
        let first = numbers.as_ptr().align_offset(LINE * size_of::<f32>());
        Aligned { numbers, first, len }
    }

    /// At least `n` numbers, whatever they are.
    pub(crate) fn at_least(&mut self, n: usize) -> &mut [f32] {
        if self.len < n {
            *self = Aligned::zeros(n);
        }
        self.as_mut_slice()
    }

    /// Gives up what is over so many numbers.
    pub(crate) fn shrink_above(&mut self, n: usize) {
        if self.len > n {
            *self = Aligned::default();
        }
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.numbers[self.first..][..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.numbers[self.first..][..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let numbers = self.as_mut_slice();
        // SAFETY: numbers have no gaps, and any bytes are a number.
        unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
    }

    pub(crate) fn integers_mut(&mut self) -> &mut [i32] {
        let numbers = self.as_mut_slice();
        // SAFETY: integers are as long as numbers and aligned as they are, and any has the bits of a number.
        unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), numbers.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_numbers_are_read_as_both_have() {
        let stored: Vec<u8> =
            [1.5_f32, -0.0, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
        // From an address that is no number's, and with a rest that is none.
        let odd = [&[7], &stored[..], &[1, 2, 3]].concat();
        for (length, read) in [(0, 0), (2, 2), (3, 3), (5, 3)] {
            let mut to = vec![9.0_f32; length];
            read_floats(&odd[1..], &mut to);
            let bits: Vec<u32> = to.iter().map(|x| x.to_bits()).collect();
            let expected = [1.5_f32, -0.0, f32::NAN].map(f32::to_bits);
            assert_eq!(bits[..read], expected[..read]);
            assert!(to[read..].iter().all(|x| *x == 9.0));
        }
    }
}
