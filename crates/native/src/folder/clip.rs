//! Image models and CLIP's text tower, as transformers and the hub's ONNX exports lay them out.
//!
//! A folder may hold both towers of a CLIP (`config.json` says `clip`; `onnx/vision_model.onnx` and
//! `onnx/text_model.onnx`) or one model (`model.onnx`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use isovec_core::image::Preprocessing;
use isovec_core::{Error, ErrorKind, ModelKind, ModelSpec, Pooling, Result};
use serde::Deserialize;

use super::files::{cannot_read, required};
use super::text::PoolingConfig;
use super::{ModelFolder, first_file, name_of};

/// The keys of `config.json` that matter here. What is left out has transformers' default.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    model_type: String,
    hidden_size: Option<usize>,
    projection_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    text_config: TextConfig,
    /// What `scripts/download_models --synthetic-clip` says of the model that it makes.
    isovec_synthetic: Option<String>,
}

#[derive(Default, Deserialize)]
struct TextConfig {
    max_position_embeddings: Option<usize>,
}

/// What CLIPConfig, CLIPVisionConfig and CLIPTextConfig of transformers have where a file is silent.
const PROJECTION_DIM: usize = 512;
const MAX_POSITIONS: usize = 77;

/// An image model: the vision tower of a CLIP, or any other that takes `pixel_values`.
///
/// `preprocessor_config.json` is needed. Other models than CLIP give one vector per image themselves, or
/// have a `1_Pooling/config.json`: pooling is never guessed.
pub(super) fn read_image(folder: &Path) -> Result<ModelFolder> {
    let config: Config = required(&folder.join("config.json"))?;
    let path = folder.join("preprocessor_config.json");
    let json = fs::read(&path).map_err(|e| cannot_read(&path, e))?;
    let preprocessing = Preprocessing::from_json(&json).map_err(|e| e.context(folder.display()))?;
    let is_clip = matches!(config.model_type.as_str(), "clip" | "clip_vision_model");
    let (dims, pooling) = if is_clip {
        (config.projection_dim.unwrap_or(PROJECTION_DIM), Pooling::None)
    } else {
        let pooling = PoolingConfig::read(folder)?;
        let dims = config.hidden_size.ok_or_else(|| {
            let path = folder.join("config.json");
            Error::new(
                ErrorKind::InvalidConfig,
                format!("{}: missing field `hidden_size`", path.display()),
            )
        })?;
        (dims, PoolingConfig::mode_or_none(pooling.as_ref(), folder)?)
    };
    let model = first_file(
        folder,
        &["onnx/vision_model.onnx", "vision_model.onnx", "model.onnx", "onnx/model.onnx"],
    )?;
    let mut spec = spec(folder, ModelKind::Image, dims);
    (spec.pooling, spec.preprocessing) = (pooling, Some(preprocessing));
    spec.space = is_clip.then(|| space_of(folder));
    spec.note = config.isovec_synthetic;
    Ok(ModelFolder { spec, model, tokenizer: None })
}

/// The text tower of a CLIP.
pub(super) fn read_text(folder: &Path) -> Result<ModelFolder> {
    let config: Config = required(&folder.join("config.json"))?;
    if !matches!(config.model_type.as_str(), "clip" | "clip_text_model") {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "{}: model_type: {:?} has no text tower; expected \"clip\" or \"clip_text_model\"",
                folder.join("config.json").display(),
                config.model_type
            ),
        ));
    }
    let positions = config.text_config.max_position_embeddings.or(config.max_position_embeddings);
    let model = first_file(folder, &["onnx/text_model.onnx", "text_model.onnx", "model.onnx"])?;
    let tokenizer = Some(first_file(folder, &["tokenizer.json"])?);
    let dims = config.projection_dim.unwrap_or(PROJECTION_DIM);
    let mut spec = spec(folder, ModelKind::ClipText, dims);
    spec.max_tokens = positions.unwrap_or(MAX_POSITIONS);
    spec.space = Some(space_of(folder));
    spec.note = config.isovec_synthetic;
    Ok(ModelFolder { spec, model, tokenizer })
}

/// The space of the towers in a folder: that folder's alone, by its whole path, since two folders of one
/// name may hold two models.
fn space_of(folder: &Path) -> String {
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    format!("folder:{}", whole.display())
}

fn spec(folder: &Path, kind: ModelKind, dims: usize) -> ModelSpec {
    ModelSpec {
        space: None,
        name: name_of(folder),
        kind,
        dims,
        max_tokens: 0,
        pooling: Pooling::None,
        preprocessing: None,
        logit_scale: None,
        normalize: true,
        output: None,
        matryoshka: Vec::new(),
        prompts: BTreeMap::new(),
        default_prompt: None,
        note: None,
        licence: String::new(),
        variants: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and contents.
    type Files<'a> = &'a [(&'a str, &'a str)];

    /// What is made of a folder with these files.
    fn read(kind: ModelKind, files: Files<'_>) -> Result<ModelSpec> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("onnx")).unwrap();
        for (file, text) in files {
            fs::write(folder.path().join(file), text).unwrap();
        }
        ModelFolder::read(folder.path(), kind).map(|folder| folder.spec)
    }

    const PIXELS: (&str, &str) = ("preprocessor_config.json", r#"{"size": 96, "crop_size": 80}"#);

    #[test]
    fn both_towers_of_a_clip_are_read_from_one_folder() {
        let files = [
            (
                "config.json",
                r#"{"model_type": "clip", "projection_dim": 64, "text_config":
                    {"max_position_embeddings": 32}, "vision_config": {}}"#,
            ),
            PIXELS,
            ("onnx/vision_model.onnx", ""),
            ("onnx/text_model.onnx", ""),
            ("tokenizer.json", ""),
        ];
        let image = read(ModelKind::Image, &files).unwrap();
        let text = read(ModelKind::ClipText, &files).unwrap();
        assert_eq!((image.dims, image.max_tokens), (64, 0));
        assert_eq!((text.dims, text.max_tokens), (64, 32));
        assert_eq!(image.preprocessing.unwrap().center_crop, Some((80, 80)));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let vit = ("config.json", r#"{"model_type": "vit", "hidden_size": 8}"#);
        let cases: [(ModelKind, Files<'_>, &str); 5] = [
            (ModelKind::Image, &[vit], "cannot read"),
            (ModelKind::Image, &[vit, PIXELS], "is no model folder: it has no onnx/vision_model"),
            (
                ModelKind::Image,
                &[("config.json", "{}"), PIXELS],
                "config.json: missing field `hidden_size`",
            ),
            (ModelKind::ClipText, &[vit], "model_type: \"vit\" has no text tower"),
            (
                ModelKind::Image,
                &[vit, ("preprocessor_config.json", r#"{"resample": 9}"#)],
                "preprocessor_config.json: resample: 9, expected a number from 0 to 5",
            ),
        ];
        for (kind, files, expected) in cases {
            let error = read(kind, files).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
