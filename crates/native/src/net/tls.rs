//! The certificates and the cryptography of every connection.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// TLS with a cryptography provider of its own: an application that installed another one for the
/// process, or none, is not disturbed.
pub(crate) fn tls() -> Result<ClientConfig, rustls::Error> {
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
