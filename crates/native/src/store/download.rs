//! One file from one address: attempts, pauses, and what to make of the content.

use std::panic;
use std::path::PathBuf;
use std::pin::pin;
use std::thread;

use isovec_core::{Error, ErrorKind, Result};
use tokio::runtime;
use tokio::time::{sleep, timeout};

use super::client;
use super::content::{Accepted, Found};
use super::job::{Failure, Job, POLL, io_error, remove};
use super::options::Stage;
use super::retry::pause;
use super::settings::Network;
use super::source::vanished;
use super::transfer::{self, Trouble};
use crate::net::address::Address;

/// One download, with all that its attempts share.
pub(super) struct Download<'a> {
    pub(super) network: &'a Network,
    pub(super) job: &'a Job<'a>,
    pub(super) address: &'a Address,
    pub(super) accepted: &'a Accepted<'a>,
    /// Where the bytes gather; what an earlier attempt or process left there is resumed.
    pub(super) part: PathBuf,
}

/// Downloads the file, checks it and puts it in its place.
///
/// The connection lives on a runtime and a thread of its own, so that a caller inside of an async
/// runtime, where blocking on another one panics, can be served too.
pub(super) fn download(
    network: &Network,
    job: &Job<'_>,
    address: &Address,
    accepted: &Accepted<'_>,
) -> Result<(), Failure> {
    let part = job.part(accepted.tag());
    let download = Download { network, job, address, accepted, part };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("isovec-download".into())
            .spawn_scoped(scope, || download.run())
            .map_err(|e| Failure::Final(cannot_start(e)))?;
        // Only the caller's own progress function can panic there: hand it back.
        thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
    })
}

impl Download<'_> {
    fn run(&self) -> Result<(), Failure> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::Final(cannot_start(e)))?;
        let outcome = runtime.block_on(self.fetch());
        // Not a plain drop, which would wait for a name look-up that nobody needs any more.
        runtime.shutdown_background();
        outcome
    }

    async fn fetch(&self) -> Result<(), Failure> {
        // Whole already? Then an earlier process was stopped just before the last step.
        let left = transfer::size(&self.part).map_err(Failure::Final)?;
        if self.accepted.has_size(left) && self.settle()?.is_none() {
            return Ok(());
        }
        if left > self.accepted.largest() {
            remove(&self.part).map_err(Failure::Final)?;
        }
        let client = client::build(self.network).map_err(|e| self.failed(&e, 0))?;
        self.fill(&client).await?;
        if self.settle()?.is_none() {
            return Ok(());
        }
        // Once more: a resumed part can have been damaged on the disk, or begun by another version
        // of the file. The second time all of it comes from the server, and its word is final.
        self.fill(&client).await?;
        match self.settle()? {
            None => Ok(()),
            Some(mismatch) => Err(Failure::Source(mismatch)),
        }
    }

    /// Moves the part to its place; or gives what is wrong with it, and then it is gone.
    fn settle(&self) -> Result<Option<Error>, Failure> {
        let found = self.job.settle(&self.part, self.accepted, self.address);
        match found.map_err(Failure::Final)? {
            Found::Good(()) => Ok(None),
            Found::Wrong(error) => Ok(Some(error)),
            Found::Missing => Err(Failure::Final(io_error("read", &self.part, vanished()))),
        }
    }

    /// Attempts, with pauses in between, until the part is whole.
    async fn fill(&self, client: &reqwest::Client) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            match self.attempt(client).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(error)) => return Err(Failure::Final(error)),
                Err(Trouble::Refused(reason)) => return Err(self.failed(&reason, attempt)),
                Err(Trouble::Again { reason, .. }) if attempt == self.network.attempts => {
                    return Err(self.failed(&reason, attempt));
                }
                Err(Trouble::Again { after, .. }) => {
                    let done = transfer::size(&self.part).map_err(Failure::Final)?;
                    self.job.report(Stage::Retrying, done, self.accepted.largest());
                    let pause = pause(self.network, attempt, after);
                    self.unless_cancelled(sleep(pause)).await.map_err(Failure::Final)?;
                    attempt += 1;
                }
            }
        }
    }

    /// Waits for `work`, looking every now and then whether the caller has cancelled.
    pub(super) async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            self.job.check_cancelled()?;
            if let Ok(done) = timeout(POLL, work.as_mut()).await {
                return Ok(done);
            }
        }
    }

    fn failed(&self, reason: &str, attempts: u32) -> Failure {
        let attempts = match attempts {
            0 => String::new(),
            1 => " (1 attempt)".to_owned(),
            many => format!(" ({many} attempts)"),
        };
        let message = format!("{}: {reason}{attempts}", self.address);
        Failure::Source(Error::new(ErrorKind::Network, message))
    }
}

fn cannot_start(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot start a download: {error}")).with_source(error)
}
