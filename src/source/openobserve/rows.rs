//! Raw records, stream by stream and page by page, oldest first.

use super::api::{Answer, Api, Search};
use super::sweep::{self, From, Page};
use super::{hits, streams};
use crate::source::error::SourceError;
use crate::source::fetch::Request;
use crate::source::http::whole;
use crate::source::pool;
use crate::source::rows::{Each, Raw};
use engine::record::Dataset;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::{Mutex, PoisonError};

/// Most rows of one page: whoever reads the first records should not wait for many, nor hold them.
const PAGE_ROWS: usize = 5_000;

/// The records of the range; see [`crate::source::rows::rows()`].
pub fn rows(api: &Api<'_>, request: Request<'_>, each: &mut Each<'_>) -> Result<(), SourceError> {
    let Request {
        selection,
        windows,
        ctx,
        ..
    } = request;
    let (range, size) = (windows.range(), selection.page_rows.min(PAGE_ROWS));
    let each = Mutex::new(each);
    let read = |dataset: Dataset, body: &mut Vec<u8>, queue: &pool::Queue<'_, Dataset>| {
        // One thread takes it, dataset by dataset.
        let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = selection.streams(dataset);
        for stream in streams::list(api, dataset, range.to, body)?
            .iter()
            .filter(|s| wanted.matches(&s.name))
        {
            let sql = stream.everything();
            sweep::sweep(range, size, From::Oldest, |range, size| {
                queue.check()?;
                let search = Search {
                    dataset,
                    stream: &stream.name,
                    sql: &sql,
                    range,
                    size,
                    count: false,
                };
                let hand = |json: &str| {
                    each(&Raw {
                        dataset,
                        stream: Some(&stream.name),
                        json,
                    })
                };
                page(api, &search, body, hand)
            })?;
        }
        Ok(())
    };
    let datasets = selection.datasets().collect();
    pool::run(datasets, 1, &ctx.cancel, Vec::new, read, || api.client().interrupt())?;
    Ok(())
}

/// Asks for one page and hands its rows on, if it is whole.
fn page(
    api: &Api<'_>,
    search: &Search<'_>,
    body: &mut Vec<u8>,
    mut hand: impl FnMut(&str) -> Result<(), SourceError>,
) -> Result<Page, SourceError> {
    let what = api.describe(search.dataset, search.stream);
    match api.search(search, body, whole)? {
        Answer::NoStream => Ok(Page::Whole(0)),
        Answer::NoField(e) => {
            streams::forget(api, search.dataset);
            Err(e)
        }
        Answer::TooLarge if search.range.len() <= 1 => Err(api.too_large(&what)),
        Answer::TooLarge => Ok(Page::Full),
        Answer::Body(()) => {
            let answer = hits::parse::<&RawValue>(api, &what, body)?;
            if let Some(start) = answer.moved_start(search.range) {
                return Ok(Page::Moved(start));
            }
            answer.check_whole(api, &what)?;
            if answer.hits.len() >= search.size {
                return Ok(Page::Full);
            }
            in_order(answer.hits.iter().map(|hit| hit.get()))
                .into_iter()
                .try_for_each(&mut hand)?;
            Ok(Page::Whole(answer.hits.len()))
        }
    }
}

/// Hits by their time, oldest first, in whatever order the server gives them: newest first, unless it is told or decides
/// otherwise. Those without a time come last.
fn in_order<'h>(hits: impl DoubleEndedIterator<Item = &'h str>) -> Vec<&'h str> {
    let mut hits: Vec<(i64, &str)> = hits.rev().map(|hit| (time(hit), hit)).collect();
    hits.sort_by_key(|(time, _)| *time);
    hits.into_iter().map(|(_, hit)| hit).collect()
}

fn time(hit: &str) -> i64 {
    #[derive(Deserialize)]
    struct Timed {
        _timestamp: i64,
    }
    serde_json::from_str(hit).map_or(i64::MAX, |hit: Timed| hit._timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_server_does_not_matter() {
        let of = |n: i64| format!("{{\"body\":\"x\",\"_timestamp\":{n}}}");
        let (a, b, c, bad) = (of(1), of(2), of(3), "{\"_timestamp\":\"when?\"}");
        let expected = [a.as_str(), &b, &c, bad];
        for hits in [[bad, &c, &b, &a], [&a, &b, &c, bad], [&b, bad, &a, &c]] {
            assert_eq!(in_order(hits.into_iter()), expected);
        }
    }
}
