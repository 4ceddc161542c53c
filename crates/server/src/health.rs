//! Whether the process lives, and whether it can serve.

use std::time::{Duration, Instant};

use axum::extract::State;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::errors::{ApiError, ErrorResponse, Problem};
use crate::state::{App, AppState};

/// An inference answers for so long, so that probes are no load.
const FRESH: Duration = Duration::from_secs(2);

/// What the last inference said.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(Instant, Result<(), ApiError>)>>,
}

/// It is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

impl Readiness {
    pub(crate) async fn check(&self, app: &AppState) -> Result<(), ApiError> {
        if app.is_draining() {
            return Err(not_ready("shutting down"));
        }
        let service = app.service()?;
        // Held over the inference: who comes meanwhile gets its answer too.
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < FRESH
        {
            return result.clone();
        }
        let result = service.ready_async().await.map_err(|e| not_ready(&e.to_string()));
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

fn not_ready(why: &str) -> ApiError {
    let message = format!("not ready: {why}");
    ApiError::new(Problem::NotReady, message).retry_after(Duration::from_secs(1))
}

/// Whether the process lives
#[utoipa::path(
    get, path = "/health/live", tag = "Operation",
    responses((status = 200, description = "It does", body = Health)),
    security(()),
)]
pub(crate) async fn live() -> Answer<Health> {
    Answer::new(Health { status: "ok" })
}

/// Whether the service can serve
///
/// Runs an inference of each model that is loaded, at most every two seconds.
#[utoipa::path(
    get, path = "/health/ready", tag = "Operation",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "Loading, shutting down, or failing", body = ErrorResponse),
    ),
    security(()),
)]
pub(crate) async fn ready(State(app): State<App>) -> Result<Answer<Health>, ApiError> {
    app.readiness.check(&app).await?;
    Ok(Answer::new(Health { status: "ok" }))
}
