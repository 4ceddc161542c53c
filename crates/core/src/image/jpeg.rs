//! JPEG, sequential and progressive, to exactly the pixels that Pillow gives.
//!
//! Decoders differ in the last bit of the inverse transform, in how chroma is brought back to full
//! size and in the conversion to RGB. What Pillow gives is what libjpeg-turbo gives by default: the
//! "islow" transform, "fancy" upsampling, 16-bit fixed-point colours. No decoder in Rust that we know
//! reproduces these three, so this one does.
//!
//! Where libjpeg warns and goes on with a guess, this decoder refuses the file:
//!
//! - data that ends before its image does, or without a marker behind it, codes that no table has, and
//!   runs of zeros beyond the end of a block or of a new bit's band (libjpeg: grey or stray pixels);
//! - restart markers that are missing or out of order (libjpeg: looks for the next one that fits);
//! - progressive scans in an impossible order, and those that leave out the first ten coefficients, in
//!   whole or in precision (libjpeg: smooths over them);
//! - more than [`MAX_JPEG_SCANS`](crate::limits::MAX_JPEG_SCANS) scans, and more blocks than the file
//!   has bits.
//!
//! And it has no decoder for arithmetic coding, which libjpeg-turbo has.
//!
//! Rows go out as soon as they are ready, so a sequential file needs memory for some rows only. A
//! file in several scans needs all its coefficients: two bytes for each sample, and where it is
//! progressive a bit more.
//!
//! The work is bounded by the pixels and by the bits of the file: each block of a scan takes a bit of
//! it, or is one of a run without any that is passed over 64 coefficients at a time. So the most that
//! scans of next to no bytes cost is `MAX_JPEG_SCANS` times a look at 8 bytes for each block.

mod colour;
mod header;
mod huffman;
mod idct;
mod output;
mod scan;
mod scans;
mod upsample;

use self::header::{Component, Frame, Parser, Scan, Segment, truncated};
use self::huffman::Bits;
use self::output::Output;
use super::rows::RowSink;
use crate::{Error, ErrorKind, Result};

fn corrupt(detail: &str) -> Error {
    Error::new(ErrorKind::InvalidImage, format!("cannot decode the JPEG: {detail}"))
}

/// A JPEG whose header has been read, and no pixel yet.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    parser: Parser<'a>,
    frame: Frame,
    first_scan: Scan,
}

impl<'a> Jpeg<'a> {
    /// Reads everything up to the first scan.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut parser = Parser::new(bytes);
        loop {
            match parser.advance()? {
                Segment::Scan(first_scan) => {
                    let Some(frame) = parser.frame.clone() else {
                        return Err(corrupt("a scan comes before the frame"));
                    };
                    return Ok(Jpeg { bytes, parser, frame, first_scan });
                }
                Segment::End => return Err(corrupt("it has no image data")),
                Segment::Frame | Segment::Other => {}
            }
        }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.frame.width, self.frame.height)
    }

    /// The EXIF data, from its TIFF header on.
    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.parser.exif.clone()?)
    }

    /// An upper bound of the bytes that decoding allocates, the caller's rows not included.
    pub(super) fn working_bytes(&self) -> u64 {
        // Two rows of MCUs for each component, a row of the image for each, and sums for one.
        let samples = self.frame.blocks_per_mcu() * self.frame.mcus().0 as u64 * 64 * 2;
        let rows = 6 * self.frame.width as u64;
        let coefficients = if self.in_one_scan() {
            0
        } else if self.frame.progressive {
            self.frame.blocks() * (128 + 8)
        } else {
            self.frame.blocks() * 128
        };
        samples + rows + coefficients + header::TABLE_BYTES
    }

    /// Whether the bytes could hold the image: each block takes a bit at the very least.
    pub(super) fn is_plausible(&self) -> bool {
        self.frame.blocks() <= self.bytes.len() as u64 * 8
    }

    fn in_one_scan(&self) -> bool {
        !self.frame.progressive && self.first_scan.components.len() == self.frame.components.len()
    }

    /// Decodes the rows that `sink` looks at, in order.
    pub(super) fn decode(mut self, sink: &mut dyn RowSink) -> Result<()> {
        let colour = self.parser.colour(&self.frame);
        let mut output = Output::new(&self.frame, colour, sink.window());
        if self.in_one_scan() {
            self.decode_one_scan(&mut output, sink)
        } else {
            self.decode_scans(&mut output, sink)
        }
    }

    fn decode_one_scan(&self, output: &mut Output, sink: &mut dyn RowSink) -> Result<()> {
        let scan = self.first_scan.clone();
        let tables = self.parser.tables(&scan)?;
        let mut parts = Vec::with_capacity(scan.components.len());
        for &(index, dc, ac) in &scan.components {
            let component = &self.frame.components[index];
            let tables = (tables.dc(dc)?, tables.ac(ac)?);
            parts.push((index, component.sampling, tables, self.quantiser(component)?));
        }
        let mut predictions = [0i32; 4];
        let mut reader =
            Reader::new(self.bytes, self.parser.position, self.parser.restart_interval);
        let (across, down) = self.frame.mcus();
        for mcu_y in 0..down {
            for mcu_x in 0..across {
                if reader.next_mcu()? {
                    predictions = [0; 4];
                }
                for ((index, (h, v), tables, quantiser), prediction) in
                    parts.iter().zip(&mut predictions)
                {
                    for (y, x) in (0..*v).flat_map(|y| (0..*h).map(move |x| (y, x))) {
                        let mut block = [0; 64];
                        let bits = &mut reader.bits;
                        let uneven =
                            scan::sequential(bits, *tables, quantiser, prediction, &mut block)?;
                        output.block(*index, (mcu_x * h + x, mcu_y * v + y), &block, uneven);
                    }
                }
            }
            reader.check()?;
            output.rows(mcu_y, sink);
        }
        reader.end().map(drop)
    }

    fn quantiser(&self, component: &Component) -> Result<[u16; 64]> {
        let table = self.parser.quantisers.get(component.quantiser).copied().flatten();
        table.ok_or_else(|| corrupt("a component names a quantisation table that is not there"))
    }
}

/// The bits of one scan, over its restart markers.
struct Reader<'a> {
    bytes: &'a [u8],
    bits: Bits<'a>,
    interval: usize,
    left: usize,
    restarts: u8,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], position: usize, interval: usize) -> Self {
        Reader { bytes, bits: Bits::new(bytes, position), interval, left: interval, restarts: 0 }
    }

    /// To be called before each MCU; says whether predictions start anew. An error if the one before
    /// took bits that are not there: made-up bits are cheap, and there may be millions of MCUs.
    #[inline]
    fn next_mcu(&mut self) -> Result<bool> {
        if self.bits.ran_out() {
            self.check()?;
        }
        if self.interval == 0 {
            return Ok(false);
        }
        let restarts = self.left == 0;
        if restarts {
            let at = self.end()?;
            if self.bytes.get(at + 1) != Some(&(0xd0 + self.restarts)) {
                return Err(corrupt("a restart marker is missing or out of order"));
            }
            self.restarts = (self.restarts + 1) & 7;
            self.bits.restart(at + 2);
            self.left = self.interval;
        }
        self.left -= 1;
        Ok(restarts)
    }

    /// How many of the next `count` MCUs come before a restart marker.
    fn before_restart(&self, count: usize) -> usize {
        if self.interval == 0 { count } else { count.min(self.left) }
    }

    /// Goes over this many MCUs that take no bits and come before a restart marker.
    fn skip(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
    }

    /// An error if bits were read that are not there.
    fn check(&self) -> Result<()> {
        if !self.bits.ran_out() {
            return Ok(());
        }
        Err(if self.bits.position() >= self.bytes.len() {
            truncated()
        } else {
            corrupt("its data ends before the image does")
        })
    }

    /// Where the next marker begins. There must be one, as a file cut off in the last bits of its data
    /// is truncated too.
    fn end(&self) -> Result<usize> {
        let mut at = self.bits.position();
        loop {
            match self.bytes.get(at..at + 2) {
                Some(&[0xff, code]) if code != 0 && code != 0xff => return Ok(at),
                Some(_) => at += 1,
                None => return Err(truncated()),
            }
        }
    }
}
