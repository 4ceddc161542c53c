//! Requests and their answers, up to the image or to what speaks against it.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, retry};
use tokio::time::timeout;

use super::hop::Hop;
use super::resolver::Guarded;
use super::rules::Rules;
use crate::net::tls::tls;
use crate::{Error, ErrorKind, Result};

/// How much a server may ask of us.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) max_bytes: usize,
    pub(super) timeout: Duration,
    pub(super) max_redirects: usize,
}

#[derive(Debug)]
pub(super) struct Exchange {
    client: Client,
    pub(super) rules: Arc<Rules>,
    pub(super) limits: Limits,
}

/// What a server answers, if it answers well.
enum Answer {
    Body(Vec<u8>),
    Redirect(HeaderValue),
}

impl Exchange {
    pub(super) fn new(rules: Rules, limits: Limits, names: Arc<dyn Resolve>) -> Result<Self> {
        let no_client = |what: &str, e: String| {
            Error::new(ErrorKind::Network, format!("{what} cannot be set up: {e}"))
        };
        let tls = tls().map_err(|e| no_client("TLS", e.to_string()).with_source(e))?;
        let rules = Arc::new(rules);
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("isovec/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guarded { rules: Arc::clone(&rules), names })
            // A proxy would look the name up itself, and connect where it likes.
            .no_proxy()
            // Followed here, for every hop to be checked.
            .redirect(Policy::none())
            .retry(retry::never())
            .referer(false)
            // A connection is bound to the runtime that made it, and a fetcher serves many. The
            // sessions of TLS, which save the most of a handshake, are kept all the same.
            .pool_max_idle_per_host(0)
            // The rest guards against features that another crate of the program turns on.
            .http1_only()
            .no_hickory_dns()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
            .map_err(|e| no_client("the HTTP client", cause(&e)).with_source(e))?;
        Ok(Exchange { client, rules, limits })
    }

    pub(super) async fn fetch(&self, url: &str) -> Result<Vec<u8>> {
        let first = Hop::first(url, &self.rules)?;
        let start = first.to_string();
        // One deadline over everything: a server that sends a byte now and then meets any limit
        // that begins anew with each.
        timeout(self.limits.timeout, self.follow(first)).await.unwrap_or_else(|_| {
            let message = format!("{start}: not fetched within {:?}", self.limits.timeout);
            Err(Error::new(ErrorKind::TimedOut, message))
        })
    }

    async fn follow(&self, first: Hop) -> Result<Vec<u8>> {
        let mut hop = first;
        let most = self.limits.max_redirects;
        for left in (0..=most).rev() {
            match self.ask(&hop).await? {
                Answer::Body(bytes) => return Ok(bytes),
                Answer::Redirect(to) if left > 0 => hop = hop.next(&to, &self.rules)?,
                Answer::Redirect(_) => break,
            }
        }
        Err(hop.failed(format!("redirects, over the cap of {most} redirects")))
    }

    async fn ask(&self, hop: &Hop) -> Result<Answer> {
        let request = self.client.get(hop.url().clone()).header(ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(|e| unanswered(hop, e))?;
        match response.status() {
            StatusCode::OK => self.receive(hop, response).await.map(Answer::Body),
            status @ (StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT) => match response.headers().get(LOCATION) {
                Some(location) => Ok(Answer::Redirect(location.clone())),
                None => Err(hop.failed(format!("answered {status} without saying where to"))),
            },
            status => Err(hop.failed(format!("answered {status}"))),
        }
    }

    async fn receive(&self, hop: &Hop, mut response: Response) -> Result<Vec<u8>> {
        if let Some(coding) = response.headers().get_all(CONTENT_ENCODING).iter().find_map(packed) {
            return Err(hop.failed(format!("answered with {coding}, which was not asked for")));
        }
        let most = self.limits.max_bytes;
        let too_large =
            || Error::new(ErrorKind::TooLarge, format!("{hop}: over the cap of {most} bytes"));
        // Believed where it speaks against the server, and never for how much memory to take.
        if response.content_length().is_some_and(|length| length > most as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if chunk.len() > most - body.len() => return Err(too_large()),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(e) => {
                    let why = format!("broke off after {} bytes: {}", body.len(), cause(&e));
                    return Err(hop.failed(why).with_source(e.without_url()));
                }
            }
        }
    }
}

/// The compression of a `Content-Encoding`. To undo it would be to trust its size, and whoever reads
/// the image would not know what to make of it.
fn packed(value: &HeaderValue) -> Option<&'static str> {
    let value = value.to_str().ok()?.to_ascii_lowercase();
    ["gzip", "deflate", "compress", "br", "zstd"]
        .into_iter()
        .find(|coding| value.split(',').any(|part| part.trim().trim_start_matches("x-") == *coding))
}

/// Why there is no answer: what our own resolver found, or what the client says.
fn unanswered(hop: &Hop, error: reqwest::Error) -> Error {
    if let Some(found) = causes(&error).find_map(|cause| cause.downcast_ref::<Error>()) {
        return Error::new(found.kind(), found.to_string()).context(hop);
    }
    let cause = cause(&error);
    let why = match error.is_connect() {
        true => format!("cannot be connected to: {cause}"),
        false => format!("gave no answer: {cause}"),
    };
    hop.failed(why).with_source(error.without_url())
}

/// The innermost cause. The outer ones repeat that a request failed, and the outermost its URL,
/// secrets included.
fn cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
