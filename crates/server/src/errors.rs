//! What a client is told when something is wrong, in OpenAI's words or in those of
//! text-embeddings-inference.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use isovec::ErrorKind;
use serde::Serialize;
use utoipa::ToSchema;

/// What is wrong: the kinds of the library, and what only HTTP has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Kind(ErrorKind),
    /// An address that was to give an image did not, for a reason of that kind.
    Fetch(ErrorKind),
    /// The body is not JSON at all.
    InvalidJson,
    /// There is nothing to embed.
    Empty,
    /// There is more to embed than one request may have.
    TooMany,
    UnknownModel,
    InvalidApiKey,
    UnknownUrl,
    WrongMethod,
    WrongMediaType,
    /// The body did not come within the time for it.
    SlowBody,
    /// More bytes of bodies than are allowed wait already.
    BodiesFull,
    /// The models are being loaded.
    Loading,
    /// An inference did not succeed, or none is wanted any more.
    NotReady,
    /// A handler panicked.
    Panic,
}

/// An answer that is an error. It travels in a response's extensions until [`observe`](crate::observe)
/// knows in whose words to write it.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    problem: Problem,
    message: String,
    param: Option<String>,
    retry_after: Option<Duration>,
}

/// Whose words an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    OpenAi,
    Tei,
}

/// An error, in OpenAI's shape.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorResponse {
    error: ErrorBody,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// For people.
    #[schema(example = "no model \"gpt\" is loaded; loaded are: all-MiniLM-L6-v2")]
    message: String,
    /// OpenAI's class of errors.
    #[schema(example = "invalid_request_error")]
    r#type: &'static str,
    /// The field of the request that it is about.
    #[schema(example = "model")]
    param: Option<String>,
    /// For programs.
    #[schema(example = "model_not_found")]
    code: &'static str,
}

/// An error, in the shape of text-embeddings-inference.
#[derive(Serialize, ToSchema)]
pub(crate) struct TeiErrorResponse {
    /// For people.
    #[schema(example = "`inputs` cannot be empty")]
    error: String,
    /// For programs: `Unhealthy`, `Backend`, `Overloaded`, `Validation` or `Empty`.
    #[schema(example = "Empty")]
    error_type: &'static str,
}

impl Problem {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Problem::Kind(kind) | Problem::Fetch(kind) => kind.as_str(),
            Problem::InvalidJson => "invalid_json",
            Problem::Empty | Problem::TooMany => ErrorKind::InvalidInput.as_str(),
            Problem::UnknownModel => "model_not_found",
            Problem::InvalidApiKey => "invalid_api_key",
            Problem::UnknownUrl => "unknown_url",
            Problem::WrongMethod => "method_not_supported",
            Problem::WrongMediaType => "unsupported_media_type",
            Problem::SlowBody => "request_timeout",
            Problem::BodiesFull => ErrorKind::Overloaded.as_str(),
            Problem::Loading => "loading",
            Problem::NotReady => "not_ready",
            Problem::Panic => "internal_error",
        }
    }

    /// OpenAI's clients try 408, 429 and all from 500 again, and nothing else that is here.
    fn status(self) -> StatusCode {
        match self {
            Problem::Kind(kind) => match kind {
                ErrorKind::InvalidInput
                | ErrorKind::InvalidImage
                | ErrorKind::UnsupportedFormat
                | ErrorKind::DimensionMismatch
                | ErrorKind::ForbiddenAddress => StatusCode::BAD_REQUEST,
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::ShuttingDown | ErrorKind::OutOfMemory | ErrorKind::Cancelled => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Problem::Fetch(_) | Problem::InvalidJson | Problem::Empty | Problem::TooMany => {
                StatusCode::BAD_REQUEST
            }
            Problem::UnknownModel | Problem::UnknownUrl => StatusCode::NOT_FOUND,
            Problem::InvalidApiKey => StatusCode::UNAUTHORIZED,
            Problem::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Problem::WrongMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Problem::BodiesFull => StatusCode::TOO_MANY_REQUESTS,
            Problem::Loading | Problem::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// text-embeddings-inference says 422 to a request that it understands and refuses, and 424 where the
    /// model fails.
    fn tei(self) -> (StatusCode, &'static str) {
        match self {
            Problem::Empty => return (StatusCode::BAD_REQUEST, "Empty"),
            Problem::TooMany => return (StatusCode::PAYLOAD_TOO_LARGE, "Validation"),
            _ => {}
        }
        let status = self.status();
        match (self, status) {
            (Problem::InvalidJson | Problem::Panic, _) => {}
            (_, StatusCode::BAD_REQUEST) => {
                return (StatusCode::UNPROCESSABLE_ENTITY, "Validation");
            }
            (Problem::UnknownModel, _) | (_, StatusCode::INTERNAL_SERVER_ERROR) => {
                return (StatusCode::FAILED_DEPENDENCY, "Backend");
            }
            _ => {}
        }
        let error_type = match status {
            StatusCode::TOO_MANY_REQUESTS => "Overloaded",
            StatusCode::SERVICE_UNAVAILABLE => "Unhealthy",
            status if status.is_server_error() => "Backend",
            _ => "Validation",
        };
        (status, error_type)
    }
}

impl ApiError {
    pub(crate) fn new(problem: Problem, message: impl Into<String>) -> Self {
        ApiError { problem, message: message.into(), param: None, retry_after: None }
    }

    /// The request says something that cannot be served.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::new(Problem::Kind(ErrorKind::InvalidInput), message).param(param)
    }

    /// This error, about that field of the request.
    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    pub(crate) fn code(&self) -> &'static str {
        self.problem.code()
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The answer as the client reads it.
    pub(crate) fn render(self, style: Style, request_id: &str) -> Response {
        let message = match self.problem {
            Problem::Panic => format!("{}; request id {request_id}", self.message),
            _ => self.message,
        };
        let mut response = match style {
            Style::OpenAi => {
                let status = self.problem.status();
                let error = ErrorBody {
                    message,
                    r#type: openai_type(status),
                    param: self.param,
                    code: self.problem.code(),
                };
                (status, Json(ErrorResponse { error })).into_response()
            }
            Style::Tei => {
                let (status, error_type) = self.problem.tei();
                (status, Json(TeiErrorResponse { error: message, error_type })).into_response()
            }
        };
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never 0: that would ask for a loop.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.problem == Problem::InvalidApiKey {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn openai_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

/// How long to wait where the library does not say.
const RETRY: Duration = Duration::from_secs(1);

impl From<isovec::Error> for ApiError {
    fn from(error: isovec::Error) -> Self {
        let problem = Problem::Kind(error.kind());
        let retry_after = match problem.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Some(error.retry_after().unwrap_or(RETRY))
            }
            _ => error.retry_after(),
        };
        ApiError { retry_after, ..ApiError::new(problem, error.to_string()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // Written out for whoever looks before `observe` does; the body follows there.
        let mut response = self.problem.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status_in_both_styles() {
        let cases = [
            (Problem::Kind(ErrorKind::InvalidInput), 400, 422, "Validation"),
            (Problem::Kind(ErrorKind::InvalidImage), 400, 422, "Validation"),
            (Problem::Kind(ErrorKind::TooLarge), 413, 413, "Validation"),
            (Problem::Kind(ErrorKind::NotFound), 404, 404, "Validation"),
            (Problem::Kind(ErrorKind::Overloaded), 429, 429, "Overloaded"),
            (Problem::Kind(ErrorKind::TimedOut), 504, 504, "Backend"),
            (Problem::Kind(ErrorKind::ShuttingDown), 503, 503, "Unhealthy"),
            (Problem::Kind(ErrorKind::Inference), 500, 424, "Backend"),
            (Problem::Kind(ErrorKind::EnginePanic), 500, 424, "Backend"),
            (Problem::InvalidJson, 400, 400, "Validation"),
            (Problem::Empty, 400, 400, "Empty"),
            (Problem::TooMany, 400, 413, "Validation"),
            (Problem::UnknownModel, 404, 424, "Backend"),
            (Problem::InvalidApiKey, 401, 401, "Validation"),
            (Problem::WrongMediaType, 415, 415, "Validation"),
            (Problem::SlowBody, 408, 408, "Validation"),
            (Problem::Loading, 503, 503, "Unhealthy"),
            (Problem::Panic, 500, 500, "Backend"),
        ];
        for (problem, openai, tei, error_type) in cases {
            assert_eq!(problem.status().as_u16(), openai, "{problem:?}");
            let (status, its_type) = problem.tei();
            assert_eq!((status.as_u16(), its_type), (tei, error_type), "{problem:?}");
        }
    }

    #[test]
    fn the_wait_is_in_whole_seconds_and_never_none() {
        for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let error = isovec::Error::new(ErrorKind::Overloaded, "full")
                .with_retry_after(Duration::from_millis(millis));
            let response = ApiError::from(error).render(Style::OpenAi, "id");
            assert_eq!(response.headers()[header::RETRY_AFTER], expected, "{millis} ms");
        }
        let response = ApiError::from(isovec::Error::new(ErrorKind::ShuttingDown, "bye"))
            .render(Style::OpenAi, "id");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
