//! Reading the bodies of requests, within bounds.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use isovec::ErrorKind;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::errors::{ApiError, Problem};
use crate::json::{self, Object};
use crate::state::App;

/// From this length on, work on a body leaves the threads that answer others.
pub(crate) const LONG: usize = 64 << 10;

/// A body over the cap is read on, and thrown away, for so many times the cap: a client that is still
/// sending when the connection is closed often never reads the answer.
const DISCARD: usize = 4;

/// What a request brought, and the memory that is counted for it.
pub(crate) struct Raw {
    pub(crate) bytes: Vec<u8>,
    pub(crate) memory: OwnedSemaphorePermit,
}

/// A request's JSON, and the memory that is counted for it, to be held until the answer is there.
pub(crate) struct Json<T> {
    pub(crate) value: T,
    pub(crate) memory: OwnedSemaphorePermit,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (essence, json) = match media_type(request.headers()) {
            Some(essence) => {
                let json = essence == "application/json"
                    || essence.starts_with("application/") && essence.ends_with("+json");
                (format!("a body of type {essence:?}"), json)
            }
            None => ("a body without a Content-Type".to_owned(), false),
        };
        if !json {
            discard(app, request).await;
            let message =
                format!("{essence} is not understood; send Content-Type: application/json");
            return Err(ApiError::new(Problem::WrongMediaType, message));
        }
        let Raw { bytes, memory } = read(app, request).await?;
        let Object(value) = offload(bytes.len(), move || json::parse(&bytes)).await??;
        Ok(Json { value, memory })
    }
}

/// The type of the body, without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!essence.is_empty() && essence.len() <= 128).then_some(essence)
}

/// Does `work` here if it is small, and else where it keeps nobody waiting.
pub(crate) async fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if size < LONG {
        return Ok(work());
    }
    // A panic in there was contained; it is answered as one in here would be.
    let failed = |_| ApiError::new(Problem::Panic, "the server failed");
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// The whole body.
pub(crate) async fn read(app: &App, request: Request) -> Result<Raw, ApiError> {
    let cap = app.config.server.max_body_bytes;
    let length = content_length(request.headers());
    // Who asks first is answered first, and sends nothing.
    let asks = request.headers().contains_key(header::EXPECT);
    let too_long = || {
        let message = format!("the body is longer than {cap} bytes, the most that is read");
        ApiError::new(Problem::Kind(ErrorKind::TooLarge), message)
    };
    if asks && length.is_some_and(|length| length > cap) {
        return Err(too_long());
    }
    let mut body = request.into_body();
    let read = async {
        let mut bytes = Vec::with_capacity(length.unwrap_or_default().min(cap));
        let mut memory: Option<OwnedSemaphorePermit> = None;
        while let Some(data) = next(&mut body).await? {
            if length.unwrap_or_default().max(bytes.len() + data.len()) > cap {
                drop((bytes, memory));
                skip(&mut body, cap.saturating_mul(DISCARD)).await;
                return Err(too_long());
            }
            let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let Ok(more) = app.bodies.clone().try_acquire_many_owned(count) else {
                drop((bytes, memory));
                skip(&mut body, cap).await;
                return Err(full());
            };
            match &mut memory {
                Some(memory) => memory.merge(more),
                None => memory = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        let memory = match memory {
            Some(memory) => memory,
            None => app.bodies.clone().try_acquire_many_owned(0).map_err(|_| full())?,
        };
        Ok(Raw { bytes, memory })
    };
    let limit = app.config.server.read_timeout;
    let slow = |_| {
        let message = format!("the body did not come within {limit:?}");
        ApiError::new(Problem::SlowBody, message)
    };
    timeout(limit, read).await.map_err(slow)?
}

fn full() -> ApiError {
    let message = "the requests that are being read take as much memory as they may together";
    ApiError::new(Problem::BodiesFull, message).retry_after(std::time::Duration::from_secs(1))
}

/// Reads what a client sends that is refused, so that it gets to read why.
pub(crate) async fn discard(app: &App, request: Request) {
    if !request.headers().contains_key(header::EXPECT) {
        let mut body = request.into_body();
        let skip = skip(&mut body, app.config.server.max_body_bytes);
        // Whoever is too slow for that has had a chance.
        let _ = timeout(app.config.server.read_timeout, skip).await;
    }
}

async fn skip(body: &mut Body, most: usize) {
    let mut seen = 0;
    while let Ok(Some(data)) = next(body).await {
        seen += data.len();
        if seen > most {
            return;
        }
    }
}

/// The next bytes, or none at the end.
async fn next(body: &mut Body) -> Result<Option<axum::body::Bytes>, ApiError> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                // Trailers.
                Err(_) => continue,
            },
            Some(Err(_)) => {
                let message = "the body ended early, or is not as its header says";
                return Err(ApiError::new(Problem::Kind(ErrorKind::InvalidInput), message));
            }
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
