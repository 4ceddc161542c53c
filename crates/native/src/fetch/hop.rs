//! One address on the way to an image: the caller's, or one that a server redirects to.

use std::fmt;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::rules::{Rules, forbidden, literal};
use crate::net::address::Address;
use crate::{Error, ErrorKind, Result};

/// A URL that has passed all that can be checked without a look-up. Only such are asked: a client
/// does not ask its resolver, which checks the rest, about a host that is an address already.
pub(super) struct Hop {
    url: Url,
    /// Where the way began, if not here.
    start: Option<Address>,
}

impl Hop {
    /// The caller's address.
    pub(super) fn first(url: &str, rules: &Rules) -> Result<Self> {
        // What is no URL is not quoted: nobody can say where in it the secrets are.
        let url = Url::parse(url).map_err(|e| invalid(format!("not a URL: {e}")))?;
        if !is_web(&url) {
            return Err(invalid(format!("{}: only http and https are fetched", url.scheme())));
        }
        Hop { url, start: None }.checked(rules)
    }

    /// Where the server of this one redirects to.
    pub(super) fn next(&self, location: &HeaderValue, rules: &Rules) -> Result<Self> {
        let url = std::str::from_utf8(location.as_bytes())
            .ok()
            .and_then(|location| self.url.join(location).ok())
            .ok_or_else(|| self.failed("redirects to what is no URL"))?;
        if !is_web(&url) {
            let scheme = url.scheme();
            return Err(forbidden(format!("{self}: redirects to {scheme}, not to http or https")));
        }
        if self.url.scheme() == "https" && url.scheme() == "http" {
            let to = Address::new(url);
            return Err(forbidden(format!("{self}: redirects from https to http, to {to}")));
        }
        let start = self.start.clone().unwrap_or_else(|| Address::new(self.url.clone()));
        Hop { url, start: Some(start) }.checked(rules)
    }

    fn checked(self, rules: &Rules) -> Result<Self> {
        let host = self.url.host_str().unwrap_or_default();
        rules.check_host(host).map_err(|e| e.context(&self))?;
        if let Some(address) = literal(host) {
            rules.check_address(address).map_err(|e| e.context(&self))?;
        }
        Ok(self)
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The fetch has failed here.
    pub(super) fn failed(&self, why: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Network, format!("{self}: {why}"))
    }
}

/// For people: what is secret in it is masked.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(start) = &self.start {
            write!(f, "{start}: redirected to ")?;
        }
        write!(f, "{}", Address::new(self.url.clone()))
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::super::rules::HostPattern;
    use super::*;

    const ANY: Rules = Rules { hosts: None, networks: Vec::new() };

    /// What became of it: a kind, or the host that would be asked.
    fn outcome(hop: Result<Hop>) -> String {
        match hop {
            Ok(hop) => hop.url.host_str().unwrap_or_default().to_owned(),
            Err(e) => e.kind().to_string(),
        }
    }

    fn assert_all(cases: &[(&str, &str)], hop: impl Fn(&str) -> Result<Hop>) {
        let wrong: Vec<_> = cases
            .iter()
            .map(|(url, expected)| (url, expected, outcome(hop(url))))
            .filter(|(_, expected, found)| **expected != found)
            .map(|(url, expected, found)| format!("{url}: {found} instead of {expected}"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_host_is_judged_however_it_is_written() {
        let cases = [
            ("http://example.org/a.png", "example.org"),
            ("https://example.org:8443/a.png?b#c", "example.org"),
            ("HTTP://EXAMPLE.ORG", "example.org"),
            ("http://8.8.8.8/", "8.8.8.8"),
            ("http://[2606:4700::1111]/", "[2606:4700::1111]"),
            // Loopback, in the spellings of inet_aton.
            ("http://127.0.0.1/", "forbidden_address"),
            ("http://127.0.0.1:8080/", "forbidden_address"),
            ("http://127.1/", "forbidden_address"),
            ("http://127.0.1/", "forbidden_address"),
            ("http://2130706433/", "forbidden_address"),
            ("http://017700000001/", "forbidden_address"),
            ("http://0x7f000001/", "forbidden_address"),
            ("http://0X7F.0.0.1/", "forbidden_address"),
            ("http://0177.0.0.1/", "forbidden_address"),
            ("http://0x7f.1/", "forbidden_address"),
            ("http://127.0.0.1./", "forbidden_address"),
            ("http://0/", "forbidden_address"),
            ("http://0x0/", "forbidden_address"),
            ("http://0xa9fea9fe/", "forbidden_address"),
            // Escaped, in full-width digits, with an ideographic full stop, with a soft hyphen.
            ("http://%31%32%37.0.0.1/", "forbidden_address"),
            ("http://127%2e0.0.1/", "forbidden_address"),
            ("http://\u{ff11}27.0.0.\u{ff11}/", "forbidden_address"),
            ("http://127\u{3002}0\u{3002}0\u{3002}1/", "forbidden_address"),
            ("http://127.0.0.\u{ad}1/", "forbidden_address"),
            // No addresses, though they look like some.
            ("http://256.0.0.1/", "invalid_input"),
            ("http://127.0.0.1.1/", "invalid_input"),
            ("http://4294967296/", "invalid_input"),
            // A domain, for the resolver to judge.
            ("http://localhost/", "localhost"),
            ("http://localhost./", "localhost."),
            ("http://127.0.0.1../", "127.0.0.1.."),
            ("http://127.0.0.1.example.org/", "127.0.0.1.example.org"),
            ("http://[::1]/", "forbidden_address"),
            ("http://[0:0:0:0:0:0:0:1]:80/", "forbidden_address"),
            ("http://[::]/", "forbidden_address"),
            ("http://[::ffff:127.0.0.1]/", "forbidden_address"),
            ("http://[::ffff:7f00:1]/", "forbidden_address"),
            ("http://[64:ff9b::169.254.169.254]/", "forbidden_address"),
            ("http://[2002:7f00:1::]/", "forbidden_address"),
            ("http://[fd00:ec2::254]/", "forbidden_address"),
            ("http://[fe80::1]/", "forbidden_address"),
            ("http://[fe80::1%25eth0]/", "invalid_input"),
            ("http://[fe80::1%eth0]/", "invalid_input"),
            ("http://[::1%250]/", "invalid_input"),
            // What comes before the @ is no host, and a backslash is a slash.
            ("http://example.org@127.0.0.1/", "forbidden_address"),
            ("http://example.org:80@127.0.0.1/", "forbidden_address"),
            ("http://example.org%2f@127.0.0.1/", "forbidden_address"),
            ("http://a@b@127.0.0.1/", "forbidden_address"),
            ("http://127.0.0.1\\@example.org/", "forbidden_address"),
            ("http://127.0.0.1#@example.org/", "forbidden_address"),
            ("http://127.0.0.1?@example.org/", "forbidden_address"),
            ("http:127.0.0.1", "forbidden_address"),
            ("http:///127.0.0.1", "forbidden_address"),
            ("\thttp://12\n7.0.0.1/", "forbidden_address"),
            ("http://10.0.0.1@example.org/", "example.org"),
            ("", "invalid_input"),
            ("image.png", "invalid_input"),
            ("/etc/passwd", "invalid_input"),
            ("//example.org/", "invalid_input"),
            ("http://", "invalid_input"),
            ("http://example.org:99999/", "invalid_input"),
            ("http://a b/", "invalid_input"),
            ("file:///etc/passwd", "invalid_input"),
            ("ftp://example.org/", "invalid_input"),
            ("gopher://127.0.0.1:6379/_a", "invalid_input"),
            ("data:image/png;base64,AAAA", "invalid_input"),
            ("javascript:alert(1)", "invalid_input"),
        ];
        assert_all(&cases, |url| Hop::first(url, &ANY));
    }

    #[test]
    fn a_redirect_is_judged_as_the_first() {
        let cases = [
            ("https://other.org/b", "other.org"),
            ("/b", "example.org"),
            ("b?c", "example.org"),
            ("//other.org/b", "other.org"),
            ("", "example.org"),
            ("//127.0.0.1/", "forbidden_address"),
            ("https://10.0.0.1/", "forbidden_address"),
            ("https://0x7f.1/", "forbidden_address"),
            ("\\\\[::1]/", "forbidden_address"),
            ("https://example.org@[::ffff:10.0.0.1]/", "forbidden_address"),
            ("http://example.org/", "forbidden_address"),
            ("http://other.org/b", "forbidden_address"),
            ("file:///etc/passwd", "forbidden_address"),
            ("ftp://example.org/", "forbidden_address"),
            ("data:image/png;base64,AAAA", "forbidden_address"),
            ("https://", "network"),
            ("https://[::1", "network"),
        ];
        let first = Hop::first("https://example.org/dir/a", &ANY).unwrap();
        assert_all(&cases, |url| {
            first.next(&HeaderValue::from_str(url).expect("a header's value"), &ANY)
        });
        let http = Hop::first("http://example.org/", &ANY).unwrap();
        assert_eq!(
            outcome(http.next(&HeaderValue::from_static("https://a.org"), &ANY)),
            "a.org",
            "to https is no downgrade"
        );
        let not_utf8 = HeaderValue::from_bytes(b"https://\xff/").unwrap();
        assert_eq!(outcome(http.next(&not_utf8, &ANY)), "network");
    }

    #[test]
    fn hosts_are_limited_on_every_hop() {
        let hosts = ["example.org", "*.cdn.net"].map(|host| HostPattern::parse(host).unwrap());
        let rules = Rules { hosts: Some(hosts.into()), networks: Vec::new() };
        let cases = [
            ("http://example.org/", "example.org"),
            ("http://example.org./", "example.org."),
            ("http://a.cdn.net/", "a.cdn.net"),
            ("http://other.org/", "forbidden_address"),
            ("http://cdn.net/", "forbidden_address"),
            ("http://8.8.8.8/", "forbidden_address"),
            ("http://example.org@other.org/", "forbidden_address"),
        ];
        assert_all(&cases, |url| Hop::first(url, &rules));
        let first = Hop::first("http://example.org/", &rules).unwrap();
        assert_all(&cases, |url| first.next(&HeaderValue::from_str(url).unwrap(), &rules));
    }

    /// A user and password go to the host they are written for.
    #[test]
    fn credentials_stay_with_their_host() {
        let first = Hop::first("http://user:secret@example.org/a", &ANY).unwrap();
        let next = |to| first.next(&HeaderValue::from_static(to), &ANY).unwrap();
        assert_eq!(next("/b").url.password(), Some("secret"));
        assert_eq!(next("//other.org/b").url.password(), None);
        assert_eq!(next("http://other.org/b").url.username(), "");
    }

    #[test]
    fn messages_name_the_address_and_hide_its_secrets() {
        let message = |e: Result<Hop>| e.unwrap_err().to_string();
        assert_eq!(
            message(Hop::first("http://user:secret@10.0.0.1/a?key=secret#secret", &ANY)),
            "http://***@10.0.0.1/a?***: 10.0.0.1 is not a public address (private network)"
        );
        assert_eq!(
            message(Hop::first("data:image/png;base64,secret", &ANY)),
            "data: only http and https are fetched"
        );
        assert_eq!(
            message(Hop::first("http://user:secret@host:99999/", &ANY)),
            "not a URL: invalid port number"
        );
        let first = Hop::first("https://user:secret@example.org/a?key=secret", &ANY).unwrap();
        let next = |to| message(first.next(&HeaderValue::from_static(to), &ANY));
        let start = "https://***@example.org/a?***";
        assert_eq!(
            next("//[::1]/?key=secret"),
            format!(
                "{start}: redirected to https://[::1]/?***: ::1 is not a public address (loopback)"
            )
        );
        assert_eq!(
            next("http://u:secret@a.org/"),
            format!("{start}: redirects from https to http, to http://***@a.org/")
        );
        assert_eq!(
            next("file:///secret"),
            format!("{start}: redirects to file, not to http or https")
        );
    }
}
