//! The options of a foreign server and of its user mapping: which there are, which are needed, and what they make.

use super::SourceConfig;
use super::documents::WebConfig;
use super::error::SourceError;
use super::file::FileConfig;
use super::git::GitConfig;
use super::http::Route;
use super::mock::MockConfig;
use super::objects::Arrangement;
use super::openobserve::OpenObserveConfig;
use super::s3::S3Config;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// Options by name.
pub type Options = BTreeMap<String, String>;

/// Options of a user mapping. Its kind of server is not known when it is made, so these are of all kinds.
pub const MAPPING_OPTIONS: [&str; 14] = [
    "username",
    "password",
    "password_env",
    "token",
    "token_env",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "proxy_username",
    "proxy_password",
    "proxy_password_env",
    "metadata_username",
    "metadata_password",
    "metadata_password_env",
];
/// Options of a user mapping that name a variable of the server's environment, and the option it stands for.
pub const ENV_OPTIONS: [(&str, &str); 4] = [
    ("password_env", "password"),
    ("token_env", "token"),
    ("proxy_password_env", "proxy_password"),
    ("metadata_password_env", "metadata_password"),
];
/// What the name of an environment variable must begin with to be read by one of [`ENV_OPTIONS`].
pub const ENV_PREFIX: &str = "OBSERVE_BRIDGE_";

/// The kinds of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    OpenObserve,
    S3,
    File,
    Mock,
    Http,
    Git,
}

/// The names of the kinds, for messages.
const KINDS: &str = "Valid kinds are: openobserve, s3, file, mock, http, git.";

impl FromStr for Kind {
    type Err = SourceError;

    fn from_str(s: &str) -> Result<Self, SourceError> {
        match s {
            "openobserve" => Ok(Kind::OpenObserve),
            "s3" => Ok(Kind::S3),
            "file" => Ok(Kind::File),
            "mock" => Ok(Kind::Mock),
            "http" => Ok(Kind::Http),
            "git" => Ok(Kind::Git),
            _ => Err(SourceError::config(format!("server kind \"{s}\" is not known"), KINDS)),
        }
    }
}

impl Kind {
    /// (options there must be, options there may be), beside `kind`.
    fn options(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Kind::OpenObserve => (&["endpoint"], &["org", "ca_certificate", "proxy"]),
            Kind::S3 => (
                &["bucket"],
                &[
                    "endpoint",
                    "region",
                    "prefix",
                    "path_style",
                    "layout",
                    "org",
                    "ca_certificate",
                    "proxy",
                    "path_template",
                    "path_slack",
                    "metadata_url",
                ],
            ),
            Kind::File => (
                &["path"],
                &[
                    "layout",
                    "org",
                    "path_template",
                    "path_slack",
                    "metadata_url",
                    "ca_certificate",
                ],
            ),
            Kind::Mock => (&[], &MockConfig::OPTIONS),
            Kind::Http => (&["url"], &["ca_certificate", "proxy"]),
            Kind::Git => (&["url"], &["ref", "ca_certificate", "proxy"]),
        }
    }
}

/// Checks the options of `CREATE SERVER`.
///
/// # Errors
/// An unknown or missing option, naming the valid ones; a value that its option cannot have.
pub fn check_server(options: &Options) -> Result<(), SourceError> {
    let kind = kind_of(options)?;
    let (needed, optional) = kind.options();
    let valid = || {
        let all: Vec<&str> = std::iter::once("kind")
            .chain(needed.iter().copied())
            .chain(optional.iter().copied())
            .collect();
        format!("Valid options of this kind are: {}.", all.join(", "))
    };
    for key in options.keys() {
        if key != "kind" && !needed.contains(&key.as_str()) && !optional.contains(&key.as_str()) {
            let hint = if MAPPING_OPTIONS.contains(&key.as_str()) {
                "Secrets belong in a user mapping: CREATE USER MAPPING FOR CURRENT_USER SERVER .. OPTIONS (..).".into()
            } else {
                valid()
            };
            return Err(SourceError::config(format!("unknown server option \"{key}\""), hint));
        }
    }
    if let Some(missing) = needed.iter().find(|n| !options.contains_key(**n)) {
        return Err(SourceError::config(
            format!("server option \"{missing}\" is missing"),
            valid(),
        ));
    }
    // Whatever the values themselves can be wrong in.
    config(options, &Options::new(), Vec::new()).map(|_| ())
}

/// Checks the options of `CREATE USER MAPPING`.
///
/// # Errors
/// An unknown option, naming the valid ones; a variable outside of our prefix; a secret and a variable for it.
pub fn check_mapping(options: &Options) -> Result<(), SourceError> {
    if let Some(unknown) = options.keys().find(|k| !MAPPING_OPTIONS.contains(&k.as_str())) {
        return Err(SourceError::config(
            format!("unknown user mapping option \"{unknown}\""),
            format!("Valid options are: {}.", MAPPING_OPTIONS.join(", ")),
        ));
    }
    for (variable, option) in ENV_OPTIONS {
        let Some(name) = options.get(variable) else {
            continue;
        };
        if options.contains_key(option) {
            return Err(SourceError::config(
                format!("a user mapping has either {option} or {variable}"),
                format!("Drop one of them: ALTER USER MAPPING .. OPTIONS (DROP {option})."),
            ));
        }
        if !name.starts_with(ENV_PREFIX) {
            return Err(SourceError::config(
                format!("{variable} must name an environment variable that begins with {ENV_PREFIX}"),
                "Other variables of the server are not readable from SQL.",
            ));
        }
    }
    Ok(())
}

/// Makes a source of the options of a server and of a user mapping (those of [`ENV_OPTIONS`] already resolved).
/// `file_roots` are the directories that sources of kind `file` may read.
///
/// # Errors
/// A value that its option cannot have.
pub fn config(server: &Options, mapping: &Options, file_roots: Vec<PathBuf>) -> Result<SourceConfig, SourceError> {
    let text = |key: &str| server.get(key).cloned();
    let org = || text("org").unwrap_or_else(|| "default".into());
    let arrangement = || Arrangement::parse(server, mapping);
    Ok(match kind_of(server)? {
        Kind::OpenObserve => {
            let endpoint = text("endpoint").unwrap_or_default();
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                return Err(SourceError::config(
                    "server option \"endpoint\" must begin with http:// or https://",
                    "For example: endpoint 'http://127.0.0.1:5080'.",
                ));
            }
            if endpoint.contains('@') {
                return Err(SourceError::config(
                    "server option \"endpoint\" must not carry a user or password",
                    "Put username and password into a user mapping.",
                ));
            }
            SourceConfig::OpenObserve(OpenObserveConfig {
                endpoint,
                org: org(),
                username: mapping.get("username").cloned(),
                password: mapping.get("password").cloned(),
                token: mapping.get("token").cloned(),
                route: Route::parse(server, mapping)?,
            })
        }
        Kind::S3 => SourceConfig::S3(S3Config::parse(server, mapping, arrangement()?)?),
        Kind::File => SourceConfig::File(FileConfig {
            path: text("path").unwrap_or_default().into(),
            roots: file_roots,
            arrangement: arrangement()?,
            settle: None,
        }),
        Kind::Http => SourceConfig::Web(WebConfig::parse(server, mapping)?),
        Kind::Git => SourceConfig::Git(GitConfig::parse(server, mapping, file_roots)?),
        Kind::Mock => SourceConfig::Mock(MockConfig::parse(server).map_err(|message| {
            SourceError::config(
                message,
                format!("Valid options are: {}.", MockConfig::OPTIONS.join(", ")),
            )
        })?),
    })
}

fn kind_of(options: &Options) -> Result<Kind, SourceError> {
    options
        .get("kind")
        .ok_or_else(|| SourceError::config("server option \"kind\" is missing", KINDS))?
        .parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn a_server_says_what_is_wrong() {
        assert!(check_server(&options(&[("kind", "openobserve"), ("endpoint", "http://127.0.0.1:1")])).is_ok());
        assert!(check_server(&options(&[("kind", "mock"), ("seed", "7")])).is_ok());
        for (bad, text) in [
            (&[][..], "\"kind\" is missing"),
            (&[("kind", "x")], "\"x\" is not known"),
            (&[("kind", "openobserve")], "\"endpoint\" is missing"),
            (&[("kind", "openobserve"), ("endpoint", "127.0.0.1")], "http://"),
            (
                &[("kind", "openobserve"), ("endpoint", "http://u:p@h")],
                "must not carry",
            ),
            (
                &[("kind", "openobserve"), ("endpoint", "http://h"), ("password", "x")],
                "unknown server option",
            ),
            (
                &[("kind", "file"), ("path", "/x"), ("layout", "y")],
                "\"y\" is not known",
            ),
            (&[("kind", "mock"), ("services", "0")], "services"),
            (&[("kind", "http")], "\"url\" is missing"),
            (&[("kind", "git"), ("url", "ssh://h/r")], "must begin"),
            (&[("kind", "git"), ("url", "http://h/r"), ("ref", "a b")], "\"ref\""),
            (&[("kind", "s3")], "\"bucket\" is missing"),
            (&[("kind", "s3"), ("bucket", "a/b")], "name of a bucket"),
            (
                &[("kind", "s3"), ("bucket", "b"), ("path_style", "maybe")],
                "path_style",
            ),
            (
                &[("kind", "s3"), ("bucket", "b"), ("layout", "x")],
                "\"x\" is not known",
            ),
            (&[("kind", "s3"), ("bucket", "b"), ("endpoint", "h")], "endpoint"),
        ] {
            let e = check_server(&options(bad)).unwrap_err();
            assert!(e.message.contains(text), "{}", e.message);
            assert!(e.hint.is_some() && e.is_permanent());
        }
    }

    #[test]
    fn a_mapping_reads_only_our_environment() {
        assert!(check_mapping(&options(&[("username", "u"), ("password", "p")])).is_ok());
        assert!(check_mapping(&options(&[("password_env", "OBSERVE_BRIDGE_PW")])).is_ok());
        assert!(check_mapping(&options(&[("password_env", "HOME")])).is_err());
        assert!(check_mapping(&options(&[("password_env", "OBSERVE_BRIDGE_PW"), ("password", "p")])).is_err());
        assert!(check_mapping(&options(&[("token_env", "OBSERVE_BRIDGE_TOKEN")])).is_ok());
        assert!(check_mapping(&options(&[("token_env", "HOME")])).is_err());
        assert!(check_mapping(&options(&[("token_env", "OBSERVE_BRIDGE_TOKEN"), ("token", "t")])).is_err());
        assert!(check_mapping(&options(&[("user", "u")])).is_err());
        assert!(check_mapping(&options(&[("token_env", "OBSERVE_BRIDGE_T"), ("token", "t")])).is_err());
        assert!(check_mapping(&options(&[("proxy_password_env", "PATH")])).is_err());
    }
}
