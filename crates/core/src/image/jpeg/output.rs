//! From blocks of coefficients to rows of RGB, as soon as they are complete.

use std::ops::Range;

use super::header::{Colour, Component, Frame};
use super::upsample::{self, Method};
use super::{colour, idct};
use crate::image::rows::{RowSink, Window};

/// The last rows of one component's samples.
struct Plane {
    data: Vec<u8>,
    stride: usize,
    /// Row r is kept at r modulo this: two MCUs' worth, as interpolation looks one row back and ahead.
    kept: usize,
    samples: (usize, usize),
    grow: (usize, usize),
    method: Method,
    /// The blocks that the window needs.
    blocks: (Range<usize>, Range<usize>),
}

impl Plane {
    fn row(&self, y: usize) -> &[u8] {
        &self.data[(y % self.kept) * self.stride..][..self.samples.0]
    }
}

/// From blocks to rows of RGB.
pub(super) struct Output {
    planes: Vec<Plane>,
    colour: Colour,
    height: usize,
    mcu_height: usize,
    window: Window,
    next_row: usize,
    rows: [Vec<u8>; 4],
    sums: Vec<u16>,
}

impl Output {
    pub(super) fn new(frame: &Frame, colour: Colour, window: &Window) -> Self {
        let (max_h, max_v) = frame.max_sampling;
        let across = frame.mcus().0;
        let plane = |c: &Component| {
            let (h, v) = c.sampling;
            let grow = (max_h / h, max_v / v);
            let (stride, kept) = (across * h * 8, 2 * v * 8);
            // One sample more on every side, for interpolation.
            let blocks = |pixels: &Range<usize>, grow: usize| {
                (pixels.start / grow).saturating_sub(1) / 8..(pixels.end / grow + 2).div_ceil(8)
            };
            Plane {
                data: vec![0; stride * kept],
                stride,
                kept,
                samples: c.samples,
                grow,
                method: Method::choose(grow.0, grow.1, c.samples.0),
                blocks: (blocks(&window.columns, grow.0), blocks(&window.rows, grow.1)),
            }
        };
        Output {
            planes: frame.components.iter().map(plane).collect(),
            colour,
            height: frame.height,
            mcu_height: max_v * 8,
            window: window.clone(),
            next_row: 0,
            rows: std::array::from_fn(|_| vec![0; frame.width]),
            sums: Vec::new(),
        }
    }

    /// Transforms a block of dequantised coefficients, if the window needs it.
    #[inline]
    pub(super) fn block(
        &mut self,
        component: usize,
        (x, y): (usize, usize),
        block: &[i16; 64],
        uneven: bool,
    ) {
        let plane = &mut self.planes[component];
        if !plane.blocks.0.contains(&x) || !plane.blocks.1.contains(&y) {
            return;
        }
        let out = &mut plane.data[(y * 8 % plane.kept) * plane.stride + x * 8..];
        if uneven {
            idct::block(block, out, plane.stride);
        } else {
            idct::flat_block(block[0], out, plane.stride);
        }
    }

    /// Gives out the rows that the MCUs up to this row of them complete.
    pub(super) fn rows(&mut self, mcu_y: usize, sink: &mut dyn RowSink) {
        let mut ready = (mcu_y + 1) * self.mcu_height;
        if ready >= self.height {
            ready = self.height;
        } else if self.planes.iter().any(|plane| plane.method.needs_neighbours()) {
            // The last row would be interpolated with one that is still to come.
            ready -= 1;
        }
        let wanted = self.next_row.max(self.window.rows.start)..ready.min(self.window.rows.end);
        self.next_row = ready;
        for y in wanted {
            for (plane, out) in self.planes.iter().zip(&mut self.rows) {
                let near = y / plane.grow.1;
                let below = y % plane.grow.1 == 1;
                let far = if below { near + 1 } else { near.saturating_sub(1) };
                let far = far.min(plane.samples.1 - 1);
                let rows = (plane.row(near), plane.row(far), below);
                upsample::row(plane.method, rows, &self.window.columns, &mut self.sums, out);
            }
            let columns = self.window.columns.clone();
            let [a, b, c, d] = &mut self.rows;
            let cut = [&mut a[columns.clone()], &mut b[columns.clone()], &mut c[columns.clone()]];
            match self.colour {
                Colour::Grey => {
                    sink.row(y, [a, a, a]);
                    continue;
                }
                Colour::Rgb => {}
                Colour::Ycc => {
                    let [y, cb, cr] = cut;
                    colour::ycc_to_rgb(y, cb, cr);
                }
                Colour::Cmyk => colour::cmyk_to_rgb(cut, &d[columns]),
                Colour::Ycck => colour::ycck_to_rgb(cut, &d[columns]),
            }
            sink.row(y, [a, b, c]);
        }
    }
}
