//! Which models there are, and which one a request means.

use std::time::UNIX_EPOCH;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use isovec::service::ModelInfo;
use isovec::{EmbeddingService, ModelKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::errors::{ApiError, ErrorResponse, Problem};
use crate::state::App;

/// The models that are loaded.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Model>,
}

/// A model that is loaded.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
    /// The name that requests use.
    #[schema(example = "all-MiniLM-L6-v2")]
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    /// When it was loaded, in seconds since 1970.
    created: u64,
    #[schema(example = "isovec")]
    owned_by: &'static str,
    /// What it takes: `text`, `image` or `clip-text`.
    #[schema(example = "text")]
    kind: &'static str,
    /// The dimensions of its vectors.
    #[schema(example = 384)]
    dims: usize,
    /// The smaller numbers of dimensions that a request may ask for.
    matryoshka: Vec<usize>,
    /// The most tokens that are read of one text; 0 for a model of images.
    #[schema(example = 512)]
    max_tokens: usize,
    /// The names of prompts that a request may have put before its texts.
    prompts: Vec<String>,
    /// The weights.
    #[schema(example = "fp32")]
    variant: String,
    /// What identifies the space of its vectors: only vectors of one space can be compared.
    fingerprint: String,
    /// The operator's own word for the state of the model.
    version: Option<String>,
    /// Whether it is a stand-in whose vectors mean nothing.
    mock: bool,
    /// What people must know before they trust its vectors.
    note: Option<String>,
}

impl From<ModelInfo> for Model {
    fn from(model: ModelInfo) -> Self {
        let since = model.loaded_at.duration_since(UNIX_EPOCH);
        let smaller = model.spec.matryoshka.iter().filter(|&&size| size < model.dims);
        Model {
            object: "model",
            created: since.map_or(0, |since| since.as_secs()),
            owned_by: "isovec",
            kind: model.kind.as_str(),
            dims: model.dims,
            matryoshka: smaller.copied().collect(),
            max_tokens: model.max_tokens,
            prompts: model.spec.prompts.keys().cloned().collect(),
            variant: model.variant,
            fingerprint: model.fingerprint.to_string(),
            version: model.version,
            mock: model.mock,
            note: model.spec.note,
            id: model.name,
        }
    }
}

/// The models that are loaded
#[utoipa::path(
    get, path = "/v1/models", operation_id = "list_models", tag = "Models",
    responses(
        (status = 200, description = "All of them, by name", body = ModelList),
        (status = 401, description = "No API key, or not one that is known", body = ErrorResponse),
        (status = 503, description = "The models are being loaded", body = ErrorResponse),
    )
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Answer<ModelList>, ApiError> {
    let data = app.service()?.models().into_iter().map(Model::from).collect();
    Ok(Answer::new(ModelList { object: "list", data }))
}

/// One model
#[utoipa::path(
    get, path = "/v1/models/{model}", operation_id = "get_model", tag = "Models",
    params(("model" = String, Path, description = "Its name", example = "all-MiniLM-L6-v2")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 401, description = "No API key, or not one that is known", body = ErrorResponse),
        (status = 404, description = "No such model is loaded", body = ErrorResponse),
        (status = 503, description = "The models are being loaded", body = ErrorResponse),
    )
)]
pub(crate) async fn one(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Answer<Model>, ApiError> {
    // What is not UTF-8 is no model's name either.
    let name = name.map_or(String::new(), |Path(name)| name);
    let model = find(app.service()?, "model", &name)?;
    let fingerprint = model.fingerprint;
    Ok(Answer::new(Model::from(model)).fingerprint(fingerprint))
}

/// The loaded model of that name.
pub(crate) fn find(
    service: &EmbeddingService,
    param: &str,
    name: &str,
) -> Result<ModelInfo, ApiError> {
    let models = service.models();
    match models.iter().find(|model| model.name == name) {
        Some(model) => Ok(model.clone()),
        None => Err(unknown(param, &models)),
    }
}

fn unknown(param: &str, models: &[ModelInfo]) -> ApiError {
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let message = format!("no model of this name is loaded; loaded are: {names}");
    ApiError::new(Problem::UnknownModel, message).param(param)
}

/// What a request wants embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Texts,
    Images,
}

impl Wanted {
    fn takes(self, kind: ModelKind) -> bool {
        (self == Wanted::Images) == (kind == ModelKind::Image)
    }
}

/// The model that a request names, or the default one; of the right kind.
pub(crate) fn choose(
    service: &EmbeddingService,
    wanted: Wanted,
    param: &str,
    name: Option<&str>,
) -> Result<ModelInfo, ApiError> {
    let Some(name) = name else {
        let (kind, what) = match wanted {
            Wanted::Texts => (ModelKind::Text, "text"),
            Wanted::Images => (ModelKind::Image, "image"),
        };
        return service.default_model(kind).ok_or_else(|| {
            let message = format!("no {what} model is loaded");
            ApiError::new(Problem::UnknownModel, message).param(param)
        });
    };
    let model = find(service, param, name)?;
    if !wanted.takes(model.kind) {
        let hint = match wanted {
            Wanted::Texts => "takes images; see POST /v1/images/embeddings",
            Wanted::Images => "takes texts; see POST /v1/embeddings",
        };
        return Err(ApiError::invalid(param, format!("model {:?} {hint}", model.name)));
    }
    Ok(model)
}

/// That the model has that prompt.
pub(crate) fn check_prompt(
    model: &ModelInfo,
    param: &str,
    prompt: Option<&str>,
) -> Result<(), ApiError> {
    let prompts = &model.spec.prompts;
    if prompt.is_none_or(|prompt| prompts.contains_key(prompt)) {
        return Ok(());
    }
    let names: Vec<&str> = prompts.keys().map(String::as_str).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let message = format!("model {:?} has no prompt of this name; it has: {names}", model.name);
    Err(ApiError::invalid(param, message))
}
