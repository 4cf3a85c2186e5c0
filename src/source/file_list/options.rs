//! Where the metadata database is, whom to trust for TLS and who asks it: `metadata_url` and `ca_certificate` of the
//! server, the rest in the user mapping.

use crate::source::error::SourceError;
use crate::source::http;
use crate::source::server::Options;
use std::fmt;
use std::net::IpAddr;
use url::{Host, Url};

const HINT: &str = "For example: metadata_url 'postgres://db.example.com:5432/openobserve?sslmode=verify-full'.";

/// How to reach the metadata database. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct FileListConfig {
    pub host: String,
    pub port: u16,
    pub database: String,
    /// Whether the connection is encrypted and the certificate of the server checked.
    pub tls: bool,
    /// The only certificates that are trusted then, DER. `None`: the system's.
    pub trusted: Option<Vec<Vec<u8>>>,
    /// Name and password; `None` if the user mapping has none.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for FileListConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileListConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl FileListConfig {
    /// `None` without the option `metadata_url`. Only TCP: over a socket of this machine the server would take the user
    /// that runs PostgreSQL for the caller.
    ///
    /// # Errors
    /// `Config` for an address that cannot be, one with credentials in it, or half of the credentials.
    pub fn parse(server: &Options, mapping: &Options) -> Result<Option<Self>, SourceError> {
        let Some(text) = server.get("metadata_url") else {
            return Ok(None);
        };
        let refuse = |what: &str| {
            // What was written may hold a password.
            Err(SourceError::config(
                format!("server option \"metadata_url\" {what}"),
                HINT,
            ))
        };
        let Ok(url) = Url::parse(text) else {
            return refuse("is no address");
        };
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return refuse("must begin with postgres://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SourceError::config(
                "server option \"metadata_url\" must not carry a user or password",
                "Put metadata_username and metadata_password into a user mapping.",
            ));
        }
        let host = match url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) if !host.to_string().is_empty() && !host.to_string().contains('%') => host.to_string(),
            _ => return refuse("must name a host: connections go over TCP"),
        };
        let database = url.path().trim_start_matches('/');
        let database = percent_encoding::percent_decode_str(database)
            .decode_utf8_lossy()
            .into_owned();
        if database.is_empty() || database.contains('/') {
            return refuse("must name the database behind the host");
        }
        let mut tls = !is_loopback(&host);
        for (key, value) in url.query_pairs() {
            tls = match (key.as_ref(), value.as_ref()) {
                ("sslmode", "disable") => false,
                ("sslmode", "verify-full") => true,
                ("sslmode", _) => return refuse("knows sslmode disable and verify-full"),
                _ => return refuse("knows no parameter but sslmode"),
            };
        }
        let credentials = match (mapping.get("metadata_username"), mapping.get("metadata_password")) {
            (Some(name), Some(password)) => Some((name.clone(), password.clone())),
            (None, None) => None,
            _ => {
                return Err(SourceError::config(
                    "the user mapping has one of metadata_username and metadata_password",
                    "Give both.",
                ));
            }
        };
        Ok(Some(FileListConfig {
            host,
            port: url.port().unwrap_or(5432),
            database,
            tls,
            trusted: http::trusted(server)?,
            credentials,
        }))
    }

    /// The address, for messages.
    pub fn address(&self) -> String {
        format!("postgres://{}:{}/{}", self.host, self.port, self.database)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, mapping: &[(&str, &str)]) -> Result<Option<FileListConfig>, SourceError> {
        let options = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        FileListConfig::parse(&options(&[("metadata_url", url)]), &options(mapping))
    }

    #[test]
    fn an_address_and_how_it_is_reached() {
        let keys = [("metadata_username", "reader"), ("metadata_password", "Very/Secret")];
        let got = parse("postgres://db.example.com/openobserve", &keys).unwrap().unwrap();
        assert_eq!(got.address(), "postgres://db.example.com:5432/openobserve");
        assert!(got.tls && !format!("{got:?}").contains("Secret"));
        for (url, tls) in [
            ("postgres://127.0.0.1:5433/oo", false),
            ("postgresql://localhost/oo", false),
            ("postgres://[::1]:1/oo", false),
            ("postgres://10.0.0.1/oo?sslmode=disable", false),
            ("postgres://localhost/oo?sslmode=verify-full", true),
        ] {
            assert_eq!(parse(url, &[]).unwrap().unwrap().tls, tls, "{url}");
        }
        assert_eq!(FileListConfig::parse(&Options::new(), &Options::new()), Ok(None));
    }

    #[test]
    fn what_cannot_be_is_refused_and_not_repeated() {
        for bad in [
            "",
            "db/openobserve",
            "http://db/oo",
            "postgres://db",
            "postgres://db/a/b",
            "postgres:///oo?host=/var/run/postgresql",
            "postgres://%2Fvar%2Frun%2Fpostgresql/oo",
            "postgres://db/oo?sslmode=prefer",
            "postgres://db/oo?options=-c%20role=x",
            "postgres://u:Secret@db/oo",
        ] {
            let e = parse(bad, &[]).unwrap_err();
            assert!(
                e.is_permanent() && e.hint.is_some() && !format!("{e:?}").contains("Secret"),
                "{bad}"
            );
        }
        assert!(parse("postgres://db/oo", &[("metadata_username", "u")]).is_err());
    }
}
