//! `POST /v1/embeddings`, as OpenAI has it.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, Facts};
use crate::body::Json;
use crate::errors::{ApiError, ErrorResponse};
use crate::inputs::Texts;
use crate::models::{self, Wanted};
use crate::state::App;
use crate::vectors::{Cut, EncodingFormat, Vector};

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "all-MiniLM-L6-v2", "input": ["a red car", "ein rotes Auto"]}))]
pub(crate) struct EmbeddingsRequest {
    /// The name of a model that is loaded.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    /// One text or many. The empty text is one. Lists of token ids are refused: they are those of
    /// another model's tokenizer.
    input: Texts,
    /// How vectors are written. OpenAI's own clients ask for base64 and give floats.
    encoding_format: Option<EncodingFormat>,
    /// The dimensions of the vectors: all, or one of the sizes that the model was trained to be cut to.
    #[schema(minimum = 1)]
    dimensions: Option<usize>,
    /// Taken and not looked at.
    #[expect(dead_code, reason = "clients send it")]
    user: Option<String>,
    /// The name of a prompt of the model, to be put before each text.
    prompt: Option<String>,
}

/// Vectors.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsResponse {
    #[schema(example = "list")]
    object: &'static str,
    /// One for each text, in their order.
    data: Vec<TextEmbedding>,
    /// The model that made them.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    usage: Usage,
    /// What identifies the space of the vectors: only vectors of one space can be compared.
    fingerprint: String,
}

/// The vector of one text.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextEmbedding {
    #[schema(example = "embedding")]
    object: &'static str,
    /// The place of the text in the request.
    index: usize,
    embedding: Vector,
    /// How many tokens the model read, special tokens included.
    #[schema(example = 5)]
    tokens: usize,
    /// Whether the text was longer than the model reads, so that its end does not count.
    truncated: bool,
}

/// What it took.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    /// The tokens that were read.
    #[schema(example = 10)]
    pub(crate) prompt_tokens: usize,
    /// The same.
    #[schema(example = 10)]
    pub(crate) total_tokens: usize,
}

impl Usage {
    pub(crate) fn of(tokens: usize) -> Self {
        Usage { prompt_tokens: tokens, total_tokens: tokens }
    }
}

/// Embed texts
///
/// The request and answer of OpenAI's endpoint of this name, so that its clients work unchanged; `tokens`,
/// `truncated` and `fingerprint` are more than it has.
#[utoipa::path(
    post, path = "/v1/embeddings", operation_id = "embed_texts", tag = "Embeddings",
    request_body = EmbeddingsRequest,
    responses(
        (
            status = 200, description = "Vectors, in the order of the texts", body = EmbeddingsResponse,
            headers(("isovec-fingerprint" = String, description = "What identifies the space of the vectors")),
        ),
        (status = 400, description = "The request says something that cannot be served", body = ErrorResponse),
        (status = 401, description = "No API key, or not one that is known", body = ErrorResponse),
        (status = 404, description = "The model is not loaded", body = ErrorResponse),
        (status = 408, description = "The body did not come in time", body = ErrorResponse),
        (status = 413, description = "The body or a text is too long", body = ErrorResponse),
        (status = 415, description = "The body is not said to be JSON", body = ErrorResponse),
        (status = 429, description = "As much waits as may; see Retry-After", body = ErrorResponse),
        (status = 500, description = "The model failed", body = ErrorResponse),
        (status = 503, description = "Loading or shutting down; see Retry-After", body = ErrorResponse),
        (status = 504, description = "It took longer than a request may", body = ErrorResponse),
    )
)]
pub(crate) async fn embeddings(
    State(app): State<App>,
    Json { value: request, memory }: Json<EmbeddingsRequest>,
) -> Result<Response, ApiError> {
    let service = app.service()?;
    let model = models::choose(service, Wanted::Texts, "model", Some(&request.model))?;
    let cut = Cut::new(&model, request.dimensions)?;
    models::check_prompt(&model, "prompt", request.prompt.as_deref())?;
    let texts = request.input.into_items("input", app.config.server.max_inputs)?;
    let mut call = service.request().model(&model.name);
    if let Some(prompt) = &request.prompt {
        call = call.prompt(prompt);
    }
    let served = call.embed_texts_async(&texts).await?;
    drop((texts, memory));

    let format = request.encoding_format.unwrap_or_default();
    let mut data = Vec::with_capacity(served.len());
    for (index, text) in served.iter().enumerate() {
        let embedding = Vector::new(cut.apply(text.vector())?, format);
        let (tokens, truncated) = (text.tokens, text.truncated);
        data.push(TextEmbedding { object: "embedding", index, embedding, tokens, truncated });
    }
    let tokens = served.iter().map(|text| text.tokens).sum();
    let facts = Facts { model: model.name.clone(), inputs: data.len(), tokens };
    let numbers = data.len() * model.dims;
    // Of the model that answered: it may have been replaced since it was chosen.
    let fingerprint = served.first().map_or(model.fingerprint, |text| text.fingerprint);
    let response = EmbeddingsResponse {
        object: "list",
        data,
        model: model.name,
        usage: Usage::of(tokens),
        fingerprint: fingerprint.to_string(),
    };
    Answer::new(response).fingerprint(fingerprint).facts(facts).write(numbers).await
}
