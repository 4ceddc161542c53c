//! The HTTP client and its timeouts.

use reqwest::Client;

use super::settings::Network;
use crate::net::tls::tls;

/// A client, or why there is none.
pub(super) fn build(network: &Network) -> Result<Client, String> {
    let tls = tls().map_err(|e| format!("TLS cannot be set up: {e}"))?;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("isovec/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(network.connect_timeout)
        .read_timeout(network.stall_timeout)
        // A redirect would otherwise tell the next server the query of this one, secrets included.
        .referer(false)
        .build()
        .map_err(|e| format!("the HTTP client cannot be set up: {e}"))
}
