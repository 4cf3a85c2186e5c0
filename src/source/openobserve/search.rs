//! A question of a user, in SQL.

use super::api::{Answer, Api, Search};
use super::plain::is_plain;
use super::sweep::{self, From, Page};
use super::{OpenObserveConfig, hits};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::http::whole;
use crate::source::{Context, pool};
use engine::patterns::mask_secrets;
use engine::record::Dataset;
use engine::window::Window;
use serde_json::value::RawValue;
use std::sync::{Mutex, PoisonError};

/// Up to so many rows are asked for at once.
const PAGE_ROWS: usize = 10_000;

/// What a user wants to know of one organization.
#[derive(Clone, Debug)]
pub struct Question {
    pub dataset: Dataset,
    /// As OpenObserve's search takes it.
    pub sql: String,
    pub range: Window,
    /// Most rows wanted.
    pub max_rows: usize,
}

/// Asks, and hands the hits to `each` as JSON texts, as the server sends them: for a plain SELECT the newest first.
///
/// One request, unless more than 10,000 rows are wanted of a plain SELECT: that is read page by page, in the memory of
/// one.
///
/// # Errors
/// Those of the transport, `Auth`, `NotFound` (organization, stream), `Http` for what the server refuses, `BadResponse`,
/// `Partial`, `Cancelled`, and those of `each`. Some hits may have been handed on by then.
pub fn search(
    config: &OpenObserveConfig,
    server: &str,
    question: &Question,
    ctx: &Context,
    each: &mut (dyn FnMut(&str) -> Result<(), SourceError> + Send),
) -> Result<(), SourceError> {
    let api = Api::new(config, server, ctx.http_timeout)?;
    let each = Mutex::new(each);
    let ask = |(), body: &mut Vec<u8>, queue: &pool::Queue<'_, ()>| {
        // One thread takes it, once.
        let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = question.max_rows;
        if question.max_rows <= PAGE_ROWS || !is_plain(&question.sql) {
            return one(&api, question, body, &mut room, &mut **each);
        }
        sweep::sweep(question.range, PAGE_ROWS, From::Newest, |range, size| {
            queue.check()?;
            page(&api, question, range, size, body, &mut room, &mut **each)
        })
    };
    let done = pool::run(vec![()], 1, &ctx.cancel, Vec::new, ask, || api.client().interrupt());
    done.map(|_| ()).map_err(|e| explained(e, server))
}

type Hand<'a> = dyn FnMut(&str) -> Result<(), SourceError> + Send + 'a;

/// Asks the whole question at once.
fn one(
    api: &Api<'_>,
    question: &Question,
    body: &mut Vec<u8>,
    room: &mut usize,
    each: &mut Hand<'_>,
) -> Result<(), SourceError> {
    let (what, size) = (api.describe(question.dataset, ""), question.max_rows);
    if size == 0 || !asked(api, question, question.range, size, body)? {
        return if size == 0 { Ok(()) } else { Err(api.too_large(&what)) };
    }
    let answer = hits::parse::<&RawValue>(api, &what, body)?;
    answer.check_whole(api, &what)?;
    if answer.moved_start(question.range).is_some() {
        let e = SourceError::new(
            ErrorKind::Partial,
            "the server has answered for a part of the time only",
        );
        return Err(api.named(e, &what));
    }
    take(&answer.hits, room, each)
}

/// Asks for the rows of a part of the time.
fn page(
    api: &Api<'_>,
    question: &Question,
    range: Window,
    size: usize,
    body: &mut Vec<u8>,
    room: &mut usize,
    each: &mut Hand<'_>,
) -> Result<Page, SourceError> {
    let what = api.describe(question.dataset, "");
    if !asked(api, question, range, size, body)? {
        return if range.len() > 1 {
            Ok(Page::Full)
        } else {
            Err(api.too_large(&what))
        };
    }
    let answer = hits::parse::<&RawValue>(api, &what, body)?;
    if let Some(start) = answer.moved_start(range) {
        return Ok(Page::Moved(start));
    }
    answer.check_whole(api, &what)?;
    if answer.hits.len() >= size {
        return Ok(Page::Full);
    }
    take(&answer.hits, room, each)?;
    Ok(if *room == 0 {
        Page::Enough
    } else {
        Page::Whole(answer.hits.len())
    })
}

/// Whether the answer is in the buffer; false: it is too large.
fn asked(
    api: &Api<'_>,
    question: &Question,
    range: Window,
    size: usize,
    body: &mut Vec<u8>,
) -> Result<bool, SourceError> {
    let search = Search {
        dataset: question.dataset,
        stream: "",
        sql: &question.sql,
        range,
        size,
        count: false,
    };
    match api.search(&search, body, whole)? {
        Answer::Body(()) => Ok(true),
        Answer::TooLarge => Ok(false),
        Answer::NoField(e) => Err(e),
        Answer::NoStream => {
            let e = SourceError::new(ErrorKind::NotFound, "the server knows no such stream");
            Err(api.named(e, &api.describe(question.dataset, "")).hint(
                "Check the stream's name and the type: logs, metrics and traces have streams of their own; metrics have one for each metric.",
            ))
        }
    }
}

fn take(hits: &[&RawValue], room: &mut usize, each: &mut Hand<'_>) -> Result<(), SourceError> {
    for hit in hits.iter().take(*room) {
        *room -= 1;
        each(hit.get())?;
    }
    Ok(())
}

/// The error as the one who asked the question needs it.
fn explained(e: SourceError, server: &str) -> SourceError {
    let mut e = e.for_asker();
    e.detail = e.detail.map(|detail| mask_secrets(&detail).into_owned());
    let hint = match e.kind {
        ErrorKind::Auth => Some(format!(
            "Set username and password of your own user mapping: ALTER USER MAPPING FOR CURRENT_USER SERVER \"{server}\" ..."
        )),
        ErrorKind::Http(400..=499) => Some(
            "Check the SQL; it is OpenObserve's dialect, and the time is given by the arguments \"from\" and \"to\"."
                .into(),
        ),
        ErrorKind::BadResponse | ErrorKind::Partial => {
            Some("Ask for a shorter range, fewer rows (max_rows) or fewer columns.".into())
        }
        _ => None,
    };
    match hint {
        Some(hint) => e.hint(hint),
        None => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_speak_to_the_one_who_asked_and_hide_secrets() {
        let e = SourceError::new(ErrorKind::Http(400), "x")
            .detail("near password=hunter2")
            .hint("etl_retry()");
        let e = explained(e, "oo");
        assert_eq!(e.detail.as_deref(), Some("near password=***"));
        assert!(e.hint.unwrap().starts_with("Check the SQL"));
        let e = explained(SourceError::new(ErrorKind::Connection, "x").hint("endpoint"), "oo");
        assert_eq!(e.hint.as_deref(), Some("endpoint"));
    }
}
