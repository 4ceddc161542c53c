//! The requests of text-embeddings-inference, for clients that were written for it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use isovec::ErrorKind;
use isovec::service::{ModelInfo, ServedText};
use isovec::vector::{cosine, l2_normalize};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, Facts};
use crate::body::Json;
use crate::errors::{ApiError, Problem, TeiErrorResponse};
use crate::inputs::{self, List, Text, Texts};
use crate::json::Object;
use crate::models::{self, Wanted};
use crate::state::App;
use crate::vectors::Cut;

/// Texts to embed, with the default text model.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"inputs": ["What is Deep Learning?"], "truncate": true}))]
pub(crate) struct EmbedRequest {
    /// One text or many.
    inputs: Texts,
    /// Whether a text that is longer than the model reads is cut; else it is refused.
    #[schema(default = false)]
    truncate: Option<bool>,
    /// Only `right` is served: the end is what is not read.
    truncation_direction: Option<TruncationDirection>,
    /// Whether vectors are scaled to length one. A model whose vectors always are serves nothing else.
    #[schema(default = true)]
    normalize: Option<bool>,
    /// The name of a prompt of the model, to be put before each text.
    prompt_name: Option<String>,
    /// The dimensions of the vectors: all, or one of the sizes that the model was trained to be cut to.
    #[schema(minimum = 1)]
    dimensions: Option<usize>,
}

/// Which end of a long text is not read.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TruncationDirection {
    /// The start.
    #[serde(alias = "Left")]
    Left,
    /// The end.
    #[serde(alias = "Right")]
    Right,
}

/// One vector for each text, in their order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!([[0.6, 0.0, 0.8]]))]
pub(crate) struct EmbedResponse(Vec<Vec<f32>>);

/// A text, and others to compare with it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarityRequest {
    #[schema(value_type = SimilarityInput)]
    inputs: Object<SimilarityInput>,
    /// How they are embedded.
    #[schema(value_type = Option<SimilarityParameters>)]
    parameters: Option<Object<SimilarityParameters>>,
}

/// What is compared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarityInput {
    /// The text that the others are compared with.
    #[schema(value_type = String, example = "a red car")]
    source_sentence: Text,
    /// The others.
    #[schema(value_type = Vec<String>, min_items = 1, example = json!(["ein rotes Auto"]))]
    sentences: List<Text>,
}

/// As of `/embed`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarityParameters {
    /// As of `/embed`.
    #[schema(default = false)]
    truncate: Option<bool>,
    /// As of `/embed`.
    truncation_direction: Option<TruncationDirection>,
    /// As of `/embed`.
    prompt_name: Option<String>,
}

/// The cosine for each of the texts, in their order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!([0.73]))]
pub(crate) struct SimilarityResponse(Vec<f32>);

/// The default text model, and the bounds of requests.
#[derive(Serialize, ToSchema)]
pub(crate) struct Info {
    #[schema(example = "all-MiniLM-L6-v2")]
    model_id: String,
    /// The fingerprint of the model.
    model_sha: String,
    #[schema(example = "float32")]
    model_dtype: String,
    #[schema(example = "all-MiniLM-L6-v2")]
    served_model_name: String,
    model_type: ModelType,
    max_concurrent_requests: usize,
    max_input_length: usize,
    max_batch_tokens: usize,
    max_batch_requests: usize,
    max_client_batch_size: usize,
    auto_truncate: bool,
    tokenization_workers: usize,
    /// Of isovec.
    version: &'static str,
}

/// What the model is for.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelType {
    embedding: EmbeddingModel,
}

/// How it makes one vector of a text.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingModel {
    #[schema(example = "mean")]
    pooling: &'static str,
}

/// What both endpoints say of long texts.
struct Settings<'a> {
    truncate: bool,
    prompt: Option<&'a str>,
}

impl<'a> Settings<'a> {
    fn new(
        truncate: Option<bool>,
        direction: Option<TruncationDirection>,
        prompt: Option<&'a str>,
    ) -> Result<Self, ApiError> {
        if direction == Some(TruncationDirection::Left) {
            let message = "`truncation_direction` Left is not served: of a long text the start is read; \
                send its end alone if that is what counts";
            return Err(ApiError::invalid("truncation_direction", message));
        }
        Ok(Settings { truncate: truncate.unwrap_or(false), prompt })
    }

    async fn embed(
        &self,
        app: &App,
        model: &ModelInfo,
        texts: &[Text],
    ) -> Result<Vec<ServedText>, ApiError> {
        models::check_prompt(model, "prompt_name", self.prompt)?;
        let mut call = app.service()?.request().model(&model.name);
        if let Some(prompt) = self.prompt {
            call = call.prompt(prompt);
        }
        let served = call.embed_texts_async(texts).await?;
        match served.iter().position(|text| text.truncated) {
            Some(index) if !self.truncate => {
                let message = format!(
                    "`inputs` must have at most {} tokens, and input {index} has more; `truncate` cuts it",
                    model.max_tokens
                );
                Err(ApiError::new(Problem::Kind(ErrorKind::TooLarge), message).param("inputs"))
            }
            _ => Ok(served),
        }
    }
}

fn facts(model: &ModelInfo, served: &[ServedText]) -> Facts {
    let tokens = served.iter().map(|text| text.tokens).sum();
    Facts { model: model.name.clone(), inputs: served.len(), tokens }
}

/// Embed texts, as text-embeddings-inference does
///
/// Without `truncate` a text that is too long is refused.
#[utoipa::path(
    post, path = "/embed", operation_id = "tei_embed", tag = "text-embeddings-inference",
    request_body = EmbedRequest,
    responses(
        (
            status = 200, description = "Vectors, in the order of the texts", body = EmbedResponse,
            headers(("isovec-fingerprint" = String, description = "What identifies the space of the vectors")),
        ),
        (status = 400, description = "No inputs, or no JSON", body = TeiErrorResponse),
        (status = 401, description = "No API key, or not one that is known", body = TeiErrorResponse),
        (status = 408, description = "The body did not come in time", body = TeiErrorResponse),
        (status = 413, description = "A text, the list or the body is too long", body = TeiErrorResponse),
        (status = 415, description = "The body is not said to be JSON", body = TeiErrorResponse),
        (status = 422, description = "The request says something that cannot be served", body = TeiErrorResponse),
        (status = 424, description = "The model failed, or there is none for texts", body = TeiErrorResponse),
        (status = 429, description = "As much waits as may; see Retry-After", body = TeiErrorResponse),
        (status = 503, description = "Loading or shutting down; see Retry-After", body = TeiErrorResponse),
        (status = 504, description = "It took longer than a request may", body = TeiErrorResponse),
    )
)]
pub(crate) async fn embed(
    State(app): State<App>,
    Json { value: request, memory }: Json<EmbedRequest>,
) -> Result<Response, ApiError> {
    let model = models::choose(app.service()?, Wanted::Texts, "model", None)?;
    let normalize = request.normalize.unwrap_or(true);
    if model.spec.normalize && !normalize {
        let message =
            format!("`normalize` false is not served: vectors of {:?} have length one", model.name);
        return Err(ApiError::invalid("normalize", message));
    }
    let cut = Cut::new(&model, request.dimensions)?;
    let prompt = request.prompt_name.as_deref();
    let settings = Settings::new(request.truncate, request.truncation_direction, prompt)?;
    let texts = request.inputs.into_items("inputs", app.config.server.max_inputs)?;
    let served = settings.embed(&app, &model, &texts).await?;
    drop((texts, memory));

    let vector = |text: &ServedText| {
        let mut vector = cut.apply(text.vector())?;
        if normalize && !model.spec.normalize {
            l2_normalize(&mut vector)?;
        }
        Ok(vector)
    };
    let vectors = served.iter().map(vector).collect::<Result<Vec<_>, ApiError>>()?;
    let numbers = vectors.len() * model.dims;
    let fingerprint = served.first().map_or(model.fingerprint, |text| text.fingerprint);
    let answer = Answer::new(EmbedResponse(vectors));
    answer.fingerprint(fingerprint).facts(facts(&model, &served)).write(numbers).await
}

/// Compare a text with others, as text-embeddings-inference does
#[utoipa::path(
    post, path = "/similarity", operation_id = "tei_similarity", tag = "text-embeddings-inference",
    request_body = SimilarityRequest,
    responses(
        (
            status = 200, description = "Cosines, in the order of the sentences", body = SimilarityResponse,
            headers(("isovec-fingerprint" = String, description = "What identifies the space of the vectors")),
        ),
        (status = 400, description = "No sentences, or no JSON", body = TeiErrorResponse),
        (status = 401, description = "No API key, or not one that is known", body = TeiErrorResponse),
        (status = 408, description = "The body did not come in time", body = TeiErrorResponse),
        (status = 413, description = "A text, the list or the body is too long", body = TeiErrorResponse),
        (status = 415, description = "The body is not said to be JSON", body = TeiErrorResponse),
        (status = 422, description = "The request says something that cannot be served", body = TeiErrorResponse),
        (status = 424, description = "The model failed, or there is none for texts", body = TeiErrorResponse),
        (status = 429, description = "As much waits as may; see Retry-After", body = TeiErrorResponse),
        (status = 503, description = "Loading or shutting down; see Retry-After", body = TeiErrorResponse),
        (status = 504, description = "It took longer than a request may", body = TeiErrorResponse),
    )
)]
pub(crate) async fn similarity(
    State(app): State<App>,
    Json { value: request, memory }: Json<SimilarityRequest>,
) -> Result<Answer<SimilarityResponse>, ApiError> {
    let model = models::choose(app.service()?, Wanted::Texts, "model", None)?;
    let parameters = request.parameters.map(|Object(parameters)| parameters).unwrap_or_default();
    let settings = Settings::new(
        parameters.truncate,
        parameters.truncation_direction,
        parameters.prompt_name.as_deref(),
    )?;
    let Object(SimilarityInput { source_sentence, sentences: List(sentences) }) = request.inputs;
    // The source counts too.
    let most = app.config.server.max_inputs.saturating_sub(1);
    inputs::check_count("inputs.sentences", sentences.len(), most)?;
    let mut texts = vec![source_sentence];
    texts.extend(sentences);
    let served = settings.embed(&app, &model, &texts).await?;
    drop((texts, memory));

    let (source, others) = served.split_first().ok_or_else(|| {
        ApiError::new(Problem::Kind(ErrorKind::Inference), "the service gave no vectors")
    })?;
    let cosines = others
        .iter()
        .map(|other| Ok(cosine(source.vector(), other.vector())?))
        .collect::<Result<Vec<_>, ApiError>>()?;
    let fingerprint = source.fingerprint;
    let answer = Answer::new(SimilarityResponse(cosines)).fingerprint(fingerprint);
    Ok(answer.facts(facts(&model, &served)))
}

/// The default text model, and the bounds of requests
#[utoipa::path(
    get, path = "/info", operation_id = "tei_info", tag = "text-embeddings-inference",
    responses(
        (status = 200, description = "The model", body = Info),
        (status = 401, description = "No API key, or not one that is known", body = TeiErrorResponse),
        (status = 424, description = "There is no model for texts", body = TeiErrorResponse),
        (status = 503, description = "The models are being loaded", body = TeiErrorResponse),
    )
)]
pub(crate) async fn info(State(app): State<App>) -> Result<Answer<Info>, ApiError> {
    let model = models::choose(app.service()?, Wanted::Texts, "model", None)?;
    let config = &app.config;
    let pooling = match model.spec.pooling {
        isovec::Pooling::Cls => "cls",
        isovec::Pooling::None => "none",
        _ => "mean",
    };
    let fingerprint = model.fingerprint;
    Ok(Answer::new(Info {
        model_id: model.spec.name,
        model_sha: fingerprint.to_string(),
        model_dtype: if model.variant == "fp32" { "float32".to_owned() } else { model.variant },
        served_model_name: model.name,
        model_type: ModelType { embedding: EmbeddingModel { pooling } },
        max_concurrent_requests: config.performance.max_concurrent_requests,
        max_input_length: model.max_tokens,
        max_batch_tokens: config.text_embedding.batch_tokens,
        max_batch_requests: config.text_embedding.batch_size,
        max_client_batch_size: config.server.max_inputs,
        auto_truncate: false,
        tokenization_workers: config.text_embedding.worker_count,
        version: env!("CARGO_PKG_VERSION"),
    })
    .fingerprint(fingerprint))
}

/// Whether the service can serve, as text-embeddings-inference says it: by the status alone
#[utoipa::path(
    get, path = "/health", operation_id = "tei_health", tag = "text-embeddings-inference",
    responses(
        (status = 200, description = "It can"),
        (status = 503, description = "Loading, shutting down, or failing", body = TeiErrorResponse),
    ),
    security(()),
)]
pub(crate) async fn health(State(app): State<App>) -> Result<StatusCode, ApiError> {
    app.readiness.check(&app).await?;
    Ok(StatusCode::OK)
}
