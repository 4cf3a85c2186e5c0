//! TLS to the metadata database: certificates are checked against those of the server's option `ca_certificate`, else
//! against those that the operating system trusts.

use crate::source::error::{ErrorKind, SourceError};
use crate::source::http;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// `trusted`: the only certificates that are trusted, DER; `None`: the system's.
///
/// # Errors
/// `Config` where the system trusts no certificate at all.
pub fn connector(trusted: Option<&[Vec<u8>]>) -> Result<MakeRustlsConnect, SourceError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read trusts nobody; the others stay.
    let ders = trusted.unwrap_or_else(|| http::system());
    roots.add_parsable_certificates(ders.iter().map(|der| CertificateDer::from_slice(der)));
    if roots.is_empty() {
        return Err(SourceError::config(
            "the operating system has no trusted certificates",
            "Install its certificates (Debian: the package ca-certificates), or set the option ca_certificate of the server.",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| SourceError::new(ErrorKind::Internal, "TLS cannot be set up").detail(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
