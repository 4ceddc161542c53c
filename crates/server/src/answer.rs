//! An answer with what is said of it beside its body.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use isovec::Fingerprint;
use serde::Serialize;

use crate::body;
use crate::errors::ApiError;

pub(crate) const FINGERPRINT: HeaderName = HeaderName::from_static("isovec-fingerprint");

/// What a request was about, for the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) model: String,
    pub(crate) inputs: usize,
    pub(crate) tokens: usize,
}

/// A body of JSON, the fingerprint for the headers, facts for the log.
pub(crate) struct Answer<T> {
    body: T,
    fingerprint: Option<Fingerprint>,
    facts: Option<Facts>,
}

impl<T: Serialize> Answer<T> {
    pub(crate) fn new(body: T) -> Self {
        Answer { body, fingerprint: None, facts: None }
    }

    pub(crate) fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    pub(crate) fn facts(mut self, facts: Facts) -> Self {
        self.facts = Some(facts);
        self
    }

    /// Written down where it keeps nobody waiting, if it has many numbers.
    pub(crate) async fn write(self, numbers: usize) -> Result<Response, ApiError>
    where
        T: Send + 'static,
    {
        // A number is some ten bytes.
        body::offload(numbers.saturating_mul(10), || self.into_response()).await
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.body).into_response();
        if let Some(fingerprint) = self.fingerprint
            && let Ok(value) = HeaderValue::try_from(fingerprint.to_string())
        {
            response.headers_mut().insert(FINGERPRINT, value);
        }
        if let Some(facts) = self.facts {
            response.extensions_mut().insert(facts);
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
