//! `/openapi.json`: the contract, as programs read it.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::{health, images, metrics, models, multimodal, openai, tei};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "isovec",
        description = "Embeddings of texts and images, computed here. Every answer carries `x-request-id`: \
            the request's own, or one that was made. Errors of all paths but those of \
            text-embeddings-inference are in OpenAI's shape, with a stable `code`.",
    ),
    paths(
        openai::embeddings,
        images::embeddings,
        multimodal::embeddings,
        models::list,
        models::one,
        tei::embed,
        tei::similarity,
        tei::info,
        tei::health,
        health::live,
        health::ready,
        metrics::metrics,
        openapi,
    ),
    // An API key is asked for where the configuration has some.
    security(("api_key" = []), ()),
    modifiers(&ApiKey),
)]
struct Document;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("One of server.api_keys, where the configuration has any"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "Operation",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
    security(()),
)]
pub(crate) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Option<String>> =
        LazyLock::new(|| Document::openapi().to_json().ok());
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], DOCUMENT.as_deref().unwrap_or("{}")).into_response()
}
