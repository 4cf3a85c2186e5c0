//! The HTTP client: one keep-alive agent for all threads of a fetch, and for the next fetch; hard deadlines, bounded
//! bodies. It never retries: the ledger does, and counts.

mod agents;
mod body;
mod failure;
mod gather;
mod route;

pub use body::Incoming;
pub use failure::certificate_error;
pub use route::{Route, system, trusted};

use super::error::{SourceError, excerpt};
use super::resolve::OneHost;
use agents::{Kept, Way};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::{tls_error, transport_error};
use gather::Gather;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, HeaderValue, Uri, header};
use ureq::unversioned::transport::{Connector, DefaultConnector};
use ureq::{Agent, Body, RequestBuilder, http};

/// Longest time to resolve a name, and to connect (each also bounded by the deadline of the request).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes kept of an error's body.
const MAX_ERROR_BODY: usize = 64 << 10;

/// Connections that wait for the next request, at most.
const MOST_IDLE: usize = 16;
/// Bytes of a request that are sent at once.
const OUTPUT_BUFFER: usize = 16 << 10;

/// What came back.
#[derive(Debug)]
pub enum Reply<T = ()> {
    /// A 200 (or 206), and what its body was made into.
    Ok(T),
    /// A 200 (or 206) with a body over the limit; it was not read to its end.
    TooLarge,
    /// Any other status; the start of the body is in the buffer.
    Status(Refusal),
}

/// A status other than 200.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// Where a redirect points; never followed, since credentials would go along.
    pub location: Option<String>,
}

/// Who we are to the server.
pub enum Login<'a> {
    /// `Authorization: Basic`.
    Basic { user: &'a str, password: &'a str },
    /// `Authorization: Bearer`.
    Bearer { token: &'a str },
}

/// A client of one server with one login. Shared by reference between threads.
pub struct Client {
    kept: Kept,
    /// Nobody may use the agent again.
    spoilt: AtomicBool,
    authorization: Option<HeaderValue>,
    /// The proxy, if it shows a certificate of its own.
    tls_proxy: Option<String>,
    max_body: usize,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Client {
    /// `endpoint` is what the URLs of all requests begin with. `timeout` bounds each request as a whole, from resolving
    /// the name to the last byte of the body, so that a server that drips ends too. `max_body` is in bytes after
    /// decompression.
    ///
    /// # Errors
    /// `Config` for a login that no header can have.
    pub fn new(
        endpoint: &str,
        route: &Route,
        login: Option<Login<'_>>,
        timeout: Duration,
        max_body: usize,
    ) -> Result<Self, SourceError> {
        let way = Way {
            endpoint: endpoint.to_string(),
            route: route.clone(),
            timeout,
        };
        Ok(Client {
            kept: Kept::take(way, agent)?,
            spoilt: AtomicBool::new(false),
            authorization: login.map(|login| authorization(&login)).transpose()?,
            tls_proxy: route.tls_proxy(),
            max_body,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    fn agent(&self) -> &Agent {
        &self.kept.agent
    }

    /// Ends every request in flight on any thread; later ones fail at once. A name lookup or a connect in progress
    /// runs into its own timeout.
    pub fn interrupt(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
        self.agent().clone().shutdown();
    }

    /// Requests sent so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies received so far, after decompression.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// `GET uri`, the body into `body` (cleared first).
    ///
    /// # Errors
    /// `Connection`, `Timeout`, `Auth` (proxy) or `BadResponse` (a body that ends early, broken compression), with no
    /// message about the purpose of the request: the caller adds it.
    pub fn get(&self, uri: &str, body: &mut Vec<u8>) -> Result<Reply, SourceError> {
        let request = self.authorized(self.agent().get(uri));
        self.receive(request.call(), body, whole)
    }

    /// `GET uri` with these headers, and what a 200 or 206 carries of headers. The bytes come as they are stored: unpacked
    /// ones would not be the range that was asked for. Errors as for [`Client::get`].
    pub fn get_exact(
        &self,
        uri: &str,
        headers: &HeaderMap,
        body: &mut Vec<u8>,
    ) -> Result<(Reply, HeaderMap), SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent().get(uri).header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(|e| self.unanswered(&e))?;
        // What a store was once told of an object, not what it did to it now: the bytes are the object's own.
        response.headers_mut().remove(header::CONTENT_ENCODING);
        let headers = response.headers().clone();
        Ok((self.receive(Ok(response), body, whole)?, headers))
    }

    /// `POST uri` with a JSON text. `take` reads the body of a 200 while it arrives, to its end, and may use `body` as
    /// its buffer, which is empty then; the start of any other answer's body is in `body` afterwards.
    ///
    /// # Errors
    /// As for [`Client::get`], and those of `take`.
    pub fn post_json<T>(
        &self,
        uri: &str,
        json: &[u8],
        body: &mut Vec<u8>,
        take: impl FnOnce(&mut Incoming<'_>, &mut Vec<u8>) -> Result<T, SourceError>,
    ) -> Result<Reply<T>, SourceError> {
        let request = self.agent().post(uri).header(header::CONTENT_TYPE, "application/json");
        self.receive(self.authorized(request).send(json), body, take)
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    /// `POST uri` with these headers. Asks for bytes as they are. Errors as for [`Client::get`].
    pub fn post_exact(
        &self,
        uri: &str,
        headers: &HeaderMap,
        content: &[u8],
        body: &mut Vec<u8>,
    ) -> Result<Reply<()>, SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent().post(uri).header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.receive(request.send(content), body, whole)
    }

    /// What it means that no answer came; the agent is not used again.
    fn unanswered(&self, e: &ureq::Error) -> SourceError {
        self.spoilt.store(true, Ordering::Relaxed);
        let mut error = transport_error(e);
        if let (Some(proxy), true, Some(hint)) = (&self.tls_proxy, tls_error(e).is_some(), &mut error.hint) {
            hint.push_str(&format!(
                " The proxy {proxy} is reached over TLS too: it may be its certificate."
            ));
        }
        error
    }

    fn receive<T>(
        &self,
        result: Result<http::Response<Body>, ureq::Error>,
        body: &mut Vec<u8>,
        take: impl FnOnce(&mut Incoming<'_>, &mut Vec<u8>) -> Result<T, SourceError>,
    ) -> Result<Reply<T>, SourceError> {
        body.clear();
        let mut response = result.map_err(|e| self.unanswered(&e))?;
        let status = response.status().as_u16();
        let text = |name: header::HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_string())
        };
        let packing = text(header::CONTENT_ENCODING);
        if is_good(response.status()) {
            let announced = response.body().content_length().and_then(|n| usize::try_from(n).ok());
            let announced = announced.filter(|_| packing.is_none()).unwrap_or(0);
            if announced > self.max_body {
                return Ok(Reply::TooLarge);
            }
            let reader = response.body_mut().as_reader();
            let mut incoming = Incoming::new(reader, packing.as_deref(), self.max_body, &self.bytes)
                .map_err(read_error)?
                .announced(announced);
            return match take(&mut incoming, body) {
                _ if incoming.is_over() => Ok(Reply::TooLarge),
                taken => {
                    // Also where it was the content: how much of the body was read nobody knows.
                    if taken.is_err() {
                        self.spoilt.store(true, Ordering::Relaxed);
                    }
                    taken.map(Reply::Ok)
                }
            };
        }
        let refusal = Refusal {
            status,
            retry_after: retry_after(response.headers(), SystemTime::now()),
            location: text(header::LOCATION).map(|l| excerpt(&l)),
        };
        // The status is what counts; a body that cannot be read takes nothing from it.
        let reader = response.body_mut().as_reader();
        if let Ok(incoming) = Incoming::new(reader, packing.as_deref(), usize::MAX, &self.bytes) {
            let _ = incoming.take(MAX_ERROR_BODY as u64).read_to_end(body);
        }
        Ok(Reply::Status(refusal))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !self.spoilt.load(Ordering::Relaxed) {
            self.kept.clone().give_back();
        }
    }
}

fn agent(way: &Way) -> Result<Agent, SourceError> {
    let connect = CONNECT_TIMEOUT.min(way.timeout);
    let config = Agent::config_builder()
        .timeout_global(Some(way.timeout))
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // As many as there are threads: they come back one by one at the end of a fetch.
        .max_idle_connections(MOST_IDLE)
        .max_idle_connections_per_host(MOST_IDLE)
        .output_buffer_size(OUTPUT_BUFFER)
        // The postmaster's environment is no configuration of ours.
        .proxy(way.route.proxy()?)
        .tls_config(way.route.tls(&way.endpoint))
        .accept_encoding(body::ACCEPT)
        .user_agent(concat!("observe_bridge/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = DefaultConnector::default().chain(Gather);
    Ok(Agent::with_parts(config, connector, OneHost::default()))
}

/// The whole body into the buffer.
pub fn whole(incoming: &mut Incoming<'_>, body: &mut Vec<u8>) -> Result<(), SourceError> {
    body.reserve(incoming.expected());
    incoming.read_to_end(body).map(|_| ()).map_err(read_error)
}

/// What it means that a body could not be read on.
pub fn read_error(e: io::Error) -> SourceError {
    transport_error(&ureq::Error::from(e))
}

fn authorization(login: &Login<'_>) -> Result<HeaderValue, SourceError> {
    let text = match login {
        Login::Basic { user, password } => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
        Login::Bearer { token } => format!("Bearer {token}"),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        SourceError::config(
            "the token contains characters that no header can have",
            "Check the option token of the user mapping: it is one line.",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// 206 comes only where a range was asked for.
fn is_good(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 206)
}

/// Checks an endpoint and takes its trailing slashes away; a base path stays.
///
/// # Errors
/// `Config` unless it is `http://` or `https://`, a host, and optionally a port and a path.
pub fn endpoint(text: &str) -> Result<String, SourceError> {
    const HINT: &str = "Use something like http://127.0.0.1:5080 or https://observe.example.com/base/path.";
    // The text may hold a password: it is never repeated.
    let bad = |what: &str| Err(SourceError::config(format!("option \"endpoint\" {what}"), HINT));
    let Ok(uri) = text.trim().parse::<Uri>() else {
        return bad("is not a URL");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return bad("must begin with http:// or https://");
    }
    let Some(authority) = uri.authority().filter(|a| !a.host().is_empty()) else {
        return bad("names no host");
    };
    if authority.as_str().contains('@') {
        return bad("must not contain credentials; they belong into the user mapping");
    }
    if uri.query().is_some() || text.contains('#') {
        return bad("must not contain a query or a fragment");
    }
    Ok(text.trim().trim_end_matches('/').to_string())
}

/// `Retry-After` in both of its forms (RFC 9110, 10.2.3): seconds, or a date, which is taken relative to `now`.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = SystemTime::from(chrono::DateTime::parse_from_rfc2822(text).ok()?);
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests;
