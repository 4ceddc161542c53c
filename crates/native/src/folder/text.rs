//! Text models, as sentence-transformers writes them.

use std::collections::BTreeMap;
use std::path::Path;

use isovec_core::{Error, ErrorKind, ModelKind, ModelSpec, Pooling, Result};
use serde::Deserialize;

use super::files::{optional, required};
use super::{first_file, name_of};
use crate::folder::ModelFolder;

/// Reads a folder's settings: `config.json` is needed, the others are optional.
///
/// Pooling is what `1_Pooling/config.json` says; without that file the model must give one
/// vector per text itself, for a guess between mean and CLS would give plausible wrong vectors.
pub(super) fn read(folder: &Path) -> Result<ModelFolder> {
    let config: Config = required(&folder.join("config.json"))?;
    let pooling = PoolingConfig::read(folder)?;
    let sentence: SentenceConfig =
        optional(&folder.join("sentence_bert_config.json"))?.unwrap_or_default();
    let prompts: PromptConfig =
        optional(&folder.join("config_sentence_transformers.json"))?.unwrap_or_default();
    refuse_unknown_steps(folder, &sentence, pooling.as_ref(), &prompts)?;
    let modules: Option<Vec<Module>> = optional(&folder.join("modules.json"))?;

    let positions = config.positions(folder)?;
    let spec = ModelSpec {
        name: name_of(folder),
        kind: ModelKind::Text,
        dims: config.hidden_size,
        max_tokens: sentence.max_seq_length.map_or(positions, |length| length.min(positions)),
        pooling: PoolingConfig::mode_or_none(pooling.as_ref(), folder)?,
        preprocessing: None,
        space: None,
        logit_scale: None,
        normalize: normalizes(folder, modules.as_deref())?,
        output: None,
        matryoshka: Vec::new(),
        prompts: prompts.prompts,
        default_prompt: prompts.default_prompt_name,
        note: None,
        licence: String::new(),
        variants: BTreeMap::new(),
    };
    let model = first_file(folder, &["model.onnx", "onnx/model.onnx"])?;
    let tokenizer = Some(first_file(folder, &["tokenizer.json"])?);
    Ok(ModelFolder { spec, model, tokenizer })
}

/// The keys of `config.json` that matter here; a folder's files have many others.
#[derive(Deserialize)]
struct Config {
    hidden_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    model_type: String,
    pad_token_id: Option<usize>,
}

impl Config {
    /// How many tokens the position table has room for. RoBERTa and its kin number positions from
    /// `pad_token_id + 1`, so that much of their table is never used.
    fn positions(&self, folder: &Path) -> Result<usize> {
        let offset = match self.model_type.as_str() {
            // 1 is the padding id of these families where the file names none.
            "roberta" | "xlm-roberta" | "camembert" | "mpnet" => self.pad_token_id.unwrap_or(1) + 1,
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
pub(super) struct PoolingConfig {
    #[serde(flatten)]
    keys: BTreeMap<String, serde_json::Value>,
}

impl PoolingConfig {
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        optional(&folder.join("1_Pooling/config.json"))
    }

    pub(super) fn mode_or_none(config: Option<&Self>, folder: &Path) -> Result<Pooling> {
        config.map_or(Ok(Pooling::None), |config| config.mode(folder))
    }

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
    #[serde(default)]
    do_lower_case: bool,
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

/// Refuses settings that change vectors and are not carried out here: leaving them out would give
/// plausible wrong vectors.
fn refuse_unknown_steps(
    folder: &Path,
    sentence: &SentenceConfig,
    pooling: Option<&PoolingConfig>,
    prompts: &PromptConfig,
) -> Result<()> {
    let refuse = |file: &str, setting: &str| {
        let path = folder.join(file);
        Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("{}: {setting} is not supported", path.display()),
        ))
    };
    if sentence.do_lower_case {
        return refuse("sentence_bert_config.json", "do_lower_case: true");
    }
    let excludes = pooling.is_some_and(|config| {
        config.keys.get("include_prompt") == Some(&serde_json::Value::Bool(false))
    });
    if excludes && !prompts.prompts.is_empty() {
        return refuse("1_Pooling/config.json", "include_prompt: false");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What is made of a folder with these files beside a model and a tokenizer.
    fn read(files: &[(&str, &str)]) -> Result<ModelSpec> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        for file in ["model.onnx", "tokenizer.json"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        for (file, text) in files {
            fs::write(folder.path().join(file), text).unwrap();
        }
        ModelFolder::read(folder.path(), ModelKind::Text).map(|folder| folder.spec)
    }

    const BERT: (&str, &str) = (
        "config.json",
        r#"{"hidden_size": 8, "max_position_embeddings": 512, "model_type": "bert"}"#,
    );

    #[test]
    fn max_tokens_is_the_smaller_of_the_table_and_the_setting() {
        let length =
            ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": false}"#);
        let long = ("sentence_bert_config.json", r#"{"max_seq_length": 1024}"#);
        let roberta = |pad: &str| {
            format!(
                r#"{{"hidden_size": 8, "max_position_embeddings": 514, "model_type": "roberta"{pad}}}"#
            )
        };
        assert_eq!(read(&[BERT]).unwrap().max_tokens, 512);
        assert_eq!(read(&[BERT, length]).unwrap().max_tokens, 256);
        assert_eq!(read(&[BERT, long]).unwrap().max_tokens, 512);
        for pad in ["", ", \"pad_token_id\": 1", ", \"pad_token_id\": null"] {
            assert_eq!(read(&[("config.json", &roberta(pad))]).unwrap().max_tokens, 512, "{pad}");
        }
    }

    #[test]
    fn pooling_prompts_and_normalisation_are_read() {
        let cls = (
            "1_Pooling/config.json",
            r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
        );
        let prompts = (
            "config_sentence_transformers.json",
            r#"{"prompts": {"query": "q: "}, "default_prompt_name": "query"}"#,
        );
        let modules =
            |last: &str| format!(r#"[{{"type": "a.Transformer"}}, {{"type": "a.Pooling"}}{last}]"#);
        let spec = read(&[BERT, cls, prompts]).unwrap();
        assert_eq!((spec.pooling, spec.normalize), (Pooling::Cls, true));
        assert_eq!(spec.default_prompt.as_deref(), Some("query"));
        assert_eq!(spec.prompts["query"], "q: ");
        assert_eq!(read(&[BERT]).unwrap().pooling, Pooling::None);
        assert!(!read(&[BERT, ("modules.json", &modules(""))]).unwrap().normalize);
        let normalize = modules(r#", {"type": "a.Normalize"}"#);
        assert!(read(&[BERT, ("modules.json", &normalize)]).unwrap().normalize);
    }

    #[test]
    fn steps_that_are_not_carried_out_are_refused() {
        let prompts = ("config_sentence_transformers.json", r#"{"prompts": {"query": "q: "}}"#);
        let cases = [
            (
                ("sentence_bert_config.json", r#"{"do_lower_case": true}"#),
                "do_lower_case: true is not supported",
            ),
            (
                (
                    "1_Pooling/config.json",
                    r#"{"pooling_mode_cls_token": true, "include_prompt": false}"#,
                ),
                "include_prompt: false is not supported",
            ),
            (
                ("1_Pooling/config.json", r#"{"pooling_mode_lasttoken": true}"#),
                "the pooling [\"pooling_mode_lasttoken\"] is not supported",
            ),
            (
                ("config_sentence_transformers.json", r#"{"default_prompt_name": "x"}"#),
                "default_prompt: there is no prompt \"x\"",
            ),
        ];
        for (file, text) in cases {
            let error = read(&[BERT, prompts, file]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
