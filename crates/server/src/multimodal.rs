//! `POST /v1/multimodal/embeddings`: a text and an image into one vector.

use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use isovec::service::ServedFused;
use isovec::{Fusion, FusionKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, Facts};
use crate::body::{self, Json};
use crate::errors::{ApiError, ErrorResponse};
use crate::image_source::ImageSource;
use crate::inputs::{self, List, Text};
use crate::json::Object;
use crate::models::{self, Wanted};
use crate::openai::Usage;
use crate::state::App;
use crate::vectors::{EncodingFormat, Vector};

/// So many pairs of one request are worked on at once.
const AT_ONCE: usize = 8;

/// Texts with images to embed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"input": [{"text": "a red car"}]}))]
pub(crate) struct MultimodalRequest {
    /// The name of a model of texts that is loaded; by default the configured one.
    text_model: Option<String>,
    /// The name of a model of images that is loaded; by default the configured one.
    image_model: Option<String>,
    /// Texts, images, or both together.
    #[schema(value_type = Vec<Pair>, min_items = 1)]
    input: List<Object<Pair>>,
    /// How vectors are written.
    encoding_format: Option<EncodingFormat>,
}

/// A text, an image, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    /// The text.
    #[schema(value_type = Option<String>)]
    text: Option<Text>,
    /// The image: as of `/v1/images/embeddings`.
    #[schema(value_type = Option<String>)]
    image: Option<Text>,
}

/// Fused vectors.
#[derive(Serialize, ToSchema)]
pub(crate) struct MultimodalResponse {
    #[schema(example = "list")]
    object: &'static str,
    /// One for each pair, in their order.
    data: Vec<FusedEmbedding>,
    text_model: String,
    image_model: String,
    fusion: FusionInfo,
    usage: Usage,
    /// The fingerprint of the fusion, which those of both models go with: only vectors of one fusion and
    /// the same two models can be compared.
    fingerprint: String,
}

/// The fused vector of a text and an image.
#[derive(Serialize, ToSchema)]
pub(crate) struct FusedEmbedding {
    #[schema(example = "embedding")]
    object: &'static str,
    /// The place of the pair in the request.
    index: usize,
    embedding: Vector,
    /// Whether there was a text.
    has_text: bool,
    /// Whether there was an image.
    has_image: bool,
    /// How many tokens were read of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    /// Whether the text was longer than the model reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    /// The image's width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<usize>,
    /// The image's height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<usize>,
    /// The image's format.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
}

/// How two vectors became one.
#[derive(Serialize, ToSchema)]
pub(crate) struct FusionInfo {
    /// `learned`, `concat`, or `untrained`: a random projection, which has learned nothing.
    #[schema(example = "untrained")]
    kind: &'static str,
    /// Whether it was fitted to pairs of texts and images.
    trained: bool,
    /// The dimensions of a fused vector.
    #[schema(example = 768)]
    dims: usize,
    /// In a sentence.
    about: String,
    text_fingerprint: String,
    image_fingerprint: String,
}

/// Embed texts and images together
///
/// Each pair of a text and an image becomes one vector, in one space with those of texts alone and of images
/// alone. `fusion` says how, and whether that was ever trained.
#[utoipa::path(
    post, path = "/v1/multimodal/embeddings", operation_id = "embed_pairs", tag = "Embeddings",
    request_body = MultimodalRequest,
    responses(
        (
            status = 200, description = "Vectors, in the order of the pairs", body = MultimodalResponse,
            headers(("isovec-fingerprint" = String, description = "What identifies the fusion")),
        ),
        (status = 400, description = "The request says something that cannot be served", body = ErrorResponse),
        (status = 401, description = "No API key, or not one that is known", body = ErrorResponse),
        (status = 404, description = "A model is not loaded", body = ErrorResponse),
        (status = 408, description = "The body did not come in time", body = ErrorResponse),
        (status = 413, description = "The body, a text or an image is too large", body = ErrorResponse),
        (status = 415, description = "The body is not said to be JSON", body = ErrorResponse),
        (status = 429, description = "As much waits as may; see Retry-After", body = ErrorResponse),
        (status = 500, description = "A model failed", body = ErrorResponse),
        (status = 503, description = "Loading or shutting down; see Retry-After", body = ErrorResponse),
        (status = 504, description = "It took longer than a request may", body = ErrorResponse),
    )
)]
pub(crate) async fn embeddings(
    State(app): State<App>,
    Json { value: request, memory }: Json<MultimodalRequest>,
) -> Result<Response, ApiError> {
    let service = app.service()?;
    let text_model =
        models::choose(service, Wanted::Texts, "text_model", request.text_model.as_deref())?;
    let image_model =
        models::choose(service, Wanted::Images, "image_model", request.image_model.as_deref())?;
    // Made the first time, which takes half a second.
    let (maker, dims) = (service.clone(), (text_model.dims, image_model.dims));
    let fusion = body::offload(body::LONG, move || maker.fusion(dims.0, dims.1)).await??;
    let List(pairs) = request.input;
    inputs::check_count("input", pairs.len(), app.config.server.max_inputs)?;
    let pairs = read(&app, pairs).await?;

    let call = service.request().model(&text_model.name).image_model(&image_model.name);
    let fused = pairs.into_iter().enumerate().map(|(index, (text, image))| {
        let call = &call;
        async move {
            let file = match image {
                Some(image) => {
                    Some(image.into_bytes(call, &format!("input[{index}].image")).await?)
                }
                None => None,
            };
            let text = text.as_ref().map(|text| text.0.as_str());
            let fused = call.embed_multimodal_async(text, file.as_deref()).await;
            fused.map_err(|e| ApiError::from(e).param(format!("input[{index}]")))
        }
    });
    let served: Vec<ServedFused> = stream::iter(fused).buffered(AT_ONCE).try_collect().await?;
    drop(memory);

    let format = request.encoding_format.unwrap_or_default();
    let tokens = served.iter().filter_map(|pair| Some(pair.text.as_ref()?.tokens)).sum();
    let facts = Facts {
        model: format!("{}+{}", text_model.name, image_model.name),
        inputs: served.len(),
        tokens,
    };
    let numbers = served.len() * fusion.dims();
    let fingerprint = fusion.fingerprint();
    let response = MultimodalResponse {
        object: "list",
        data: served
            .iter()
            .enumerate()
            .map(|(index, pair)| FusedEmbedding::new(index, pair, format))
            .collect(),
        fusion: FusionInfo::new(&fusion, &text_model.fingerprint, &image_model.fingerprint),
        text_model: text_model.name,
        image_model: image_model.name,
        usage: Usage::of(tokens),
        fingerprint: fingerprint.to_string(),
    };
    Answer::new(response).fingerprint(fingerprint).facts(facts).write(numbers).await
}

type Sources = Vec<(Option<Text>, Option<ImageSource>)>;

/// The images are decoded where it keeps nobody waiting.
async fn read(app: &App, pairs: Vec<Object<Pair>>) -> Result<Sources, ApiError> {
    let length = pairs.iter().filter_map(|Object(pair)| Some(pair.image.as_ref()?.0.len())).sum();
    let state = app.clone();
    let read = move |(index, Object(pair)): (usize, Object<Pair>)| {
        let param = format!("input[{index}]");
        if pair.text.is_none() && pair.image.is_none() {
            return Err(ApiError::invalid(&param, format!("{param} has neither text nor image")));
        }
        let source = |image| ImageSource::read(image, &format!("{param}.image"), &state);
        Ok((pair.text, pair.image.map(source).transpose()?))
    };
    body::offload(length, || pairs.into_iter().enumerate().map(read).collect()).await?
}

impl FusedEmbedding {
    fn new(index: usize, pair: &ServedFused, format: EncodingFormat) -> Self {
        let (text, image) = (pair.text.as_ref(), pair.image.as_ref());
        FusedEmbedding {
            object: "embedding",
            index,
            embedding: Vector::new(pair.vector().to_vec(), format),
            has_text: text.is_some(),
            has_image: image.is_some(),
            tokens: text.map(|text| text.tokens),
            truncated: text.map(|text| text.truncated),
            width: image.map(|image| image.width),
            height: image.map(|image| image.height),
            format: image.map(|image| image.format.as_str()),
        }
    }
}

impl FusionInfo {
    fn new(fusion: &Fusion, text: &isovec::Fingerprint, image: &isovec::Fingerprint) -> Self {
        FusionInfo {
            kind: fusion.kind().as_str(),
            trained: fusion.kind() == FusionKind::Learned,
            dims: fusion.dims(),
            about: fusion.about(),
            text_fingerprint: text.to_string(),
            image_fingerprint: image.to_string(),
        }
    }
}
