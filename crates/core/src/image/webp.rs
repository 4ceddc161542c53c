//! WebP: headers that are checked here, pixels from `image-webp`.

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
        let Some(chunks) = bytes.get(12..8 + riff as usize) else {
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
    pub(super) fn working_bytes(&self) -> usize {
        // RGBA for the frame and for the canvas, and the planes made of them.
        11 * self.width * self.height
    }

    /// Decodes the first frame and gives the rows that `sink` looks at.
    ///
    /// The decoder gets that frame's image as a file of its own. An animation's first frame is put on
    /// an empty canvas, so nothing is blended; alpha is not looked at, so a plane of it is left out.
    pub(super) fn decode(self, max_bytes: usize, sink: &mut dyn RowSink) -> Result<()> {
        let (kind, body) = self.image;
        let mut file = Vec::with_capacity(body.len() + 21);
        file.extend(b"RIFF");
        file.extend(((body.len() + 13) as u32 & !1).to_le_bytes());
        file.extend(b"WEBP");
        file.extend(kind);
        file.extend((body.len() as u32).to_le_bytes());
        file.extend(body);
        file.resize(file.len().next_multiple_of(2), 0);
        let mut decoder = image_webp::WebPDecoder::new(Cursor::new(&file)).map_err(error)?;
        decoder.set_memory_limit(max_bytes);
        let frame = (self.frame.columns.len(), self.frame.rows.len());
        let size = decoder.dimensions();
        if (size.0 as usize, size.1 as usize) != frame {
            return Err(error("its headers contradict each other"));
        }
        let channels = if decoder.has_alpha() { 4 } else { 3 };
        let length = decoder.output_buffer_size();
        let length = length.ok_or_else(|| error("it is too large"))?;
        let mut pixels = vec![0; length];
        decoder.read_image(&mut pixels).map_err(error)?;
        let mut planes: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; self.width]);
        for y in sink.window().rows.clone() {
            let inside = self.frame.rows.contains(&y);
            for (colour, plane) in planes.iter_mut().enumerate() {
                let out = &mut plane[self.frame.columns.clone()];
                if !inside {
                    out.fill(0);
                    continue;
                }
                let start = (y - self.frame.rows.start) * frame.0 * channels;
                let row = pixels[start..start + frame.0 * channels].chunks_exact(channels);
                for (out, pixel) in out.iter_mut().zip(row) {
                    *out = pixel[colour];
                }
            }
            let [r, g, b] = &planes;
            sink.row(y, [r, g, b]);
        }
        Ok(())
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
    let size = if kind == b"VP8 " { lossy_size(body)? } else { lossless_size(body)? };
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

fn lossless_size(body: &[u8]) -> Result<(usize, usize)> {
    match body.get(..5) {
        Some(&[0x2f, a, b, c, d]) => {
            let bits = u32::from_le_bytes([a, b, c, d]) as usize;
            Ok(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => Err(error("its lossless header is damaged")),
    }
}
