//! Signed requests to one bucket. The signature (AWS Signature Version 4) and the types of the answers are rust-s3's;
//! requests go over our own HTTP client, since rust-s3's blocking one opens a connection for each request, reads
//! answers of any length into memory and cannot be interrupted.

use super::S3Config;
use super::answer::{self, Next, Page};
use super::slots::Slots;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::http::{self, Reply};
use bytes::Bytes;
use hmac::Mac;
use s3::Region;
use s3::signing::{self, HmacSha256};
use std::ops::Range;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use ureq::http::header::{CONTENT_RANGE, ETAG, HOST, RANGE};
use ureq::http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// SHA-256 of nothing: the body of every request.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Bytes asked for in one request at most.
pub const MAX_PART: u64 = 8 << 20;
/// Longest answer: a part, or a page of a listing.
const MAX_BODY: usize = 16 << 20;

/// A part of an object.
#[derive(Clone, Debug)]
pub struct Part {
    pub bytes: Bytes,
    /// Bytes of the whole object.
    pub total: u64,
    /// What version of the object it is of.
    pub etag: Option<String>,
}

/// A bucket's address and what requests to it are signed with.
pub struct Client {
    http: http::Client,
    /// Of the bucket, without a slash at its end.
    base: String,
    config: S3Config,
    server: String,
    slots: Slots,
}

impl Client {
    /// `server` is the source's name in messages; `timeout` bounds each request; so many parts of objects are read at
    /// once, whoever asks.
    ///
    /// # Errors
    /// `Config` for an endpoint or a bucket that cannot be.
    pub fn new(config: &S3Config, server: &str, timeout: Duration, at_once: usize) -> Result<Self, SourceError> {
        let base = address(config)?;
        Ok(Client {
            http: http::Client::new(&base, &config.route, None, timeout, MAX_BODY)?,
            base,
            config: config.clone(),
            server: server.to_string(),
            slots: Slots::new(at_once),
        })
    }

    /// Requests for parts that could be sent at this moment beside that of the caller.
    pub fn idle(&self) -> usize {
        self.slots.free().saturating_sub(1)
    }

    /// One page of the keys that begin with `prefix`, at most `max`; with `by_folder`, what lies behind the next slash
    /// is one folder.
    ///
    /// # Errors
    /// Those of the transport, `Auth`, `NotFound` (bucket), `Http`, `BadResponse`.
    pub fn list(&self, prefix: &str, by_folder: bool, max: u32, next: Option<&Next>) -> Result<Page, SourceError> {
        let mut query = format!("list-type=2&max-keys={max}&prefix={}", encode(prefix));
        if by_folder {
            query.push_str("&delimiter=%2F");
        }
        match next {
            None => {}
            Some(Next::Token(token)) => query.push_str(&format!("&continuation-token={}", encode(token))),
            Some(Next::After(key)) => query.push_str(&format!("&start-after={}", encode(key))),
        }
        let what = format!("the list of \"{prefix}\"");
        let mut body = Vec::new();
        let named = |e| self.named(e, &what);
        let (reply, _) = self
            .get(&format!("{}/?{query}", self.base), None, &mut body)
            .map_err(named)?;
        match reply {
            Reply::Ok(()) => answer::page(&body),
            Reply::TooLarge => Err(SourceError::new(ErrorKind::BadResponse, "the list is too long")),
            Reply::Status(refusal) => Err(answer::refused(&refusal, &body, None)),
        }
        .map_err(named)
    }

    /// The bytes `range` of an object; fewer come if it is shorter.
    ///
    /// # Errors
    /// Those of the transport, `Gone` (transient) for an object that is not there or ends before the range, `Auth`, `NotFound`
    /// (bucket), `Http`, `BadResponse`.
    pub fn part(&self, key: &str, range: Range<u64>) -> Result<Part, SourceError> {
        let _slot = self.slots.take();
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let what = format!("object \"{key}\"");
        let mut body = Vec::new();
        let uri = format!("{}/{}", self.base, signing::uri_encode(key, false));
        let named = |e| self.named(e, &what);
        let (reply, headers) = self.get(&uri, Some(&bytes), &mut body).map_err(named)?;
        match reply {
            Reply::Ok(()) => part(range, &headers, body.into()),
            Reply::TooLarge => Err(
                SourceError::new(ErrorKind::BadResponse, "the server sends more than the range")
                    .transient(false)
                    .hint("The server must answer ranged requests."),
            ),
            Reply::Status(refusal) => Err(answer::refused(&refusal, &body, Some(key))),
        }
        .map_err(named)
    }

    /// Requests sent so far.
    pub fn requests(&self) -> u64 {
        self.http.requests()
    }

    /// Ends every request in flight; later ones fail at once.
    pub fn interrupt(&self) {
        self.http.interrupt();
    }

    fn get(&self, uri: &str, range: Option<&str>, body: &mut Vec<u8>) -> Result<(Reply, HeaderMap), SourceError> {
        let url = Url::parse(uri).map_err(|e| internal(&e.to_string()))?;
        let mut headers = self.signature(&url, OffsetDateTime::from(SystemTime::now()))?;
        // The library adds it again, from the same address.
        headers.remove(HOST);
        if let Some(range) = range {
            headers.insert(RANGE, header_value(range)?);
        }
        self.http.get_exact(url.as_str(), &headers, body)
    }

    /// The headers that a request is signed in and by; just the host without credentials.
    fn signature(&self, url: &Url, now: OffsetDateTime) -> Result<HeaderMap, SourceError> {
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or(host.to_string(), |port| format!("{host}:{port}"));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, header_value(&host)?);
        let Some(credentials) = &self.config.credentials else {
            return Ok(headers);
        };
        let stamp = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second()
        );
        headers.insert(HeaderName::from_static("x-amz-date"), header_value(&stamp)?);
        headers.insert(HeaderName::from_static("x-amz-content-sha256"), header_value(NO_BODY)?);
        if let Some(token) = &credentials.session_token {
            let mut token = header_value(token)?;
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-amz-security-token"), token);
        }
        let region = Region::Custom {
            region: self.config.region.clone(),
            endpoint: String::new(),
        };
        let sign = || {
            let request = signing::canonical_request("GET", url, &headers, NO_BODY)?;
            let text = signing::string_to_sign(&now, &region, &request)?;
            let key = signing::signing_key(&now, &credentials.secret_access_key, &region, "s3")?;
            let mut mac = HmacSha256::new_from_slice(&key)?;
            mac.update(text.as_bytes());
            let signature: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
            let signed = signing::signed_header_string(&headers);
            signing::authorization_header(&credentials.access_key_id, &now, &region, &signed, &signature)
        };
        // What these errors say may contain what they were given.
        let authorization = sign().map_err(|_: s3::error::S3Error| internal("the request cannot be signed"))?;
        let mut authorization = header_value(&authorization)?;
        authorization.set_sensitive(true);
        headers.insert(ureq::http::header::AUTHORIZATION, authorization);
        Ok(headers)
    }

    /// Names the server and the purpose of the request, and takes secrets out of what the server said.
    fn named(&self, mut e: SourceError, what: &str) -> SourceError {
        if e.kind != ErrorKind::Gone {
            e.message = format!("server \"{}\", {what}: {}", self.server, e.message);
        }
        let facts = self.without_secrets(&e.detail.take().unwrap_or_default());
        let hint = match e.kind {
            ErrorKind::Connection => {
                "Check the options endpoint and proxy of the server, and that it can be reached from here."
            }
            ErrorKind::Timeout => "Raise observe_bridge.http_timeout, or look at what the server is slow at.",
            _ => "The window is tried again; if it stays, look at the server's own log.",
        };
        e.hint.get_or_insert_with(|| hint.to_string());
        let way = match self.config.route.proxy_address() {
            Some(proxy) => format!("{} through the proxy {proxy}", self.base),
            None => self.base.clone(),
        };
        e.detail(match facts.as_str() {
            "" => way,
            facts => format!("{way}: {facts}"),
        })
    }

    fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_string();
        if let Some(c) = &self.config.credentials {
            let secrets = [Some(&c.secret_access_key), c.session_token.as_ref()];
            for secret in secrets.into_iter().flatten().filter(|s| !s.is_empty()) {
                text = text.replace(secret, "***");
            }
        }
        text
    }
}

/// Checks that an answer is the part that was asked for.
fn part(range: Range<u64>, headers: &HeaderMap, body: Bytes) -> Result<Part, SourceError> {
    let etag = headers.get(ETAG).and_then(|v| v.to_str().ok()).map(str::to_string);
    let told = headers
        .get(CONTENT_RANGE)
        .and_then(|v| v.to_str().ok())
        .and_then(content_range);
    let cut = || {
        SourceError::new(
            ErrorKind::BadResponse,
            "the server did not send the range that was asked for",
        )
    };
    let (start, total) = match told {
        Some(told) => told,
        // A server that knows no ranges sends everything.
        None => (0, body.len() as u64),
    };
    let end = start.saturating_add(body.len() as u64);
    let wanted = range.start.min(total)..range.end.min(total);
    if wanted.start < start || wanted.end > end {
        return Err(cut());
    }
    let from = usize::try_from(wanted.start - start).map_err(|_| cut())?;
    let to = usize::try_from(wanted.end - start).map_err(|_| cut())?;
    Ok(Part {
        bytes: body.slice(from..to),
        total,
        etag,
    })
}

/// First byte and size of the whole: `bytes 0-9/100` (RFC 9110, 14.4).
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()?))
}

/// The bucket's address: in the path, or in the name of the host.
pub fn address(config: &S3Config) -> Result<String, SourceError> {
    let endpoint = http::endpoint(&config.endpoint)?;
    let bucket = &config.bucket;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if bucket.is_empty() || bucket.len() > 255 || !bucket.bytes().all(allowed) || bucket.starts_with('.') {
        return Err(SourceError::config(
            format!("\"{bucket}\" cannot be the name of a bucket"),
            "Set the option bucket of the server to the bare name; folders belong in prefix.",
        ));
    }
    let address = match endpoint.split_once("://") {
        Some((scheme, rest)) if !config.path_style => format!("{scheme}://{bucket}.{rest}"),
        _ => format!("{endpoint}/{bucket}"),
    };
    // As the signature and the Host header will have it.
    let url = Url::parse(&address).map_err(|e| {
        SourceError::config(
            "the options endpoint and bucket make no address",
            "A host that is a number needs path_style 'true'.",
        )
        .detail(e.to_string())
    })?;
    Ok(url.as_str().trim_end_matches('/').to_string())
}

fn encode(text: &str) -> String {
    signing::uri_encode(text, true)
}

fn header_value(text: &str) -> Result<HeaderValue, SourceError> {
    HeaderValue::from_str(text).map_err(|_| {
        SourceError::config(
            "the credentials contain characters that no header can have",
            "Check access_key_id and session_token of the user mapping, and the region of the server.",
        )
    })
}

fn internal(what: &str) -> SourceError {
    SourceError::new(ErrorKind::Internal, what)
}

#[cfg(test)]
mod tests;
