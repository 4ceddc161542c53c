//! `x-request-id`: a client's own, or one that is made here.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a client that is kept.
const LONGEST: usize = 128;

/// Names a request in its answer and in the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The client's, if it is of letters, digits and some marks: it goes into logs.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&str| {
            (1..=LONGEST).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(&b))
        };
        match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane) {
            Some(id) => RequestId(id.to_owned()),
            None => Self::make(),
        }
    }

    /// Counted, and hashed with keys that each process draws: ids of many replicas do not meet.
    fn make() -> Self {
        static KEYS: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let [high, low] = KEYS.each_ref().map(|keys| keys.hash_one(count));
        RequestId(format!("{high:016x}{low:016x}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_value(self) -> HeaderValue {
        // Of letters, digits and marks, so it is always one.
        HeaderValue::try_from(self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_another_replaced() {
        let long = "x".repeat(LONGEST + 1);
        let cases = [
            ("abc-123_4.5:6", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-01", true),
            ("a b", false),
            ("", false),
            ("a\"b", false),
            (long.as_str(), false),
        ];
        for (id, kept) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            assert_eq!(RequestId::of(&headers).as_str() == id, kept, "{id:?}");
        }
    }

    #[test]
    fn made_ids_differ() {
        let (one, two) = (RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 32);
    }
}
