//! `isovec health`: asks a running service whether it can serve. For images that have no shell and no curl.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use isovec::{Error, ErrorKind, Result};

use crate::args::HealthArgs;

/// More than the first line of any answer takes.
const MAX_STATUS_LINE: usize = 256;

pub(crate) fn run(args: &HealthArgs) -> Result<()> {
    let target = Target::parse(&args.url)?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout.into());
    match status(&target, deadline).map_err(|e| e.context(&args.url))? {
        200 => Ok(()),
        code => Err(Error::new(
            ErrorKind::Network,
            format!("{}: answered {code}, and 200 is what says that it can serve", args.url),
        )),
    }
}

/// The parts of `http://HOST[:PORT][/PATH]`.
#[derive(Debug, PartialEq)]
struct Target<'a> {
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> Result<Self> {
        let invalid = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{url:?} must be http://HOST[:PORT][/PATH]"),
            )
        };
        let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        // A colon inside of brackets is part of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| invalid())?)
            }
            _ => (authority, 80),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let plain = |c: char| c.is_ascii_graphic() && c != '@';
        if host.is_empty() || !url.chars().all(plain) {
            return Err(invalid());
        }
        Ok(Target { authority, host: bare.unwrap_or(host), port, path })
    }
}

/// The code of the answer to a GET.
fn status(target: &Target<'_>, deadline: Instant) -> Result<u16> {
    let mut stream = connect(target, deadline)?;
    let Target { authority, path, .. } = target;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed("cannot send the request"))?;

    let mut head = Vec::new();
    let mut part = [0; MAX_STATUS_LINE];
    while !head.contains(&b'\n') && head.len() < MAX_STATUS_LINE {
        stream.set_read_timeout(Some(left(deadline)?)).map_err(failed("cannot set a timeout"))?;
        match stream.read(&mut part).map_err(failed("cannot read the answer"))? {
            0 => break,
            n => head.extend(part.iter().take(n)),
        }
    }
    let line = String::from_utf8_lossy(&head);
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next().map(str::parse)) {
        (Some(version), Some(Ok(code))) if version.starts_with("HTTP/1.") => Ok(code),
        _ => Err(Error::new(ErrorKind::Network, "the answer is not HTTP")),
    }
}

fn connect(target: &Target<'_>, deadline: Instant) -> Result<TcpStream> {
    let addresses = (target.host, target.port)
        .to_socket_addrs()
        .map_err(|e| failed("cannot look up the host")(e))?;
    let mut refused = Error::new(ErrorKind::Network, "the host has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => {
                stream
                    .set_write_timeout(Some(left(deadline)?))
                    .map_err(failed("cannot set a timeout"))?;
                return Ok(stream);
            }
            Err(e) => refused = failed("cannot connect")(e),
        }
    }
    Err(refused)
}

/// What is left until the deadline; never zero, which the system takes for no limit at all.
fn left(deadline: Instant) -> Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(Error::new(ErrorKind::TimedOut, "no answer in time")),
        left => Ok(left),
    }
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    move |e| match e.kind() {
        // Which of the two it is depends on the platform.
        TimedOut | WouldBlock => Error::new(ErrorKind::TimedOut, "no answer in time"),
        _ => Error::new(ErrorKind::Network, format!("{what}: {e}")).with_source(e),
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn addresses() {
        let good = [
            ("http://127.0.0.1:8080/health/ready", ("127.0.0.1", 8080, "/health/ready")),
            ("http://localhost", ("localhost", 80, "/")),
            ("http://isovec/live?a=b", ("isovec", 80, "/live?a=b")),
            ("http://[::1]:9000/", ("::1", 9000, "/")),
            ("http://[::1]", ("::1", 80, "/")),
        ];
        for (url, (host, port, path)) in good {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.host, target.port, target.path), (host, port, path), "{url}");
        }
        let bad = [
            "",
            "localhost",
            "https://localhost",
            "http://",
            "http:///path",
            "http://:80",
            "http://a:b/",
            "http://a:70000/",
            "http://user@host/",
            "http://a/b c",
            "http://a/\r\nX: y",
        ];
        for url in bad {
            let error = Target::parse(url).unwrap_err();
            assert!(error.to_string().contains("must be http://HOST"), "{url}: {error}");
        }
    }
}
