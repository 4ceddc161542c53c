//! `models`: which models there are.

use std::path::PathBuf;

use super::keys::Keys;
use super::kinds::{Flag, OneOf, Optional, Place, Text, whole};
use crate::{ModelKind, Precision, limits};

/// A model to be loaded.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// The name in the manifest, where it is another than the one that callers use. Beside a `path` it is no
    /// more than a label.
    pub name: Option<String>,
    /// A folder with the model (or its `.onnx` file), instead of a name of the manifest.
    pub path: Option<PathBuf>,
    /// `type`: what it must take, `text`, `image` or `clip-text`. Checked when the model is loaded.
    pub kind: Option<ModelKind>,
    /// How many dimensions its vectors must have. Checked when the model is loaded.
    pub dimensions: Option<usize>,
    /// The user's own word for the state of the model. Shown with the model.
    pub version: Option<String>,
    /// The weights: `fp32`, `int8`.
    pub variant: Option<String>,
    /// What products are computed in; by default `fp32`.
    pub precision: Option<Precision>,
    /// Cuts texts after so many tokens; by default what `text_embedding.max_tokens` says, or else the model.
    pub max_tokens: Option<usize>,
    /// Whether it is loaded at the start (the default), or by `load_model` when it is needed.
    pub preload: Option<bool>,
}

impl ModelConfig {
    /// The model in a folder, or its `.onnx` file; what is to be set besides, is set afterwards.
    ///
    /// ```
    /// use isovec::{ModelKind, config::ModelConfig};
    ///
    /// let mut model = ModelConfig::at("models/products");
    /// model.kind = Some(ModelKind::Text);
    /// ```
    pub fn at(path: impl Into<PathBuf>) -> Self {
        ModelConfig { path: Some(path.into()), ..Default::default() }
    }
}

/// The name of a model, by which callers ask for it.
pub(super) const MODEL_NAME: Text = Text {
    expected: "a name of letters, digits, `.`, `_`, `-`, `:` and `/`, at most 128",
    allowed: is_model_name,
};

pub(super) fn is_model_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:/".contains(&b);
    (1..=128).contains(&name.len()) && name.bytes().all(plain)
}

impl ModelConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("name", Optional(MODEL_NAME), &mut self.name);
        let expected = "a folder with a model, or its .onnx file";
        keys.key("path", Optional(Place { expected }), &mut self.path);
        let kinds = OneOf(&[
            ("text", ModelKind::Text),
            ("image", ModelKind::Image),
            ("clip-text", ModelKind::ClipText),
        ]);
        keys.key("type", Optional(kinds), &mut self.kind);
        keys.key("dimensions", Optional(whole(1..=limits::MAX_DIMS)), &mut self.dimensions);
        let version = Text { expected: "a text of at most 128 bytes", allowed: |t| t.len() <= 128 };
        keys.key("version", Optional(version), &mut self.version);
        let variant =
            Text { expected: "the name of a variant, such as fp32", allowed: is_model_name };
        keys.key("variant", Optional(variant), &mut self.variant);
        let precisions = OneOf(&[
            ("fp32", Precision::Fp32),
            ("bf16", Precision::Bf16),
            ("int8", Precision::Int8),
        ]);
        keys.key("precision", Optional(precisions), &mut self.precision);
        keys.key("max_tokens", Optional(whole(3..=limits::MAX_TOKENS)), &mut self.max_tokens);
        keys.key("preload", Optional(Flag), &mut self.preload);
    }
}
