//! A model's facts as data: which files it is made of, their hashes, and every setting that shapes
//! its vectors.
//!
//! A manifest is TOML. Unknown keys, wrong types and impossible values are refused, naming the path
//! of the key. See `models/manifest.toml` in the repository for the models that isovec knows.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hashed::is_sha256;
use crate::image::Preprocessing;
use crate::{Error, ErrorKind, Result, limits};

/// A list of models.
///
/// ```
/// let manifest = isovec_core::Manifest::from_toml(
///     r#"
///     [[model]]
///     name = "tiny"
///     kind = "text"
///     dims = 32
///     max_tokens = 64
///     pooling = "cls"
///     licence = "MIT"
///     "#,
/// )?;
/// assert_eq!(manifest.get("tiny")?.dims, 32);
///
/// let error = isovec_core::Manifest::from_toml("[[model]]\nname = 3").unwrap_err();
/// assert!(error.to_string().starts_with("manifest: model[0].name: invalid type: integer `3`"));
/// # Ok::<(), isovec_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models, in the order of the file.
    #[serde(default, rename = "model")]
    pub models: Vec<ModelSpec>,
}

/// One model: what it takes, what it gives, and where its files come from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The name that users type.
    pub name: String,
    /// What the model takes.
    #[serde(default)]
    pub kind: ModelKind,
    /// The number of dimensions of its vectors.
    pub dims: usize,
    /// The most tokens it reads of one text, special tokens included; the default when a caller
    /// sets none, and the most that a caller may set. Left out (0) for a model that reads no text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_tokens: usize,
    /// How one vector is made of a vector per token, or per patch of an image.
    pub pooling: Pooling,
    /// What is done to an image before the model sees it. Needed for a model of images, which has no
    /// right default: another mean or another filter gives plausible wrong vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// The name of the vector space that this model shares with another one, as the two towers of CLIP
    /// do. Vectors of two models may be compared exactly if both name one space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// What cosines are multiplied with before a softmax makes probabilities of them; learned with the
    /// model (CLIP's `exp(logit_scale)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_scale: Option<f32>,
    /// Whether vectors are scaled to length one.
    #[serde(default = "yes")]
    pub normalize: bool,
    /// The ONNX output to read; left out, it is found by shape and customary name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The smaller numbers of dimensions that the model was trained to be cut to (Matryoshka
    /// representation learning); empty where it was not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matryoshka: Vec<usize>,
    /// Texts that the model wants put before an input, by name: `query = "query: "`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, String>,
    /// The name of the prompt that applies where the caller names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_prompt: Option<String>,
    /// What people must know before they trust the vectors: programs show it with results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The SPDX name of the licence of the weights.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// The files, for each variant (`fp32`, `int8`) of the weights.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, Variant>,
}

/// What a model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModelKind {
    /// Text.
    #[default]
    Text,
    /// Images: JPEG, PNG, WebP.
    Image,
    /// Text, into the space of an image model.
    ClipText,
}

impl ModelKind {
    /// The name that manifests write: `text`, `image`, `clip-text`.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelKind::Text => "text",
            ModelKind::Image => "image",
            ModelKind::ClipText => "clip-text",
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one vector is made of the model's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pooling {
    /// The mean over all tokens, special tokens included, as sentence-transformers does.
    Mean,
    /// The first token's vector.
    Cls,
    /// None: the model's own output is one vector per text.
    None,
}

/// One set of weights of a model.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// One line on what this variant costs and gains.
    #[serde(default)]
    pub about: String,
    /// Its files.
    pub files: Vec<FileSpec>,
}

/// One file of a variant.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// What the file is for.
    pub role: FileRole,
    /// Where it lies below the model's folder, with `/` between the parts.
    pub path: String,
    /// The contents that are accepted. More than one where the same weights were packed by
    /// different tools; which of them is there shows in the fingerprint.
    pub builds: Vec<Build>,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileRole {
    /// The ONNX graph with its weights.
    Model,
    /// The `tokenizer.json`.
    Tokenizer,
}

/// One accepted content of a file.
///
/// Its addresses may hold secrets (signed URLs), so debug output only counts them.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Who made it, in a word: `hub`, `registry`.
    pub origin: String,
    /// The sha256 of the content, in 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
    /// Addresses that serve it, tried in order. Empty for one that is made locally.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build")
            .field("origin", &self.origin)
            .field("sha256", &self.sha256)
            .field("size", &self.size)
            .field("urls", &format_args!("[{} in all]", self.urls.len()))
            .finish()
    }
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the path of the offending key.
    pub fn from_toml(text: &str) -> Result<Self> {
        let invalid = |detail: String| {
            Error::new(ErrorKind::InvalidConfig, format!("manifest: {}", detail.trim_end()))
        };
        // Of a TOML error only the message: its full text quotes the file, secrets included.
        let value = toml::Deserializer::parse(text).map_err(|e| {
            let line = e.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let line = line.map_or_else(String::new, |line| format!("line {line}: "));
            invalid(format!("{line}{}", e.message()))
        })?;
        let manifest: Manifest = serde_path_to_error::deserialize(value).map_err(|e| {
            let path = e.path().to_string();
            invalid(format!("{path}: {}", e.inner().message()))
        })?;
        for (index, model) in manifest.models.iter().enumerate() {
            model.check().map_err(|e| e.context(format_args!("manifest: model[{index}]")))?;
            if manifest.models[..index].iter().any(|other| other.name == model.name) {
                return Err(invalid(format!("model[{index}].name: {:?} is taken", model.name)));
            }
        }
        Ok(manifest)
    }

    /// The model of this name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound), listing the names there are.
    pub fn get(&self, name: &str) -> Result<&ModelSpec> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let names: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            Error::new(
                ErrorKind::NotFound,
                format!("no model is named {name:?}; there are: {}", names.join(", ")),
            )
        })
    }

    /// The model of this kind in the space of `model`: the text tower of an image model, or the other way
    /// round.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if `model` names no space, or no model of the kind does so.
    pub fn partner(&self, model: &ModelSpec, kind: ModelKind) -> Result<&ModelSpec> {
        let found = model.space.as_ref().and_then(|space| {
            self.models.iter().find(|m| m.kind == kind && m.space.as_ref() == Some(space))
        });
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("no model of the kind {kind} shares a space with {:?}", model.name),
            )
        })
    }

    /// Adds the models of `other`; one whose name is known replaces it.
    pub fn extend(&mut self, other: Manifest) {
        for model in other.models {
            match self.models.iter_mut().find(|known| known.name == model.name) {
                Some(known) => *known = model,
                None => self.models.push(model),
            }
        }
    }
}

impl ModelSpec {
    /// The variant of this name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound), listing the variants there are.
    pub fn variant(&self, name: &str) -> Result<&Variant> {
        self.variants.get(name).ok_or_else(|| {
            let names: Vec<_> = self.variants.keys().map(String::as_str).collect();
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "model {:?} has no variant {name:?}; there are: {}",
                    self.name,
                    names.join(", ")
                ),
            )
        })
    }

    /// The text that the prompt of this name puts before an input.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound), listing the prompts there are.
    pub fn prompt(&self, name: &str) -> Result<&str> {
        self.prompts.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<_> = self.prompts.keys().map(String::as_str).collect();
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "model {:?} has no prompt {name:?}; it has: [{}]",
                    self.name,
                    names.join(", ")
                ),
            )
        })
    }

    /// The name of the prompt for queries of a search. Models made for search name it so; others have
    /// none.
    pub fn query_prompt(&self) -> Option<&str> {
        self.first_prompt(&["query"])
    }

    /// The name of the prompt for the texts that are searched, likewise.
    pub fn passage_prompt(&self) -> Option<&str> {
        self.first_prompt(&["passage", "document"])
    }

    fn first_prompt(&self, names: &[&str]) -> Option<&str> {
        let found = names.iter().find_map(|name| self.prompts.get_key_value(*name));
        found.map(|(name, _)| name.as_str())
    }

    /// Checks that vectors of this model and of `other` may be compared: that both name one `space`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming both models and their spaces.
    pub fn check_same_space(&self, other: &ModelSpec) -> Result<()> {
        if self.space.is_some() && self.space == other.space {
            return Ok(());
        }
        let space = |spec: &ModelSpec| spec.space.clone().unwrap_or_else(|| "none".to_owned());
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "vectors of {:?} (space: {}) and {:?} (space: {}) cannot be compared",
                self.name,
                space(self),
                other.name,
                space(other)
            ),
        ))
    }

    /// Checks that this is a model of `kind`.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming both kinds.
    pub fn check_kind(&self, kind: ModelKind) -> Result<()> {
        if self.kind == kind {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("model {:?} is of the kind {}; expected {kind}", self.name, self.kind),
        ))
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the key, its value and the allowed range.
    pub fn check(&self) -> Result<()> {
        let refuse = |detail: String| Err(Error::new(ErrorKind::InvalidConfig, detail));
        if !is_plain_name(&self.name) {
            return refuse(format!(
                "name: {:?} must be letters, digits, `.`, `_` or `-`, and not start with `.`",
                self.name
            ));
        }
        in_range("dims", self.dims, 1, limits::MAX_DIMS)?;
        match (self.kind, &self.preprocessing) {
            (ModelKind::Image, None) => {
                return refuse("preprocessing: a model of images needs it".into());
            }
            (ModelKind::Image, Some(preprocessing)) => {
                preprocessing.check().map_err(|e| e.context("preprocessing"))?;
                if self.max_tokens != 0 {
                    return refuse(format!(
                        "max_tokens: {} is given, and a model of images reads no text",
                        self.max_tokens
                    ));
                }
            }
            (_, Some(_)) => {
                return refuse("preprocessing: only a model of images has it".into());
            }
            (_, None) => in_range("max_tokens", self.max_tokens, 1, limits::MAX_TOKENS)?,
        }
        if let Some(scale) = self.logit_scale
            && !(scale.is_finite() && scale > 0.0)
        {
            return refuse(format!("logit_scale: {scale} is not a positive number"));
        }
        for &dims in &self.matryoshka {
            in_range("matryoshka", dims, 1, self.dims)?;
        }
        if let Some(prompt) = &self.default_prompt
            && !self.prompts.contains_key(prompt)
        {
            return refuse(format!("default_prompt: there is no prompt {prompt:?}"));
        }
        for (variant, spec) in &self.variants {
            if !is_plain_name(variant) {
                return refuse(format!("variants: {variant:?} is not a plain name"));
            }
            for (index, file) in spec.files.iter().enumerate() {
                file.check()
                    .map_err(|e| e.context(format_args!("variants.{variant}.files[{index}]")))?;
            }
        }
        Ok(())
    }
}

impl Variant {
    /// The file of this role.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) if the variant names none.
    pub fn file(&self, role: FileRole) -> Result<&FileSpec> {
        self.files.iter().find(|file| file.role == role).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, format!("the variant names no {role:?} file"))
        })
    }
}

impl FileSpec {
    fn check(&self) -> Result<()> {
        let refuse = |detail: String| Err(Error::new(ErrorKind::InvalidConfig, detail));
        // The path is joined to a folder: it must not be able to leave it.
        if !self.path.split('/').all(is_plain_name) {
            return refuse(format!("path: {:?} must be plain names joined by `/`", self.path));
        }
        if self.builds.is_empty() {
            return refuse(
                "builds: at least one is needed, or no content could be verified".into(),
            );
        }
        for (index, build) in self.builds.iter().enumerate() {
            if !is_sha256(&build.sha256) {
                return refuse(format!(
                    "builds[{index}].sha256: {:?} must be 64 lower-case hexadecimal digits",
                    build.sha256
                ));
            }
        }
        Ok(())
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn yes() -> bool {
    true
}

pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

fn in_range(key: &str, value: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidConfig,
        format!("{key}: {value} is outside of {min} to {max}"),
    ))
}

#[cfg(test)]
mod tests;
