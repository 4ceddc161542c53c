//! The bits of a lossless WebP, the first in the lower end of a byte.

/// A reader of bits.
///
/// Past the end of the data it makes up zeros and counts them, so that the hot path need not ask at
/// every symbol whether there is one: the caller asks [`ran_out`](Bits::ran_out) now and then.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, in the lower end. Above the valid ones are zeros or bits of `rest`.
    buffer: u64,
    /// How many of them are valid.
    count: u32,
    /// How many of those that were ever put in were made up.
    made_up: u64,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Bits { rest: data, buffer: 0, count: 0, made_up: 0 }
    }

    /// Whether more bits were taken than there were.
    pub(super) fn ran_out(&self) -> bool {
        self.made_up > u64::from(self.count)
    }

    /// Makes at least 56 bits valid.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let Some(&next) = self.rest.first_chunk::<8>() else {
            *self = self.refilled_at_end();
            return;
        };
        // Bits of a byte that does not fit whole come again next time, as they are.
        self.buffer |= u64::from_le_bytes(next) << self.count;
        self.rest = &self.rest[(63 - self.count as usize) / 8..];
        self.count |= 56;
    }

    // By value, so that a caller's reader can stay in registers.
    #[cold]
    #[inline(never)]
    fn refilled_at_end(mut self) -> Self {
        while self.count < 56 {
            match self.rest.split_first() {
                Some((&byte, rest)) => {
                    self.buffer |= u64::from(byte) << self.count;
                    self.rest = rest;
                }
                None => self.made_up += 8,
            }
            self.count += 8;
        }
        self
    }

    /// The next bits, of which those are valid that [`refill`](Bits::refill) made so.
    #[inline(always)]
    pub(super) fn peek(&self) -> usize {
        self.buffer as u32 as usize
    }

    /// Goes on by `count` of the valid bits.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer >>= count;
        self.count -= count;
    }

    /// How many bits are valid.
    #[inline(always)]
    pub(super) fn valid(&self) -> u32 {
        self.count
    }

    /// The next `count` of the valid bits, at most 24.
    #[inline(always)]
    pub(super) fn take_valid(&mut self, count: u32) -> usize {
        let bits = self.peek() & ((1 << count) - 1);
        self.skip(count);
        bits
    }

    /// The next `count` bits, at most 24.
    pub(super) fn take(&mut self, count: u32) -> usize {
        self.refill();
        self.take_valid(count)
    }

    /// The next bit.
    pub(super) fn flag(&mut self) -> bool {
        self.take(1) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_from_the_lower_end_and_end() {
        let mut bits = Bits::new(&[0b1001_1100, 0b0100_0001, 0b1110_0001]);
        let got = [3, 2, 6, 10, 3].map(|count| bits.take(count));
        assert_eq!(got, [4, 3, 12, 40, 7]);
        assert!(!bits.ran_out());
        assert!(!bits.flag());
        assert!(bits.ran_out());
    }

    #[test]
    fn long_runs_of_bits_survive_refills() {
        let data: Vec<u8> = (0..200u32).map(|i| (i * 37 % 251) as u8).collect();
        let mut bits = Bits::new(&data);
        for (index, byte) in data.iter().enumerate() {
            let got = bits.take(3) | bits.take(5) << 3;
            assert_eq!(got, usize::from(*byte), "byte {index}");
        }
        assert!(!bits.ran_out());
    }
}
