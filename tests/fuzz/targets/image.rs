//! Any bytes as an image: pixels of the promised size or a typed error. The first byte chooses settings.
#![no_main]

use isovec_core::image::{Filter, ImageLimits, Preprocessing, Size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, file)) = input.split_first() else { return };
    // Small, so that a tiny file that claims a large image does not hide the others behind its cost.
    let limits =
        ImageLimits { max_pixels: 1 << 20, max_decoded_bytes: 32 << 20, ..ImageLimits::default() };
    let mut settings = Preprocessing { exif_orientation: choice & 1 != 0, ..Default::default() };
    if choice & 2 != 0 {
        settings.resample = Filter::Bilinear;
        settings.resize = Some(Size::Exact { height: 33, width: 65 });
        settings.center_crop = None;
    }
    match settings.run(file, &limits) {
        Ok(pixels) => {
            assert_eq!(Some((pixels.rows, pixels.columns)), settings.output_size());
            assert_eq!(pixels.data.len(), 3 * pixels.rows * pixels.columns);
            assert!(pixels.data.iter().all(|x| x.is_finite()));
            assert!(pixels.width * pixels.height <= limits.max_pixels);
        }
        Err(e) => assert!(
            matches!(e.kind().as_str(), "invalid_image" | "unsupported_format" | "too_large"),
            "{e}"
        ),
    }
});
