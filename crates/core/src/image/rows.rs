//! How pixels travel: row by row, one plane for each colour.
//!
//! Planes, because every step after decoding treats the colours alike and apart, and whole vectors of
//! one colour are what a machine is quick at.

use std::ops::Range;

/// The part of an image that is looked at. A decoder may skip the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Window {
    pub(super) fn whole((width, height): (usize, usize)) -> Self {
        Window { columns: 0..width, rows: 0..height }
    }
}

/// Takes the rows of an image as they are decoded.
pub(super) trait RowSink {
    /// What will be looked at.
    fn window(&self) -> &Window;

    /// Takes row `y`: red, green and blue, each as wide as the image, valid within the window's
    /// columns. The rows of the window come in order, and no others.
    fn row(&mut self, y: usize, planes: [&[u8]; 3]);
}

/// A whole image, or what has arrived of it.
#[derive(Clone, Debug)]
pub(super) struct Raster {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Red, green, blue.
    pub(super) planes: [Vec<u8>; 3],
    window: Window,
}

impl Raster {
    /// An image to collect rows in. Memory is taken when the first one arrives: a file that claims to
    /// be large and has none costs nothing.
    pub(super) fn collect((width, height): (usize, usize)) -> Self {
        let window = Window::whole((width, height));
        Raster { width, height, planes: [const { Vec::new() }; 3], window }
    }

    /// Gives this image's rows to `sink`.
    pub(super) fn send(&self, sink: &mut dyn RowSink) {
        for y in sink.window().rows.clone() {
            let row = y * self.width..(y + 1) * self.width;
            let [r, g, b] = &self.planes;
            sink.row(y, [&r[row.clone()], &g[row.clone()], &b[row]]);
        }
    }

    /// Red, green, blue, red and so on.
    pub(super) fn interleaved(&self) -> Vec<u8> {
        let mut out = vec![0; 3 * self.width * self.height];
        let [r, g, b] = &self.planes;
        for (out, ((r, g), b)) in out.chunks_exact_mut(3).zip(r.iter().zip(g).zip(b)) {
            out.copy_from_slice(&[*r, *g, *b]);
        }
        out
    }
}

impl RowSink for Raster {
    fn window(&self) -> &Window {
        &self.window
    }

    fn row(&mut self, _y: usize, planes: [&[u8]; 3]) {
        let pixels = self.width * self.height;
        for (plane, row) in self.planes.iter_mut().zip(planes) {
            if plane.is_empty() {
                plane.reserve_exact(pixels);
            }
            plane.extend_from_slice(row);
        }
    }
}
