//! What is done to an image before a model sees it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::filter::Filter;
use super::resize::PassOrder;
use crate::limits::MAX_OUTPUT_SIDE;
use crate::{Error, ErrorKind, Result};

/// How large an image is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Size {
    /// The shorter side gets this many pixels; the longer one keeps the ratio, rounded down.
    ShortestEdge(usize),
    /// Both sides are given, whatever the ratio was.
    Exact {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
}

/// Settings of the preprocessing of images, with the meaning they have in transformers.
///
/// The default is that of CLIP ViT-B/32: the shorter side to 224 pixels, bicubic, the centre 224 x 224,
/// scaled by 1/255, normalised.
///
/// ```
/// use isovec_core::image::{Filter, Preprocessing, Size};
///
/// let settings = Preprocessing::from_json(br#"{"size": {"shortest_edge": 336}, "resample": 2}"#)?;
/// assert_eq!(settings.resize, Some(Size::ShortestEdge(336)));
/// assert_eq!(settings.resample, Filter::Bilinear);
///
/// let error = Preprocessing::from_json(br#"{"resample": 9}"#).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "preprocessor_config.json: resample: 9, expected a number from 0 to 5"
/// );
/// # Ok::<(), isovec_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The size that images are resized to; nothing to leave them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Size>,
    /// The filter of the resizing.
    pub resample: Filter,
    /// The order of its passes, in which versions of Pillow differ.
    #[serde(default)]
    pub pass_order: PassOrder,
    /// Height and width of the centre that is kept, with black around an image that is smaller;
    /// nothing to keep it whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center_crop: Option<(usize, usize)>,
    /// What pixels from 0 to 255 are multiplied with; nothing to leave them. In a manifest it must be
    /// said, `false` for nothing: a step that was forgotten gives plausible wrong vectors.
    #[serde(with = "or_false")]
    pub rescale: Option<f64>,
    /// What pixels are normalised with after that; nothing to leave them, `false` in a manifest.
    #[serde(with = "or_false")]
    pub normalize: Option<Normalize>,
    /// Whether the orientation in the EXIF data is applied. The reference does not (`Image.open` leaves
    /// a photograph lying on its side as it is stored), so neither do we by default.
    #[serde(default)]
    pub exif_orientation: bool,
}

/// A value that must be written, or `false`.
mod or_false {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize)]
    #[serde(untagged)]
    enum OrFalse<T> {
        Value(T),
        Flag(bool),
    }

    pub(super) fn serialize<T: Serialize + Copy, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map_or(OrFalse::Flag(false), OrFalse::Value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        match OrFalse::deserialize(deserializer) {
            Ok(OrFalse::Value(value)) => Ok(Some(value)),
            Ok(OrFalse::Flag(false)) => Ok(None),
            _ => Err(D::Error::custom("expected the step's value, or false to leave it out")),
        }
    }
}

/// A mean and a standard deviation for each of red, green and blue: `(x - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// What is subtracted.
    pub mean: [f64; 3],
    /// What is then divided by; not zero.
    pub std: [f64; 3],
}

impl Default for Preprocessing {
    fn default() -> Self {
        Preprocessing {
            resize: Some(Size::ShortestEdge(224)),
            resample: Filter::Bicubic,
            pass_order: PassOrder::default(),
            center_crop: Some((224, 224)),
            rescale: Some(1.0 / 255.0),
            normalize: Some(Normalize {
                mean: [0.48145466, 0.4578275, 0.40821073],
                std: [0.26862954, 0.26130258, 0.27577711],
            }),
            exif_orientation: false,
        }
    }
}

/// What a processor of transformers does where its file is silent.
struct Family {
    /// How the names of its classes begin.
    name: &'static str,
    defaults: fn() -> Preprocessing,
    /// Whether a single number as `size` means a square.
    square: bool,
}

impl Family {
    /// Whether a processor is of this family. Others begin with the same letters (`Siglip2`,
    /// `ViTHybrid`) and do other things. The `Fast` ones are meant to do the same, by torchvision, whose
    /// resizing differs from Pillow's in last bits; Pillow's is what is done here.
    fn has(&self, class: &str) -> bool {
        class.strip_prefix(self.name).is_some_and(|rest| {
            ["ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"]
                .contains(&rest)
        })
    }
}

const FAMILIES: &[Family] = &[
    Family { name: "CLIP", defaults: Preprocessing::default, square: false },
    Family { name: "ViT", defaults: || squares(Filter::Bilinear), square: true },
    Family { name: "Siglip", defaults: || squares(Filter::Bicubic), square: true },
];

fn squares(resample: Filter) -> Preprocessing {
    Preprocessing {
        resize: Some(Size::Exact { height: 224, width: 224 }),
        resample,
        center_crop: None,
        normalize: Some(Normalize { mean: [0.5; 3], std: [0.5; 3] }),
        ..Preprocessing::default()
    }
}

/// Keys that ask for a step that is not implemented, unless they are false, 0 or null.
const UNSUPPORTED: [&str; 7] = [
    "do_pad",
    "do_flip_channel_order",
    "do_thumbnail",
    "do_align_long_axis",
    "offset",
    "rescale_offset",
    "crop_pct",
];

impl Preprocessing {
    /// Reads a `preprocessor_config.json` of a CLIP, ViT or SigLIP processor of transformers.
    ///
    /// Keys that are missing have their processor's default (CLIP's where the file does not say whose
    /// it is). Images are always converted to RGB, whatever `do_convert_rgb` says. Keys that do not
    /// concern pixels are ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the key, if a value is of the wrong type or
    /// out of range, or asks for a step that is not implemented.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let object: Value =
            serde_json::from_slice(json).map_err(|e| invalid(format!("{e}")).with_source(e))?;
        if !object.is_object() {
            return Err(invalid("expected an object"));
        }
        let file = File(object);
        let family = file.family()?;
        let defaults = (family.defaults)();
        for key in UNSUPPORTED {
            if let Some(value) = file.get(key)
                && value != &Value::Bool(false)
                && value.as_f64() != Some(0.0)
            {
                return Err(invalid(format!("{key}: {value} is not supported")));
            }
        }
        let resize = if file.flag("do_resize", defaults.resize.is_some())? {
            file.size(family.square)?.or(defaults.resize).or(Preprocessing::default().resize)
        } else {
            None
        };
        let center_crop = if file.flag("do_center_crop", defaults.center_crop.is_some())? {
            file.crop()?.or(defaults.center_crop).or(Preprocessing::default().center_crop)
        } else {
            None
        };
        let resample = match file.get("resample") {
            None => defaults.resample,
            Some(value) => value.as_u64().and_then(Filter::from_pillow).ok_or_else(|| {
                invalid(format!("resample: {value}, expected a number from 0 to 5"))
            })?,
        };
        let rescale = if file.flag("do_rescale", true)? {
            Some(file.number("rescale_factor")?.unwrap_or(1.0 / 255.0))
        } else {
            None
        };
        let normalize = if file.flag("do_normalize", true)? {
            let default = defaults.normalize.or(Preprocessing::default().normalize);
            let default = default.unwrap_or(Normalize { mean: [0.0; 3], std: [1.0; 3] });
            Some(Normalize {
                mean: file.colours("image_mean")?.unwrap_or(default.mean),
                std: file.colours("image_std")?.unwrap_or(default.std),
            })
        } else {
            None
        };
        file.flag("do_convert_rgb", true)?;
        let settings = Preprocessing {
            resize,
            resample,
            center_crop,
            rescale,
            normalize,
            ..Preprocessing::default()
        };
        settings.check().map_err(|e| e.context("preprocessor_config.json"))?;
        Ok(settings)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the setting, its value and the allowed range.
    pub fn check(&self) -> Result<()> {
        let refuse = |detail: String| Err(Error::new(ErrorKind::InvalidConfig, detail));
        let sides = match self.resize {
            Some(Size::ShortestEdge(side)) => Some((side, side)),
            Some(Size::Exact { height, width }) => Some((height, width)),
            None => None,
        };
        for (key, sides) in [("resize", sides), ("center_crop", self.center_crop)] {
            let Some((height, width)) = sides else { continue };
            for side in [height, width] {
                if !(1..=MAX_OUTPUT_SIDE).contains(&side) {
                    return refuse(format!(
                        "{key}: {side} is outside of 1 to {MAX_OUTPUT_SIDE} pixels"
                    ));
                }
            }
        }
        if let Some(factor) = self.rescale.filter(|factor| !factor.is_finite()) {
            return refuse(format!("rescale: {factor} is not a finite number"));
        }
        if let Some(Normalize { mean, std }) = self.normalize
            && (!mean.iter().chain(&std).all(|x| x.is_finite()) || std.contains(&0.0))
        {
            return refuse(format!(
                "normalize: mean {mean:?} and std {std:?} must be finite, and std no zeros"
            ));
        }
        Ok(())
    }

    /// The height and the width of what comes out, if it is the same for every image.
    pub fn output_size(&self) -> Option<(usize, usize)> {
        self.center_crop.or(match self.resize {
            Some(Size::Exact { height, width }) => Some((height, width)),
            _ => None,
        })
    }
}

fn invalid(detail: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("preprocessor_config.json: {detail}"))
}

/// A JSON object that is asked key by key. A null is as good as no value.
struct File(Value);

impl File {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn family(&self) -> Result<&'static Family> {
        for key in ["image_processor_type", "feature_extractor_type"] {
            let Some(value) = self.get(key) else { continue };
            let class = value.as_str().unwrap_or_default();
            return FAMILIES.iter().find(|family| family.has(class)).ok_or_else(|| {
                let known: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
                invalid(format!("{key}: {value}, expected one of {}", known.join(", ")))
            });
        }
        Ok(&FAMILIES[0])
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(invalid(format!("{key}: {value}, expected true or false"))),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(format!("{key}: {value}, expected a number"))),
        }
    }

    fn colours(&self, key: &str) -> Result<Option<[f64; 3]>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        if let Some(number) = value.as_f64() {
            return Ok(Some([number; 3]));
        }
        let list = value.as_array().map(|list| list.iter().map(Value::as_f64).collect::<Vec<_>>());
        match list.as_deref() {
            Some(&[Some(r), Some(g), Some(b)]) => Ok(Some([r, g, b])),
            _ => Err(invalid(format!("{key}: {value}, expected one number or three"))),
        }
    }

    fn size(&self, square: bool) -> Result<Option<Size>> {
        let Some(value) = self.get("size") else { return Ok(None) };
        if value.is_number() {
            let side = side("size", value)?;
            let exact = Size::Exact { height: side, width: side };
            return Ok(Some(if square { exact } else { Size::ShortestEdge(side) }));
        }
        let keys: Vec<_> = value.as_object().into_iter().flatten().collect();
        match keys[..] {
            [(key, edge)] if key == "shortest_edge" => {
                Ok(Some(Size::ShortestEdge(side("size.shortest_edge", edge)?)))
            }
            _ => {
                Ok(Some(sides("size", value).map(|(height, width)| Size::Exact { height, width })?))
            }
        }
    }

    fn crop(&self) -> Result<Option<(usize, usize)>> {
        let Some(value) = self.get("crop_size") else { return Ok(None) };
        if value.is_number() {
            let side = side("crop_size", value)?;
            return Ok(Some((side, side)));
        }
        sides("crop_size", value).map(Some)
    }
}

fn side(path: &str, value: &Value) -> Result<usize> {
    let side = value.as_u64().and_then(|side| usize::try_from(side).ok());
    side.filter(|side| (1..=MAX_OUTPUT_SIDE).contains(side)).ok_or_else(|| {
        invalid(format!("{path}: {value}, expected pixels from 1 to {MAX_OUTPUT_SIDE}"))
    })
}

fn sides(key: &str, value: &Value) -> Result<(usize, usize)> {
    match (value.get("height"), value.get("width"), value.as_object().map(|object| object.len())) {
        (Some(height), Some(width), Some(2)) => {
            Ok((side(&format!("{key}.height"), height)?, side(&format!("{key}.width"), width)?))
        }
        _ => Err(invalid(format!(
            "{key}: {value}, expected a number, \"height\" and \"width\"{}",
            if key == "size" { ", or \"shortest_edge\"" } else { "" }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_file_of_clip() {
        let json = br#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true,
            "do_convert_rgb": true, "do_normalize": true, "do_rescale": true, "do_resize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "CLIPFeatureExtractor",
            "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3,
            "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}}"#;
        assert_eq!(Preprocessing::from_json(json).unwrap(), Preprocessing::default());
        assert_eq!(Preprocessing::from_json(b"{}").unwrap(), Preprocessing::default());
        let old =
            br#"{"crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor", "size": 224}"#;
        assert_eq!(Preprocessing::from_json(old).unwrap(), Preprocessing::default());
    }

    #[test]
    fn vit_has_its_own_defaults() {
        let json = br#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 384}"#;
        let settings = Preprocessing::from_json(json).unwrap();
        assert_eq!(settings.resize, Some(Size::Exact { height: 384, width: 384 }));
        assert_eq!((settings.resample, settings.center_crop), (Filter::Bilinear, None));
        assert_eq!(settings.normalize, Some(Normalize { mean: [0.5; 3], std: [0.5; 3] }));
    }

    #[test]
    fn errors_name_the_key() {
        let cases = [
            (r#"[]"#, "expected an object"),
            (r#"{"do_resize": 1}"#, "do_resize: 1, expected true or false"),
            (r#"{"size": 0}"#, "size: 0, expected pixels from 1 to 4096"),
            (r#"{"size": {"shortest_edge": "x"}}"#, "size.shortest_edge: \"x\", expected pixels"),
            (r#"{"size": {"longest_edge": 5}}"#, "size: {\"longest_edge\":5}, expected a number"),
            (r#"{"crop_size": {"height": 5}}"#, "crop_size: {\"height\":5}, expected a number"),
            (r#"{"resample": "bicubic"}"#, "resample: \"bicubic\", expected a number from 0 to 5"),
            (r#"{"rescale_factor": "a"}"#, "rescale_factor: \"a\", expected a number"),
            (r#"{"image_mean": [1, 2]}"#, "image_mean: [1,2], expected one number or three"),
            (
                r#"{"image_std": [1, 0, 1]}"#,
                "normalize: mean [0.48145466, 0.4578275, 0.40821073] and std [1.0, 0.0, 1.0] must",
            ),
            (r#"{"do_pad": true}"#, "do_pad: true is not supported"),
            (
                r#"{"image_processor_type": "Siglip2ImageProcessor"}"#,
                "image_processor_type: \"Siglip2ImageProcessor\", expected one of CLIP, ViT, Siglip",
            ),
            (
                r#"{"image_processor_type": "DonutImageProcessor"}"#,
                "image_processor_type: \"DonutImageProcessor\", expected one of CLIP, ViT, Siglip",
            ),
        ];
        let mut failures = Vec::new();
        for (json, expected) in cases {
            match Preprocessing::from_json(json.as_bytes()) {
                Err(e)
                    if e.to_string().contains(expected) && e.kind() == ErrorKind::InvalidConfig => {
                }
                other => failures.push(format!("{json}: {other:?} instead of {expected}")),
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}
