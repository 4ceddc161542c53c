//! What may be asked: the hosts that the caller names, at addresses that are public.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;

use super::ip;
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Rules {
    /// None: any host.
    pub(super) hosts: Option<Vec<HostPattern>>,
    /// Exceptions to the table of addresses.
    pub(super) networks: Vec<IpNet>,
}

impl Rules {
    /// Says whether `host`, as a parsed URL spells it, is one of the caller's.
    pub(super) fn check_host(&self, host: &str) -> Result<()> {
        let allowed = self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|h| h.matches(host)));
        match allowed {
            true => Ok(()),
            false => Err(forbidden(format!("{host} is not an allowed host"))),
        }
    }

    /// Says whether `address` may be connected to.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<()> {
        match ip::special(address) {
            Some(why) if !self.networks.iter().any(|network| network.contains(&address)) => {
                Err(forbidden(format!("{address} is not a public address ({why})")))
            }
            _ => Ok(()),
        }
    }
}

/// A host, or all hosts below one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    Exact(String),
    Below(String),
}

impl HostPattern {
    /// The pattern, spelled as URLs spell hosts; nothing if it is none.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        match pattern.strip_prefix("*.") {
            None => host(pattern).map(HostPattern::Exact),
            Some(parent) => {
                host(parent).filter(|host| literal(host).is_none()).map(HostPattern::Below)
            }
        }
    }

    fn matches(&self, host: &str) -> bool {
        let host = without_root(host);
        match self {
            HostPattern::Exact(allowed) => host == allowed,
            HostPattern::Below(parent) => {
                host.strip_suffix(parent.as_str()).is_some_and(|sub| sub.ends_with('.'))
            }
        }
    }
}

/// The address that a URL's host is written as, read as the client reads it: such a host it connects
/// to without asking a resolver.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// `name` as a URL would spell it: in lower case, international names in punycode, IPv4 in decimal.
fn host(name: &str) -> Option<String> {
    let is_v6 = name.starts_with('[') && name.ends_with(']');
    let foreign = |c: char| c.is_whitespace() || "/\\?#@*".contains(c) || (c == ':' && !is_v6);
    if name.contains(foreign) {
        return None;
    }
    let url = Url::parse(&format!("http://{name}/")).ok()?;
    let host = without_root(url.host_str()?);
    (!host.is_empty() && !host.ends_with('.')).then(|| host.to_owned())
}

/// `example.org.`, from the root of all names on, is `example.org`.
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

pub(super) fn forbidden(message: String) -> Error {
    Error::new(ErrorKind::ForbiddenAddress, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_labels() {
        let cases = [
            ("example.org", "example.org", true),
            ("EXAMPLE.org.", "example.org", true),
            ("example.org", "example.org.", true),
            ("example.org", "example.org..", false),
            ("example.org", "img.example.org", false),
            ("example.org", "example.org.evil.net", false),
            ("example.org", "notexample.org", false),
            ("*.example.org", "img.example.org", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "img.example.org.", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "notexample.org", false),
            ("*.example.org", ".example.org.evil.net", false),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("93.184.216.34", "93.184.216.34", true),
            ("0x5db8d822", "93.184.216.34", true),
            ("[2606:4700::1111]", "[2606:4700::1111]", true),
        ];
        for (pattern, host, expected) in cases {
            let parsed = HostPattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn what_is_no_host_is_no_pattern() {
        let bad = [
            "",
            "*",
            "*.",
            ".",
            "*.*.org",
            "a*.org",
            "http://a.org",
            "a.org/",
            "a.org:80",
            "u@a.org",
            "a.org?b",
            "a.org#b",
            "a b.org",
            "a\\b",
            "*.10.0.0.1",
            "[::1]:80",
            "[::1",
            "*.[::1]",
            "2606:4700::1111",
            "a.org\n",
            "a.org..",
            "..",
        ];
        for pattern in bad {
            assert_eq!(HostPattern::parse(pattern), None, "{pattern:?}");
        }
    }

    #[test]
    fn networks_are_exceptions_for_themselves_alone() {
        let rules = Rules { hosts: None, networks: vec!["10.1.0.0/16".parse().unwrap()] };
        for (address, allowed) in [
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("127.0.0.1", false),
            ("::ffff:10.1.0.1", false),
            ("64:ff9b::10.1.0.1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(rules.check_address(address.parse().unwrap()).is_ok(), allowed, "{address}");
        }
    }
}
