//! From bytes to rows of pixels, within limits.

use serde::{Deserialize, Serialize};

use super::jpeg::Jpeg;
use super::orientation;
use super::png::Png;
use super::rows::{Raster, RowSink};
use super::webp::WebP;
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
    /// default.
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
    max_decoded_bytes: usize,
    size: (usize, usize),
    /// As the EXIF data has it.
    orientation: u8,
}

impl<'a> Encoded<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &ImageLimits) -> Result<Self> {
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
        let orientation = exif.map_or(1, orientation::orientation);
        let max_decoded_bytes = limits.max_decoded_bytes;
        let encoded = Encoded { decoder, max_decoded_bytes, size, orientation };
        encoded.check(bytes.len(), limits)?;
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
        if width.saturating_mul(height) > limits.max_pixels {
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
        if working > limits.max_decoded_bytes {
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

    pub(super) fn format(&self) -> ImageFormat {
        match self.decoder {
            Decoder::Jpeg(_) => ImageFormat::Jpeg,
            Decoder::Png(_) => ImageFormat::Png,
            Decoder::WebP(_) => ImageFormat::WebP,
        }
    }

    /// Width and height, upright or as stored.
    pub(super) fn size(&self, upright: bool) -> (usize, usize) {
        let (width, height) = self.size;
        if upright && orientation::swaps_sides(self.orientation) {
            (height, width)
        } else {
            (width, height)
        }
    }

    /// Gives the rows that `sink` looks at, upright or as stored.
    pub(super) fn decode(self, upright: bool, sink: &mut dyn RowSink) -> Result<()> {
        if !upright || self.orientation == 1 {
            return self.decode_as_stored(sink);
        }
        // Turning needs the whole image.
        let mut raster = Raster::collect(self.size);
        let orientation = self.orientation;
        self.decode_as_stored(&mut raster)?;
        orientation::upright(&raster, orientation).send(sink);
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

fn too_large(message: String) -> Error {
    Error::new(ErrorKind::TooLarge, message)
}
