//! Addresses of Redis servers: what is one, and what of it may be shown.

use super::kinds::{Kind, Refused};
use super::yaml::Value;

const EXPECTED: &str = "host:port, or an address that starts with redis://, rediss:// or unix://, such as \
                        localhost:6379; several, separated by commas, of a cluster or of sentinels";

/// The address of a Redis server, or of several.
pub(super) struct Address;

impl Kind for Address {
    type Value = String;

    fn read(&self, value: &Value) -> Result<String, Refused> {
        match value {
            Value::Text(text) | Value::Untyped(text) => Ok(text.clone()),
            other => Err(Refused::new(other.shape().to_owned(), EXPECTED)),
        }
    }

    fn check(&self, value: &String) -> Result<(), Refused> {
        match parts(value).all(is_address) {
            true => Ok(()),
            // What is no address may be a password in the wrong place.
            false => Err(Refused::new(None, EXPECTED)),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(super::kinds::quoted(&masked(value)))
    }
}

/// The addresses of a list of them.
pub(super) fn parts(addr: &str) -> impl Iterator<Item = &str> {
    addr.split(',').map(str::trim)
}

/// The scheme of an address, `redis` where none is written.
pub(super) fn scheme(part: &str) -> &str {
    part.split_once("://").map_or("redis", |(scheme, _)| scheme)
}

/// Whether an address holds a password. One that is part of a URL may hold anything, so this asks for no more
/// than the colon of `user:password@`, or the key of a socket's.
pub(super) fn has_password(addr: &str) -> bool {
    let rest = addr.split_once("://").map_or(addr, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        || rest.split_once('?').is_some_and(|(_, query)| query.contains("pass"))
}

fn is_address(part: &str) -> bool {
    let rest = match part.split_once("://") {
        Some(("redis" | "rediss", rest)) => rest,
        Some(("unix", path)) => return path.starts_with('/'),
        Some(_) => return false,
        None => part,
    };
    // The last one: a password may hold another.
    let server = rest.rsplit_once('@').map_or(rest, |(_, server)| server);
    let server = &server[..server.find(['/', '?', '#']).unwrap_or(server.len())];
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inside {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            !host.is_empty() && host.bytes().all(plain)
        }
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// The address with what may be a secret left out: all before the last `@` and all after the first `?`.
pub(super) fn masked(addr: &str) -> String {
    let (scheme, rest) = match addr.find("://") {
        Some(end) => addr.split_at(end + 3),
        None => ("", addr),
    };
    let mask = super::MASK;
    match (rest.rsplit_once('@'), rest.split_once('?')) {
        // Either may be part of a secret that the other one belongs to.
        (Some(_), Some(_)) => format!("{scheme}{mask}"),
        (Some((_, server)), None) => format!("{scheme}{mask}@{server}"),
        (None, Some((server, _))) => format!("{scheme}{server}?{mask}"),
        (None, None) => addr.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "localhost:6379",
            "localhost",
            "10.0.0.1:6379",
            "[::1]:6379",
            "[::1]",
            "redis://cache-1.internal:6379/0",
            "rediss://user:p@ss/w?rd@cache.internal:6380",
            "redis://:secret@h",
            "unix:///run/redis.sock",
            "a:1, b:2,c:3",
        ] {
            assert!(Address.check(&good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            ",",
            "a:1,",
            ":6379",
            "a:0",
            "a:65536",
            "a:b",
            "http://a:1",
            "redis://",
            "unix://a",
            "a b:1",
            "::1:6379",
            "[::g]:1",
            "redis:///0",
            "hunter2!",
        ] {
            assert!(Address.check(&bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_secret_of_an_address_is_shown() {
        for (addr, shown) in [
            ("localhost:6379", "localhost:6379"),
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://user:hunter2@h:1", "redis://***@h:1"),
            ("user:hunter2@h:1", "***@h:1"),
            ("redis://:hunter2@a:1,redis://:hunter2@b:2", "redis://***@b:2"),
            ("redis://:hunter,2@h", "redis://***@h"),
            ("redis://:hunter@2@h", "redis://***@h"),
            ("redis://:hunter?2@h", "redis://***"),
            ("unix:///s?pass=hunter2", "unix:///s?***"),
            ("unix:///s?pass=hunter@2", "unix://***"),
        ] {
            assert_eq!(masked(addr), shown);
            assert_eq!(has_password(addr), addr.contains("hunter"), "{addr}");
        }
    }
}
