//! Addresses that do not give away what is secret in them.

use std::fmt;

/// A URL whose text, in errors and in debug output, hides user, password and query: mirrors and
/// signed links carry credentials there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Address(url.into())
    }

    /// This address as a base that paths can be appended to, or what is wrong with it.
    pub(crate) fn as_base(&self) -> Result<Self, &'static str> {
        let url = self.0.as_str();
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let authority = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err("must start with http:// or https:// and a host");
        }
        // The path of a file goes to its end, where a query would swallow it.
        if url.contains(['?', '#']) {
            return Err("must not have a query or a fragment");
        }
        Ok(Address::new(url.trim_end_matches('/')))
    }

    /// The address of `path` below this base.
    pub(crate) fn join(&self, path: &str) -> Self {
        Address(format!("{}/{path}", self.0))
    }

    /// The URL with its secrets: for the request, not for people.
    #[cfg(feature = "download")]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URL parsers forgive a wrong number of slashes, and turned ones. So must this, or the
        // password of `https:/user:password@host` would be taken for a path.
        let Some((scheme, rest)) = self.0.split_once(':') else { return f.write_str("(masked)") };
        let rest = rest.trim_start_matches(['/', '\\']);
        let authority_end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        match authority.rsplit_once('@') {
            Some((_, host)) => write!(f, "{scheme}://***@{host}")?,
            None => write!(f, "{scheme}://{authority}")?,
        }
        match path.find(['?', '#']) {
            Some(end) => write!(f, "{}?***", &path[..end]),
            None => f.write_str(path),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let cases = [
            ("https://host/a/b.onnx", "https://host/a/b.onnx"),
            ("https://user:secret@host/a", "https://***@host/a"),
            ("https://host/a?token=secret", "https://host/a?***"),
            ("https://host?token=secret", "https://host?***"),
            ("https://host/a#secret", "https://host/a?***"),
            ("https://u:sec@ret@host:8443/a?b=secret", "https://***@host:8443/a?***"),
            ("https:/user:secret@host/a", "https://***@host/a"),
            ("https:\\\\user:secret@host\\a", "https://***@host\\a"),
            ("https:///user:secret@host/a", "https://***@host/a"),
            ("user=secret", "(masked)"),
        ];
        for (url, expected) in cases {
            let address = Address::new(url);
            assert_eq!(address.to_string(), expected, "{url}");
            assert!(!format!("{address:?}").contains("sec"), "{url}");
        }
    }

    #[test]
    fn a_base_is_an_http_address() {
        for url in ["http://host", "https://host:81/a/", "https://user:secret@host/a"] {
            assert!(Address::new(url).as_base().is_ok(), "{url}");
        }
        for url in ["", "host", "ftp://host", "http://", "http:///a", "http://u@", "http://h/?a"] {
            assert!(Address::new(url).as_base().is_err(), "{url}");
        }
        assert_eq!(
            Address::new("http://host/a/")
                .as_base()
                .map(|base| base.join("m/f").to_string())
                .as_deref(),
            Ok("http://host/a/m/f")
        );
    }
}
