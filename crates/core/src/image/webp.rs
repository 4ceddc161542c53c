//! WebP: headers and lossless pixels decoded here, lossy ones by `image-webp`.

mod vp8l;

use std::io::Cursor;

use super::rows::{RowSink, Window};
use crate::{Error, ErrorKind, Result};

fn error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let source = source.into();
    Error::new(ErrorKind::InvalidImage, format!("cannot decode the WebP: {source}"))
        .with_source(source)
}

/// A WebP whose headers have been read, and no pixel yet.
pub(super) struct WebP<'a> {
    width: usize,
    height: usize,
    exif: Option<&'a [u8]>,
    /// The kind and the content of the chunk with the first image.
    image: ([u8; 4], &'a [u8]),
    /// Where on the canvas it goes.
    frame: Window,
}

impl<'a> WebP<'a> {
    /// Reads the headers of the canvas and of every frame.
    ///
    /// A frame has sizes of its own, and a decoder allocates by them: each must fit the canvas, which
    /// is what the caps are checked against, and a still image must fill it.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let riff = bytes.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        // The size counts from here on, "WEBP" included. Bytes behind it are no part of the image.
        let Some(chunks) = bytes.get(12..(riff as usize).saturating_add(8)) else {
            return Err(error("the file is truncated"));
        };
        let (mut canvas, mut exif, mut first) = (None, None, None);
        for (index, chunk) in Chunks(chunks).enumerate() {
            let (kind, body) = chunk?;
            let frame = match &kind {
                b"VP8X" if index == 0 => {
                    let Some(&[w0, w1, w2, h0, h1, h2]) =
                        body.get(4..10).and_then(<[u8]>::first_chunk)
                    else {
                        return Err(error("its canvas header is cut short"));
                    };
                    canvas = Some((u24(w0, w1, w2) + 1, u24(h0, h1, h2) + 1));
                    continue;
                }
                b"ANMF" => animation_frame(body)?,
                b"VP8 " | b"VP8L" => Frame { at: (0, 0), size: size(&kind, body)?, kind, body },
                b"EXIF" => {
                    exif = Some(body.strip_prefix(b"Exif\0\0").unwrap_or(body));
                    continue;
                }
                _ => continue,
            };
            let canvas = *canvas.get_or_insert(frame.size);
            let end = (frame.at.0 + frame.size.0, frame.at.1 + frame.size.1);
            let fits = if &kind == b"ANMF" {
                end.0 <= canvas.0 && end.1 <= canvas.1
            } else {
                frame.size == canvas
            };
            if !fits {
                return Err(error(format!(
                    "its canvas is {} x {}, an image in it {} x {} at {}, {}",
                    canvas.0, canvas.1, frame.size.0, frame.size.1, frame.at.0, frame.at.1
                )));
            }
            if first.is_none() {
                first = Some((frame, end));
            }
        }
        let (Some((width, height)), Some((frame, end))) = (canvas, first) else {
            return Err(error("it has no image"));
        };
        Ok(WebP {
            width,
            height,
            exif,
            image: (frame.kind, frame.body),
            frame: Window { columns: frame.at.0..end.0, rows: frame.at.1..end.1 },
        })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The content of the EXIF chunk.
    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        self.exif
    }

    /// An upper bound of the bytes that decoding allocates.
    pub(super) fn working_bytes(&self) -> u64 {
        let frame = (self.frame.columns.len(), self.frame.rows.len());
        let pixels = match &self.image.0 {
            b"VP8L" => vp8l::working_bytes(frame, self.image.1.len()),
            _ => lossy_bytes(frame, self.image.1.len()),
        };
        pixels.saturating_add(self.canvas_bytes()) as u64
    }

    /// The bytes of a row of the canvas.
    fn canvas_bytes(&self) -> usize {
        self.width.saturating_mul(3)
    }

    /// Decodes the first frame and gives the rows that `sink` looks at.
    ///
    /// An animation's first frame is put on an empty canvas, so nothing is blended; alpha is not looked
    /// at, so a plane of it is left out.
    pub(super) fn decode(self, max_bytes: usize, sink: &mut dyn RowSink) -> Result<()> {
        let max_bytes = max_bytes.saturating_sub(self.canvas_bytes());
        let (kind, body) = self.image;
        let mut canvas = Canvas::new(self.width, self.frame, sink);
        match &kind {
            b"VP8L" => vp8l::decode(body, max_bytes, &mut canvas)?,
            _ => decode_lossy(body, &mut canvas)?,
        }
        canvas.finish();
        Ok(())
    }
}

/// An upper bound of the bytes that `image-webp` and [`decode_lossy`] allocate.
fn lossy_bytes((width, height): (usize, usize), length: usize) -> usize {
    // For each block of 16 x 16 its samples, 384 of them, and what is known of it, in a vector that
    // grows. A narrow image is made of whole blocks too.
    let blocks =
        width.div_ceil(16).saturating_mul(height.div_ceil(16)).saturating_mul(384 + 3 * 32);
    let rgb = width.saturating_mul(height).saturating_mul(3);
    // The file made of the chunk, and its parts, which are read and then copied.
    let file = length.saturating_mul(4);
    // Some rows, and the size of 2^24 that a part may claim before it is found to be missing.
    let fixed = width.saturating_mul(64).saturating_add(1 << 24);
    blocks.saturating_add(rgb).saturating_add(file).saturating_add(fixed)
}

/// Decodes the content of a VP8 chunk, which the decoder gets as a file of its own.
fn decode_lossy(body: &[u8], canvas: &mut Canvas<'_>) -> Result<()> {
    let mut file = Vec::with_capacity(body.len() + 21);
    file.extend(b"RIFF");
    file.extend(((body.len() + 13) as u32 & !1).to_le_bytes());
    file.extend(b"WEBPVP8 ");
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(body);
    file.resize(file.len().next_multiple_of(2), 0);
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(&file)).map_err(error)?;
    let (width, height) = (canvas.frame.columns.len(), canvas.frame.rows.len());
    let size = decoder.dimensions();
    if (size.0 as usize, size.1 as usize) != (width, height) || decoder.has_alpha() {
        return Err(error("its headers contradict each other"));
    }
    let length = decoder.output_buffer_size();
    let mut pixels = vec![0; length.ok_or_else(|| error("it is too large"))?];
    decoder.read_image(&mut pixels).map_err(error)?;
    let mut planes: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; width]);
    for y in canvas.window().rows.clone() {
        let row = &pixels[3 * y * width..3 * (y + 1) * width];
        for (colour, plane) in planes.iter_mut().enumerate() {
            for (out, pixel) in plane.iter_mut().zip(row.chunks_exact(3)) {
                *out = pixel[colour];
            }
        }
        let [r, g, b] = &planes;
        canvas.row(y, [r, g, b]);
    }
    Ok(())
}

/// Puts the rows of a frame where they belong on the canvas, which is black elsewhere.
struct Canvas<'a> {
    frame: Window,
    /// What of the frame is looked at.
    window: Window,
    planes: [Vec<u8>; 3],
    /// The next row of the canvas.
    next: usize,
    sink: &'a mut dyn RowSink,
}

impl<'a> Canvas<'a> {
    fn new(width: usize, frame: Window, sink: &'a mut dyn RowSink) -> Self {
        let rows = &sink.window().rows;
        let in_frame = |y: usize| y.clamp(frame.rows.start, frame.rows.end) - frame.rows.start;
        let window = Window {
            columns: 0..frame.columns.len(),
            rows: in_frame(rows.start)..in_frame(rows.end),
        };
        let next = rows.start;
        let planes = std::array::from_fn(|_| vec![0; width]);
        Canvas { frame, window, planes, next, sink }
    }

    /// Gives the rows before `end` that have no pixel of the frame.
    fn empty_rows(&mut self, end: usize) {
        if self.next < end {
            self.planes.iter_mut().for_each(|plane| plane.fill(0));
            let [r, g, b] = &self.planes;
            (self.next..end).for_each(|y| self.sink.row(y, [r, g, b]));
            self.next = end;
        }
    }

    /// Gives the rows below the frame.
    fn finish(mut self) {
        self.empty_rows(self.sink.window().rows.end);
    }
}

impl RowSink for Canvas<'_> {
    fn window(&self) -> &Window {
        &self.window
    }

    fn row(&mut self, y: usize, planes: [&[u8]; 3]) {
        let y = self.frame.rows.start + y;
        self.empty_rows(y);
        self.next = y + 1;
        if planes[0].len() == self.planes[0].len() {
            return self.sink.row(y, planes);
        }
        for (plane, row) in self.planes.iter_mut().zip(planes) {
            plane[self.frame.columns.clone()].copy_from_slice(row);
        }
        let [r, g, b] = &self.planes;
        self.sink.row(y, [r, g, b]);
    }
}

/// The chunks of a RIFF file: four letters, and a body that is padded to an even length.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<([u8; 4], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        let Some((&[k0, k1, k2, k3, l0, l1, l2, l3], body)) = rest.split_first_chunk::<8>() else {
            return Some(Err(error("the file is truncated")));
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let Some((body, after)) = body.split_at_checked(length) else {
            return Some(Err(error("the file is truncated")));
        };
        self.0 = after.get(length % 2..).unwrap_or_default();
        Some(Ok(([k0, k1, k2, k3], body)))
    }
}

fn u24(a: u8, b: u8, c: u8) -> usize {
    usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16
}

/// One image of the file.
struct Frame<'a> {
    at: (usize, usize),
    size: (usize, usize),
    kind: [u8; 4],
    body: &'a [u8],
}

/// An animation's frame, whose header must have the size of the image in it.
fn animation_frame(body: &[u8]) -> Result<Frame<'_>> {
    let Some((&[x0, x1, x2, y0, y1, y2, w0, w1, w2, h0, h1, h2, _, _, _, _], chunks)) =
        body.split_first_chunk::<16>()
    else {
        return Err(error("a frame's header is cut short"));
    };
    let stated = (u24(w0, w1, w2) + 1, u24(h0, h1, h2) + 1);
    for chunk in Chunks(chunks) {
        let (kind, body) = chunk?;
        if !matches!(&kind, b"VP8 " | b"VP8L") {
            continue;
        }
        let size = size(&kind, body)?;
        if size != stated {
            return Err(error(format!(
                "a frame is {} x {}, the image in it {} x {}",
                stated.0, stated.1, size.0, size.1
            )));
        }
        return Ok(Frame { at: (2 * u24(x0, x1, x2), 2 * u24(y0, y1, y2)), size, kind, body });
    }
    Err(error("a frame has no image"))
}

fn size(kind: &[u8; 4], body: &[u8]) -> Result<(usize, usize)> {
    let size = if kind == b"VP8 " { lossy_size(body)? } else { vp8l::size(body)? };
    if size.0 == 0 || size.1 == 0 {
        return Err(error(format!("its size is {} x {}", size.0, size.1)));
    }
    Ok(size)
}

fn lossy_size(body: &[u8]) -> Result<(usize, usize)> {
    match body.get(3..10) {
        Some(&[0x9d, 0x01, 0x2a, w0, w1, h0, h1]) => {
            // The upper two bits scale the image on display, which nobody does.
            let side = |low, high| usize::from(low) | usize::from(high & 0x3f) << 8;
            Ok((side(w0, w1), side(h0, h1)))
        }
        _ => Err(error("its lossy header is damaged")),
    }
}
