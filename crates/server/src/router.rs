//! Which path leads where, and what is around all of them.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use isovec::EmbeddingService;
use tower_http::catch_panic::CatchPanicLayer;

use crate::errors::{ApiError, Problem};
use crate::state::{App, AppState};
use crate::{auth, health, images, metrics, models, multimodal, observe, openai, openapi, tei};

/// All endpoints over a service, with the limits and API keys of its configuration, to be mounted into a
/// server of your own. What belongs to connections and not to requests (the timeout for heads, the number of
/// connections, the end in good order) is [`Server`](crate::Server)'s.
///
/// It has a fallback of its own, for paths that it does not know: give it its own prefix with
/// [`Router::nest`], or merge a router without a fallback into it.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use isovec::{EmbeddingService, config::Config};
///
/// let mut config = Config::default();
/// // Vectors that mean nothing, at once: for this example, and for tests of your own.
/// config.development.mock_mode = true;
/// let service = EmbeddingService::new(config)?;
///
/// let app: Router = Router::new()
///     .route("/", get(async || "my application"))
///     .nest("/ai", isovec_server::router(&service));
/// // POST /ai/v1/embeddings, GET /ai/metrics, ...
/// # let _ = app;
/// # Ok::<(), isovec::Error>(())
/// ```
pub fn router(service: &EmbeddingService) -> Router {
    let app = AppState::new(service.config().clone());
    app.serve(service.clone());
    with_state(app)
}

pub(crate) fn with_state(app: App) -> Router {
    let with_key = Router::new()
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/images/embeddings", post(images::embeddings))
        .route("/v1/multimodal/embeddings", post(multimodal::embeddings))
        .route("/v1/models", get(models::list))
        // A name may have slashes.
        .route("/v1/models/{*model}", get(models::one))
        .route("/embed", post(tei::embed))
        .route("/similarity", post(tei::similarity))
        .route("/info", get(tei::info))
        .route_layer(from_fn_with_state(app.clone(), auth::require_key));
    // Probes and Prometheus have no key, and are told nothing of any request's content.
    let open = Router::new()
        .route("/health", get(tei::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::openapi));
    with_key
        .merge(open)
        .fallback(unknown_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::new(Problem::Panic, "the server failed").into_response()
        }))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

async fn unknown_url() -> ApiError {
    ApiError::new(Problem::UnknownUrl, "there is nothing at this address; see /openapi.json")
}

async fn wrong_method() -> ApiError {
    let message = "this address is not for this method; see the header Allow, or /openapi.json";
    ApiError::new(Problem::WrongMethod, message)
}
