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
    around(with_key.merge(open), app)
}

/// Routes, and what each request to them goes through.
fn around(routes: Router<App>, app: App) -> Router {
    routes
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use isovec::config::Config;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_is_an_answer_with_the_requests_id_and_the_next_request_is_served() {
        let app = AppState::new(Config::default());
        let panics = async || -> &'static str { panic!("a user's words") };
        let routes = Router::new().route("/panics", get(panics)).route("/embed", get(panics));
        let router = around(routes.route("/live", get(health::live)), app);
        let ask = |path: &str| {
            let request = Request::get(path).header("x-request-id", "id-7");
            router.clone().oneshot(request.body(Body::empty()).unwrap())
        };
        for (path, expected) in [
            (
                "/panics",
                r#"{"error":{"message":"the server failed; request id id-7","type":"server_error","param":null,"code":"internal_error"}}"#,
            ),
            ("/embed", r#"{"error":"the server failed; request id id-7","error_type":"Backend"}"#),
        ] {
            let response = ask(path).await.unwrap();
            assert_eq!(response.status(), 500);
            assert_eq!(response.headers()["x-request-id"], "id-7");
            let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            assert_eq!(body, expected);
        }
        assert_eq!(ask("/live").await.unwrap().status(), 200);
    }
}
