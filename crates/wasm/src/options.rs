//! Settings, which come as JSON.

use isovec_core::image::ImageLimits;
use isovec_core::{ErrorKind, ImageOptions, ModelSpec, Precision, TextOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, Thrown};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Text {
    max_tokens: Option<usize>,
    dimensions: Option<usize>,
    precision: Precision,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Image {
    dimensions: Option<usize>,
    precision: Precision,
    exif_orientation: Option<bool>,
    limits: Limits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Limits {
    max_bytes: Option<usize>,
    max_side: Option<usize>,
    max_pixels: Option<usize>,
    max_decoded_bytes: Option<usize>,
}

/// The facts of one model, with the keys of the manifest.
pub(crate) fn spec(json: &str) -> Result<ModelSpec> {
    read("spec", json)
}

pub(crate) fn text(json: Option<&str>) -> Result<TextOptions> {
    let Text { max_tokens, dimensions, precision } = read("options", json.unwrap_or("{}"))?;
    Ok(TextOptions { max_tokens, dimensions, precision, ..Default::default() })
}

pub(crate) fn image(json: Option<&str>) -> Result<ImageOptions> {
    let Image { dimensions, precision, exif_orientation, limits } =
        read("options", json.unwrap_or("{}"))?;
    let default = ImageLimits::default();
    let limits = ImageLimits {
        max_bytes: limits.max_bytes.unwrap_or(default.max_bytes),
        max_side: limits.max_side.unwrap_or(default.max_side),
        max_pixels: limits.max_pixels.unwrap_or(default.max_pixels),
        max_decoded_bytes: limits.max_decoded_bytes.unwrap_or(default.max_decoded_bytes),
    };
    Ok(ImageOptions { limits, dimensions, precision, exif_orientation, ..Default::default() })
}

fn read<T: DeserializeOwned>(name: &str, json: &str) -> Result<T> {
    let mut json = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let path = if path == "." { String::new() } else { format!(".{path}") };
        Thrown::new(ErrorKind::InvalidConfig, format!("{name}{path}: {}", e.inner()))
    })?;
    json.end().map_err(|e| Thrown::new(ErrorKind::InvalidConfig, format!("{name}: {e}")))?;
    Ok(value)
}
