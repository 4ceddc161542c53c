//! Keeps a connection to one server, in the background.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{self, Instant};

use super::server::{Connection, Server};
use super::wire::describe;

/// Waits between attempts to connect: each twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A connection that is there or not. Nobody waits for it: a task makes it, and makes it anew when it was lost.
#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    current: Mutex<Current>,
    given_up: Notify,
}

#[derive(Default)]
struct Current {
    connection: Option<Connection>,
    /// Counts connections, so that a late complaint about one does not end the next.
    number: u64,
    suspected: bool,
}

/// Which connection of a [`Link`] an answer came from, or did not come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u64);

/// What happens to a [`Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// There is a connection, and none before it was suspected: the server was away, and is back.
    Connected,
    /// There is a connection, instead of one that was there and was no good. That says little of the server.
    Replaced,
    /// There is none.
    Disconnected,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current")
            .field("connected", &self.connection.is_some())
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Starts to connect. `report` is told what becomes of it.
    pub(super) fn start(
        tier: &'static str,
        server: Server,
        io: &Handle,
        report: impl Fn(Event) + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let task = io.spawn(keep_connected(tier, server, Arc::clone(&shared), report));
        Link { shared, task: task.abort_handle() }
    }

    /// The connection, if there is one now.
    pub(super) fn connection(&self) -> Option<(Number, Connection)> {
        let current = self.shared.lock();
        Some((Number(current.number), current.connection.clone()?))
    }

    /// Gives a connection up that was lost. One to a cluster is several, and mends itself.
    pub(super) fn lost(&self, number: Number) {
        let current = self.shared.lock();
        if matches!(current.connection, Some(Connection::Single(_))) {
            self.give_up(current, number, false);
        }
    }

    /// Gives a connection up that seems to lead nowhere.
    pub(super) fn suspect(&self, number: Number) {
        self.give_up(self.shared.lock(), number, true);
    }

    fn give_up(&self, mut current: MutexGuard<'_, Current>, number: Number, suspected: bool) {
        if current.number == number.0 && current.connection.take().is_some() {
            current.suspected = suspected;
            drop(current);
            self.shared.given_up.notify_one();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new connection in place. Says whether the one before it was suspected.
    fn put(&self, connection: Connection) -> bool {
        let mut current = self.lock();
        current.connection = Some(connection);
        current.number += 1;
        std::mem::take(&mut current.suspected)
    }
}

async fn keep_connected(
    tier: &'static str,
    server: Server,
    shared: Arc<Shared>,
    report: impl Fn(Event),
) {
    let mut wait = FIRST_WAIT;
    let mut failing = false;
    loop {
        match server.connect().await {
            Ok(connection) => {
                let suspected = shared.put(connection);
                if suspected {
                    report(Event::Replaced);
                } else {
                    report(Event::Connected);
                    tracing::info!(tier, "the cache is connected to Redis");
                }
                failing = false;
                let since = Instant::now();
                shared.given_up.notified().await;
                report(Event::Disconnected);
                // A server that takes connections and drops them at once is not asked in a tight loop.
                if since.elapsed() > LONGEST_WAIT {
                    wait = FIRST_WAIT;
                    continue;
                }
            }
            Err(error) => {
                // Once, and not for each attempt.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        tier,
                        error = describe(&error),
                        "the cache cannot connect to Redis and keeps trying"
                    );
                }
            }
        }
        time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
