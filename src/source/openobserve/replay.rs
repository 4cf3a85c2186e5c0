//! From a locator back to the raw records behind it.

use super::OpenObserveConfig;
use super::api::{Answer, Api, Search};
use super::page::quoted;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::http::whole;
use crate::source::sample::Picked;
use crate::source::{Context, Locator, Sample, pool};
use engine::window::Window;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Rows asked for at once when records are looked for.
const PAGE_ROWS: usize = 10_000;
/// Rows of one microsecond, which cannot be cut.
const MOST_ROWS: usize = 1_000_000;

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<&'a RawValue>,
}

/// The records of all streams the locator names, whole and as the server sends them; see [`crate::source::replay`].
pub fn replay(
    config: &OpenObserveConfig,
    locator: &Locator,
    sample: &Sample,
    ctx: &Context,
) -> Result<Vec<String>, SourceError> {
    let api = Api::new(config, &locator.bucket, ctx.http_timeout)?;
    let streams = streams(locator)?;
    let found = Mutex::new(Picked::new(sample));
    // One thread, so that the order of the streams decides which records are shown; the pool watches for a cancel.
    pool::run(
        vec![()],
        1,
        &ctx.cancel,
        Vec::new,
        |(), body, queue| {
            let mut picked = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (stream, _) in streams.iter().filter(|(_, rows)| **rows > 0) {
                if sample.takes_all() && picked.room() > 0 {
                    queue.check()?;
                    let range = Window::new(locator.t_from, locator.t_to);
                    let rows = rows_of(&api, locator, stream, range, picked.room(), body)?;
                    let rows = rows.ok_or_else(|| too_large(&api, locator, stream))?;
                    // Whether it ended early does not matter.
                    let _ = rows.into_iter().try_for_each(|row| picked.offer(row));
                } else if picked.room() > 0 {
                    search(&api, locator, stream, &mut picked, body, queue)?;
                }
            }
            Ok(())
        },
        || api.client().interrupt(),
    )?;
    let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !found.any && sample.max > 0 && streams.values().any(|n| *n > 0) {
        return Err(SourceError::new(
            ErrorKind::Gone,
            format!("the records are gone from server \"{}\"", locator.bucket),
        )
        .detail(format!(
            "They were there when the window was read: {}.",
            locator.attributes
        ))
        .hint("Look at the data retention of the streams in OpenObserve; the aggregates stay."));
    }
    Ok(found.rows)
}

/// Looks through a stream for the records of a sample, newest first, and cuts the time until an answer is whole.
fn search(
    api: &Api<'_>,
    locator: &Locator,
    stream: &str,
    picked: &mut Picked<'_>,
    body: &mut Vec<u8>,
    queue: &pool::Queue<'_, ()>,
) -> Result<(), SourceError> {
    let mut ranges = vec![Window::new(locator.t_from, locator.t_to)];
    while let Some(range) = ranges.pop() {
        queue.check()?;
        let size = if range.len() > 1 { PAGE_ROWS } else { MOST_ROWS };
        match rows_of(api, locator, stream, range, size, body)? {
            Some(rows) if rows.len() < size || range.len() <= 1 => {
                if rows.into_iter().try_for_each(|row| picked.offer(row)).is_break() {
                    return Ok(());
                }
            }
            None if range.len() <= 1 => return Err(too_large(api, locator, stream)),
            _ => {
                let middle = range.from + range.len() / 2;
                ranges.extend([Window::new(range.from, middle), Window::new(middle, range.to)]);
            }
        }
    }
    Ok(())
}

/// Records of a range, at most `size`; `None` if the answer is too large.
fn rows_of(
    api: &Api<'_>,
    locator: &Locator,
    stream: &str,
    range: Window,
    size: usize,
    body: &mut Vec<u8>,
) -> Result<Option<Vec<String>>, SourceError> {
    let sql = format!("SELECT * FROM {}", quoted(stream));
    let search = Search {
        dataset: locator.dataset,
        stream,
        sql: &sql,
        range,
        size,
        count: false,
    };
    let answer = api.search(&search, body, |incoming, body| {
        whole(incoming, body)?;
        let answer: Hits<'_> = serde_json::from_slice(body).map_err(|e| {
            SourceError::new(ErrorKind::BadResponse, "the answer is cut short or not valid JSON").detail(e.to_string())
        })?;
        let hits = answer.hits.into_iter().take(size);
        Ok(hits.map(|hit| hit.get().to_string()).collect())
    })?;
    match answer {
        Answer::Body(records) => Ok(Some(records)),
        Answer::NoStream => Ok(Some(Vec::new())),
        Answer::NoField(e) => Err(e),
        Answer::TooLarge => Ok(None),
    }
}

fn too_large(api: &Api<'_>, locator: &Locator, stream: &str) -> SourceError {
    api.too_large(&api.describe(locator.dataset, stream))
        .hint("Ask oo_replay() for fewer records.")
}

/// The streams of a locator and their rows.
fn streams(locator: &Locator) -> Result<BTreeMap<String, u64>, SourceError> {
    let streams = locator.attributes.get("streams").cloned().unwrap_or_default();
    serde_json::from_value(streams).map_err(|_| {
        SourceError::config(
            "the locator names no streams",
            "Only locators written by a fetch can be replayed.",
        )
        .detail(locator.attributes.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::Dataset;
    use serde_json::{Value, json};

    #[test]
    fn a_foreign_locator_is_refused() {
        let locator = |attributes: Value| Locator {
            dataset: Dataset::Logs,
            bucket: "oo".to_string(),
            object_key: String::new(),
            t_from: 0,
            t_to: 1,
            query_hint: None,
            attributes,
        };
        assert_eq!(
            streams(&locator(json!({"streams": {"default": 7}}))).unwrap()["default"],
            7
        );
        for bad in [json!({}), json!({"streams": ["default"]}), json!(null)] {
            assert_eq!(streams(&locator(bad)).unwrap_err().kind, ErrorKind::Config);
        }
    }
}
