//! What a request that got no answer failed of.

use crate::source::error::{ErrorKind, SourceError, excerpt};
use rustls::CertificateError;

/// The meaning of an error of the HTTP library, without the purpose of the request: the caller adds it.
pub(super) fn transport_error(e: &ureq::Error) -> SourceError {
    use std::io::ErrorKind as Io;
    if let Some(e) = tls_error(e) {
        return refused_tls(e);
    }
    let (kind, message) = match e {
        ureq::Error::Timeout(_) => (ErrorKind::Timeout, "the server did not answer in time"),
        ureq::Error::HostNotFound => (ErrorKind::Connection, "the name of the server cannot be resolved"),
        ureq::Error::ConnectProxyFailed(said) => return proxy_error(said),
        ureq::Error::Io(io) => match io.kind() {
            Io::ConnectionRefused => (ErrorKind::Connection, "the server refused the connection"),
            Io::TimedOut | Io::WouldBlock => (ErrorKind::Timeout, "the server did not answer in time"),
            Io::UnexpectedEof => (ErrorKind::BadResponse, "the server cut its answer short"),
            Io::InvalidData | Io::InvalidInput => (ErrorKind::BadResponse, "the server sent a broken answer"),
            _ => (ErrorKind::Connection, "the connection to the server failed"),
        },
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            (ErrorKind::BadResponse, "the server does not speak HTTP properly")
        }
        ureq::Error::Tls(_) => (ErrorKind::Connection, "TLS to the server failed"),
        _ => (ErrorKind::Connection, "the connection to the server failed"),
    };
    SourceError::new(kind, message).detail(excerpt(&e.to_string()))
}

/// The error of the TLS library, wherever it is packed into.
pub(super) fn tls_error(e: &ureq::Error) -> Option<&rustls::Error> {
    match e {
        ureq::Error::Rustls(e) => Some(e),
        ureq::Error::Io(io) => {
            let inner = io.get_ref()?;
            let direct = inner.downcast_ref::<rustls::Error>();
            direct.or_else(|| inner.source()?.downcast_ref())
        }
        _ => None,
    }
}

fn refused_tls(e: &rustls::Error) -> SourceError {
    certificate_error(e, "endpoint").unwrap_or_else(|| {
        SourceError::new(ErrorKind::Connection, "TLS to the server failed")
            .detail(excerpt(&e.to_string()))
            .hint("Check that the server speaks TLS at this port, or use http:// in the option endpoint.")
    })
}

/// What is wrong with the certificate of a server; `option` tells its address. `None` for an error of another kind.
pub fn certificate_error(e: &rustls::Error, option: &str) -> Option<SourceError> {
    use CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = e else {
        return None;
    };
    let (message, hint) = match bad {
        // Another authority of the same name.
        Bad::UnknownIssuer | Bad::BadSignature => (
            "nobody we trust has signed the server's certificate",
            "Put the certificate (PEM) of the authority into the option ca_certificate of the server, or install it in \
             the system's store (Debian: ca-certificates) and restart PostgreSQL."
                .to_string(),
        ),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => (
            "the server's certificate is for another name",
            format!("Use a name in the option {option} that is in the certificate."),
        ),
        Bad::Expired | Bad::ExpiredContext { .. } => (
            "the server's certificate has expired",
            "Renew it, and check the clock of this machine.".to_string(),
        ),
        _ => (
            "the server's certificate is refused",
            "Look at the certificate with: openssl s_client -connect host:port.".to_string(),
        ),
    };
    let e = SourceError::new(ErrorKind::Connection, message).detail(excerpt(&e.to_string()));
    Some(e.hint(hint))
}

/// `said` has the proxy's status.
fn proxy_error(said: &str) -> SourceError {
    let e = match said.contains("407") {
        true => SourceError::new(ErrorKind::Auth, "the proxy refuses the login")
            .hint("Set proxy_username and proxy_password in the user mapping of the source's owner."),
        false => SourceError::new(ErrorKind::Connection, "the proxy makes no connection to the server").hint(
            "The proxy must allow CONNECT to the host and port of the endpoint; see the option proxy of the server.",
        ),
    };
    e.detail(excerpt(said))
}
