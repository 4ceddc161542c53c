//! What a fetcher may fetch, and how much of it.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::Resolve;

use super::ImageFetcher;
use super::exchange::{Exchange, Limits};
use super::resolver::System;
use super::rules::{HostPattern, Rules};
use crate::{Error, ErrorKind, Result};

/// Browsers follow twice as many; no image that people link to is further away than this.
const MOST_REDIRECTS: usize = 10;

/// Settings of an [`ImageFetcher`], each with a default that is safe.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use isovec::fetch::ImageFetcher;
///
/// let fetcher = ImageFetcher::builder()
///     .allow_hosts(["images.example.org", "*.cdn.example.net"])
///     .max_bytes(2 << 20)
///     .timeout(Duration::from_secs(3))
///     .build()?;
///
/// let error = ImageFetcher::builder().allow_networks(["10.1.0.0/33"]).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "allow_networks: \"10.1.0.0/33\" is not a network, such as 10.1.0.0/16"
/// );
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ImageFetcherBuilder {
    hosts: Option<Vec<String>>,
    networks: Vec<String>,
    limits: Limits,
}

impl Default for ImageFetcherBuilder {
    fn default() -> Self {
        let limits =
            Limits { max_bytes: 10 << 20, timeout: Duration::from_secs(10), max_redirects: 3 };
        ImageFetcherBuilder { hosts: None, networks: Vec::new(), limits }
    }
}

impl ImageFetcherBuilder {
    /// The only hosts that may be asked, redirects included: names such as `images.example.org`, or
    /// `*.example.org` for all hosts below that one, not for itself. Without this call any host may
    /// be asked; with an empty list none may.
    ///
    /// This narrows what is fetched and opens nothing: the addresses of these hosts must be public
    /// like any other's, or of an [allowed network](Self::allow_networks).
    pub fn allow_hosts<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.hosts.get_or_insert_default().extend(hosts.into_iter().map(Into::into));
        self
    }

    /// Networks that may be connected to although they are not public, in CIDR notation: that of an
    /// image server on the intranet, such as `10.1.0.0/16` or `10.1.2.3/32`.
    ///
    /// Whoever gives the addresses to fetch can then make this program ask anything there. Name the
    /// smallest network that will do, and [the hosts](Self::allow_hosts).
    pub fn allow_networks<N: Into<String>>(
        mut self,
        networks: impl IntoIterator<Item = N>,
    ) -> Self {
        self.networks.extend(networks.into_iter().map(Into::into));
        self
    }

    /// The size of the largest image file: 10 MiB by default.
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.limits.max_bytes = max_bytes;
        self
    }

    /// How long a fetch may take in all, from the look-up of the name to the last byte, redirects
    /// included: 10 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// How many redirects are followed, from 0 to 10: 3 by default.
    pub fn max_redirects(mut self, max_redirects: usize) -> Self {
        self.limits.max_redirects = max_redirects;
        self
    }

    /// The fetcher. Nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the setting and what it may be;
    /// [`Network`](ErrorKind::Network) if TLS cannot be set up on this machine.
    pub fn build(self) -> Result<ImageFetcher> {
        self.build_with(Arc::new(System))
    }

    /// With another resolver, whose answers are checked as those of the machine's are.
    pub(super) fn build_with(self, names: Arc<dyn Resolve>) -> Result<ImageFetcher> {
        let Limits { max_bytes, timeout, max_redirects } = self.limits;
        if max_bytes == 0 {
            return Err(invalid("max_bytes: must be more than nothing".into()));
        }
        if timeout.is_zero() {
            return Err(invalid("timeout: must be more than nothing".into()));
        }
        if max_redirects > MOST_REDIRECTS {
            return Err(invalid(format!(
                "max_redirects: {max_redirects} is outside of 0 to {MOST_REDIRECTS}"
            )));
        }
        let hosts = self.hosts.map(|hosts| hosts.iter().map(|host| parse_host(host)).collect());
        let networks = self.networks.iter().map(|network| parse_network(network));
        let rules = Rules { hosts: hosts.transpose()?, networks: networks.collect::<Result<_>>()? };
        let exchange = Exchange::new(rules, self.limits, names)?;
        Ok(ImageFetcher { exchange: Arc::new(exchange) })
    }
}

fn parse_host(host: &str) -> Result<HostPattern> {
    HostPattern::parse(host).ok_or_else(|| {
        invalid(format!(
            "allow_hosts: {host:?} is not a host, such as example.org or *.example.org"
        ))
    })
}

fn parse_network(network: &str) -> Result<IpNet> {
    let parsed: Option<IpNet> = network.parse().ok();
    let Some(parsed) = parsed else {
        return Err(invalid(format!(
            "allow_networks: {network:?} is not a network, such as 10.1.0.0/16"
        )));
    };
    // 10.1.2.3/8 may be meant as one host and would open sixteen million.
    if parsed != parsed.trunc() {
        let whole = parsed.trunc();
        return Err(invalid(format!("allow_networks: {network} is inside of {whole}: which one?")));
    }
    Ok(parsed)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_refused_by_name() {
        let new = ImageFetcher::builder;
        let cases = [
            (new().max_bytes(0), "max_bytes: must be more than nothing"),
            (new().timeout(Duration::ZERO), "timeout: must be more than nothing"),
            (new().max_redirects(11), "max_redirects: 11 is outside of 0 to 10"),
            (
                new().allow_hosts(["a.org", "http://b.org"]),
                "allow_hosts: \"http://b.org\" is not a host, such as example.org or *.example.org",
            ),
            (
                new().allow_networks(["10.1.0.0"]),
                "allow_networks: \"10.1.0.0\" is not a network, such as 10.1.0.0/16",
            ),
            (
                new().allow_networks(["10.1.2.3/8"]),
                "allow_networks: 10.1.2.3/8 is inside of 10.0.0.0/8: which one?",
            ),
        ];
        for (builder, expected) in cases {
            let error = builder.build().expect_err(expected);
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{expected}");
        }
    }

    #[test]
    fn the_bounds_themselves_are_accepted() {
        let built = ImageFetcher::builder()
            .max_bytes(usize::MAX)
            .timeout(Duration::MAX)
            .max_redirects(10)
            .allow_networks(["0.0.0.0/0", "::/0", "10.1.2.3/32"])
            .allow_hosts(["a.org"])
            .allow_hosts(["*.b.org"])
            .build();
        let debug = format!("{:?}", built.unwrap());
        assert!(debug.contains("a.org") && debug.contains("b.org"), "{debug}");
    }
}
