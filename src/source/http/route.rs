//! The way to a server: whom to trust for TLS, and through which proxy. The options are the same for every kind of
//! server that is reached over HTTP. The environment of the PostgreSQL server names no proxy: what a server uses is
//! what its options say.

use crate::source::error::SourceError;
use crate::source::server::Options;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::sync::OnceLock;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Proxy, ProxyProtocol};

/// How a server is reached. The default: directly, and trusting whom the system trusts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// The only certificates that are trusted, DER. `None`: the system's.
    trusted: Option<Vec<Vec<u8>>>,
    proxy: Option<Hop>,
}

/// A proxy that is asked for a tunnel (CONNECT) to the server, whatever the server's scheme.
#[derive(Clone, PartialEq, Eq)]
struct Hop {
    /// TLS to the proxy itself.
    tls: bool,
    host: String,
    port: Option<u16>,
    /// User and password.
    login: Option<(String, String)>,
}

impl Route {
    /// Reads the options `ca_certificate` and `proxy` of a server, `proxy_username` and `proxy_password` of a user
    /// mapping.
    ///
    /// # Errors
    /// `Config` for text that holds no certificates, a URL that is none of a proxy, a password without a user.
    pub fn parse(server: &Options, mapping: &Options) -> Result<Route, SourceError> {
        let trusted = trusted(server)?;
        let mut proxy = server.get("proxy").map(|url| hop(url)).transpose()?;
        let login = match (mapping.get("proxy_username"), mapping.get("proxy_password")) {
            (Some(user), password) => Some((user.clone(), password.cloned().unwrap_or_default())),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(SourceError::config(
                    "the user mapping has a proxy_password but no proxy_username",
                    "Add the option proxy_username to the user mapping.",
                ));
            }
        };
        if let Some(hop) = &mut proxy {
            hop.login = login;
        }
        Ok(Route { trusted, proxy })
    }

    /// The proxy for the HTTP library.
    ///
    /// # Errors
    /// `Config` for a login that cannot be sent.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>, SourceError> {
        let Some(hop) = &self.proxy else {
            return Ok(None);
        };
        let protocol = if hop.tls {
            ProxyProtocol::Https
        } else {
            ProxyProtocol::Http
        };
        let mut proxy = Proxy::builder(protocol).host(&hop.host);
        if let Some(port) = hop.port {
            proxy = proxy.port(port);
        }
        if let Some((user, password)) = &hop.login {
            proxy = proxy.username(user).password(password);
        }
        // What the library says may contain what it was given.
        proxy.build().map(Some).map_err(|_| {
            SourceError::config(
                "the proxy cannot be used with this login",
                "Check proxy_username and proxy_password in the user mapping.",
            )
        })
    }

    /// TLS for a connection to `endpoint`. The system's certificates are read only where TLS is in use, once in a
    /// process.
    pub(super) fn tls(&self, endpoint: &str) -> TlsConfig {
        let own = |ders: &[Vec<u8>]| RootCerts::from(ders.iter().map(|der| Certificate::from_der(der).to_owned()));
        let in_use = endpoint.starts_with("https://") || self.proxy.as_ref().is_some_and(|hop| hop.tls);
        let roots = match &self.trusted {
            Some(ders) => own(ders),
            None if in_use => own(system()),
            None => own(&[]),
        };
        TlsConfig::builder().root_certs(roots).build()
    }

    /// Where the proxy is, for messages.
    pub fn proxy_address(&self) -> Option<String> {
        let hop = self.proxy.as_ref()?;
        let port = hop.port.map_or(String::new(), |port| format!(":{port}"));
        Some(format!("{}{port}", hop.host))
    }

    /// Where the proxy is, if TLS is spoken to it.
    pub(super) fn tls_proxy(&self) -> Option<String> {
        self.proxy.as_ref().filter(|hop| hop.tls)?;
        self.proxy_address()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("trusted", &self.trusted.as_ref().map(Vec::len))
            .field("proxy", &self.proxy_address())
            .finish()
    }
}

/// The certificates that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` of the process, else where the
/// distribution keeps them). What cannot be read there is not trusted.
pub fn system() -> &'static [Vec<u8>] {
    static SYSTEM: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs().certs;
        found.into_iter().map(|certificate| certificate.to_vec()).collect()
    })
}

/// The only certificates that a server's option `ca_certificate` trusts, DER; `None` without: the system's.
///
/// # Errors
/// `Config` for text that holds no certificates.
pub fn trusted(server: &Options) -> Result<Option<Vec<Vec<u8>>>, SourceError> {
    server.get("ca_certificate").map(|pem| certificates(pem)).transpose()
}

fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, SourceError> {
    let bad = |what: &str| {
        SourceError::config(
            format!("server option \"ca_certificate\" {what}"),
            "Give the text of a PEM file: -----BEGIN CERTIFICATE----- and so on. Several may follow each other.",
        )
    };
    let mut store = RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| bad("is not a PEM text"))?;
        found.push(certificate.to_vec());
        store
            .add(certificate)
            .map_err(|_| bad("holds something that is no certificate"))?;
    }
    match found.is_empty() {
        true => Err(bad("holds no certificate")),
        false => Ok(found),
    }
}

fn hop(url: &str) -> Result<Hop, SourceError> {
    // The text may hold a password: it is never repeated.
    let bad = |what: &str| {
        SourceError::config(
            format!("server option \"proxy\" {what}"),
            "Use something like http://proxy.example.com:3128; its login belongs into the user mapping, as \
             proxy_username and proxy_password.",
        )
    };
    let Ok(uri) = url.trim().parse::<Uri>() else {
        return Err(bad("is not a URL"));
    };
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad("must begin with http:// or https://")),
    };
    let Some(authority) = uri.authority().filter(|a| !a.host().is_empty()) else {
        return Err(bad("names no host"));
    };
    if authority.as_str().contains('@') {
        return Err(bad("must not contain a login"));
    }
    if uri.query().is_some() || url.contains('#') || !matches!(uri.path(), "" | "/") {
        return Err(bad("must be a host and a port only"));
    }
    Ok(Hop {
        tls,
        host: authority.host().to_string(),
        port: authority.port_u16(),
        login: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn a_proxy_has_its_login_in_the_mapping() {
        let server = options(&[("proxy", " http://proxy.example.com:3128/ ")]);
        let login = [("proxy_username", "anna"), ("proxy_password", "hunter2:@/%")];
        let route = Route::parse(&server, &options(&login)).unwrap();
        assert_eq!(route.proxy_address().unwrap(), "proxy.example.com:3128");
        let proxy = route.proxy().unwrap().unwrap();
        assert_eq!(
            (proxy.username(), proxy.password()),
            (Some("anna"), Some("hunter2:@/%"))
        );
        assert!(!format!("{route:?}").contains("hunter2"));
        let e = Route::parse(&server, &options(&login[1..])).unwrap_err();
        assert!(e.message.contains("no proxy_username") && !format!("{e:?}").contains("hunter2"));
        // A login for a server that has no proxy.
        assert!(
            Route::parse(&options(&[]), &options(&login))
                .unwrap()
                .proxy()
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for (bad, says) in [
            ("proxy.example.com:3128", "http://"),
            ("socks5://h:1", "http://"),
            ("http://", "is not a URL"),
            ("http://u:hunter2@h", "must not contain a login"),
            ("http://h/path", "a host and a port only"),
            ("http://h?x=1", "a host and a port only"),
        ] {
            let e = Route::parse(&options(&[("proxy", bad)]), &options(&[])).unwrap_err();
            assert!(e.message.contains(says), "{bad}: {}", e.message);
            assert!(e.is_permanent() && !format!("{e:?}").contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for (bad, says) in [
            ("", "holds no certificate"),
            ("/etc/ssl/certs/ca.pem", "holds no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                "is not a PEM text",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nMTIz\n-----END CERTIFICATE-----\n",
                "no certificate",
            ),
            ("-----BEGIN CERTIFICATE-----\nMTIz\n", "is not a PEM text"),
        ] {
            let e = Route::parse(&options(&[("ca_certificate", bad)]), &options(&[])).unwrap_err();
            assert!(e.message.contains(says) && e.is_permanent(), "{bad}: {}", e.message);
        }
    }
}
