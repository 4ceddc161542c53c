//! A file in several scans, as every progressive one is: all coefficients are gathered, then transformed.

use super::header::{Scan, Segment, Tables, ZIGZAG};
use super::huffman::Bits;
use super::output::Output;
use super::{Jpeg, Reader, corrupt, scan};
use crate::Result;
use crate::image::rows::RowSink;
use crate::limits::MAX_JPEG_SCANS;

impl Jpeg<'_> {
    pub(super) fn decode_scans(
        &mut self,
        output: &mut Output,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let (across, down) = self.frame.mcus();
        let mut all: Vec<Coefficients> = self
            .frame
            .components
            .iter()
            .map(|c| {
                let (h, v) = c.sampling;
                let count = across * h * down * v;
                Coefficients {
                    stride: across * h,
                    blocks: vec![[0; 64]; count],
                    present: vec![0; if self.frame.progressive { count } else { 0 }],
                    quantiser: None,
                    precision: [None; 64],
                }
            })
            .collect();
        let mut next = Some(self.first_scan.clone());
        let mut count = 0;
        while let Some(scan) = next {
            count += 1;
            if count > MAX_JPEG_SCANS {
                return Err(corrupt(&format!("it has more than {MAX_JPEG_SCANS} scans")));
            }
            self.decode_scan(&scan, &mut all)?;
            next = loop {
                match self.parser.advance()? {
                    Segment::Scan(scan) => break Some(scan),
                    Segment::End => break None,
                    Segment::Frame | Segment::Other => {}
                }
            };
        }
        let mut quantisers = Vec::new();
        for coefficients in &all {
            // libjpeg smooths over what is missing; no whole file comes to that.
            if coefficients.precision[..10].iter().any(|&bits| bits != Some(0)) {
                return Err(corrupt("its scans leave out a part of the image"));
            }
            let Some(zigzag) = coefficients.quantiser else {
                return Err(corrupt("its scans leave out a component"));
            };
            let mut natural = [0i16; 64];
            for (&at, value) in ZIGZAG.iter().zip(zigzag) {
                natural[usize::from(at)] = value as i16;
            }
            quantisers.push(natural);
        }
        for mcu_y in 0..down {
            for (index, (coefficients, quantiser)) in all.iter().zip(&quantisers).enumerate() {
                let v = self.frame.components[index].sampling.1;
                for y in mcu_y * v..(mcu_y + 1) * v {
                    let row =
                        &coefficients.blocks[y * coefficients.stride..][..coefficients.stride];
                    for (x, block) in row.iter().enumerate() {
                        let mut block = *block;
                        let uneven = block[1..].iter().fold(0, |all, &c| all | c) != 0;
                        for (c, q) in block.iter_mut().zip(quantiser) {
                            *c = c.wrapping_mul(*q);
                        }
                        output.block(index, (x, y), &block, uneven);
                    }
                }
            }
            output.rows(mcu_y, sink);
        }
        Ok(())
    }

    fn decode_scan(&mut self, scan: &Scan, all: &mut [Coefficients]) -> Result<()> {
        // The tables are those in force when a component is first scanned.
        for &(index, ..) in &scan.components {
            if all[index].quantiser.is_none() {
                all[index].quantiser = Some(self.quantiser(&self.frame.components[index])?);
            }
            for k in scan.band.0..=scan.band.1 {
                let bits = &mut all[index].precision[k];
                // A band is begun once, and each later scan goes on where the last one stopped.
                if bits.unwrap_or(0) != scan.high || (scan.high == 0 && bits.is_some()) {
                    return Err(corrupt("its scans are in an impossible order"));
                }
                *bits = Some(scan.low);
            }
        }
        let tables = self.parser.tables(scan)?;
        let step = Step::of(scan, self.frame.progressive);
        let mut state = ScanState { scan, step, tables, predictions: [0; 4], blank: 0 };
        let mut reader =
            Reader::new(self.bytes, self.parser.position, self.parser.restart_interval);
        if let &[(index, ..)] = &scan.components[..] {
            let (across, down) = self.frame.components[index].blocks;
            for y in 0..down {
                let mut x = 0;
                while x < across {
                    let untouched =
                        state.untouched(&all[index], (x, y), reader.before_restart(across - x));
                    if untouched > 0 {
                        reader.skip(untouched);
                        x += untouched;
                        continue;
                    }
                    if reader.next_mcu()? {
                        state.restart();
                    }
                    state.block(&mut reader.bits, 0, &mut all[index], (x, y))?;
                    x += 1;
                }
                reader.check()?;
            }
        } else {
            let (across, down) = self.frame.mcus();
            for mcu_y in 0..down {
                for mcu_x in 0..across {
                    if reader.next_mcu()? {
                        state.restart();
                    }
                    for (part, &(index, ..)) in scan.components.iter().enumerate() {
                        let (h, v) = self.frame.components[index].sampling;
                        for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                            let at = (mcu_x * h + x, mcu_y * v + y);
                            state.block(&mut reader.bits, part, &mut all[index], at)?;
                        }
                    }
                }
                reader.check()?;
            }
        }
        self.parser.position = reader.end()?;
        Ok(())
    }
}

/// All blocks of one component, of a file in several scans.
struct Coefficients {
    stride: usize,
    blocks: Vec<[i16; 64]>,
    /// For each block of a progressive file, a bit for each coefficient, in the order of the file, of
    /// those that AC scans have made other than zero.
    present: Vec<u64>,
    /// In the order of the file.
    quantiser: Option<[u16; 64]>,
    /// For each coefficient, the lowest bit that is known.
    precision: [Option<u32>; 64],
}

/// What a scan does to a block.
#[derive(Clone, Copy)]
enum Step {
    Sequential,
    DcFirst,
    DcRefine,
    AcFirst,
    AcRefine,
}

impl Step {
    fn of(scan: &Scan, progressive: bool) -> Self {
        match (scan.band.0, scan.high) {
            _ if !progressive => Step::Sequential,
            (0, 0) => Step::DcFirst,
            (0, _) => Step::DcRefine,
            (_, 0) => Step::AcFirst,
            _ => Step::AcRefine,
        }
    }
}

/// What is carried from block to block within a scan.
struct ScanState<'s> {
    scan: &'s Scan,
    step: Step,
    tables: Tables,
    predictions: [i32; 4],
    blank: u32,
}

impl ScanState<'_> {
    fn restart(&mut self) {
        (self.predictions, self.blank) = ([0; 4], 0);
    }

    /// Of the next `count` blocks of a row, how many the scan says nothing about: there may be
    /// millions for a few bits. They count as done.
    fn untouched(&mut self, all: &Coefficients, (x, y): (usize, usize), count: usize) -> usize {
        let count = count.min(self.blank as usize);
        if count == 0 {
            return 0;
        }
        let untouched = match self.step {
            Step::AcFirst => count,
            Step::AcRefine => {
                let band = scan::band(self.scan.band.0, self.scan.band.1);
                let blocks = all.present.iter().skip(y * all.stride + x).take(count);
                blocks.take_while(|&&present| present & band == 0).count()
            }
            _ => 0,
        };
        self.blank -= untouched as u32;
        untouched
    }

    fn block(
        &mut self,
        bits: &mut Bits<'_>,
        part: usize,
        coefficients: &mut Coefficients,
        (x, y): (usize, usize),
    ) -> Result<()> {
        let at = y * coefficients.stride + x;
        let block = &mut coefficients.blocks[at];
        let (_, dc, ac) = self.scan.components[part];
        let Scan { band, low, .. } = *self.scan;
        let prediction = &mut self.predictions[part & 3];
        match self.step {
            Step::Sequential => {
                let tables = (self.tables.dc(dc)?, self.tables.ac(ac)?);
                // Dequantised later, like the progressive ones.
                scan::sequential(bits, tables, &[1; 64], prediction, block).map(drop)
            }
            Step::DcFirst => scan::dc_first(bits, self.tables.dc(dc)?, low, prediction, block),
            Step::DcRefine => {
                scan::dc_refine(bits, low, block);
                Ok(())
            }
            Step::AcFirst => {
                let block = (block, &mut coefficients.present[at]);
                scan::ac_first(bits, self.tables.ac(ac)?, band, low, &mut self.blank, block)
            }
            Step::AcRefine => {
                let block = (block, &mut coefficients.present[at]);
                scan::ac_refine(bits, self.tables.ac(ac)?, band, low, &mut self.blank, block)
            }
        }
    }
}
