//! Bits and Huffman codes of a JPEG's entropy-coded data.

use super::corrupt;
use crate::Result;

/// Codes of up to this many bits are looked up in one step. Ten covers nearly every code of a
/// photograph, and both tables of a component stay in the first-level cache.
const LOOKAHEAD: u32 = 10;

/// A Huffman table, ready to decode with.
#[derive(Clone)]
pub(super) struct Table {
    /// For the next [`LOOKAHEAD`] bits: the code's length in the upper byte, its symbol in the lower;
    /// 0 for a longer code.
    lookup: Vec<u16>,
    /// For the next [`LOOKAHEAD`] bits, where a code and the number after it fit in them: the number
    /// in the upper half, then the run of zeros, then the length of both together; else 0.
    numbers: Vec<u32>,
    /// For each code length, one more than the largest code, left-aligned to 16 bits.
    ends: [u32; 17],
    /// For each code length, the index of its first symbol less its first code.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// The table that a DHT segment declares: how many codes there are of each length from 1 to 16,
    /// and the symbols in order of their codes.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self> {
        let mut lookup = vec![0u16; 1 << LOOKAHEAD];
        let mut ends = [0u32; 17];
        let mut offsets = [0i32; 17];
        let (mut code, mut index) = (0u32, 0usize);
        for length in 1..=16usize {
            let count = u32::from(counts[length - 1]);
            offsets[length] = index as i32 - code as i32;
            for _ in 0..count {
                let Some(&symbol) = symbols.get(index) else {
                    return Err(corrupt("a Huffman table has fewer symbols than codes"));
                };
                if length as u32 <= LOOKAHEAD {
                    let shift = LOOKAHEAD - length as u32;
                    let first = (code << shift) as usize;
                    let entry = (length as u16) << 8 | u16::from(symbol);
                    let Some(slots) = lookup.get_mut(first..first + (1 << shift)) else {
                        return Err(corrupt("a Huffman table has more codes than fit"));
                    };
                    slots.fill(entry);
                }
                code += 1;
                index += 1;
            }
            // The code of all ones is reserved, so the last code must leave it free.
            if count > 0 && code >= 1 << length {
                return Err(corrupt("a Huffman table has more codes than fit"));
            }
            ends[length] = code << (16 - length);
            code <<= 1;
        }
        let numbers = (0..1u32 << LOOKAHEAD).map(|bits| whole_number(&lookup, bits)).collect();
        Ok(Table { lookup, numbers, ends, offsets, symbols: symbols.to_vec() })
    }
}

/// The entry of [`Table::numbers`] for these next bits.
fn whole_number(lookup: &[u16], bits: u32) -> u32 {
    let entry = u32::from(lookup[bits as usize]);
    let (length, run, size) = (entry >> 8, entry >> 4 & 15, entry & 15);
    if length == 0 || size == 0 || length + size > LOOKAHEAD {
        return 0;
    }
    let raw = bits >> (LOOKAHEAD - length - size) & ((1 << size) - 1);
    (extend(raw, size) as u32) << 16 | run << 8 | (length + size)
}

/// The number that `size` bits stand for: a leading 0 means negative (figure F.12 of the standard).
#[inline(always)]
fn extend(raw: u32, size: u32) -> i32 {
    let raw = raw as i32;
    if raw < 1 << (size - 1) { raw - (1 << size) + 1 } else { raw }
}

/// How many bytes of 0xff come first: one as a rule, a whole file's worth if somebody means harm.
fn leading_ones(bytes: &[u8]) -> usize {
    let mut whole = 0;
    if bytes.starts_with(&[0xff; 8]) {
        let all_ones = |chunk: &&[u8; 32]| chunk.iter().fold(0xff, |all, byte| all & byte) == 0xff;
        whole = 32 * bytes.as_chunks::<32>().0.iter().take_while(all_ones).count();
    }
    whole + bytes[whole..].iter().take_while(|&&byte| byte == 0xff).count()
}

/// What comes next in the AC part of a block.
pub(super) enum Ac {
    /// This many zeros, then this number.
    Number {
        /// The number of zeros before it.
        run: u32,
        /// The number, which is not zero.
        value: i32,
    },
    /// No number: the run is 15 for sixteen zeros, less for an end of band.
    Run(u32),
}

/// A reader of single bits that undoes byte stuffing and stops at a marker.
///
/// Past the end of the data it makes up zeros and counts them, so that the hot path need not ask at
/// every bit whether there is one: the caller asks [`ran_out`](Bits::ran_out) for every MCU.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    position: usize,
    /// The next bits, in the upper end.
    buffer: u64,
    /// How many of them are valid.
    count: u32,
    /// How many of those that were ever put in were made up.
    made_up: u32,
    /// Whether a marker, or the end of the bytes, is at `position`. Known once it was found: there may
    /// be megabytes of fill bytes before the marker, which must not be gone over at every refill.
    ended: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8], position: usize) -> Self {
        Bits { data, position, buffer: 0, count: 0, made_up: 0, ended: false }
    }

    /// Whether more bits were taken than there were.
    #[inline(always)]
    pub(super) fn ran_out(&self) -> bool {
        self.made_up > self.count
    }

    /// Where the marker that ended the data begins, or the end of the bytes.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Forgets what is left of the current byte and goes on at `position`.
    pub(super) fn restart(&mut self, position: usize) {
        *self = Bits::new(self.data, position);
    }

    /// Makes at least 48 bits valid.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if self.count >= 48 {
            return;
        }
        if let Some(chunk) = self.data.get(self.position..self.position + 8) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(chunk);
            let word = u64::from_be_bytes(bytes);
            // No byte is 0xff: the complement has no zero byte.
            let complement = !word;
            let zeros = complement.wrapping_sub(0x0101_0101_0101_0101)
                & !complement
                & 0x8080_8080_8080_8080;
            if zeros == 0 {
                // The bits below `count` of the last byte that fits are set again next time, to the
                // same values.
                self.buffer |= word >> self.count;
                self.position += ((63 - self.count) >> 3) as usize;
                self.count |= 56;
                return;
            }
        }
        self.refill_by_bytes();
    }

    #[cold]
    #[inline(never)]
    fn refill_by_bytes(&mut self) {
        // The fast path may have left bits below `count`; a stuffed byte must not be mixed with them.
        self.buffer &= !(u64::MAX >> self.count);
        while self.count <= 56 {
            let byte = if self.ended { None } else { self.next_byte() };
            if byte.is_none() {
                self.ended = true;
                self.made_up = self.made_up.saturating_add(8);
            }
            self.buffer |= u64::from(byte.unwrap_or(0)) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next byte, or nothing if the data ends before it.
    fn next_byte(&mut self) -> Option<u8> {
        let rest = self.data.get(self.position..)?;
        let fill = leading_ones(rest);
        match (fill, rest.get(fill)?) {
            (0, &byte) => {
                self.position += 1;
                Some(byte)
            }
            (_, 0) => {
                self.position += fill + 1;
                Some(0xff)
            }
            _ => None,
        }
    }

    /// The next `count` bits, of those that [`refill`](Bits::refill) made valid; at most 31.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        // In two steps, as a shift by 64 is none at all.
        let bits = (self.buffer >> 1 >> (63 - count)) as u32;
        self.skip(count);
        bits
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// The symbol of the next code; 16 bits must be valid.
    #[inline(always)]
    fn symbol(&mut self, table: &Table) -> Result<u32> {
        let entry = table.lookup[(self.buffer >> (64 - LOOKAHEAD)) as usize];
        if entry != 0 {
            self.skip(u32::from(entry >> 8));
            return Ok(u32::from(entry & 0xff));
        }
        self.long_symbol(table)
    }

    #[cold]
    #[inline(never)]
    fn long_symbol(&mut self, table: &Table) -> Result<u32> {
        let next = (self.buffer >> 48) as u32;
        for length in LOOKAHEAD + 1..=16 {
            if next < table.ends[length as usize] {
                let code = (next >> (16 - length)) as i32;
                let index = code + table.offsets[length as usize];
                if let Some(&symbol) = table.symbols.get(index as usize) {
                    self.skip(length);
                    return Ok(u32::from(symbol));
                }
            }
        }
        Err(corrupt("its data has a Huffman code that its tables do not"))
    }

    /// The next difference of a DC coefficient; 31 bits must be valid.
    #[inline(always)]
    pub(super) fn difference(&mut self, table: &Table) -> Result<i32> {
        let size = self.symbol(table)?;
        if size == 0 {
            return Ok(0);
        }
        // Tables with a symbol above 15 are refused when a scan selects them.
        Ok(extend(self.take(size & 15), size & 15))
    }

    /// What comes next among the AC coefficients; 31 bits must be valid.
    #[inline(always)]
    pub(super) fn ac(&mut self, table: &Table) -> Result<Ac> {
        let entry = table.numbers[(self.buffer >> (64 - LOOKAHEAD)) as usize];
        if entry != 0 {
            self.skip(entry & 0xff);
            return Ok(Ac::Number { run: entry >> 8 & 15, value: entry as i32 >> 16 });
        }
        let symbol = self.symbol(table)?;
        let (run, size) = (symbol >> 4, symbol & 15);
        if size == 0 {
            return Ok(Ac::Run(run));
        }
        Ok(Ac::Number { run, value: extend(self.take(size), size) })
    }

    /// A run and a size whose bits are still to come, for refinement scans; 16 bits must be valid.
    #[inline(always)]
    pub(super) fn run_and_size(&mut self, table: &Table) -> Result<(u32, u32)> {
        let symbol = self.symbol(table)?;
        Ok((symbol >> 4, symbol & 15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_unstuffed_and_end_at_a_marker() {
        let data = [0xab, 0xff, 0x00, 0xcd, 0xff, 0xd9, 0x12];
        let mut bits = Bits::new(&data, 0);
        bits.refill();
        assert_eq!(bits.take(12), 0xabf);
        assert_eq!(bits.take(12), 0xfcd);
        assert!(!bits.ran_out());
        assert_eq!(bits.take(1), 0);
        assert!(bits.ran_out());
        assert_eq!(bits.position(), 4);
    }

    #[test]
    fn fill_bytes_before_a_marker_and_before_a_zero() {
        let data = [0xab, 0xff, 0xff, 0xff, 0x00, 0xcd, 0xff, 0xff, 0xff, 0xd9];
        let mut bits = Bits::new(&data, 0);
        bits.refill();
        assert_eq!(bits.take(24), 0xab_ffcd);
        assert!(!bits.ran_out());
        for _ in 0..1000 {
            bits.refill();
            assert_eq!(bits.take(16), 0);
            assert!(bits.ran_out());
        }
        assert_eq!(bits.position(), 6);
    }

    #[test]
    fn long_runs_of_bits_survive_refills() {
        let data: Vec<u8> = (0..200u32).map(|i| (i * 37 % 251) as u8).collect();
        let mut bits = Bits::new(&data, 0);
        for (index, byte) in data.iter().enumerate() {
            bits.refill();
            let got = bits.take(3) << 5 | bits.take(5);
            assert_eq!(got, u32::from(*byte), "byte {index}");
        }
        assert!(!bits.ran_out());
    }

    #[test]
    fn codes_short_and_long() {
        // One code of 1 bit, one of 2, and one of 12: 0, 10, 110000000000.
        let mut counts = [0; 16];
        (counts[0], counts[1], counts[11]) = (1, 1, 1);
        let table = Table::new(&counts, &[5, 6, 7]).unwrap();
        let data = [0b0101_1000, 0b0000_0000, 0];
        let mut bits = Bits::new(&data, 0);
        bits.refill();
        let symbols: Vec<_> = (0..3).map(|_| bits.symbol(&table).unwrap()).collect();
        assert_eq!(symbols, [5, 6, 7]);
    }

    #[test]
    fn impossible_tables_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 2;
        assert!(Table::new(&counts, &[1, 2]).is_err(), "all ones is reserved");
        counts[0] = 1;
        assert!(Table::new(&counts, &[]).is_err(), "no symbols");
    }
}
