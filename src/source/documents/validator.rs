//! Asking an HTTP server whether a document is still the same (RFC 9110, 13.1).

use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Longest value that is kept, bytes.
const LONGEST: usize = 1000;
/// A document that was changed so shortly before the answer may change once more within the same second (RFC 9110, 8.8.2.2).
const SETTLED: TimeDelta = TimeDelta::seconds(60);

/// What a server said of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validator {
    /// `ETag`.
    Etag(String),
    /// `Last-Modified`, of a server that gives no `ETag`.
    Modified(String),
}

impl Validator {
    /// What the headers of an answer say. `None` where that is nothing, or too little to rely on.
    pub fn of(headers: &HeaderMap) -> Option<Validator> {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            (1..=LONGEST).contains(&value.len()).then(|| value.to_string())
        };
        if let Some(etag) = text(header::ETAG) {
            return Some(Validator::Etag(etag));
        }
        let modified = text(header::LAST_MODIFIED)?;
        let answered = DateTime::parse_from_rfc2822(&text(header::DATE)?).ok()?;
        let age = answered - DateTime::parse_from_rfc2822(&modified).ok()?;
        (age >= SETTLED).then_some(Validator::Modified(modified))
    }

    /// Asks for the document only if it is another one.
    pub fn ask(&self, headers: &mut HeaderMap) {
        let (name, value) = match self {
            Validator::Etag(value) => (header::IF_NONE_MATCH, value),
            Validator::Modified(value) => (header::IF_MODIFIED_SINCE, value),
        };
        // It came as a header; one that can be none any more only means that the whole is sent.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn an_etag_counts_before_a_date_and_a_date_only_once_it_has_settled() {
        const NOON: &str = "Mon, 05 Jan 2026 12:00:00 GMT";
        let date = (header::DATE, NOON);
        let of = |pairs: &[(HeaderName, &'static str)]| Validator::of(&headers(pairs));
        assert_eq!(
            of(&[(header::ETAG, "W/\"a\""), (header::LAST_MODIFIED, NOON)]),
            Some(Validator::Etag("W/\"a\"".into()))
        );
        let (settled, fresh) = ("Mon, 05 Jan 2026 11:59:00 GMT", "Mon, 05 Jan 2026 11:59:01 GMT");
        assert_eq!(
            of(&[date.clone(), (header::LAST_MODIFIED, settled)]),
            Some(Validator::Modified(settled.into()))
        );
        assert_eq!(of(&[date, (header::LAST_MODIFIED, fresh)]), None);
        assert_eq!(of(&[(header::LAST_MODIFIED, settled)]), None, "no time to compare with");
        assert_eq!(of(&[(header::ETAG, "")]), None);
    }

    #[test]
    fn each_asks_by_its_own_header() {
        for (validator, name) in [
            (Validator::Etag("\"a\"".into()), header::IF_NONE_MATCH),
            (Validator::Modified("b".into()), header::IF_MODIFIED_SINCE),
        ] {
            let mut asked = HeaderMap::new();
            validator.ask(&mut asked);
            assert_eq!(asked.keys().collect::<Vec<_>>(), [&name]);
            let stored = serde_json::to_value(&validator).unwrap();
            assert_eq!(serde_json::from_value::<Validator>(stored).unwrap(), validator);
        }
    }
}
