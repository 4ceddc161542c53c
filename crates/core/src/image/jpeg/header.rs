//! A JPEG's segments: tables, the frame, the scans.

use std::ops::Range;

use super::corrupt;
use super::huffman::Table;
use crate::{Error, ErrorKind, Result};

/// The natural index, row by row, of each coefficient in the order of the file.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What the frame header says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// The largest sampling factors, horizontal and vertical.
    pub(super) max_sampling: (usize, usize),
}

impl Frame {
    /// The numbers of MCUs, across and down, of a scan of all components.
    pub(super) fn mcus(&self) -> (usize, usize) {
        let (h, v) = self.max_sampling;
        (self.width.div_ceil(8 * h), self.height.div_ceil(8 * v))
    }

    /// The number of blocks that an MCU of all components has: at most 64.
    pub(super) fn blocks_per_mcu(&self) -> u64 {
        self.components.iter().map(|c| (c.sampling.0 * c.sampling.1) as u64).sum()
    }

    /// The number of blocks of all components: up to 2^28, so that their bytes may not fit 32 bits.
    pub(super) fn blocks(&self) -> u64 {
        let (across, down) = self.mcus();
        across as u64 * down as u64 * self.blocks_per_mcu()
    }
}

/// One colour component of a frame.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// The sampling factors, horizontal and vertical: this many blocks of each MCU.
    pub(super) sampling: (usize, usize),
    pub(super) quantiser: usize,
    /// Its width and height in samples, and in blocks that hold any of them.
    pub(super) samples: (usize, usize),
    pub(super) blocks: (usize, usize),
}

/// One scan: which components, and which part of their coefficients.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// The component, its DC table and its AC table.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// The coefficients, in the order of the file: first to last, both included.
    pub(super) band: (usize, usize),
    /// The bit position of an earlier scan of them, 0 for the first scan.
    pub(super) high: u32,
    /// The bit position that this scan brings them to.
    pub(super) low: u32,
}

/// How the components make a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    Rgb,
    Ycc,
    Cmyk,
    Ycck,
}

/// What a call of [`Parser::advance`] came to.
pub(super) enum Segment {
    Frame,
    Scan(Scan),
    End,
    Other,
}

/// A Huffman table as the file has it. It is made into one to decode with for the scans that use it:
/// a file may declare a million that none does.
#[derive(Clone, Copy)]
struct Declared<'a> {
    counts: &'a [u8; 16],
    symbols: &'a [u8],
}

/// The Huffman tables of one scan, by their numbers.
#[derive(Default)]
pub(super) struct Tables {
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
}

/// More than all the tables of a scan take: 8 of some 6 KiB.
pub(super) const TABLE_BYTES: u64 = 64 << 10;

impl Tables {
    pub(super) fn dc(&self, number: usize) -> Result<&Table> {
        let table = self.dc.get(number).and_then(Option::as_ref);
        table.ok_or_else(|| corrupt("a scan names a DC table that is not there"))
    }

    pub(super) fn ac(&self, number: usize) -> Result<&Table> {
        let table = self.ac.get(number).and_then(Option::as_ref);
        table.ok_or_else(|| corrupt("a scan names an AC table that is not there"))
    }
}

/// Reads segment after segment and keeps what they define.
pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    pub(super) position: usize,
    pub(super) frame: Option<Frame>,
    /// The quantisation tables, in the order of the file.
    pub(super) quantisers: [Option<[u16; 64]>; 4],
    dc: [Option<Declared<'a>>; 4],
    ac: [Option<Declared<'a>>; 4],
    /// The number of MCUs between restart markers, or 0.
    pub(super) restart_interval: usize,
    /// Where the EXIF data lies, without its "Exif" header.
    pub(super) exif: Option<Range<usize>>,
    jfif: bool,
    adobe: Option<u8>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Parser {
            bytes,
            position: 2,
            frame: None,
            quantisers: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart_interval: 0,
            exif: None,
            jfif: false,
            adobe: None,
        }
    }

    /// Reads the next segment.
    pub(super) fn advance(&mut self) -> Result<Segment> {
        let marker = self.marker()?;
        match marker {
            0xd9 => return Ok(Segment::End),
            // Markers without a length: restarts out of place, a second start, TEM.
            0x01 | 0xd0..=0xd8 => return Ok(Segment::Other),
            _ => {}
        }
        let start = self.position;
        let length = match self.bytes.get(start..start + 2) {
            Some(&[high, low]) => usize::from(high) << 8 | usize::from(low),
            _ => return Err(truncated()),
        };
        if length < 2 {
            return Err(corrupt("a segment is shorter than its own length field"));
        }
        let end = start + length;
        let bytes: &'a [u8] = self.bytes;
        let body = bytes.get(start + 2..end).ok_or_else(truncated)?;
        self.position = end;
        match marker {
            0xc0..=0xc2 => {
                if self.frame.is_some() {
                    return Err(corrupt("it has two frames"));
                }
                self.frame = Some(frame(body, marker == 0xc2)?);
                return Ok(Segment::Frame);
            }
            0xc3 => return Err(unsupported("lossless")),
            0xc5..=0xc7 => return Err(unsupported("hierarchical")),
            0xc9..=0xcb | 0xcd..=0xcf => return Err(unsupported("arithmetic-coded")),
            0xc4 => self.huffman_tables(body)?,
            0xda => return Ok(Segment::Scan(self.scan(body)?)),
            0xdb => self.quantisation_tables(body)?,
            0xdd => match body {
                [high, low] => {
                    self.restart_interval = usize::from(*high) << 8 | usize::from(*low);
                }
                _ => return Err(corrupt("its restart interval has the wrong length")),
            },
            0xe0 if body.len() >= 14 && body.starts_with(b"JFIF\0") => self.jfif = true,
            0xe1 if body.starts_with(b"Exif\0\0") && self.exif.is_none() => {
                self.exif = Some(start + 8..end);
            }
            0xee if body.len() >= 12 && body.starts_with(b"Adobe") => self.adobe = Some(body[11]),
            _ => {}
        }
        Ok(Segment::Other)
    }

    /// Goes behind the next marker, over anything that is none, as libjpeg does.
    fn marker(&mut self) -> Result<u8> {
        loop {
            let rest = self.bytes.get(self.position..).unwrap_or_default();
            let Some(at) = rest.iter().position(|&byte| byte == 0xff) else {
                return Err(truncated());
            };
            let fill = rest[at..].iter().take_while(|&&byte| byte == 0xff).count();
            let Some(&code) = rest.get(at + fill) else {
                return Err(truncated());
            };
            self.position += at + fill + 1;
            if code != 0 {
                return Ok(code);
            }
        }
    }

    /// How the components make a colour: libjpeg's guess, which Pillow follows.
    pub(super) fn colour(&self, frame: &Frame) -> Colour {
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        match (ids.len(), self.adobe) {
            (1, _) => Colour::Grey,
            (3, _) if self.jfif => Colour::Ycc,
            (3, Some(0)) => Colour::Rgb,
            (3, Some(_)) => Colour::Ycc,
            (3, None) if ids == *b"RGB" => Colour::Rgb,
            (3, None) => Colour::Ycc,
            (_, None | Some(0)) => Colour::Cmyk,
            (_, Some(_)) => Colour::Ycck,
        }
    }

    fn quantisation_tables(&mut self, mut body: &[u8]) -> Result<()> {
        while let Some((&head, rest)) = body.split_first() {
            let bytes_each = if head >> 4 == 0 { 1 } else { 2 };
            let Some((values, rest)) = rest.split_at_checked(64 * bytes_each) else {
                return Err(corrupt("a quantisation table is cut short"));
            };
            let Some(table) = self.quantisers.get_mut(usize::from(head & 15)) else {
                return Err(corrupt("a quantisation table has a number above 3"));
            };
            let mut parsed = [0; 64];
            for (out, value) in parsed.iter_mut().zip(values.chunks_exact(bytes_each)) {
                *out = value.iter().fold(0, |all, &byte| all << 8 | u16::from(byte));
            }
            *table = Some(parsed);
            body = rest;
        }
        Ok(())
    }

    /// The tables that the scan needs, of those in force.
    pub(super) fn tables(&self, scan: &Scan) -> Result<Tables> {
        let needs_dc = scan.band.0 == 0 && scan.high == 0;
        let needs_ac = scan.band.1 > 0;
        let mut tables = Tables::default();
        for &(_, dc, ac) in &scan.components {
            if let Some(declared) = self.dc[dc].filter(|_| needs_dc && tables.dc[dc].is_none()) {
                if declared.symbols.iter().any(|&symbol| symbol > 15) {
                    return Err(corrupt("a scan names a DC table that is none"));
                }
                tables.dc[dc] = Some(Table::new(declared.counts, declared.symbols)?);
            }
            if let Some(declared) = self.ac[ac].filter(|_| needs_ac && tables.ac[ac].is_none()) {
                tables.ac[ac] = Some(Table::new(declared.counts, declared.symbols)?);
            }
        }
        Ok(tables)
    }

    fn huffman_tables(&mut self, mut body: &'a [u8]) -> Result<()> {
        while let Some((&head, rest)) = body.split_first() {
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else {
                return Err(corrupt("a Huffman table is cut short"));
            };
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let Some((symbols, rest)) = rest.split_at_checked(total) else {
                return Err(corrupt("a Huffman table is cut short"));
            };
            let tables = if head & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            let Some(table) = tables.get_mut(usize::from(head & !0x10)) else {
                return Err(corrupt("a Huffman table has a number above 3"));
            };
            if total > 256 {
                return Err(corrupt("a Huffman table has more than 256 symbols"));
            }
            *table = Some(Declared { counts, symbols });
            body = rest;
        }
        Ok(())
    }

    fn scan(&self, body: &[u8]) -> Result<Scan> {
        let frame = self.frame.as_ref().ok_or_else(|| corrupt("a scan comes before the frame"))?;
        let bad = || corrupt("a scan header makes no sense");
        let (&count, rest) = body.split_first().ok_or_else(bad)?;
        let (list, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(bad)?;
        let &[first, last, bits] = rest else { return Err(bad()) };
        let mut components: Vec<(usize, usize, usize)> = Vec::with_capacity(list.len() / 2);
        for pair in list.chunks_exact(2) {
            let index = frame.components.iter().position(|c| c.id == pair[0]).ok_or_else(bad)?;
            let (dc, ac) = (usize::from(pair[1] >> 4), usize::from(pair[1] & 15));
            if dc > 3 || ac > 3 || components.iter().any(|&(other, ..)| other == index) {
                return Err(bad());
            }
            components.push((index, dc, ac));
        }
        // The standard's limit on interleaving.
        let blocks: usize = components
            .iter()
            .map(|&(index, ..)| frame.components[index].sampling)
            .map(|(h, v)| h * v)
            .sum();
        if components.is_empty() || (components.len() > 1 && blocks > 10) {
            return Err(bad());
        }
        let mut scan = Scan {
            components,
            band: (usize::from(first), usize::from(last)),
            high: u32::from(bits >> 4),
            low: u32::from(bits & 15),
        };
        if !frame.progressive {
            // libjpeg warns of other values here and does not use them.
            (scan.band, scan.high, scan.low) = ((0, 63), 0, 0);
        } else if scan.band.0 > scan.band.1
            || scan.band.1 > 63
            || (scan.band.0 == 0 && scan.band.1 != 0)
            || (scan.band.0 > 0 && scan.components.len() > 1)
            || (scan.high != 0 && scan.low + 1 != scan.high)
            || scan.low > 13
        {
            return Err(bad());
        }
        Ok(scan)
    }
}

fn frame(body: &[u8], progressive: bool) -> Result<Frame> {
    let Some((&[precision, h1, h0, w1, w0, count], list)) = body.split_first_chunk::<6>() else {
        return Err(corrupt("its frame header is cut short"));
    };
    if precision != 8 {
        return Err(unsupported(&format!("{precision}-bit")));
    }
    let height = usize::from(h1) << 8 | usize::from(h0);
    let width = usize::from(w1) << 8 | usize::from(w0);
    if width == 0 || height == 0 {
        return Err(corrupt(&format!("its size is {width} x {height}")));
    }
    if !matches!(count, 1 | 3 | 4) {
        return Err(unsupported(&format!("{count}-component")));
    }
    if list.len() != 3 * usize::from(count) {
        return Err(corrupt("its frame header has the wrong length"));
    }
    let sampling = |byte: u8| (usize::from(byte >> 4), usize::from(byte & 15));
    let mut all: Vec<_> = list.chunks_exact(3).map(|c| sampling(c[1])).collect();
    if all.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err(corrupt("a sampling factor is not from 1 to 4"));
    }
    // A scan of one component is never interleaved, so its blocks go row by row whatever its factors
    // are; relative to each other, which is their meaning, they are one to one.
    if let [only] = &mut all[..] {
        *only = (1, 1);
    }
    let max_h = all.iter().map(|s| s.0).max().unwrap_or(1);
    let max_v = all.iter().map(|s| s.1).max().unwrap_or(1);
    if all.iter().any(|&(h, v)| max_h % h != 0 || max_v % v != 0) {
        return Err(unsupported("fractionally sampled"));
    }
    let components = list.chunks_exact(3).zip(all).map(|(c, (h, v))| {
        let samples = ((width * h).div_ceil(max_h), (height * v).div_ceil(max_v));
        Component {
            id: c[0],
            sampling: (h, v),
            quantiser: usize::from(c[2]),
            samples,
            blocks: (samples.0.div_ceil(8), samples.1.div_ceil(8)),
        }
    });
    let components = components.collect();
    Ok(Frame { width, height, progressive, components, max_sampling: (max_h, max_v) })
}

fn unsupported(kind: &str) -> Error {
    Error::new(
        ErrorKind::InvalidImage,
        format!("cannot decode the JPEG: {kind} JPEGs are not supported"),
    )
}

pub(super) fn truncated() -> Error {
    Error::new(ErrorKind::InvalidImage, "cannot decode the JPEG: the file is truncated")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sof(marker: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, marker, 0, body.len() as u8 + 2];
        bytes.extend(body);
        bytes
    }

    #[test]
    fn frames_that_are_refused_say_why() {
        let cases: [(&str, Vec<u8>); 8] = [
            ("lossless JPEGs are not supported", sof(0xc3, &[])),
            ("arithmetic-coded JPEGs are not supported", sof(0xc9, &[])),
            ("12-bit JPEGs are not supported", sof(0xc1, &[12, 0, 8, 0, 8, 1, 1, 0x11, 0])),
            ("2-component JPEGs are not supported", sof(0xc0, &[8, 0, 8, 0, 8, 2])),
            ("its size is 0 x 8", sof(0xc0, &[8, 0, 8, 0, 0, 1, 1, 0x11, 0])),
            ("a sampling factor is not from 1 to 4", sof(0xc0, &[8, 0, 8, 0, 8, 1, 1, 0x50, 0])),
            ("its frame header is cut short", sof(0xc0, &[8, 0])),
            ("the file is truncated", sof(0xc0, &[8, 0, 8, 0, 8])[..9].to_vec()),
        ];
        for (expected, bytes) in cases {
            let error = Parser::new(&bytes).advance().err().map(|e| e.to_string());
            let error = error.unwrap_or_else(|| panic!("accepted: {expected}"));
            assert!(error.ends_with(expected), "{error} instead of {expected}");
        }
    }

    #[test]
    fn an_only_component_is_never_interleaved() {
        let bytes = sof(0xc0, &[8, 0, 20, 0, 30, 1, 1, 0x42, 0]);
        let mut parser = Parser::new(&bytes);
        parser.advance().map(drop).unwrap();
        let frame = parser.frame.unwrap();
        assert_eq!((frame.mcus(), frame.components[0].blocks), ((4, 3), (4, 3)));
    }

    #[test]
    fn tables_that_no_scan_uses_are_not_made() {
        // Two codes of one bit, one too many.
        let bytes = b"\xff\xd8\xff\xc4\0\x15\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02";
        let mut parser = Parser::new(bytes);
        parser.advance().map(drop).unwrap();
        let mut scan = Scan { components: vec![(0, 1, 0)], band: (0, 0), high: 0, low: 0 };
        assert!(parser.tables(&scan).is_ok());
        scan.components[0].1 = 0;
        assert!(parser.tables(&scan).is_err());
    }

    #[test]
    fn zigzag_is_a_permutation() {
        let mut seen = [false; 64];
        ZIGZAG.iter().for_each(|&k| seen[usize::from(k)] = true);
        assert!(seen.iter().all(|&s| s));
    }
}
