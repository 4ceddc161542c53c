//! One attempt: a request, and its body appended to the part.

use std::error::Error as StdError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use isovec_core::{Error, Result};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderName, RANGE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};

use super::download::Download;
use super::job::{io_error, remove};
use super::options::Stage;

/// Why an attempt did not fill the part.
pub(super) enum Trouble {
    /// The next attempt may do better, at once or after as long as the server asks for.
    Again { reason: String, after: Option<Duration> },
    /// Asking again would bring the same.
    Refused(String),
    /// Cancelled, or this machine's fault.
    Final(Error),
}

impl Download<'_> {
    /// Gets what the part lacks. `Ok` says that the server has sent all it has, or all that is
    /// worth reading: not that it is right.
    pub(super) async fn attempt(&self, client: &Client) -> Result<(), Trouble> {
        let have = size(&self.part).map_err(Trouble::Final)?;
        // Compressed on the way, a body would have neither the pinned size nor ranges of it.
        let mut request = client.get(self.address.reveal()).header(ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = self
            .unless_cancelled(request.send())
            .await
            .map_err(Trouble::Final)?
            .map_err(|e| self.unanswered(&e))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => {
                self.receive(response, have).await
            }
            StatusCode::OK => self.receive(response, 0).await,
            // The part is of no use to this server: from the start, without a pause.
            status @ (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE)
                if have > 0 =>
            {
                remove(&self.part).map_err(Trouble::Final)?;
                let reason = format!("answered {status} to the range from {have}");
                Err(Trouble::Again { reason, after: Some(Duration::ZERO) })
            }
            _ => Err(refusal(&response)),
        }
    }

    async fn receive(&self, mut response: Response, start: u64) -> Result<(), Trouble> {
        let largest = self.accepted.largest();
        let announced = response.content_length();
        let total = announced.map_or(largest, |length| largest.min(start + length));
        let failed = |e| Trouble::Final(self.job.write_error(&self.part, e));
        let mut out = open(&self.part, start).map_err(failed)?;
        let mut have = start;
        self.job.report(Stage::Downloading, have, total);
        // Whatever comes beyond the largest pinned size is wrong, and could go on for ever.
        while have < largest {
            let chunk = match self.unless_cancelled(response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                // Where the end of the body is the end of the connection, only the size tells
                // whether it is whole.
                Ok(Ok(None)) if announced.is_none() && !self.accepted.has_size(have) => {
                    let reason = format!("ended after {have} of {total} bytes");
                    return Err(Trouble::Again { reason, after: None });
                }
                Ok(Ok(None)) => break,
                Ok(Err(e)) => {
                    let cause = self.explain(&e);
                    let reason = format!("broke off after {have} of {total} bytes: {cause}");
                    return Err(Trouble::Again { reason, after: None });
                }
                Err(cancelled) => return Err(Trouble::Final(cancelled)),
            };
            let useful =
                usize::try_from(largest - have).map_or(chunk.len(), |n| n.min(chunk.len()));
            out.write_all(&chunk[..useful]).map_err(failed)?;
            have += useful as u64;
            self.job.report(Stage::Downloading, have, total);
        }
        Ok(())
    }

    /// What to make of a request without an answer.
    fn unanswered(&self, error: &reqwest::Error) -> Trouble {
        let cause = self.explain(error);
        if error.is_builder() {
            Trouble::Refused(format!("is no address to ask: {cause}"))
        } else if error.is_redirect() {
            Trouble::Refused(format!("redirects without an end: {cause}"))
        } else if error.is_connect() {
            Trouble::Again { reason: format!("cannot be connected to: {cause}"), after: None }
        } else {
            Trouble::Again { reason: format!("gave no answer: {cause}"), after: None }
        }
    }

    /// The innermost cause. The outer ones repeat that a request failed, and the outermost its URL,
    /// secrets included.
    fn explain(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            let limit = match error.is_connect() {
                true => self.network.connect_timeout,
                false => self.network.stall_timeout,
            };
            return format!("nothing came for {limit:?}");
        }
        let mut cause: Option<&dyn StdError> = error.source();
        while let Some(inner) = cause.and_then(StdError::source) {
            cause = Some(inner);
        }
        cause.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
    }
}

/// What to make of a status that brings no content.
fn refusal(response: &Response) -> Trouble {
    let status = response.status();
    let reason = format!("answered {status}");
    let passing = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if !passing {
        return Trouble::Refused(reason);
    }
    let seconds = header(response, RETRY_AFTER).and_then(|value| value.parse().ok());
    Trouble::Again { reason, after: seconds.map(Duration::from_secs) }
}

/// Where the range begins that a 206 brings: the 500 of `bytes 500-999/1000`.
fn range_start(response: &Response) -> Option<u64> {
    let range = header(response, CONTENT_RANGE)?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

fn header(response: &Response, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// The bytes of a part so far; none if there is no such file.
pub(super) fn size(part: &Path) -> Result<u64> {
    match fs::metadata(part) {
        Ok(metadata) => Ok(metadata.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(io_error("read", part, e)),
    }
}

/// The part, to be written from `start` on: its beginning or its end.
fn open(part: &Path, start: u64) -> io::Result<File> {
    if start == 0 { File::create(part) } else { File::options().append(true).open(part) }
}
