//! Images: bytes in, the pixels that a model takes out.
//!
//! Byte for byte what Pillow and the image processors of transformers make of the same file: decoding,
//! conversion to RGB, resizing, centre crop, rescaling and normalising. JPEG, PNG and WebP, told apart
//! by their first bytes. Sizes are read from the header and checked before any pixel is allocated.

mod decode;
mod embedder;
mod filter;
mod geometry;
mod jpeg;
mod orientation;
mod png;
mod resize;
mod rows;
mod settings;
mod webp;

pub use self::decode::{ImageFormat, ImageLimits};
pub use self::embedder::{ImageEmbedder, ImageEmbedding, ImageOptions};
pub use self::filter::Filter;
pub use self::resize::PassOrder;
pub use self::settings::{Normalize, Preprocessing, Size};

use self::decode::Encoded;
use self::resize::Resizer;
use crate::limits::MAX_OUTPUT_PIXELS;
use crate::{Error, ErrorKind, Result};

/// What a vision model takes (`pixel_values`), and what is known of the image it came from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pixels {
    /// The values in the shape (3, `rows`, `columns`): red, green, blue.
    pub data: Vec<f32>,
    /// The height of the result.
    pub rows: usize,
    /// The width of the result.
    pub columns: usize,
    /// The width of the image in pixels, after its orientation was applied if that was asked for.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// The format of the file.
    pub format: ImageFormat,
    /// The length of the file in bytes.
    pub bytes: usize,
}

/// An image of 8 bits for each of red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rgb8 {
    /// Row by row, three bytes for each pixel.
    pub data: Vec<u8>,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
}

impl Preprocessing {
    /// Decodes an image file and makes of it what a vision model takes.
    ///
    /// # Errors
    ///
    /// - [`TooLarge`](ErrorKind::TooLarge) if the file or its image is over one of `limits`.
    /// - [`UnsupportedFormat`](ErrorKind::UnsupportedFormat) if it is no JPEG, PNG or WebP.
    /// - [`InvalidImage`](ErrorKind::InvalidImage) if it is damaged, truncated, or of a rare kind of
    ///   its format (arithmetic-coded, lossless or 12-bit JPEG).
    /// - [`InvalidConfig`](ErrorKind::InvalidConfig) if these settings do not pass
    ///   [`check`](Self::check).
    ///
    /// ```
    /// use isovec_core::image::{ImageLimits, Preprocessing};
    ///
    /// let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0c\
    ///     IDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\r\xefF\xb8\0\0\0\0IEND\xaeB`\x82";
    /// let pixels = Preprocessing::default().run(png, &ImageLimits::default())?;
    /// assert_eq!((pixels.width, pixels.height, pixels.data.len()), (1, 1, 3 * 224 * 224));
    ///
    /// let error = Preprocessing::default().run(b"GIF89a", &ImageLimits::default()).unwrap_err();
    /// assert_eq!(error.to_string(), "not an image of a supported format: expected JPEG, PNG or WebP");
    /// # Ok::<(), isovec_core::Error>(())
    /// ```
    pub fn run(&self, bytes: &[u8], limits: &ImageLimits) -> Result<Pixels> {
        self.check()?;
        let encoded = Encoded::open(bytes, self.exif_orientation, limits)?;
        let (width, height) = encoded.size();
        let resized = geometry::resized((width, height), self.resize);
        let (rows, columns) = self.center_crop.unwrap_or((resized.1, resized.0));
        if rows.saturating_mul(columns) > MAX_OUTPUT_PIXELS {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the settings make {columns} x {rows} pixels of this image, over the cap of \
                     {MAX_OUTPUT_PIXELS}"
                ),
            ));
        }
        let (kept_x, left) = geometry::center(resized.0, columns);
        let (kept_y, top) = geometry::center(resized.1, rows);
        let part = (kept_x.len(), kept_y.len());
        let format = encoded.format();
        let kept = self.resize_part(encoded, resized, (kept_x, kept_y))?;
        let mut data = Vec::with_capacity(3 * rows * columns);
        for (channel, plane) in kept.chunks_exact((part.0 * part.1).max(1)).enumerate() {
            let values = self.values(channel);
            let start = data.len();
            // What the crop has beyond the image is black, and goes through the same arithmetic.
            data.resize(start + rows * columns, values[0]);
            let lines = data[start..].chunks_exact_mut(columns).skip(top);
            for (line, pixels) in lines.zip(plane.chunks_exact(part.0)) {
                for (out, &pixel) in line[left..].iter_mut().zip(pixels) {
                    *out = values[usize::from(pixel)];
                }
            }
        }
        Ok(Pixels { data, rows, columns, width, height, format, bytes: bytes.len() })
    }

    /// What becomes of each value that a pixel of this channel may have.
    ///
    /// In the reference's order and precision: rescaled in f64 and rounded to f32, then normalised in
    /// f32.
    fn values(&self, channel: usize) -> [f32; 256] {
        std::array::from_fn(|pixel| {
            let value = match self.rescale {
                Some(factor) => (pixel as f64 * factor) as f32,
                None => pixel as f32,
            };
            match &self.normalize {
                Some(Normalize { mean, std }) => {
                    (value - mean[channel] as f32) / std[channel] as f32
                }
                None => value,
            }
        })
    }

    fn resize_part(
        &self,
        encoded: Encoded<'_>,
        target: (usize, usize),
        part: (std::ops::Range<usize>, std::ops::Range<usize>),
    ) -> Result<Vec<u8>> {
        let mut resizer =
            Resizer::new((self.resample, self.pass_order), encoded.size(), target, part);
        encoded.decode(&mut resizer)?;
        Ok(resizer.finish())
    }
}

/// The pixels between resizing and cropping, to compare with another implementation's.
///
/// # Errors
///
/// Those of [`Preprocessing::run`].
pub fn resized_rgb8(bytes: &[u8], settings: &Preprocessing, limits: &ImageLimits) -> Result<Rgb8> {
    settings.check()?;
    let encoded = Encoded::open(bytes, settings.exif_orientation, limits)?;
    let (width, height) = geometry::resized(encoded.size(), settings.resize);
    if width.saturating_mul(height) > limits.max_pixels {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the image is {width} x {height} pixels when resized, over the cap of {} pixels",
                limits.max_pixels
            ),
        ));
    }
    let planes = settings.resize_part(encoded, (width, height), (0..width, 0..height))?;
    let mut data = vec![0; planes.len()];
    for (channel, plane) in planes.chunks_exact(width * height).enumerate() {
        for (out, &pixel) in data.iter_mut().skip(channel).step_by(3).zip(plane) {
            *out = pixel;
        }
    }
    Ok(Rgb8 { data, width, height })
}

/// The pixels of an image file, upright if `exif_orientation`, to compare with another decoder's.
///
/// # Errors
///
/// Those of [`Preprocessing::run`].
pub fn decoded_rgb8(bytes: &[u8], exif_orientation: bool, limits: &ImageLimits) -> Result<Rgb8> {
    let encoded = Encoded::open(bytes, exif_orientation, limits)?;
    let (width, height) = encoded.size();
    let mut raster = rows::Raster::collect((width, height));
    encoded.decode(&mut raster)?;
    Ok(Rgb8 { data: raster.interleaved(), width, height })
}
