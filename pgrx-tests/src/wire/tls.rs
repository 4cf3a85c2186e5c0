//! TLS before a server that speaks none, with certificates made on the spot.

use super::{Port, join};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// An authority that signs certificates. Nobody knows it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }
}

impl Authority {
    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `names`, and its key.
    pub fn certify(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let certificate = CertificateParams::new(names)
            .and_then(|params| params.signed_by(&key, &self.issuer))
            .expect("a certificate");
        (certificate, key)
    }
}

/// TLS before a server; it ends with the value.
pub struct Tls(Port);

impl Tls {
    /// Shows a certificate for `names`, signed by `authority`, and passes on to `server`.
    pub fn before(server: SocketAddr, authority: &Authority, names: &[&str]) -> Tls {
        let (certificate, key) = authority.certify(names);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .expect("a server's certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Tls(Port::open(move |socket| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(client) = acceptor.accept(socket).await {
                    join(client, server).await;
                }
            }
        }))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The endpoint under one of this machine's names.
    pub fn endpoint(&self, name: &str) -> String {
        format!("https://{name}:{}", self.0.address.port())
    }
}
