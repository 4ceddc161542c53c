//! What the handlers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use isovec::EmbeddingService;
use isovec::config::Config;
use tokio::sync::Semaphore;

use crate::auth::Keys;
use crate::errors::{ApiError, Problem};
use crate::health::Readiness;
use crate::metrics::Metrics;

/// So many bodies of the longest length allowed may be in memory at once.
const LONGEST_BODIES: usize = 16;

pub(crate) type App = Arc<AppState>;

/// Made once for a server, which can answer before the models are loaded.
#[derive(Debug)]
pub(crate) struct AppState {
    service: OnceLock<EmbeddingService>,
    draining: AtomicBool,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    /// A permit for each byte that bodies may take together.
    pub(crate) bodies: Arc<Semaphore>,
    bodies_cap: usize,
}

impl AppState {
    pub(crate) fn new(config: Config) -> App {
        let bodies_cap = config.server.max_body_bytes.saturating_mul(LONGEST_BODIES);
        let bodies_cap = bodies_cap.min(Semaphore::MAX_PERMITS);
        Arc::new(AppState {
            service: OnceLock::new(),
            draining: AtomicBool::new(false),
            keys: Keys::new(&config.server.api_keys),
            metrics: Metrics::new(),
            readiness: Readiness::default(),
            bodies: Arc::new(Semaphore::new(bodies_cap)),
            bodies_cap,
            config,
        })
    }

    /// From now on there is something to answer with.
    pub(crate) fn serve(&self, service: EmbeddingService) {
        // Only the first one counts; nobody sets a second.
        let _ = self.service.set(service);
    }

    pub(crate) fn service(&self) -> Result<&EmbeddingService, ApiError> {
        self.service.get().ok_or_else(|| {
            ApiError::new(Problem::Loading, "the models are being loaded")
                .retry_after(Duration::from_secs(1))
        })
    }

    /// How many bytes bodies take now.
    pub(crate) fn bodies_held(&self) -> usize {
        self.bodies_cap.saturating_sub(self.bodies.available_permits())
    }

    /// From now on each answer closes its connection, and the service is not ready.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
