//! Images by their address, for programs that are handed addresses by strangers.
//!
//! Whoever may say what a server fetches can aim it at what only the server reaches: the metadata of
//! its cloud, a database without a password, a printer. An [`ImageFetcher`] goes to public addresses
//! only, and gives up on servers that send too much or take too long. Nothing is fetched by a program
//! that does not build one.
//!
//! # What is kept to
//!
//! - **Addresses.** Only `http` and `https`. Every address that a name resolves to is checked as the
//!   connection is made, and so is an address written out, in whatever notation, on the first URL
//!   and on each redirect. If any of a name's addresses is not public the whole name is refused.
//!   Public is what no special-purpose registry of IANA lists; of IPv6, only global unicast. Any port
//!   may be asked. [Networks](ImageFetcherBuilder::allow_networks) can be excepted, and
//!   [hosts](ImageFetcherBuilder::allow_hosts) limited.
//! - **Redirects.** At most 3, and never from `https` to `http`.
//! - **Time and size.** 10 seconds for everything, 10 MiB for the file, counted as it arrives.
//! - **The request.** No proxy, even if the environment names one; no cookies and no referrer. A user
//!   and password in a URL are sent to the host they are written for, and not to where it redirects.
//! - **The answer.** Status 200 only. Nothing is decompressed: a body that a server compressed
//!   unasked is refused.
//!
//! All that is said of a URL in errors is its scheme, host and path: user, password, query and
//! fragment are masked.
//!
//! # Example
//!
//! ```no_run
//! use isovec::fetch::ImageFetcher;
//!
//! let fetcher = ImageFetcher::new()?;
//! let image = fetcher.fetch_blocking("https://example.org/cat.jpg")?;
//!
//! let error = fetcher.fetch_blocking("http://169.254.169.254/latest/meta-data").unwrap_err();
//! assert_eq!(error.kind(), isovec::ErrorKind::ForbiddenAddress);
//! # Ok::<(), isovec::Error>(())
//! ```

mod exchange;
mod hop;
mod ip;
mod resolver;
mod rules;
mod settings;

use std::panic;
use std::sync::Arc;
use std::{fmt, io, thread};

use tokio::runtime;

use crate::{Error, ErrorKind, Result};
use exchange::Exchange;
pub use settings::ImageFetcherBuilder;

/// Fetches images over HTTP, from public addresses only: see the [module](self).
///
/// Cheap to clone, and made to be shared: all clones and threads use one client.
///
/// # Example
///
/// ```no_run
/// use isovec::fetch::ImageFetcher;
///
/// # async fn serve() -> isovec::Result<()> {
/// let fetcher = ImageFetcher::builder().allow_hosts(["*.example.org"]).build()?;
/// let image: Vec<u8> = fetcher.fetch("https://images.example.org/cat.jpg").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ImageFetcher {
    exchange: Arc<Exchange>,
}

impl ImageFetcher {
    /// A fetcher with the defaults: any host at a public address, 3 redirects, 10 seconds, 10 MiB.
    ///
    /// # Errors
    ///
    /// [`Network`](ErrorKind::Network) if TLS cannot be set up on this machine.
    ///
    /// # Example
    ///
    /// ```
    /// let fetcher = isovec::fetch::ImageFetcher::new()?;
    /// let error = fetcher.fetch_blocking("http://127.0.0.1/cat.jpg").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "http://127.0.0.1/cat.jpg: 127.0.0.1 is not a public address (loopback)"
    /// );
    /// # Ok::<(), isovec::Error>(())
    /// ```
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Settings for a fetcher.
    ///
    /// # Example
    ///
    /// ```
    /// use isovec::fetch::ImageFetcher;
    ///
    /// // An image server on the intranet, and nothing else.
    /// let fetcher = ImageFetcher::builder()
    ///     .allow_hosts(["images.corp.example"])
    ///     .allow_networks(["10.1.2.3/32"])
    ///     .build()?;
    /// # Ok::<(), isovec::Error>(())
    /// ```
    pub fn builder() -> ImageFetcherBuilder {
        ImageFetcherBuilder::default()
    }

    /// The file at `url`, whole. What it contains is not looked at.
    ///
    /// To be awaited inside of a tokio runtime with its timer and I/O enabled; elsewhere there is
    /// [`fetch_blocking`](Self::fetch_blocking). Dropping the future ends the fetch.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if `url` is no URL of `http` or `https`;
    /// - [`ForbiddenAddress`](ErrorKind::ForbiddenAddress) if its host, or one that it redirects to,
    ///   is not at a public address or not an allowed one, or if it redirects away from `https`;
    /// - [`TooLarge`](ErrorKind::TooLarge) over the cap on bytes;
    /// - [`TimedOut`](ErrorKind::TimedOut) over the deadline;
    /// - [`Network`](ErrorKind::Network) for any other failure: no such host, no connection, a status
    ///   other than 200, a body that breaks off or is compressed, too many redirects;
    /// - [`Io`](ErrorKind::Io) outside of a tokio runtime.
    ///
    /// # Panics
    ///
    /// In a tokio runtime whose timer or I/O is not enabled.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn serve(fetcher: isovec::fetch::ImageFetcher) -> isovec::Result<()> {
    /// let image = fetcher.fetch("https://example.org/cat.jpg").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fetch(&self, url: &str) -> Result<Vec<u8>> {
        runtime::Handle::try_current().map_err(|e| cannot_start(e.to_string()).with_source(e))?;
        self.exchange.fetch(url).await
    }

    /// As [`fetch`](Self::fetch), waiting for the end; safe to call anywhere.
    ///
    /// The connection lives on a runtime and a thread of its own. In asynchronous code this holds up
    /// the thread that calls it: use [`fetch`](Self::fetch) there.
    ///
    /// # Errors
    ///
    /// Those of [`fetch`](Self::fetch); [`Io`](ErrorKind::Io) if no thread can be started.
    ///
    /// # Example
    ///
    /// ```no_run
    /// let fetcher = isovec::fetch::ImageFetcher::new()?;
    /// let image = fetcher.fetch_blocking("https://example.org/cat.jpg")?;
    /// # Ok::<(), isovec::Error>(())
    /// ```
    pub fn fetch_blocking(&self, url: &str) -> Result<Vec<u8>> {
        let io = |e: io::Error| cannot_start(e.to_string()).with_source(e);
        thread::scope(|scope| {
            let work = || {
                let runtime =
                    runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
                let outcome = runtime.block_on(self.exchange.fetch(url));
                // Not a plain drop, which would wait for a name look-up beyond the deadline.
                runtime.shutdown_background();
                outcome
            };
            let thread = thread::Builder::new().name("isovec-fetch".into());
            let thread = thread.spawn_scoped(scope, work).map_err(io)?;
            thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }
}

impl fmt::Debug for ImageFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exchange { rules, limits, .. } = &*self.exchange;
        f.debug_struct("ImageFetcher")
            .field("rules", rules)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

fn cannot_start(why: String) -> Error {
    Error::new(ErrorKind::Io, format!("cannot start a fetch: {why}"))
}

/// Whether `pattern` is a host or all hosts below one, as [`ImageFetcherBuilder::allow_hosts`] takes them.
#[cfg(feature = "service")]
pub(crate) fn is_host_pattern(pattern: &str) -> bool {
    rules::HostPattern::parse(pattern).is_some()
}

#[cfg(test)]
mod tests;
// What it can answer is there for tests/fetch.rs too.
#[cfg(test)]
#[allow(dead_code)]
#[path = "../tests/support/web.rs"]
mod web;
