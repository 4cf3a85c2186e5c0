//! TLS to the metadata database: certificates are checked against those that the operating system trusts.

use crate::source::error::{ErrorKind, SourceError};
use crate::source::http;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// # Errors
/// `Config` where the system trusts no certificate at all.
pub fn connector() -> Result<MakeRustlsConnect, SourceError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read trusts nobody; the others stay.
    roots.add_parsable_certificates(http::system().iter().map(|der| CertificateDer::from_slice(der)));
    if roots.is_empty() {
        return Err(SourceError::config(
            "the operating system has no trusted certificates",
            "Install its certificates (Debian: the package ca-certificates).",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| SourceError::new(ErrorKind::Internal, "TLS cannot be set up").detail(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
