//! A model that is a folder, laid out as sentence-transformers and the model hub lay it out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use isovec_core::{Error, ErrorKind, ModelKind, ModelSpec, Pooling, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A folder's model: what it is, and where its two files lie.
#[derive(Clone, Debug)]
pub(crate) struct ModelFolder {
    pub(crate) spec: ModelSpec,
    pub(crate) model: PathBuf,
    pub(crate) tokenizer: PathBuf,
}

impl ModelFolder {
    /// Reads a folder's settings: `config.json` is needed, the others are optional.
    ///
    /// Pooling is what `1_Pooling/config.json` says; without that file the model must give one
    /// vector per text itself, for a guess between mean and CLS would give plausible wrong vectors.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let config: Config = required(&folder.join("config.json"))?;
        let pooling: Option<PoolingConfig> = optional(&folder.join("1_Pooling/config.json"))?;
        let sentence: SentenceConfig =
            optional(&folder.join("sentence_bert_config.json"))?.unwrap_or_default();
        let prompts: PromptConfig =
            optional(&folder.join("config_sentence_transformers.json"))?.unwrap_or_default();
        let modules: Option<Vec<Module>> = optional(&folder.join("modules.json"))?;

        let positions = config.positions(folder)?;
        let spec = ModelSpec {
            name: name_of(folder),
            kind: ModelKind::Text,
            dims: config.hidden_size,
            max_tokens: sentence.max_seq_length.map_or(positions, |length| length.min(positions)),
            pooling: match &pooling {
                Some(config) => config.mode(folder)?,
                None => Pooling::None,
            },
            normalize: normalizes(folder, modules.as_deref())?,
            output: None,
            matryoshka: Vec::new(),
            prompts: prompts.prompts,
            default_prompt: prompts.default_prompt_name,
            licence: String::new(),
            variants: BTreeMap::new(),
        };
        spec.check().map_err(|e| e.context(folder.display()))?;
        let model = first_file(folder, &["model.onnx", "onnx/model.onnx"])?;
        let tokenizer = first_file(folder, &["tokenizer.json"])?;
        Ok(ModelFolder { spec, model, tokenizer })
    }
}

/// The keys of `config.json` that matter here; a folder's files have many others.
#[derive(Deserialize)]
struct Config {
    hidden_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    model_type: String,
    #[serde(default)]
    pad_token_id: usize,
}

impl Config {
    /// How many tokens the position table has room for. RoBERTa and its kin number positions from
    /// `pad_token_id + 1`, so that much of their table is never used.
    fn positions(&self, folder: &Path) -> Result<usize> {
        let offset = match self.model_type.as_str() {
            "roberta" | "xlm-roberta" | "camembert" | "mpnet" => self.pad_token_id + 1,
            _ => 0,
        };
        self.max_position_embeddings.checked_sub(offset).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "{}: max_position_embeddings: {} is less than the offset {offset} of {:?}",
                    folder.join("config.json").display(),
                    self.max_position_embeddings,
                    self.model_type
                ),
            )
        })
    }
}

#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(flatten)]
    keys: BTreeMap<String, serde_json::Value>,
}

impl PoolingConfig {
    fn mode(&self, folder: &Path) -> Result<Pooling> {
        let on: Vec<&str> = self
            .keys
            .iter()
            .filter(|(key, value)| {
                key.starts_with("pooling_mode_") && **value == serde_json::Value::Bool(true)
            })
            .map(|(key, _)| key.as_str())
            .collect();
        match on.as_slice() {
            ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
            ["pooling_mode_cls_token"] => Ok(Pooling::Cls),
            other => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "{}: the pooling {other:?} is not supported; expected exactly one of \
                     pooling_mode_mean_tokens, pooling_mode_cls_token",
                    folder.join("1_Pooling/config.json").display()
                ),
            )),
        }
    }
}

#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

#[derive(Default, Deserialize)]
struct PromptConfig {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

/// Whether the folder's vectors are scaled to length one: as `modules.json` says, and yes where it
/// says nothing. A step that is not known here would be left out silently, so it is refused.
fn normalizes(folder: &Path, modules: Option<&[Module]>) -> Result<bool> {
    let Some(modules) = modules else { return Ok(true) };
    let mut normalize = false;
    for module in modules {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Pooling" => {}
            "Normalize" => normalize = true,
            other => {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!(
                        "{}: the module {other:?} is not supported; expected Transformer, Pooling \
                         and Normalize",
                        folder.join("modules.json").display()
                    ),
                ));
            }
        }
    }
    Ok(normalize)
}

/// The folder's own name, with what a model's name may not hold left out.
fn name_of(folder: &Path) -> String {
    let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    match plain.trim_start_matches('.') {
        "" => "model".to_owned(),
        name => name.to_owned(),
    }
}

fn first_file(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("{} is no model folder: it has no {}", folder.display(), names.join(" or ")),
        )
    })
}

fn required<T: DeserializeOwned>(path: &Path) -> Result<T> {
    optional(path)?.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("{} is missing; a model folder needs it", path.display()),
        )
    })
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot_read(path, e)),
    };
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut json).map(Some).map_err(|e| {
        let at = e.path().to_string();
        Error::new(ErrorKind::InvalidConfig, format!("{}: {at}: {}", path.display(), e.inner()))
            .with_source(e)
    })
}

/// The error for a file that is there and cannot be read.
pub(crate) fn cannot_read(path: &Path, e: std::io::Error) -> Error {
    let kind =
        if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
    Error::new(kind, format!("cannot read {}: {e}", path.display())).with_source(e)
}
