//! The two calls of OpenObserve's API that are needed, and what its refusals mean.

use super::OpenObserveConfig;
use super::streams::{self, Stream};
use crate::source::error::{ErrorKind, SourceError, excerpt};
use crate::source::http::{self, Client, Incoming, Login, Refusal, Reply, whole};
use engine::decode::reply;
use engine::record::Dataset;
use engine::window::Window;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json as object;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// Largest body of one answer, decompressed. A range with a larger one is cut.
const MAX_BODY: usize = 64 << 20;
/// Streams of one part of the list, where it is too large in one.
const LISTED_AT_ONCE: usize = 500;
/// Left as it is in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Numbers from OpenObserve's table of error codes (`infra::errors::ErrorCodes`).
mod code {
    pub const STREAM_NOT_FOUND: i64 = 20002;
    pub const FIELD_NOT_FOUND: i64 = 20004;
    pub const FILE_NOT_FOUND: i64 = 20006;
    pub const EXECUTE: i64 = 20008;
    pub const CANCELLED: i64 = 20009;
    pub const TIMEOUT: i64 = 20010;
    pub const RATE_LIMIT: i64 = 20012;
}

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// A 200, and what its body was made into.
    Body(T),
    /// The stream does not exist: no rows.
    NoStream,
    /// A selected column does not exist: the remembered schema is stale.
    NoField(SourceError),
    /// The body is over the limit: ask for a shorter range.
    TooLarge,
}

/// One search.
pub struct Search<'a> {
    pub dataset: Dataset,
    pub stream: &'a str,
    pub sql: &'a str,
    pub range: Window,
    /// Rows at most.
    pub size: usize,
    /// Asks for the number of rows instead of the rows.
    pub count: bool,
}

/// One organization on one server.
pub struct Api<'a> {
    client: Client,
    /// `{endpoint}/api/{org}`.
    base: String,
    config: &'a OpenObserveConfig,
    server: &'a str,
    timeout: Duration,
}

impl<'a> Api<'a> {
    /// # Errors
    /// `Config` for an endpoint or organization that cannot work.
    pub fn new(config: &'a OpenObserveConfig, server: &'a str, timeout: Duration) -> Result<Self, SourceError> {
        let endpoint = http::endpoint(&config.endpoint)?;
        if config.org.is_empty() {
            return Err(SourceError::config(
                "option \"org\" is empty",
                "A fresh OpenObserve has the organization \"default\".",
            ));
        }
        let login = login(config, server)?;
        let base = format!("{endpoint}/api/{}", utf8_percent_encode(&config.org, SEGMENT));
        Ok(Api {
            client: Client::new(&endpoint, &config.route, login, timeout, MAX_BODY)?,
            base,
            config,
            server,
            timeout,
        })
    }

    /// Base URL of the organization.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What tells one login from another; no secret can be read from it.
    pub fn login(&self) -> Option<String> {
        let token = || Some(format!("{:x}", xxh3_128(self.config.token.as_ref()?.as_bytes())));
        self.config.username.clone().or_else(token)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All streams of a dataset with their columns: in one answer, or in parts where that is too large.
    ///
    /// # Errors
    /// Those of the transport, `Auth`, `NotFound` (organization), `Http`, `BadResponse`; `Partial` where the streams changed
    /// from part to part.
    pub fn streams(&self, dataset: Dataset, body: &mut Vec<u8>) -> Result<Vec<Stream>, SourceError> {
        if let Some(all) = self.some_streams(dataset, None, body)? {
            return Ok(all.list);
        }
        let what = listing(dataset);
        let (mut out, mut total): (Vec<Stream>, _) = (Vec::new(), None);
        loop {
            let Some(part) = self.some_streams(dataset, Some(out.len()), body)? else {
                return Err(self.too_large(&what).hint(format!(
                    "OpenObserve's answer for {LISTED_AT_ONCE} streams should be smaller: do they have many thousand columns?"
                )));
            };
            let (listed, first) = (part.list.len(), *total.get_or_insert(part.total));
            out.extend(part.list);
            let whole = match first {
                Some(total) => out.len() == total,
                None => listed < LISTED_AT_ONCE,
            };
            if whole && part.total == first {
                return Ok(out);
            }
            if listed == 0 || part.total != first || first.is_some_and(|total| out.len() > total) {
                let e = SourceError::new(ErrorKind::Partial, "the streams changed while they were listed");
                return Err(self.named(e, &what));
            }
        }
    }

    /// Streams in the order of their names from the n-th on, or all of them; `None`: the answer is too large.
    fn some_streams(
        &self,
        dataset: Dataset,
        from: Option<usize>,
        body: &mut Vec<u8>,
    ) -> Result<Option<streams::Answer>, SourceError> {
        let what = listing(dataset);
        let mut uri = format!("{}/streams?type={}&fetchSchema=true", self.base, dataset.as_str());
        if let Some(from) = from {
            uri.push_str(&format!("&sort=name&asc=true&offset={from}&limit={LISTED_AT_ONCE}"));
        }
        let reply = self.client.get(&uri, body).map_err(|e| self.named(e, &what))?;
        match reply {
            Reply::Ok(()) => streams::parse(body).map(Some).map_err(|e| self.named(e, &what)),
            Reply::TooLarge => Ok(None),
            Reply::Status(refusal) => {
                let (code, error) = self.refused(&refusal, body, &what);
                // A list cannot miss a stream: it is the organization that is not there.
                Err(if code == code::STREAM_NOT_FOUND {
                    self.unknown_org(&error)
                } else {
                    error
                })
            }
        }
    }

    /// Runs a search. `take` reads the body of the answer, with `body` as its buffer.
    ///
    /// # Errors
    /// Those of the transport, `Auth`, `NotFound` (organization), `Http`; those of `take`, to which the stream's name is
    /// added.
    pub fn search<T>(
        &self,
        search: &Search<'_>,
        body: &mut Vec<u8>,
        take: impl FnOnce(&mut Incoming<'_>, &mut Vec<u8>) -> Result<T, SourceError>,
    ) -> Result<Answer<T>, SourceError> {
        let what = self.describe(search.dataset, search.stream);
        let uri = format!("{}/_search?type={}&use_cache=false", self.base, search.dataset.as_str());
        let request = object!({
            "query": {
                "sql": search.sql, "start_time": search.range.from, "end_time": search.range.to,
                "from": 0, "size": search.size, "quick_mode": false, "track_total_hits": search.count,
            },
            // The server stops working on it when we stop waiting.
            "timeout": self.timeout.as_secs().max(1),
        });
        let request = request.to_string();
        let reply = self.client.post_json(&uri, request.as_bytes(), body, take);
        match reply.map_err(|e| self.named(e, &what))? {
            Reply::Ok(taken) => Ok(Answer::Body(taken)),
            Reply::TooLarge => Ok(Answer::TooLarge),
            Reply::Status(refusal) => match self.refused(&refusal, body, &what) {
                (code::STREAM_NOT_FOUND, _) => Ok(Answer::NoStream),
                (code::FIELD_NOT_FOUND, e) => Ok(Answer::NoField(e)),
                (_, e) => Err(e),
            },
        }
    }

    /// The number of rows of a search, if the server says it.
    ///
    /// # Errors
    /// As for [`Api::search`].
    pub fn count(&self, search: &Search<'_>, body: &mut Vec<u8>) -> Result<Option<u64>, SourceError> {
        Ok(match self.search(search, body, whole)? {
            Answer::Body(()) => reply::count_response(body).ok(),
            _ => None,
        })
    }

    /// `stream "x" (logs)`; a question of a user may be about many streams and has none.
    pub fn describe(&self, dataset: Dataset, stream: &str) -> String {
        if stream.is_empty() {
            return format!("your question ({})", dataset.as_str());
        }
        format!("stream \"{stream}\" ({})", dataset.as_str())
    }

    /// Says on which server and for what an error of the transport happened.
    pub fn named(&self, mut e: SourceError, what: &str) -> SourceError {
        e.message = format!("server \"{}\", {what}: {}", self.server, e.message);
        let facts = e.detail.take().unwrap_or_default();
        let hint = match e.kind {
            ErrorKind::Connection => {
                "Check the options endpoint and proxy of the server, and that OpenObserve runs there."
            }
            ErrorKind::Timeout => "Raise observe_bridge.http_timeout, or look at what the server is slow at.",
            _ => "The window is tried again; if it stays, look at OpenObserve's own log.",
        };
        e.hint.get_or_insert_with(|| hint.to_string());
        let way = match self.config.route.proxy_address() {
            Some(proxy) => format!("{} through the proxy {proxy}", self.base),
            None => self.base.clone(),
        };
        e.detail(if facts.is_empty() {
            way
        } else {
            format!("{way}: {facts}")
        })
    }

    /// An answer that stays over the size limit however short its range.
    pub fn too_large(&self, what: &str) -> SourceError {
        let e = SourceError::new(
            ErrorKind::BadResponse,
            format!("the answer is larger than {} MB", MAX_BODY >> 20),
        );
        self.named(e, what)
            .transient(false)
            .hint("Leave the stream out of the source's options, or select fewer labels.")
    }

    fn unknown_org(&self, e: &SourceError) -> SourceError {
        let what = format!("server \"{}\" has no organization \"{}\"", self.server, self.config.org);
        SourceError::new(ErrorKind::NotFound, what)
            .detail(e.detail.clone().unwrap_or_default())
            .hint("Check the options org and endpoint (with its base path) of the server.")
    }

    /// OpenObserve's own error code (0 if it sent none) and the error.
    fn refused(&self, refusal: &Refusal, body: &[u8], what: &str) -> (i64, SourceError) {
        let said = reply::search_error(body);
        let oo_code = said.code.unwrap_or(0);
        let text = excerpt(&said.message);
        let status = refusal.status;
        let detail = format!("HTTP {status} from {}: {text}", self.base);
        let error = |kind, message: &str| {
            let message = format!("server \"{}\", {what}: {message}", self.server);
            SourceError::new(kind, message)
                .detail(detail.clone())
                .retry_after(refusal.retry_after)
        };
        let e = match status {
            401 => error(ErrorKind::Auth, "the credentials are refused").hint(
                "Set username and password, or token, in the user mapping of the source's owner: ALTER USER MAPPING.",
            ),
            403 => error(ErrorKind::Auth, "the user may not read this organization")
                .hint("Give the user of the user mapping the right to read it in OpenObserve."),
            404 if said.message.contains("Organization") => self.unknown_org(&error(ErrorKind::NotFound, "not found")),
            404 => error(ErrorKind::NotFound, "there is no OpenObserve at this address")
                .hint("Check the option endpoint of the server with its base path (ZO_BASE_URI)."),
            300..=399 => error(ErrorKind::Http(status), "the server redirects, which is not followed").hint(format!(
                "Set the endpoint option to where it points: {}",
                refusal.location.as_deref().unwrap_or("unknown")
            )),
            408 | 429 | 500..=599 => error(ErrorKind::Http(status), "the server cannot answer now")
                .hint("The window is tried again; if it stays, look at OpenObserve's own log."),
            _ => error(ErrorKind::Http(status), "the server refuses the request")
                .hint("Replay the window with etl_retry() once the cause is gone.")
                .transient(passes_by(oo_code, &said.message)),
        };
        (oo_code, e)
    }
}

/// What a list of streams is called in messages.
fn listing(dataset: Dataset) -> String {
    format!("the list of {} streams", dataset.as_str())
}

fn login<'a>(config: &'a OpenObserveConfig, server: &str) -> Result<Option<Login<'a>>, SourceError> {
    match (&config.username, &config.password, &config.token) {
        (Some(user), password, None) => Ok(Some(Login::Basic {
            user,
            password: password.as_deref().unwrap_or(""),
        })),
        (None, None, Some(token)) => Ok(Some(Login::Bearer { token })),
        (None, None, None) => Ok(None),
        (None, Some(_), None) => Err(SourceError::config(
            format!("the user mapping of server \"{server}\" has a password but no username"),
            "Add the option username to the user mapping.",
        )),
        (_, _, Some(_)) => Err(SourceError::config(
            format!("the user mapping of server \"{server}\" has a token beside a username or password"),
            "A token goes alone. The token of a service account is the password of its username.",
        )),
    }
}

/// Whether a 4xx of the server stands for something that passes by: a file that compaction took away under the
/// query (often wrapped in a general execution error), a cancelled query, a timeout, a rate limit.
fn passes_by(oo_code: i64, message: &str) -> bool {
    match oo_code {
        code::FILE_NOT_FOUND | code::CANCELLED | code::TIMEOUT | code::RATE_LIMIT => true,
        code::EXECUTE => {
            let m = message.to_ascii_lowercase();
            m.contains("parquet file not found") || m.contains("object at location") || m.contains("nosuchkey")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
