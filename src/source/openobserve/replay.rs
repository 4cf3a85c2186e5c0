//! From a locator back to the raw records behind it.

use super::OpenObserveConfig;
use super::api::{Answer, Api, Search};
use super::hits;
use super::streams::{self, Stream};
use super::sweep::{self, From, Page};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::http::whole;
use crate::source::sample::Picked;
use crate::source::{Context, Locator, Replayed, Sample, pool};
use engine::window::Window;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;

/// Rows asked for at once when records are looked for.
const PAGE_ROWS: usize = 10_000;

/// The records of all streams the locator names, whole and as the server sends them; see [`crate::source::replay()`].
pub fn replay(
    config: &OpenObserveConfig,
    locator: &Locator,
    sample: &Sample,
    ctx: &Context,
) -> Result<Replayed, SourceError> {
    let api = Api::new(config, &locator.bucket, ctx.http_timeout)?;
    let wanted = wanted(locator)?;
    let found = Mutex::new((Picked::new(sample), 0));
    // One thread, so that the order of the streams decides which records are shown; the pool watches for a cancel.
    pool::run(
        vec![()],
        1,
        &ctx.cancel,
        Vec::new,
        |(), body, queue| {
            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (picked, gone) = &mut *found;
            for (stream, rows) in wanted.iter().filter(|(_, rows)| **rows > 0) {
                if picked.room() > 0 {
                    let left = look_through(&api, locator, stream, sample, picked, body, queue)?;
                    *gone += left.map_or(0, |left| rows.saturating_sub(left));
                }
            }
            Ok(())
        },
        || api.client().interrupt(),
    )?;
    let (found, gone) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !found.any && sample.max > 0 && wanted.values().any(|n| *n > 0) {
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
    Ok(Replayed { rows: found.rows, gone })
}

/// Looks through a stream for the records of a sample, newest first, in pages cut by time. Gives how many records the
/// stream has, if it was looked through to its end.
fn look_through(
    api: &Api<'_>,
    locator: &Locator,
    stream: &str,
    sample: &Sample,
    picked: &mut Picked<'_>,
    body: &mut Vec<u8>,
    queue: &pool::Queue<'_, ()>,
) -> Result<Option<u64>, SourceError> {
    let sql = everything(api, locator, stream, body)?;
    let mut left = Some(0);
    let whole_range = Window::new(locator.t_from, locator.t_to);
    sweep::sweep(whole_range, PAGE_ROWS, From::Newest, |range, size| {
        queue.check()?;
        // Of records of which any will do, a page may miss the older ones.
        let enough = sample.takes_all() && picked.room() < size;
        let search = Search {
            dataset: locator.dataset,
            stream,
            sql: &sql,
            range,
            size: if enough { picked.room() } else { size },
            count: false,
        };
        let page = page(api, &search, enough, picked, body)?;
        match page {
            Page::Whole(rows) => left = left.map(|left| left + rows as u64),
            Page::Enough => left = None,
            Page::Full | Page::Moved(_) => {}
        }
        Ok(page)
    })?;
    Ok(left)
}

/// The question for whole records. A stream that is not listed any more may still be asked for.
fn everything(api: &Api<'_>, locator: &Locator, stream: &str, body: &mut Vec<u8>) -> Result<String, SourceError> {
    let list = streams::list(api, locator.dataset, locator.t_to, body)?;
    let listed = list.iter().find(|s| s.name == stream);
    Ok(listed.map_or_else(|| Stream::named(stream).everything(), Stream::everything))
}

/// Asks for one page and picks of its records, if it is whole.
fn page(
    api: &Api<'_>,
    search: &Search<'_>,
    enough: bool,
    picked: &mut Picked<'_>,
    body: &mut Vec<u8>,
) -> Result<Page, SourceError> {
    let what = api.describe(search.dataset, search.stream);
    match api.search(search, body, whole)? {
        Answer::NoStream => return Ok(Page::Whole(0)),
        Answer::NoField(e) => {
            streams::forget(api, search.dataset);
            return Err(e);
        }
        Answer::TooLarge if search.range.len() > 1 => return Ok(Page::Full),
        Answer::TooLarge => return Err(api.too_large(&what).hint("Ask oo_replay() for fewer records.")),
        Answer::Body(()) => {}
    }
    let answer = hits::parse::<&RawValue>(api, &what, body)?;
    if let Some(start) = answer.moved_start(search.range) {
        return Ok(Page::Moved(start));
    }
    answer.check_whole(api, &what)?;
    if answer.hits.len() >= search.size && !enough {
        return Ok(Page::Full);
    }
    let mut hits = answer.hits.iter().take(search.size);
    match hits.try_for_each(|hit| picked.offer(hit.get().to_string())) {
        ControlFlow::Break(()) => Ok(Page::Enough),
        ControlFlow::Continue(()) => Ok(Page::Whole(answer.hits.len())),
    }
}

/// The streams of a locator and their rows.
fn wanted(locator: &Locator) -> Result<BTreeMap<String, u64>, SourceError> {
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
            wanted(&locator(json!({"streams": {"default": 7}}))).unwrap()["default"],
            7
        );
        for bad in [json!({}), json!({"streams": ["default"]}), json!(null)] {
            assert_eq!(wanted(&locator(bad)).unwrap_err().kind, ErrorKind::Config);
        }
    }
}
