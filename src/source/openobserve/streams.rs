//! Which streams an organization has and which columns they have, remembered for a minute.

use super::api::Api;
use super::page::quoted;
use crate::source::error::{ErrorKind, SourceError, excerpt};
use engine::record::Dataset;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How long a list is used.
const LIFETIME: Duration = Duration::from_secs(60);

/// Columns of which `SELECT *` brings all, also where somebody lowered the server's limit of 500 a little.
const MAX_STAR: usize = 400;

/// A stream as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stream {
    pub name: String,
    /// Column names; empty for a stream that never got a row (the base name of a histogram).
    #[serde(default, deserialize_with = "column_names")]
    pub schema: Vec<String>,
}

impl Stream {
    /// One of which nothing but its name is known.
    pub fn named(name: &str) -> Stream {
        Stream {
            name: name.to_string(),
            schema: Vec::new(),
        }
    }

    /// The question for whole records. `SELECT *` brings about 500 columns at most (`ZO_QUICK_MODE_NUM_FIELDS`), so
    /// those of a wide stream are named.
    pub fn everything(&self) -> String {
        let columns = match self.schema.len() {
            0..=MAX_STAR => "*".to_string(),
            _ => self.schema.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", "),
        };
        format!("SELECT {columns} FROM {}", quoted(&self.name))
    }
}

/// The answer of `GET streams`.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub list: Vec<Stream>,
    /// How many there are, listed in this answer or not.
    #[serde(default)]
    pub total: Option<usize>,
}

/// What a cached list belongs to: base URL with organization, login, dataset.
type Key = (String, Option<String>, Dataset);

struct Entry {
    streams: Arc<[Stream]>,
    asked: Instant,
    asked_at: SystemTime,
}

static CACHE: Mutex<Option<HashMap<Key, Entry>>> = Mutex::new(None);

/// The streams of a dataset. A remembered list serves if it is younger than a minute and was asked for after
/// `window_to` (UTC microseconds), so that a stream or column born inside a window is seen by that window.
///
/// # Errors
/// Those of the request; `BadResponse` for an answer that is no list.
pub fn list(api: &Api<'_>, dataset: Dataset, window_to: i64, body: &mut Vec<u8>) -> Result<Arc<[Stream]>, SourceError> {
    let key = key(api, dataset);
    let window_end = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(window_to).unwrap_or(0));
    if let Some(entry) = cache().get_or_insert_default().get(&key)
        && entry.asked.elapsed() < LIFETIME
        && entry.asked_at >= window_end
    {
        return Ok(entry.streams.clone());
    }
    let (asked, asked_at) = (Instant::now(), SystemTime::now());
    let streams: Arc<[Stream]> = api.streams(dataset, body)?.into();
    let mut cache = cache();
    let entries = cache.get_or_insert_default();
    entries.retain(|_, e| e.asked.elapsed() < LIFETIME);
    entries.insert(
        key,
        Entry {
            streams: streams.clone(),
            asked,
            asked_at,
        },
    );
    Ok(streams)
}

/// Forgets the list, because a column of it turned out not to exist.
pub fn forget(api: &Api<'_>, dataset: Dataset) {
    if let Some(entries) = cache().as_mut() {
        entries.remove(&key(api, dataset));
    }
}

/// Decodes the answer of `GET streams`.
///
/// # Errors
/// `BadResponse` if it is not JSON of that shape.
pub fn parse(body: &[u8]) -> Result<Answer, SourceError> {
    serde_json::from_slice(body).map_err(|e| {
        let start = String::from_utf8_lossy(body.get(..400).unwrap_or(body)).into_owned();
        SourceError::new(ErrorKind::BadResponse, "the list of streams cannot be read")
            .detail(format!("{e}; the answer begins: {}", excerpt(&start)))
            .hint("Check that the endpoint option points at OpenObserve and not at a proxy's page.")
    })
}

fn cache() -> MutexGuard<'static, Option<HashMap<Key, Entry>>> {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(api: &Api<'_>, dataset: Dataset) -> Key {
    (api.base().to_string(), api.login(), dataset)
}

fn column_names<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Column {
        name: String,
    }
    let columns: Option<Vec<Column>> = Option::deserialize(d)?;
    Ok(columns.unwrap_or_default().into_iter().map(|c| c.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_columns_and_ignores_the_rest() {
        let body =
            br#"{"list":[{"name":"default","stats":{"doc_num":0},"schema":[{"name":"_timestamp","type":"Int64"}]},
            {"name":"h","schema":[]},{"name":"n","schema":null},{"name":"none"}],"total":4}"#;
        let Answer { list: got, total } = parse(body).unwrap();
        assert_eq!(total, Some(4));
        assert_eq!(
            got[0],
            Stream {
                name: "default".to_string(),
                schema: vec!["_timestamp".to_string()]
            }
        );
        assert!(got[1..].iter().all(|s| s.schema.is_empty()));
    }

    #[test]
    fn a_page_that_is_no_list_is_an_error_that_shows_it() {
        let e = parse(b"<html>Welcome</html>").unwrap_err();
        assert!(e.is_transient() && e.detail.unwrap().contains("<html>Welcome"));
    }
}
