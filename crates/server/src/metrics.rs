//! `/metrics`: what the library measures, and what only HTTP has.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::state::App;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: from a hit in memory to the longest that a request may take by default.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    received: Counter<u64, AtomicU64>,
    bodies: Gauge,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("isovec_http");
        let requests = Family::default();
        registry.register(
            "requests",
            "Requests that were answered, by route and status; status 499 is a client that went away",
            requests.clone(),
        );
        let durations: Family<Route, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            durations.clone(),
        );
        let received = Counter::default();
        registry.register_with_unit(
            "request_body",
            "Bytes of bodies, as the heads of requests said",
            Unit::Bytes,
            received.clone(),
        );
        let bodies = Gauge::default();
        registry.register_with_unit(
            "request_bodies_held",
            "Memory that bodies take now",
            Unit::Bytes,
            bodies.clone(),
        );
        let in_flight = Gauge::default();
        registry.register(
            "requests_in_flight",
            "Requests that are being answered",
            in_flight.clone(),
        );
        let connections = Gauge::default();
        registry.register("connections", "Connections that are open", connections.clone());
        Metrics { registry, requests, durations, received, bodies, in_flight, connections }
    }

    pub(crate) fn answered(&self, route: &str, status: u16, bytes: u64, took: Duration) {
        let route = route.to_owned();
        self.durations.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Answered { route, status: status.into() }).inc();
        self.received.inc_by(bytes);
    }
}

/// Measurements, in the text format of OpenMetrics, which Prometheus reads
#[utoipa::path(
    get, path = "/metrics", tag = "Operation",
    responses((status = 200, description = "All metrics", body = String,
        content_type = "application/openmetrics-text")),
    security(()),
)]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let mut text = String::new();
    if let Ok(service) = app.service() {
        service.encode_metrics(&mut text);
    }
    app.metrics.bodies.set(i64::try_from(app.bodies_held()).unwrap_or(i64::MAX));
    // A String takes whatever is written to it.
    let _ = encode_registry(&mut text, &app.metrics.registry);
    let _ = encode_eof(&mut text);
    let content_type = HeaderValue::from_static(CONTENT_TYPE);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
