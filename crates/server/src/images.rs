//! `POST /v1/images/embeddings`.

use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use futures_util::future::try_join_all;
use isovec::Error;
use isovec::service::ServedImage;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use crate::answer::{Answer, Facts};
use crate::body::{self, Json};
use crate::errors::{ApiError, ErrorResponse};
use crate::image_source::ImageSource;
use crate::inputs::Texts;
use crate::models::{self, Wanted};
use crate::state::App;
use crate::vectors::{Cut, EncodingFormat, Vector};

/// So many addresses are asked at once: each may give as long a file as an image may be.
const FETCHES: usize = 8;

/// Images to embed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImagesRequest {
    /// The name of a model of images that is loaded; by default the configured one.
    #[schema(example = "clip-vit-base-patch32")]
    model: Option<String>,
    /// One image or many: JPEG, PNG or WebP, each in base64, as a `data:` address, or, where the
    /// configuration allows it, by an address of http or https.
    input: Texts,
    /// How vectors are written.
    encoding_format: Option<EncodingFormat>,
    /// The dimensions of the vectors: all, or one of the sizes that the model was trained to be cut to.
    #[schema(minimum = 1)]
    dimensions: Option<usize>,
    /// Taken and not looked at.
    #[expect(dead_code, reason = "clients send it")]
    user: Option<String>,
}

/// Vectors of images.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImagesResponse {
    #[schema(example = "list")]
    object: &'static str,
    /// One for each image, in their order.
    data: Vec<ImageEmbedding>,
    /// The model that made them.
    #[schema(example = "clip-vit-base-patch32")]
    model: String,
    /// What identifies the space of the vectors: only vectors of one space can be compared.
    fingerprint: String,
}

/// The vector of one image.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImageEmbedding {
    #[schema(example = "embedding")]
    object: &'static str,
    /// The place of the image in the request.
    index: usize,
    embedding: Vector,
    /// In pixels.
    #[schema(example = 640)]
    width: usize,
    /// In pixels.
    #[schema(example = 480)]
    height: usize,
    /// Of the file, as its first bytes show it: `jpeg`, `png` or `webp`.
    #[schema(example = "jpeg")]
    format: &'static str,
}

/// A request, however its body came.
struct Asked {
    model: Option<String>,
    images: Vec<ImageSource>,
    format: EncodingFormat,
    dimensions: Option<usize>,
    /// Held until the images are embedded.
    memory: OwnedSemaphorePermit,
}

/// Embed images
///
/// The body is JSON, or an image file itself, with its type as Content-Type; then `?model=NAME` names the
/// model.
#[utoipa::path(
    post, path = "/v1/images/embeddings", operation_id = "embed_images", tag = "Embeddings",
    request_body(content(
        (ImagesRequest = "application/json"),
        (String = "image/*"),
    )),
    params(("model" = Option<String>, Query, description = "The model, where the body is an image file")),
    responses(
        (
            status = 200, description = "Vectors, in the order of the images", body = ImagesResponse,
            headers(("isovec-fingerprint" = String, description = "What identifies the space of the vectors")),
        ),
        (status = 400, description = "The request says something that cannot be served", body = ErrorResponse),
        (status = 401, description = "No API key, or not one that is known", body = ErrorResponse),
        (status = 404, description = "The model is not loaded, or none of images", body = ErrorResponse),
        (status = 408, description = "The body did not come in time", body = ErrorResponse),
        (status = 413, description = "The body or an image is too large", body = ErrorResponse),
        (status = 415, description = "The body is neither JSON nor an image", body = ErrorResponse),
        (status = 429, description = "As much waits as may; see Retry-After", body = ErrorResponse),
        (status = 500, description = "The model failed", body = ErrorResponse),
        (status = 503, description = "Loading or shutting down; see Retry-After", body = ErrorResponse),
        (status = 504, description = "It took longer than a request may", body = ErrorResponse),
    )
)]
pub(crate) async fn embeddings(
    State(app): State<App>,
    request: Request,
) -> Result<Response, ApiError> {
    let service = app.service()?;
    let asked = read(&app, request).await?;
    let model = models::choose(service, Wanted::Images, "model", asked.model.as_deref())?;
    let cut = Cut::new(&model, asked.dimensions)?;
    let call = service.request().model(&model.name);

    let mut served: Vec<ServedImage> = Vec::with_capacity(asked.images.len());
    let at_once =
        if asked.images.iter().any(ImageSource::is_url) { FETCHES } else { asked.images.len() };
    let mut images = asked.images.into_iter().enumerate();
    loop {
        let first = served.len();
        let files = images.by_ref().take(at_once).map(|(index, image)| {
            let call = &call;
            async move { image.into_bytes(call, &format!("input[{index}]")).await }
        });
        let files = try_join_all(files).await?;
        if files.is_empty() {
            break;
        }
        let results = call.embed_images_async(&files).await;
        served.extend(results.map_err(|e| failed(e, first, files.len()))?);
    }
    drop(asked.memory);

    let mut data = Vec::with_capacity(served.len());
    for (index, image) in served.iter().enumerate() {
        data.push(ImageEmbedding {
            object: "embedding",
            index,
            embedding: Vector::new(cut.apply(image.vector())?, asked.format),
            width: image.width,
            height: image.height,
            format: image.format.as_str(),
        });
    }
    let facts = Facts { model: model.name.clone(), inputs: data.len(), tokens: 0 };
    let numbers = data.len() * model.dims;
    let fingerprint = served.first().map_or(model.fingerprint, |image| image.fingerprint);
    let response = ImagesResponse {
        object: "list",
        data,
        model: model.name,
        fingerprint: fingerprint.to_string(),
    };
    Answer::new(response).fingerprint(fingerprint).facts(facts).write(numbers).await
}

/// The error of images of which the first is number `first` of the request.
fn failed(error: Error, first: usize, count: usize) -> ApiError {
    let param = if count == 1 { format!("input[{first}]") } else { "input".to_owned() };
    ApiError::from(error).param(param)
}

async fn read(app: &App, request: Request) -> Result<Asked, ApiError> {
    let is_image = body::media_type(request.headers()).is_some_and(|t| t.starts_with("image/"));
    if is_image {
        let model = query_model(request.uri().query().unwrap_or_default())?;
        let raw = body::read(app, request).await?;
        return Ok(Asked {
            model,
            images: vec![ImageSource::Bytes(raw.bytes)],
            format: EncodingFormat::default(),
            dimensions: None,
            memory: raw.memory,
        });
    }
    let Json { value: request, memory } = Json::<ImagesRequest>::from_request(request, app).await?;
    let items = request.input.into_items("input", app.config.server.max_inputs)?;
    let length = items.iter().map(|text| text.0.len()).sum();
    let state = app.clone();
    let decode = move || {
        let numbered = items.into_iter().enumerate();
        let read = |(index, text)| ImageSource::read(text, &format!("input[{index}]"), &state);
        numbered.map(read).collect::<Result<Vec<_>, _>>()
    };
    let images = body::offload(length, decode).await??;
    Ok(Asked {
        model: request.model,
        images,
        format: request.encoding_format.unwrap_or_default(),
        dimensions: request.dimensions,
        memory,
    })
}

/// The model of `?model=NAME`, which is all that a query may say.
fn query_model(query: &str) -> Result<Option<String>, ApiError> {
    let mut model = None;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key != "model" || model.is_some() {
            let message =
                "beside an image file the address may say ?model=NAME, once, and nothing else";
            return Err(ApiError::invalid("model", message));
        }
        model = Some(value.into_owned());
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_model_and_nothing_else() {
        let cases = [
            ("", Some(None)),
            ("model=clip", Some(Some("clip"))),
            ("model=a%2Fb+c", Some(Some("a/b c"))),
            ("model=a&model=b", None),
            ("modle=a", None),
        ];
        for (query, expected) in cases {
            let model = query_model(query).ok();
            assert_eq!(model.as_ref().map(Option::as_deref), expected, "{query}");
        }
    }
}
