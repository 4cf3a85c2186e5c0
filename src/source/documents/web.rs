//! Kind `http`: a document or an archive at an address.

use super::archive::{self, HEAD, Packing};
use super::collect::Collector;
use super::{MAX_ARCHIVE, Validator, unfit};
use crate::source::Context;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::http::{Client, Refusal, Reply, Route};
use crate::source::pool;
use crate::source::server::Options;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::sync::atomic::AtomicBool;
use ureq::http::{HeaderMap, HeaderValue, header};
use url::Url;

/// The status of an answer without the document, which the caller has.
const NOT_MODIFIED: u16 = 304;

/// Options of a server of kind `http` and its user mapping. `Debug` shows no secret: neither the header nor a query.
#[derive(Clone, PartialEq, Eq)]
pub struct WebConfig {
    pub url: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    pub route: Route,
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebConfig")
            .field("url", &shown(&self.url))
            .finish_non_exhaustive()
    }
}

impl WebConfig {
    /// # Errors
    /// `Config` for an address that cannot be, and for credentials that cannot be sent.
    pub fn parse(server: &Options, mapping: &Options) -> Result<WebConfig, SourceError> {
        let url = server.get("url").map(String::as_str).unwrap_or_default();
        check_url(url, &["http", "https"])?;
        let authorization = match mapping.get("token") {
            Some(token) => Some(format!("Bearer {token}")),
            None => mapping.get("username").map(|user| basic(user, mapping.get("password"))),
        };
        Ok(WebConfig {
            url: url.to_string(),
            authorization,
            route: Route::parse(server, mapping)?,
        })
    }
}

/// The header of a user with a password.
pub fn basic(user: &str, password: Option<&String>) -> String {
    let password = password.map(String::as_str).unwrap_or_default();
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The option `url` of servers.
///
/// # Errors
/// `Config` unless it is one of these schemes with a host (`file` has none), and no credentials.
pub fn check_url(text: &str, schemes: &[&str]) -> Result<Url, SourceError> {
    // The text may hold a password: it is never repeated.
    let bad = |what: String| {
        SourceError::config(
            format!("server option \"url\" {what}"),
            "For example: url 'https://example.com/states/shop.tfstate'.",
        )
    };
    let url = Url::parse(text).map_err(|_| bad("is not a URL".into()))?;
    if !schemes.contains(&url.scheme()) {
        return Err(bad(format!("must begin with {}://", schemes.join(":// or "))));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "must not contain credentials; they belong into the user mapping".into()
        ));
    }
    match url.host_str() {
        None | Some("") if url.scheme() != "file" => Err(bad("names no host".into())),
        Some(host) if url.scheme() == "file" && !host.is_empty() => Err(bad("of a file names no host".into())),
        _ if url.fragment().is_some() => Err(bad("must not contain a fragment".into())),
        _ => Ok(url),
    }
}

/// An address as messages show it: without its query, which may hold a signature.
pub fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// A header of a request that carries these credentials.
///
/// # Errors
/// `Config` for credentials that no header can carry.
pub fn authorize(headers: &mut HeaderMap, authorization: Option<&str>) -> Result<(), SourceError> {
    if let Some(value) = authorization {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            SourceError::config(
                "the user mapping has credentials that cannot be sent over HTTP",
                "They must not contain control characters, such as a line break at the end of a token.",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(())
}

/// Sends a request, and ends it when the caller wants to stop.
pub fn watched<T: Send>(
    client: &Client,
    cancel: &AtomicBool,
    request: impl Fn() -> Result<T, SourceError> + Sync,
) -> Result<T, SourceError> {
    let answers = pool::run(
        vec![()],
        1,
        cancel,
        || None,
        |(), answer, _| {
            *answer = Some(request()?);
            Ok(())
        },
        || client.interrupt(),
    )?;
    answers.into_iter().flatten().next().ok_or_else(SourceError::cancelled)
}

/// What a status other than 200 means.
pub fn refused(refusal: &Refusal, url: &str) -> SourceError {
    let error = |kind, what: &str| SourceError::new(kind, format!("{}: {what}", shown(url)));
    match refusal.status {
        401 | 403 => error(ErrorKind::Auth, "the credentials are refused")
            .hint("Put token, or username and password, into the user mapping of the server."),
        404 | 410 => error(ErrorKind::NotFound, "there is nothing at this address")
            .hint("Check the option url of the server; some servers say so when credentials are missing."),
        status @ 300..=399 => error(
            ErrorKind::Http(status),
            "the server sends us elsewhere, which is not followed",
        )
        .hint("Give the final address as url: credentials would go along."),
        status => error(
            ErrorKind::Http(status),
            &format!("the server answers with status {status}"),
        )
        .retry_after(refusal.retry_after),
    }
}

/// Fetches the document or the archive at the address, unless it is the one that is `known`.
pub fn gather(
    config: &WebConfig,
    known: Option<&Validator>,
    ctx: &Context,
    collector: &mut Collector<'_>,
) -> Result<(), SourceError> {
    let client = Client::new(&config.url, &config.route, None, ctx.http_timeout, MAX_ARCHIVE)?;
    let mut headers = HeaderMap::new();
    authorize(&mut headers, config.authorization.as_deref())?;
    if let Some(known) = known {
        known.ask(&mut headers);
    }
    let answer = watched(&client, &ctx.cancel, || {
        let mut body = Vec::new();
        let (reply, said) = client.get_exact(&config.url, &headers, &mut body)?;
        match reply {
            Reply::Ok(()) => Ok(Some((body, Validator::of(&said)))),
            Reply::Status(refusal) if refusal.status == NOT_MODIFIED && known.is_some() => Ok(None),
            Reply::TooLarge => Err(
                unfit(format!("{} has more than {} MB", shown(&config.url), MAX_ARCHIVE >> 20))
                    .hint("Serve it in parts, each a server of its own."),
            ),
            Reply::Status(refusal) => Err(refused(&refusal, &config.url)),
        }
    })
    .map_err(|mut e| {
        if !e.message.contains(shown(&config.url)) {
            e.message = format!("{}: {}", shown(&config.url), e.message);
        }
        e
    })?;
    collector.gathered.requests += client.requests();
    let Some((body, validator)) = answer else {
        collector.gathered.not_modified = true;
        collector.gathered.validator = known.cloned();
        return Ok(());
    };
    collector.gathered.validator = validator;
    let path = shown(&config.url).trim_end_matches('/');
    let name = path
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or("document");
    match Packing::of(body.get(..HEAD).unwrap_or(&body)) {
        Some(packing) => archive::unpack(name, &body, packing, collector),
        None => collector.read_alone(name.to_string(), &mut body.as_slice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_never_repeated() {
        assert!(check_url("https://example.com/x?sig=secret", &["https"]).is_ok());
        for (bad, what) in [
            ("", "is not a URL"),
            ("example.com/x", "is not a URL"),
            ("ftp://h/secret", "must begin"),
            ("https://u:secret@h/", "credentials"),
            ("https://secret@h/", "credentials"),
            ("https://h/#secret", "fragment"),
        ] {
            let e = check_url(bad, &["https", "http"]).unwrap_err();
            assert!(
                e.message.contains(what) && !format!("{e:?}").contains("secret"),
                "{bad}: {e}"
            );
        }
    }

    #[test]
    fn a_config_shows_no_secret() {
        let server = [("url".to_string(), "https://h/x?sig=Sesame".to_string())].into();
        let mapping = [("token".to_string(), "Sesame".to_string())].into();
        let config = WebConfig::parse(&server, &mapping).unwrap();
        assert_eq!(config.authorization.as_deref(), Some("Bearer Sesame"));
        assert!(!format!("{config:?}").contains("Sesame"));
    }
}
