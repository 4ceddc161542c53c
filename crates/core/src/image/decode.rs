//! From bytes to rows of pixels, within limits.

use serde::{Deserialize, Serialize};

use super::jpeg::Jpeg;
use super::orientation;
use super::png::Png;
use super::rows::{Raster, RowSink};
use super::webp::WebP;
use crate::guard::guarded;
use crate::{Error, ErrorKind, Result, limits};

/// The format of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageFormat {
    /// JPEG, sequential or progressive.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy or lossless, still or animated.
    WebP,
}

impl ImageFormat {
    /// The format that a file's first bytes show. A name or a content type is never asked.
    ///
    /// ```
    /// use isovec_core::image::ImageFormat;
    ///
    /// assert_eq!(ImageFormat::sniff(b"\xff\xd8\xff\xe0"), Some(ImageFormat::Jpeg));
    /// assert_eq!(ImageFormat::sniff(b"<svg>"), None);
    /// ```
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xff\xd8\xff") {
            Some(ImageFormat::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(ImageFormat::Png)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(ImageFormat::WebP)
        } else {
            None
        }
    }

    /// Its name in lower case: `jpeg`, `png`, `webp`.
    pub fn as_str(self) -> &'static str {
        match self {
            ImageFormat::Jpeg => "jpeg",
            ImageFormat::Png => "png",
            ImageFormat::WebP => "webp",
        }
    }
}

impl std::fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an image may cost, checked before any pixel is allocated.
///
/// ```
/// use isovec_core::ErrorKind;
/// use isovec_core::image::{ImageLimits, Preprocessing};
///
/// let limits = ImageLimits { max_bytes: 4, ..ImageLimits::default() };
/// let error = Preprocessing::default().run(b"\xff\xd8\xff\xe0\0", &limits).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::TooLarge);
/// assert_eq!(error.to_string(), "the image file is 5 bytes, over the cap of 4");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageLimits {
    /// The length of the file in bytes; 10 MiB by default.
    pub max_bytes: usize,
    /// The width and the height in pixels; 16384 by default.
    pub max_side: usize,
    /// The number of pixels; 2^26 (67 million) by default.
    pub max_pixels: usize,
    /// The bytes that decoding may need at once, by an upper estimate from the header; 768 MiB by
    /// default. The whole image counts where it must be held to be turned upright or put together of
    /// passes; the file itself, and what resizing and the result take, do not. The Huffman tables of
    /// a lossless WebP are counted as they come, not in the estimate.
    pub max_decoded_bytes: usize,
}

impl Default for ImageLimits {
    fn default() -> Self {
        ImageLimits {
            max_bytes: limits::MAX_IMAGE_BYTES,
            max_side: limits::MAX_IMAGE_SIDE,
            max_pixels: limits::MAX_IMAGE_PIXELS,
            max_decoded_bytes: limits::MAX_DECODED_BYTES,
        }
    }
}

enum Decoder<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Png(Png<'a>),
    WebP(WebP<'a>),
}

/// A file whose header has been read and found within the limits.
pub(super) struct Encoded<'a> {
    decoder: Decoder<'a>,
    /// What the decoder itself may take of them.
    max_decoded_bytes: usize,
    size: (usize, usize),
    /// What is to be undone: 1 where the image is taken as it is stored.
    orientation: u8,
}

impl<'a> Encoded<'a> {
    /// Reads the headers of an image, to be decoded `upright` or as it is stored.
    pub(super) fn open(bytes: &'a [u8], upright: bool, limits: &ImageLimits) -> Result<Self> {
        guarded(|| Self::open_unguarded(bytes, upright, limits), panicked)
    }

    fn open_unguarded(bytes: &'a [u8], upright: bool, limits: &ImageLimits) -> Result<Self> {
        if bytes.len() > limits.max_bytes {
            return Err(too_large(format!(
                "the image file is {} bytes, over the cap of {}",
                bytes.len(),
                limits.max_bytes
            )));
        }
        let decoder = match ImageFormat::sniff(bytes) {
            Some(ImageFormat::Jpeg) => Decoder::Jpeg(Box::new(Jpeg::open(bytes)?)),
            Some(ImageFormat::Png) => Decoder::Png(Png::open(bytes)?),
            Some(ImageFormat::WebP) => Decoder::WebP(WebP::open(bytes)?),
            None => {
                return Err(Error::new(
                    ErrorKind::UnsupportedFormat,
                    "not an image of a supported format: expected JPEG, PNG or WebP",
                ));
            }
        };
        let (size, exif) = match &decoder {
            Decoder::Jpeg(jpeg) => (jpeg.size(), jpeg.exif()),
            Decoder::Png(png) => (png.size(), png.exif()),
            Decoder::WebP(webp) => (webp.size(), webp.exif()),
        };
        let orientation = exif.filter(|_| upright).map_or(1, orientation::orientation);
        let max_decoded_bytes = limits.max_decoded_bytes;
        let mut encoded = Encoded { decoder, max_decoded_bytes, size, orientation };
        encoded.check(bytes.len(), limits)?;
        let turning = usize::try_from(encoded.turning_bytes()).unwrap_or(usize::MAX);
        encoded.max_decoded_bytes = max_decoded_bytes.saturating_sub(turning);
        Ok(encoded)
    }

    fn check(&self, length: usize, limits: &ImageLimits) -> Result<()> {
        let (width, height) = self.size;
        if width.max(height) > limits.max_side {
            return Err(too_large(format!(
                "the image is {width} x {height} pixels, over the cap of {} a side",
                limits.max_side
            )));
        }
        // Each side is at most 2^32 - 1 in every format.
        let pixels = (width as u64).saturating_mul(height as u64);
        if pixels > limits.max_pixels as u64 {
            return Err(too_large(format!(
                "the image is {width} x {height} pixels, over the cap of {} pixels",
                limits.max_pixels
            )));
        }
        let (working, plausible) = match &self.decoder {
            Decoder::Jpeg(jpeg) => (jpeg.working_bytes(), jpeg.is_plausible()),
            Decoder::Png(png) => (png.working_bytes(), png.is_plausible()),
            Decoder::WebP(webp) => (webp.working_bytes(), true),
        };
        let working = working.saturating_add(self.turning_bytes());
        // No allocation is larger than isize::MAX, whatever the caller allows.
        if working > limits.max_decoded_bytes.min(isize::MAX as usize) as u64 {
            return Err(too_large(format!(
                "the image of {width} x {height} pixels may need {working} bytes to decode, over the \
                 cap of {}",
                limits.max_decoded_bytes
            )));
        }
        if !plausible {
            return Err(Error::new(
                ErrorKind::InvalidImage,
                format!(
                    "the image claims {width} x {height} pixels, more than its {length} bytes hold"
                ),
            ));
        }
        Ok(())
    }

    fn turning_bytes(&self) -> u64 {
        if self.orientation == 1 { 0 } else { orientation::working_bytes(self.size) }
    }

    pub(super) fn format(&self) -> ImageFormat {
        match self.decoder {
            Decoder::Jpeg(_) => ImageFormat::Jpeg,
            Decoder::Png(_) => ImageFormat::Png,
            Decoder::WebP(_) => ImageFormat::WebP,
        }
    }

    /// Width and height, after it was turned.
    pub(super) fn size(&self) -> (usize, usize) {
        let (width, height) = self.size;
        if orientation::swaps_sides(self.orientation) { (height, width) } else { (width, height) }
    }

    /// Gives the rows that `sink` looks at. After an error, what it has got is not to be used.
    pub(super) fn decode(self, sink: &mut dyn RowSink) -> Result<()> {
        guarded(|| self.decode_unguarded(sink), panicked)
    }

    fn decode_unguarded(self, sink: &mut dyn RowSink) -> Result<()> {
        if self.orientation == 1 {
            return self.decode_as_stored(sink);
        }
        let mut raster = Raster::collect(self.size);
        let orientation = self.orientation;
        self.decode_as_stored(&mut raster)?;
        orientation::send_upright(&raster, orientation, sink);
        Ok(())
    }

    fn decode_as_stored(self, sink: &mut dyn RowSink) -> Result<()> {
        match self.decoder {
            Decoder::Jpeg(jpeg) => jpeg.decode(sink),
            Decoder::Png(png) => png.decode(self.max_decoded_bytes, sink),
            Decoder::WebP(webp) => webp.decode(self.max_decoded_bytes, sink),
        }
    }
}

/// The decoders of PNG and WebP are other people's code.
fn panicked(message: &str) -> Error {
    Error::new(ErrorKind::InvalidImage, format!("the decoder panicked: {message}"))
}

fn too_large(message: String) -> Error {
    Error::new(ErrorKind::TooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::super::rows::Window;
    use super::*;

    /// One pixel.
    const PNG: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0c\
        IDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\r\xefF\xb8\0\0\0\0IEND\xaeB`\x82";

    #[test]
    fn a_panic_becomes_an_error() {
        struct Panics(Window);
        impl RowSink for Panics {
            fn window(&self) -> &Window {
                &self.0
            }

            fn row(&mut self, _y: usize, _planes: [&[u8]; 3]) {
                panic!("of a decoder");
            }
        }
        let encoded = Encoded::open(PNG, false, &ImageLimits::default()).unwrap();
        let error = encoded.decode(&mut Panics(Window::whole((1, 1)))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidImage);
        assert_eq!(error.to_string(), "the decoder panicked: of a decoder");
    }

    #[test]
    fn sizes_without_limits_are_counted_without_overflow() {
        let most = usize::MAX;
        let limits = ImageLimits {
            max_bytes: most,
            max_side: most,
            max_pixels: most,
            max_decoded_bytes: most,
        };
        let mut png = PNG.to_vec();
        png[16..24].fill(0xff);
        // Deepest, and interlaced.
        (png[24], png[25], png[28]) = (16, 6, 1);
        let mut webp = b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
        webp.extend([0xff; 6]);
        let mut jpeg = b"\xff\xd8\xff\xc2\0\x14\x08\xff\xff\xff\xff\x04".to_vec();
        jpeg.extend((0..4).flat_map(|id| [id, 0x44, 0]));
        jpeg.extend(b"\xff\xda\0\x08\x01\0\0\0\0\0\xff\xd9");
        for file in [png, webp, jpeg] {
            let error = Encoded::open(&file, true, &limits).err().map(|e| e.kind());
            let expected = [ErrorKind::InvalidImage, ErrorKind::TooLarge];
            assert!(error.is_some_and(|kind| expected.contains(&kind)), "{error:?}");
        }
    }
}
