//! The HTTP client: its timeouts and its certificates.

use std::sync::Arc;

use reqwest::Client;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use super::settings::Network;

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

/// TLS with a cryptography provider of its own: an application that installed another one for the
/// process, or none, is not disturbed.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    // The machine's certificates, for they include those of a company's proxy. A slim container has
    // none, and gets the ones that Mozilla trusts.
    let builder = match builder.clone().with_platform_verifier() {
        Ok(builder) => builder,
        Err(_) => builder.with_root_certificates(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }),
    };
    Ok(builder.with_no_client_auth())
}
