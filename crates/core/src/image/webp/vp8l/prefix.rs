//! Prefix codes, and the groups of five that a pixel is read with.

use super::bits::Bits;
use super::{Memory, error};
use crate::Result;

/// Codes of up to this many bits are looked up in one step.
const ROOT: usize = 8;
/// The longest code.
const LONGEST: usize = 15;
/// The symbols of green (and lengths, and the colour cache), red, blue, alpha and distances.
const ALPHABETS: [usize; 5] = [280, 256, 256, 256, 40];
/// The order in which the lengths of the code of code lengths are stored.
const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// How many codes there are of each length.
type Counts = [u16; LONGEST + 1];

/// Where the table of a code lies among those of its group.
#[derive(Clone, Copy, Debug, Default)]
struct Code {
    start: u16,
    /// As many ones as the first step looks up bits.
    mask: u16,
}

/// The five codes of a block of pixels.
#[derive(Debug)]
pub(super) struct Group {
    codes: [Code; 5],
    /// In each entry the lower four bits are the length of the code and the others its symbol; or,
    /// where those four are more than [`ROOT`], how many more bits to look up, and where.
    tables: Box<[u16]>,
    /// Red, blue and alpha of every pixel, where each of their codes has one symbol only.
    pub(super) literal: Option<u32>,
    /// The pixel, where green has one symbol too.
    pub(super) pixel: Option<u32>,
}

impl Group {
    /// The next symbol of a code; [`LONGEST`] bits must be valid.
    #[inline(always)]
    fn symbol(&self, index: usize, bits: &mut Bits<'_>) -> usize {
        let Code { start, mask } = self.codes[index];
        let mut entry = self.tables[usize::from(start) + (bits.peek() & usize::from(mask))];
        let more = u32::from(entry & 15).saturating_sub(ROOT as u32);
        if more > 0 {
            bits.skip(ROOT as u32);
            let at = usize::from(start) + usize::from(entry >> 4);
            entry = self.tables[at + (bits.peek() & ((1 << more) - 1))];
        }
        bits.skip(u32::from(entry & 15));
        usize::from(entry >> 4)
    }

    /// Green, or 256 and more for a copy, or 280 and more for the colour cache.
    #[inline(always)]
    pub(super) fn green(&self, bits: &mut Bits<'_>) -> usize {
        self.symbol(0, bits)
    }

    /// Red, blue and alpha after a green; three times [`LONGEST`] bits less green's must be valid.
    #[inline(always)]
    pub(super) fn red_blue_alpha(&self, bits: &mut Bits<'_>) -> u32 {
        let red = self.symbol(1, bits);
        let blue = self.symbol(2, bits);
        if bits.valid() < LONGEST as u32 {
            bits.refill();
        }
        let alpha = self.symbol(3, bits);
        (alpha << 24 | red << 16 | blue) as u32
    }

    /// The class of a distance.
    #[inline(always)]
    pub(super) fn distance(&self, bits: &mut Bits<'_>) -> usize {
        self.symbol(4, bits)
    }

    /// The only symbol of a code, if it has no other.
    fn only_symbol(&self, index: usize) -> Option<u32> {
        let Code { start, mask } = self.codes[index];
        (mask == 0).then(|| u32::from(self.tables[usize::from(start)] >> 4))
    }
}

/// Reads groups; what it allocates serves for all of them.
pub(super) struct Reader {
    lengths: Vec<u8>,
    sorted: Vec<u16>,
    tables: Vec<u16>,
    cache: usize,
}

impl Reader {
    /// A reader for an image whose colour cache has so many entries.
    pub(super) fn new(cache: usize) -> Self {
        let lengths = vec![0; ALPHABETS[0] + cache];
        Reader { lengths, sorted: Vec::new(), tables: Vec::new(), cache }
    }

    /// Reads a group and makes its tables, which are charged.
    pub(super) fn group(&mut self, bits: &mut Bits<'_>, memory: &mut Memory) -> Result<Group> {
        self.tables.clear();
        let mut codes = [Code::default(); 5];
        for (index, code) in codes.iter_mut().enumerate() {
            let (alphabet, counts) = self.code(index, bits)?;
            let lengths = &self.lengths[..alphabet];
            *code = build(lengths, &counts, &mut self.sorted, &mut self.tables);
        }
        memory.charge(size_of::<u16>() * self.tables.len())?;
        let tables = self.tables.as_slice().into();
        let mut group = Group { codes, tables, literal: None, pixel: None };
        if let [Some(red), Some(blue), Some(alpha)] = [1, 2, 3].map(|i| group.only_symbol(i)) {
            let literal = alpha << 24 | red << 16 | blue;
            group.literal = Some(literal);
            let green = group.only_symbol(0).filter(|&green| green < 256);
            group.pixel = green.map(|green| literal | green << 8);
        }
        Ok(group)
    }

    /// Reads a group that no pixel uses. A file can name 65,536 of them in a few bits each.
    pub(super) fn unused_group(&mut self, bits: &mut Bits<'_>) -> Result<()> {
        (0..ALPHABETS.len()).try_for_each(|index| self.code(index, bits).map(drop))
    }

    /// Reads the lengths of a code and checks that they make one. Gives the size of the alphabet.
    fn code(&mut self, index: usize, bits: &mut Bits<'_>) -> Result<(usize, Counts)> {
        let alphabet = ALPHABETS[index] + if index == 0 { self.cache } else { 0 };
        self.lengths[..alphabet].fill(0);
        let mut counts = Counts::default();
        if bits.flag() {
            let two = bits.flag();
            let first = if bits.flag() { bits.take(8) } else { bits.take(1) };
            let second = if two { bits.take(8) } else { first };
            for symbol in [first, second] {
                // Like libwebp: a symbol that is there twice is one, one that is none is ignored.
                if let Some(length @ 0) = self.lengths[..alphabet].get_mut(symbol) {
                    *length = 1;
                    counts[1] += 1;
                }
            }
        } else {
            self.lengths(alphabet, bits, &mut counts)?;
        }
        if bits.ran_out() {
            return Err(error("the file is truncated"));
        }
        check(&counts)?;
        Ok((alphabet, counts))
    }

    /// Reads code lengths that are coded themselves.
    fn lengths(&mut self, alphabet: usize, bits: &mut Bits<'_>, counts: &mut Counts) -> Result<()> {
        let (mut own_lengths, mut own_counts) = ([0u8; ORDER.len()], Counts::default());
        let stored = 4 + bits.take(4);
        for &symbol in ORDER.iter().take(stored) {
            let length = bits.take(3);
            own_lengths[symbol] = length as u8;
            own_counts[length] += 1;
        }
        own_counts[0] = 0;
        check(&own_counts)?;
        let own_start = self.tables.len();
        let own = build(&own_lengths, &own_counts, &mut self.sorted, &mut self.tables);
        // Behind the group's tables for as long as it is needed.
        let table = &self.tables[own_start..];
        let mut left = alphabet;
        if bits.flag() {
            let size = 2 + 2 * bits.take(3) as u32;
            left = 2 + bits.take(size);
            if left > alphabet {
                return Err(error("a Huffman code has more lengths than symbols"));
            }
        }
        let (mut at, mut previous) = (0, 8);
        while at < alphabet && left > 0 {
            bits.refill();
            let entry = table[bits.peek() & usize::from(own.mask)];
            bits.skip(u32::from(entry & 15));
            left -= 1;
            let (length, mut repeat) = match entry >> 4 {
                length @ 0..16 => (length, 1),
                16 => (previous, 3 + bits.take_valid(2)),
                17 => (0, 3 + bits.take_valid(3)),
                _ => (0, 11 + bits.take_valid(7)),
            };
            if entry < 16 << 4 && own.mask == 0 {
                // All lengths are this one, which takes no bits: then it takes no time either.
                repeat = (left + 1).min(alphabet - at);
                left = 0;
            }
            let Some(slots) = self.lengths[..alphabet].get_mut(at..at + repeat) else {
                return Err(error("a Huffman code has more lengths than symbols"));
            };
            if length > 0 {
                slots.fill(length as u8);
                counts[usize::from(length)] += repeat as u16;
                previous = length;
            }
            at += repeat;
        }
        self.tables.truncate(own_start);
        Ok(())
    }
}

/// Whether there is a code with so many symbols of each length: one that leaves no bits without a
/// meaning, or one of a single symbol, which takes no bits.
fn check(counts: &Counts) -> Result<()> {
    let (mut symbols, mut space) = (0, 0);
    for (length, &count) in counts.iter().enumerate().skip(1) {
        symbols += u32::from(count);
        space += u32::from(count) << (LONGEST - length);
    }
    if symbols != 1 && space != 1 << LONGEST {
        return Err(error("a Huffman code is incomplete, or has more codes than fit"));
    }
    Ok(())
}

/// Appends the table of a code that [`check`] has seen.
fn build(lengths: &[u8], counts: &Counts, sorted: &mut Vec<u16>, tables: &mut Vec<u16>) -> Code {
    let start = tables.len();
    let symbols = lengths.iter().zip(0u16..).filter(|(length, _)| **length > 0);
    let total = counts[1..].iter().sum::<u16>();
    if total == 1 {
        tables.extend(symbols.map(|(_, symbol)| symbol << 4));
        return Code { start: start as u16, mask: 0 };
    }
    let mut offsets = Counts::default();
    for length in 1..LONGEST {
        offsets[length + 1] = offsets[length] + counts[length];
    }
    sorted.clear();
    sorted.resize(usize::from(total), 0);
    for (&length, symbol) in symbols {
        let offset = &mut offsets[usize::from(length)];
        sorted[usize::from(*offset)] = symbol;
        *offset += 1;
    }
    let longest = counts.iter().rposition(|&count| count > 0).unwrap_or(1);
    let root = longest.min(ROOT);
    let mask = (1 << root) - 1;
    tables.resize(start + mask + 1, 0);
    let mut left = *counts;
    let mut sorted = sorted.iter();
    let (mut code, mut branch, mut second) = (0u16, usize::MAX, 0);
    for length in 1..=longest {
        for &symbol in sorted.by_ref().take(usize::from(counts[length])) {
            let reversed = usize::from(code.reverse_bits() >> (16 - length));
            let (first, taken) = if length <= root {
                (start + reversed, 0)
            } else {
                if reversed & mask != branch {
                    branch = reversed & mask;
                    second = tables.len();
                    let more = second_bits(&left, length);
                    tables.resize(second + (1 << more), 0);
                    tables[start + branch] = ((second - start) << 4 | (ROOT + more)) as u16;
                }
                (second + (reversed >> root), root)
            };
            // The last table is the one being filled.
            let entry = symbol << 4 | (length - taken) as u16;
            for slot in tables[first..].iter_mut().step_by(1 << (length - taken)) {
                *slot = entry;
            }
            left[length] -= 1;
            code = code.wrapping_add(1);
        }
        code <<= 1;
    }
    Code { start: start as u16, mask: mask as u16 }
}

/// How many bits the second step must look up, from where codes of this length begin.
fn second_bits(left: &Counts, mut length: usize) -> usize {
    let mut space = 1i32 << (length - ROOT);
    while length < LONGEST {
        space -= i32::from(left[length]);
        if space <= 0 {
            break;
        }
        length += 1;
        space <<= 1;
    }
    length - ROOT
}
