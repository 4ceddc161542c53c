//! Listening, and ending in good order.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use isovec::config::Config;
use isovec::{EmbeddingService, Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::connection::{self, Phase};
use crate::router::with_state;
use crate::state::{App, AppState};

/// At the end, clients that keep a connection for many requests get so long to send another, whose answer tells
/// them to leave: closed at once, a request that is on its way would be lost.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// So long must nobody have come, before there is nobody left who had connected;
const NOBODY: Duration = Duration::from_millis(10);

/// and so long is that waited for, where new ones come all the time.
const BACKLOG: Duration = Duration::from_millis(200);

/// After the system could not accept a connection, for lack of file descriptors mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A server that listens. Made before the models are loaded, so that an address that is taken is known at once.
///
/// # Example
///
/// ```
/// use isovec::{EmbeddingService, config::Config};
/// use isovec_server::Server;
///
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let mut config = Config::default();
/// config.server.listen = ([127, 0, 0, 1], 0).into();
/// config.development.mock_mode = true;
///
/// let server = Server::bind(&config).await?;
/// println!("http://{}", server.local_addr());
/// let stop = async { /* until a signal comes, say */ };
/// server.run(move || EmbeddingService::new(config), stop).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
}

impl Server {
    /// Listens on the configured address.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) if that cannot be had.
    pub async fn bind(config: &Config) -> Result<Self> {
        let address = config.server.listen;
        let cannot = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot listen on {address}: {e}")).with_source(e)
        };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Server { listener, address, app: AppState::new(config.clone()) })
    }

    /// Where it listens: the port is a real one, where 0 was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is done. While `load` runs, requests are told to come again.
    ///
    /// Then it takes no more connections, answers what was asked on those that are there, tells their clients
    /// to leave, and shuts the service down. What is not done after `performance.shutdown_timeout` is cut off.
    ///
    /// # Errors
    ///
    /// That of `load`; or that of the service's shutdown.
    pub async fn run(
        self,
        load: impl FnOnce() -> Result<EmbeddingService> + Send + 'static,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let Server { listener, address, app } = self;
        tracing::info!(address = %format_args!("http://{address}"), "listening");
        let (phase, _) = watch::channel(Phase::Serve);
        let doors = Doors::new(&app, phase.subscribe());
        let mut stop = pin!(stop);
        let mut loading = spawn_blocking(load);
        let mut service = None;
        loop {
            tokio::select! {
                () = &mut stop => break,
                loaded = &mut loading, if service.is_none() => {
                    let loaded = loaded
                        .map_err(|_| Error::new(ErrorKind::EnginePanic, "loading panicked"))??;
                    report(address, &app);
                    app.serve(loaded.clone());
                    service = Some(loaded);
                }
                (stream, slot) = doors.accept(&listener) => doors.open(stream, slot),
            }
        }

        tracing::info!("stopping");
        let end = Instant::now() + app.config.performance.shutdown_timeout;
        // Who has connected is let in, though the system had not handed them over yet. Before anybody is told to
        // leave, or they would come back and be let in again.
        let latest = Instant::now() + BACKLOG;
        while Instant::now() < latest
            && let Ok((stream, slot)) = timeout(NOBODY, doors.accept(&listener)).await
        {
            doors.open(stream, slot);
        }
        drop(listener);
        app.drain();
        let gentle = end.min(Instant::now() + LAST_REQUESTS);
        if timeout_at(gentle, doors.all_closed()).await.is_err() {
            phase.send_replace(Phase::Close);
        }
        if timeout_at(end, doors.all_closed()).await.is_err() {
            tracing::warn!(connections = doors.count(), "cut off: not done in time");
            phase.send_replace(Phase::Cut);
        }
        if let Some(service) = service {
            let done = spawn_blocking(move || service.shutdown()).await;
            done.map_err(|_| Error::new(ErrorKind::EnginePanic, "the shutdown panicked"))??;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Where connections come in, as many at once as may.
struct Doors {
    app: App,
    router: axum::Router,
    phase: watch::Receiver<Phase>,
    slots: Arc<Semaphore>,
    most: u32,
}

impl Doors {
    fn new(app: &App, phase: watch::Receiver<Phase>) -> Self {
        let most = u32::try_from(app.config.server.max_connections).unwrap_or(u32::MAX).max(1);
        let slots = Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX));
        Doors {
            app: app.clone(),
            router: with_state(app.clone()),
            phase,
            slots: Arc::new(slots),
            most,
        }
    }

    /// The next connection. Those over the number that is allowed wait with the system.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else {
                // Never closed; if it were, nobody could come.
                return std::future::pending().await;
            };
            match listener.accept().await {
                Ok((stream, _)) => return (stream, slot),
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept a connection");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn open(&self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        let (router, phase) = (self.router.clone(), self.phase.clone());
        let patience = self.app.config.server.read_timeout;
        let gauge = self.app.metrics.connections.clone();
        tokio::spawn(async move {
            gauge.inc();
            connection::run(stream, router, patience, phase).await;
            gauge.dec();
            drop(slot);
        });
    }

    async fn all_closed(&self) {
        // Never closed, so it ends when every slot is free.
        let _ = self.slots.acquire_many(self.most).await;
    }

    fn count(&self) -> usize {
        usize::try_from(self.most).unwrap_or(usize::MAX) - self.slots.available_permits()
    }
}

/// What is there, for whoever reads the log.
fn report(address: SocketAddr, app: &App) {
    let config = &app.config;
    let tiers = [
        ("memory", config.cache.enabled && config.cache.memory_bytes > 0),
        ("hot", config.cache.enabled && config.redis_hot.is_some()),
        ("warm", config.cache.enabled && config.redis_warm.is_some()),
        ("cold", config.cache.enabled && config.redis_cold.is_some()),
    ];
    let tiers: Vec<&str> = tiers.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    if config.server.api_keys.is_empty() && !address.ip().is_loopback() {
        tracing::warn!("no API keys: whoever reaches this address is served");
    }
    tracing::info!(
        address = %format_args!("http://{address}"),
        cache = tiers.join(","),
        api_keys = config.server.api_keys.len(),
        "ready"
    );
}
