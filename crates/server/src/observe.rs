//! Around every request: its id, its errors in the words of its endpoint, one line in the log, and the
//! metrics. Nothing of a text, a key or an address's query is written down.

use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::answer::Facts;
use crate::errors::{ApiError, Style};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::state::App;

/// The status of a request whose client went away before there was an answer (nginx's number).
const CLIENT_GONE: u16 = 499;

pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let style = style(request.uri().path());
    let mut record = Record::start(&app, &request, id.clone());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let headers = std::mem::take(response.headers_mut());
        record.error = Some(error.clone());
        response = error.render(style, id.as_str());
        // Of a wrong method, which methods are right.
        if let Some(allow) = headers.get(header::ALLOW) {
            response.headers_mut().insert(header::ALLOW, allow.clone());
        }
    }
    response.headers_mut().insert(REQUEST_ID, id.into_value());
    if app.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    record.finish(&response);
    response
}

/// Whose words an endpoint speaks.
fn style(path: &str) -> Style {
    match path {
        "/embed" | "/similarity" | "/info" | "/health" => Style::Tei,
        _ => Style::OpenAi,
    }
}

/// A request on its way. Dropped unfinished, it was one whose client went away.
struct Record {
    app: App,
    start: Instant,
    method: &'static str,
    route: String,
    id: RequestId,
    bytes_in: u64,
    bytes_out: u64,
    status: u16,
    facts: Facts,
    error: Option<ApiError>,
}

impl Record {
    fn start(app: &App, request: &Request, id: RequestId) -> Self {
        app.metrics.in_flight.inc();
        let route = request.extensions().get::<MatchedPath>();
        Record {
            app: app.clone(),
            start: Instant::now(),
            method: known(request.method()),
            // Never the path itself, which is anybody's text.
            route: route.map_or("unmatched", MatchedPath::as_str).to_owned(),
            id,
            // What a head promises may be any number; more than the cap is never read.
            bytes_in: request
                .body()
                .size_hint()
                .exact()
                .unwrap_or_default()
                .min(app.config.server.max_body_bytes as u64),
            bytes_out: 0,
            status: CLIENT_GONE,
            facts: Facts::default(),
            error: None,
        }
    }

    fn finish(mut self, response: &Response) {
        self.status = response.status().as_u16();
        self.bytes_out = response.body().size_hint().exact().unwrap_or_default();
        if let Some(facts) = response.extensions().get::<Facts>() {
            self.facts = facts.clone();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        self.app.metrics.in_flight.dec();
        self.app.metrics.answered(&self.route, self.status, self.bytes_in, took);
        let code = self.error.as_ref().map(ApiError::code);
        macro_rules! line {
            ($level:ident $(, $more:tt = $value:expr)*) => {
                tracing::$level!(
                    method = self.method,
                    route = self.route,
                    status = self.status,
                    duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3,
                    request_id = self.id.as_str(),
                    model = self.facts.model,
                    inputs = self.facts.inputs,
                    tokens = self.facts.tokens,
                    bytes_in = self.bytes_in,
                    bytes_out = self.bytes_out,
                    code,
                    $($more = $value,)*
                    "request"
                )
            };
        }
        match &self.error {
            // What the server says of itself; it repeats nothing of the request.
            Some(error) if self.status == 500 => line!(error, error = error.message()),
            Some(error) if self.status > 500 => line!(warn, error = error.message()),
            // Probes come every few seconds.
            _ if self.route.starts_with("/health") || self.route == "/metrics" => line!(debug),
            _ => line!(info),
        }
    }
}

fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}
