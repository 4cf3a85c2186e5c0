//! How many records there are: the server counts them, minute by minute, one question a stream.

use super::api::{Answer, Api, Search};
use super::hits::{self, Answered};
use super::page::quoted;
use super::streams;
use crate::source::count::Counts;
use crate::source::error::{ErrorKind, SourceError, excerpt};
use crate::source::fetch::Request;
use crate::source::http::whole;
use crate::source::pool;
use chrono::NaiveDateTime;
use engine::record::Dataset;
use engine::window::{MINUTE_US, Window, Windows, floor};
use serde::Deserialize;

/// The form of a minute in an answer: UTC, without a zone.
const MINUTE_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

enum Task {
    List(Dataset),
    Stream(Dataset, String, Window),
}

#[derive(Deserialize)]
struct Minute {
    minute: String,
    records: u64,
}

/// The records of the windows, which are whole minutes; see [`crate::source::count::count()`].
pub fn count(api: &Api<'_>, request: Request<'_>) -> Result<Counts, SourceError> {
    let Request {
        selection,
        windows,
        ctx,
        ..
    } = request;
    let work = |task, (counts, body): &mut (Counts, Vec<u8>), queue: &pool::Queue<'_, Task>| {
        queue.check()?;
        match task {
            Task::List(dataset) => {
                // A stream that has appeared a moment ago counts as well.
                streams::forget(api, dataset);
                let wanted = selection.streams(dataset);
                let range = windows.range();
                for stream in streams::list(api, dataset, range.to, body)?
                    .iter()
                    .filter(|s| wanted.matches(&s.name))
                {
                    queue.push(Task::Stream(dataset, stream.name.clone(), range));
                }
            }
            Task::Stream(dataset, stream, range) => {
                let Some(answer) = ask(api, dataset, &stream, range, body)? else {
                    return Ok(());
                };
                if let Some(start) = answer.moved_start(range) {
                    // The stream's max_query_range is shorter than the range: both parts are asked for by themselves.
                    let middle = floor(start.saturating_add(MINUTE_US - 1), MINUTE_US);
                    let parts = [Window::new(range.from, middle), Window::new(middle, range.to)];
                    if parts.iter().all(|part| !part.is_empty()) {
                        for part in parts {
                            queue.push(Task::Stream(dataset, stream.clone(), part));
                        }
                        return Ok(());
                    }
                }
                if answer.hits.len() > range.buckets(MINUTE_US).count() {
                    let e = SourceError::new(ErrorKind::BadResponse, "the answer has more minutes than there are");
                    return Err(api.named(e, &api.describe(dataset, &stream)));
                }
                take(api, dataset, &stream, &answer, windows, counts)?;
            }
        }
        Ok(())
    };
    let lists = selection.datasets().map(Task::List).collect();
    let parts = pool::run(lists, ctx.concurrency, &ctx.cancel, Default::default, work, || {
        api.client().interrupt()
    })?;
    let mut all = Counts::default();
    parts.into_iter().for_each(|(part, _)| all.merge(part));
    Ok(all)
}

/// One question; `None` where the stream has no rows.
fn ask(
    api: &Api<'_>,
    dataset: Dataset,
    stream: &str,
    range: Window,
    body: &mut Vec<u8>,
) -> Result<Option<Answered<Minute>>, SourceError> {
    let sql = format!(
        "SELECT histogram(_timestamp, '1 minute') AS minute, count(*) AS records FROM {} GROUP BY minute",
        quoted(stream)
    );
    let minutes = range.buckets(MINUTE_US).count();
    let search = Search {
        dataset,
        stream,
        sql: &sql,
        range,
        // One more than there can be, so that a full answer would be noticed.
        size: minutes + 1,
        count: false,
    };
    let what = api.describe(dataset, stream);
    match api.search(&search, body, whole)? {
        Answer::NoStream => Ok(None),
        Answer::NoField(e) => Err(e),
        Answer::TooLarge => Err(api.too_large(&what)),
        Answer::Body(()) => hits::parse(api, &what, body).map(Some),
    }
}

/// Adds the minutes of a whole answer.
fn take(
    api: &Api<'_>,
    dataset: Dataset,
    stream: &str,
    answer: &Answered<Minute>,
    windows: Windows,
    counts: &mut Counts,
) -> Result<(), SourceError> {
    let what = api.describe(dataset, stream);
    answer.check_whole(api, &what)?;
    for Minute { minute, records } in &answer.hits {
        let Ok(at) = NaiveDateTime::parse_from_str(minute, MINUTE_FORMAT) else {
            let e = SourceError::new(ErrorKind::BadResponse, "the answer names a minute that is none");
            return Err(api.named(e.detail(excerpt(minute)), &what));
        };
        let window = windows.index(at.and_utc().timestamp_micros());
        if let Some(window) = window.and_then(|i| windows.iter().nth(i)) {
            counts.add(window, dataset, stream, *records);
        }
    }
    Ok(())
}
