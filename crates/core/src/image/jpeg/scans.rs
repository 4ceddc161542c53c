//! A file in several scans, as every progressive one is: all coefficients are gathered, then transformed.

use super::header::{Scan, Segment, ZIGZAG};
use super::huffman::{Bits, Table};
use super::output::Output;
use super::{Jpeg, Reader, corrupt, scan};
use crate::Result;
use crate::image::rows::RowSink;

/// More scans than any encoder writes (one for each coefficient and component would be 192, usual
/// are 10). Each can make us visit every block for next to no bytes.
const MAX_SCANS: usize = 200;

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
                Coefficients {
                    stride: across * h,
                    blocks: vec![[0; 64]; across * h * down * v],
                    quantiser: None,
                    precision: [None; 64],
                }
            })
            .collect();
        let mut next = Some(self.first_scan.clone());
        let mut count = 0;
        while let Some(scan) = next {
            count += 1;
            if count > MAX_SCANS {
                return Err(corrupt(&format!("it has more than {MAX_SCANS} scans")));
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
            let zigzag = coefficients.quantiser.unwrap_or([1; 64]);
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
        let mut tables = Vec::with_capacity(scan.components.len());
        for &(_, dc, ac) in &scan.components {
            let needs_dc = scan.band.0 == 0 && scan.high == 0;
            let needs_ac = scan.band.1 > 0;
            tables.push((
                if needs_dc { Some(self.dc_table(dc)?) } else { None },
                if needs_ac { Some(self.ac_table(ac)?) } else { None },
            ));
        }
        let progressive = self.frame.progressive;
        let mut state = ScanState { scan, progressive, predictions: [0; 4], blank: 0 };
        let mut reader =
            Reader::new(self.bytes, self.parser.position, self.parser.restart_interval);
        if let (&[(index, ..)], &[tables]) = (&scan.components[..], &tables[..]) {
            let (across, down) = self.frame.components[index].blocks;
            for y in 0..down {
                for x in 0..across {
                    if reader.next_mcu()? {
                        state.restart();
                    }
                    state.block(&mut reader.bits, 0, tables, &mut all[index], (x, y))?;
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
                    for (part, (&(index, ..), &tables)) in
                        scan.components.iter().zip(&tables).enumerate()
                    {
                        let (h, v) = self.frame.components[index].sampling;
                        for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                            let at = (mcu_x * h + x, mcu_y * v + y);
                            state.block(&mut reader.bits, part, tables, &mut all[index], at)?;
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
    /// In the order of the file.
    quantiser: Option<[u16; 64]>,
    /// For each coefficient, the lowest bit that is known.
    precision: [Option<u32>; 64],
}

/// What is carried from block to block within a scan.
struct ScanState<'s> {
    scan: &'s Scan,
    progressive: bool,
    predictions: [i32; 4],
    blank: u32,
}

impl ScanState<'_> {
    fn restart(&mut self) {
        (self.predictions, self.blank) = ([0; 4], 0);
    }

    fn block(
        &mut self,
        bits: &mut Bits<'_>,
        part: usize,
        tables: (Option<&Table>, Option<&Table>),
        coefficients: &mut Coefficients,
        (x, y): (usize, usize),
    ) -> Result<()> {
        let block = &mut coefficients.blocks[y * coefficients.stride + x];
        let Scan { band, high, low, .. } = *self.scan;
        let prediction = &mut self.predictions[part & 3];
        match tables {
            (Some(dc), Some(ac)) if !self.progressive => {
                // Dequantised later, like the progressive ones.
                scan::sequential(bits, (dc, ac), &[1; 64], prediction, block).map(drop)
            }
            (Some(dc), _) => scan::dc_first(bits, dc, low, prediction, block),
            (None, Some(ac)) if high == 0 => {
                scan::ac_first(bits, ac, band, low, &mut self.blank, block)
            }
            (None, Some(ac)) => scan::ac_refine(bits, ac, band, low, &mut self.blank, block),
            (None, None) => {
                scan::dc_refine(bits, low, block);
                Ok(())
            }
        }
    }
}
