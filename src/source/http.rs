//! The HTTP client: one keep-alive agent for all threads of a fetch, hard deadlines, bounded bodies. It never
//! retries: the ledger does, and counts.

use super::error::{ErrorKind, SourceError, excerpt};
use super::resolve::OneHost;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, Uri, header};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, http};

/// Longest time to resolve a name, and to connect (each also bounded by the deadline of the request).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes kept of an error's body.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Room made in the buffer before each read of a body.
const READ_STEP: usize = 256 << 10;

/// What came back.
#[derive(Debug)]
pub enum Reply {
    /// A 200 (or 206) whose whole body is in the buffer.
    Ok,
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

/// A client of one server with one set of credentials. Shared by reference between threads.
pub struct Client {
    agent: Agent,
    authorization: Option<String>,
    max_body: usize,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Client {
    /// `timeout` bounds each request as a whole, from resolving the name to the last byte of the body, so that a
    /// server that drips ends too. `max_body` is in bytes after decompression.
    pub fn new(credentials: Option<(&str, &str)>, timeout: Duration, max_body: usize) -> Self {
        let connect = CONNECT_TIMEOUT.min(timeout);
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The postmaster's environment is no configuration of ours.
            .proxy(None)
            .user_agent(concat!("observe_bridge/", env!("CARGO_PKG_VERSION")))
            .build();
        let authorization =
            credentials.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        Client {
            agent: Agent::with_parts(config, DefaultConnector::default(), OneHost::default()),
            authorization,
            max_body,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Ends every request in flight on any thread; later ones fail at once. A name lookup or a connect in progress
    /// runs into its own timeout.
    pub fn interrupt(&self) {
        self.agent.clone().shutdown();
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
    /// `Connection`, `Timeout` or `BadResponse` (a body that ends early, broken compression), with no message about
    /// the purpose of the request: the caller adds it.
    pub fn get(&self, uri: &str, body: &mut Vec<u8>) -> Result<Reply, SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent.get(uri);
        if let Some(a) = &self.authorization {
            request = request.header(header::AUTHORIZATION, a);
        }
        self.receive(request.call(), body)
    }

    /// `GET uri` with these headers, and what a 200 or 206 carries of headers. Asks for bytes as they are: a packed
    /// answer would not be the range that was asked for. Errors as for [`Client::get`]; `BadResponse`, not transient,
    /// for a packed answer.
    pub fn get_exact(
        &self,
        uri: &str,
        headers: &HeaderMap,
        body: &mut Vec<u8>,
    ) -> Result<(Reply, HeaderMap), SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent.get(uri).header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.call().map_err(|e| transport_error(&e))?;
        let packing = response.headers().get(header::CONTENT_ENCODING);
        if is_good(response.status()) && packing.is_some_and(|p| p != "identity") {
            return Err(SourceError::new(
                ErrorKind::BadResponse,
                "the server sends the object packed for transport",
            )
            .transient(false)
            .hint("Take Content-Encoding away from the object; its name says how it is packed."));
        }
        let headers = response.headers().clone();
        Ok((self.receive(Ok(response), body)?, headers))
    }

    /// `POST uri` with a JSON text, the answer's body into `body` (cleared first). Errors as for [`Client::get`].
    pub fn post_json(&self, uri: &str, json: &[u8], body: &mut Vec<u8>) -> Result<Reply, SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent.post(uri).header(header::CONTENT_TYPE, "application/json");
        if let Some(a) = &self.authorization {
            request = request.header(header::AUTHORIZATION, a);
        }
        self.receive(request.send(json), body)
    }

    /// `POST uri` with these headers. Asks for bytes as they are. Errors as for [`Client::get`].
    pub fn post_exact(
        &self,
        uri: &str,
        headers: &HeaderMap,
        content: &[u8],
        body: &mut Vec<u8>,
    ) -> Result<Reply, SourceError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent.post(uri).header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.receive(request.send(content), body)
    }

    fn receive(
        &self,
        result: Result<http::Response<Body>, ureq::Error>,
        body: &mut Vec<u8>,
    ) -> Result<Reply, SourceError> {
        body.clear();
        let mut response = result.map_err(|e| transport_error(&e))?;
        let status = response.status().as_u16();
        if is_good(response.status()) {
            let complete = self
                .read(response.body_mut(), self.max_body, body)
                .map_err(|e| transport_error(&e))?;
            return Ok(if complete { Reply::Ok } else { Reply::TooLarge });
        }
        // The status is what counts; a body that cannot be read takes nothing from it.
        let _ = self.read(response.body_mut(), MAX_ERROR_BODY, body);
        let text = |name: header::HeaderName| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_string)
        };
        Ok(Reply::Status(Refusal {
            status,
            retry_after: retry_after(response.headers(), SystemTime::now()),
            location: text(header::LOCATION).map(|l| excerpt(&l)),
        }))
    }

    /// Appends the body to `out`; `false` when it is longer than `max`.
    fn read(&self, body: &mut Body, max: usize, out: &mut Vec<u8>) -> Result<bool, ureq::Error> {
        let announced = body.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        if announced > max {
            return Ok(false);
        }
        out.reserve(announced);
        let mut reader = body.as_reader();
        loop {
            let before = out.len();
            let room = READ_STEP.max(out.capacity() - before).min(max + 1 - before) as u64;
            let n = reader.by_ref().take(room).read_to_end(out).map_err(ureq::Error::from)?;
            self.bytes.fetch_add(n as u64, Ordering::Relaxed);
            if out.len() > max {
                return Ok(false);
            }
            if (n as u64) < room {
                return Ok(true);
            }
        }
    }
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

fn transport_error(e: &ureq::Error) -> SourceError {
    use std::io::ErrorKind as Io;
    let (kind, message) = match e {
        ureq::Error::Timeout(_) => (ErrorKind::Timeout, "the server did not answer in time"),
        ureq::Error::HostNotFound => (ErrorKind::Connection, "the name of the server cannot be resolved"),
        ureq::Error::Io(io) => match io.kind() {
            Io::ConnectionRefused => (ErrorKind::Connection, "the server refused the connection"),
            Io::TimedOut | Io::WouldBlock => (ErrorKind::Timeout, "the server did not answer in time"),
            Io::UnexpectedEof => (ErrorKind::BadResponse, "the server cut its answer short"),
            Io::InvalidData | Io::InvalidInput => (ErrorKind::BadResponse, "the server sent a broken answer"),
            _ => (ErrorKind::Connection, "the connection to the server failed"),
        },
        ureq::Error::Decompress(..) => (ErrorKind::BadResponse, "the answer cannot be decompressed"),
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            (ErrorKind::BadResponse, "the server does not speak HTTP properly")
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => (ErrorKind::Connection, "TLS to the server failed"),
        _ => (ErrorKind::Connection, "the connection to the server failed"),
    };
    SourceError::new(kind, message).detail(excerpt(&e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert_eq!(endpoint("http://127.0.0.1:5080").unwrap(), "http://127.0.0.1:5080");
        assert_eq!(
            endpoint(" https://o.example.com/abc/ ").unwrap(),
            "https://o.example.com/abc"
        );
        for bad in [
            "",
            "o.example.com",
            "ftp://x",
            "http://",
            "http://u:secret@x",
            "http://x/?a=1",
            "http://x/#f",
            "/p",
        ] {
            let e = endpoint(bad).unwrap_err();
            assert!(e.is_permanent() && !format!("{e:?}").contains("secret"), "{bad}");
        }
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_470);
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(parse("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(parse("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO));
        for bad in ["soon", "-1", "NaN", "1e300"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
