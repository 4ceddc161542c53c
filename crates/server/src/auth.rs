//! API keys.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::body;
use crate::errors::{ApiError, Problem};
use crate::state::App;

/// The keys that are let in, as their sha256: of one length, and nothing to be read in a core dump.
#[derive(Debug)]
pub(crate) struct Keys(Vec<[u8; 32]>);

impl Keys {
    pub(crate) fn new(keys: &[String]) -> Self {
        Keys(keys.iter().map(|key| Sha256::digest(key).into()).collect())
    }

    /// Whether a request may pass. Takes as long for each wrong key: all are compared, to their end.
    fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let refused = |message: &str| Err(ApiError::new(Problem::InvalidApiKey, message));
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return refused("an API key is needed, as the header \"Authorization: Bearer KEY\"");
        };
        let Some(key) = bearer(value.as_bytes()) else {
            return refused("the header Authorization must be \"Bearer KEY\"");
        };
        let presented: [u8; 32] = Sha256::digest(key).into();
        let known = self.0.iter().fold(Choice::from(0), |known, key| known | key.ct_eq(&presented));
        if bool::from(known) { Ok(()) } else { refused("the API key is not one that is known") }
    }
}

/// The key of `Bearer KEY`; the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then_some(key)
}

/// Lets requests with a key pass.
pub(crate) async fn require_key(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.keys.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            body::discard(&app, request).await;
            error.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn keys_are_asked_for_where_there_are_any() {
        let keys = Keys::new(&["sesame".to_owned(), "second key".to_owned()]);
        let cases: [(Option<&str>, bool); 10] = [
            (Some("Bearer sesame"), true),
            (Some("bearer sesame"), true),
            (Some("Bearer   sesame "), true),
            (Some("Bearer second key"), true),
            (Some("Bearer sesam"), false),
            (Some("Bearer sesame2"), false),
            (Some("Bearer "), false),
            (Some("Basic sesame"), false),
            (Some("sesame"), false),
            (None, false),
        ];
        for (value, admitted) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(keys.admit(&headers).is_ok(), admitted, "{value:?}");
            assert!(Keys::new(&[]).admit(&headers).is_ok(), "no keys: {value:?}");
        }
    }
}
