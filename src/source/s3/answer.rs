//! What a bucket answers: lists of objects and errors, in XML.

use crate::source::error::{ErrorKind, SourceError, excerpt};
use crate::source::http::Refusal;
use crate::source::objects::object::vanished;
use s3::serde_types::ListBucketResult;
use serde::Deserialize;

/// One page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Key and size.
    pub objects: Vec<(String, u64)>,
    /// Folders, with the slash at their end.
    pub folders: Vec<String>,
    pub next: Option<Next>,
}

/// How to ask for the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// By the token of the last page.
    Token(String),
    /// Behind the last key: some servers give no token.
    After(String),
}

/// Reads a page of `ListObjectsV2`.
///
/// # Errors
/// `BadResponse`.
pub fn page(body: &[u8]) -> Result<Page, SourceError> {
    let broken = |what: String| SourceError::new(ErrorKind::BadResponse, "the list cannot be read").detail(what);
    let text = std::str::from_utf8(body).map_err(|e| broken(e.to_string()))?;
    let list: ListBucketResult = quick_xml::de::from_str(text).map_err(|e| broken(excerpt(&e.to_string())))?;
    let objects: Vec<(String, u64)> = list.contents.into_iter().map(|o| (o.key, o.size)).collect();
    let folders: Vec<String> = list.common_prefixes.into_iter().flatten().map(|p| p.prefix).collect();
    let next = match (list.is_truncated, list.next_continuation_token) {
        (false, _) => None,
        (true, Some(token)) => Some(Next::Token(token)),
        (true, None) => {
            // Behind a folder means behind everything in it.
            let keys = objects.iter().map(|(key, _)| key.clone());
            let last = keys.chain(folders.iter().map(|f| format!("{f}{}", char::MAX))).max();
            Some(Next::After(
                last.ok_or_else(|| broken("it is cut, and empty".to_string()))?,
            ))
        }
    };
    Ok(Page { objects, folders, next })
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Told {
    code: String,
    message: String,
}

/// What a status other than 200 means. `key`: the object that was asked for.
pub fn refused(refusal: &Refusal, body: &[u8], key: Option<&str>) -> SourceError {
    let told: Told = std::str::from_utf8(body)
        .ok()
        .and_then(|text| quick_xml::de::from_str(text).ok())
        .unwrap_or_default();
    let detail = match (told.code.as_str(), told.message.as_str()) {
        ("", "") => String::new(),
        (code, "") => excerpt(code),
        (code, message) => excerpt(&format!("{code}: {message}")),
    };
    let error = match (refusal.status, told.code.as_str()) {
        (_, "NoSuchBucket") => SourceError::new(ErrorKind::NotFound, "the bucket does not exist")
            .hint("Check the options bucket, endpoint and region of the server."),
        (_, "InvalidObjectState") => SourceError::new(ErrorKind::BadResponse, "the object is archived")
            .transient(false)
            .hint("Restore the object in its bucket, then run the window again with etl_retry()."),
        (404 | 412 | 416, _) if key.is_some() => vanished(key.unwrap_or_default()),
        (404, _) => SourceError::new(ErrorKind::NotFound, "there is no bucket at this address")
            .hint("Check the options endpoint, bucket and path_style of the server."),
        (_, "RequestTimeTooSkewed") => {
            SourceError::new(ErrorKind::Auth, "the clocks of this machine and of the server differ")
                .hint("Set the clock of the machine that runs PostgreSQL.")
        }
        (_, "AuthorizationHeaderMalformed") | (301 | 307 | 308, _) => SourceError::new(
            ErrorKind::Config,
            "the bucket lies in another region, or at another address",
        )
        .hint("Check the options region, endpoint and path_style of the server."),
        (401 | 403, _)
        | (
            _,
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "InvalidAccessKeyId" | "SignatureDoesNotMatch",
        ) => SourceError::new(ErrorKind::Auth, "the server refuses the credentials").hint(
            "Check access_key_id, secret_access_key and session_token of the user mapping, the region of the \
                 server, and that the key may list the bucket and read its objects.",
        ),
        (status, _) => SourceError::new(ErrorKind::Http(status), format!("the server answered {status}"))
            .hint("The window is tried again; if it stays, look at the server's own log."),
    };
    // Whoever is told to slow down may come again, whatever the status.
    let slow = matches!(told.code.as_str(), "SlowDown" | "RequestTimeout" | "InternalError");
    let transient = error.is_transient() || slow;
    error
        .transient(transient)
        .detail(detail)
        .retry_after(refusal.retry_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn pages_and_how_they_go_on() {
        let list = |rest: &str| {
            let xml = format!("<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name>{rest}</ListBucketResult>");
            page(xml.as_bytes())
        };
        assert_eq!(list("<IsTruncated>false</IsTruncated>").unwrap(), Page::default());
        let object = "<Contents><Key>a/1&amp;2</Key><LastModified>x</LastModified><Size>7</Size></Contents>";
        let folder = "<CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes>";
        let cut = "<IsTruncated>true</IsTruncated>";
        let got = list(&format!(
            "{object}{folder}{cut}<NextContinuationToken>t==</NextContinuationToken>"
        ))
        .unwrap();
        assert_eq!(got.objects, [("a/1&2".to_string(), 7)]);
        assert_eq!(got.folders, ["a/b/"]);
        assert_eq!(got.next, Some(Next::Token("t==".to_string())));
        let got = list(&format!("{object}{folder}{cut}")).unwrap();
        assert_eq!(got.next, Some(Next::After(format!("a/b/{}", char::MAX))));
        assert!(list(cut).is_err(), "no way to go on");
        for bad in ["<Html>", "", "{}"] {
            assert_eq!(page(bad.as_bytes()).unwrap_err().kind, ErrorKind::BadResponse);
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let refuse = |status, code: &str, key| {
            let body = format!("<Error><Code>{code}</Code><Message>so it is</Message><Resource>/x</Resource></Error>");
            let refusal = Refusal {
                status,
                retry_after: Some(Duration::from_secs(3)),
                location: None,
            };
            refused(&refusal, body.as_bytes(), key)
        };
        for (status, code, kind, permanent, transient) in [
            (403, "SignatureDoesNotMatch", ErrorKind::Auth, true, false),
            (400, "ExpiredToken", ErrorKind::Auth, true, false),
            (404, "NoSuchBucket", ErrorKind::NotFound, true, false),
            (301, "PermanentRedirect", ErrorKind::Config, true, false),
            (400, "AuthorizationHeaderMalformed", ErrorKind::Config, true, false),
            (403, "InvalidObjectState", ErrorKind::BadResponse, false, false),
            (503, "SlowDown", ErrorKind::Http(503), false, true),
            (500, "InternalError", ErrorKind::Http(500), false, true),
            (400, "RequestTimeout", ErrorKind::Http(400), false, true),
            (400, "InvalidArgument", ErrorKind::Http(400), false, false),
        ] {
            let e = refuse(status, code, Some("k"));
            assert_eq!(
                (e.kind, e.is_permanent(), e.is_transient()),
                (kind, permanent, transient),
                "{code}"
            );
            assert!(e.hint.is_some() && e.detail.unwrap().contains("so it is"));
            assert_eq!(e.retry_after, Some(Duration::from_secs(3)));
        }
        let gone = refuse(404, "NoSuchKey", Some("k"));
        assert!(gone.kind == ErrorKind::Gone && gone.is_transient());
        assert!(refuse(404, "", None).is_permanent());
    }
}
