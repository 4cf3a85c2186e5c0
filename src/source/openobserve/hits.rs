//! Answers of the search API whose hits are read as they are, and whether they are whole.

use super::api::Api;
use crate::source::error::{ErrorKind, SourceError, excerpt};
use engine::decode::json::SearchPage;
use engine::window::Window;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An answer to a search.
pub struct Answered<T> {
    pub hits: Vec<T>,
    page: SearchPage,
}

#[derive(Deserialize)]
struct Body<'b, T> {
    hits: Vec<T>,
    #[serde(default, borrow)]
    is_partial: Option<&'b RawValue>,
    #[serde(default, borrow)]
    function_error: Option<&'b RawValue>,
    #[serde(default, borrow)]
    new_start_time: Option<&'b RawValue>,
    #[serde(default, borrow)]
    new_end_time: Option<&'b RawValue>,
}

/// Reads the body of an answer to `what`.
///
/// # Errors
/// `BadResponse` for what is no such answer.
pub fn parse<'b, T: Deserialize<'b>>(api: &Api<'_>, what: &str, body: &'b [u8]) -> Result<Answered<T>, SourceError> {
    let cut = |why: String| {
        let cut = SourceError::new(
            ErrorKind::BadResponse,
            "the answer is cut short or not what was asked for",
        );
        api.named(cut.detail(why), what)
    };
    let body: Body<'b, T> = serde_json::from_slice(body).map_err(|e| cut(e.to_string()))?;
    let mut page = SearchPage::default();
    for (key, raw) in [
        ("is_partial", body.is_partial),
        ("function_error", body.function_error),
        ("new_start_time", body.new_start_time),
        ("new_end_time", body.new_end_time),
    ] {
        if let Some(raw) = raw {
            page.tell(key, raw.get()).map_err(|e| cut(e.to_string()))?;
        }
    }
    Ok(Answered { hits: body.hits, page })
}

impl<T> Answered<T> {
    /// See [`moved_start`].
    pub fn moved_start(&self, range: Window) -> Option<i64> {
        moved_start(&self.page, range)
    }

    /// See [`check_whole`].
    pub fn check_whole(&self, api: &Api<'_>, what: &str) -> Result<(), SourceError> {
        check_whole(&self.page, api, what)
    }
}

/// Where the server has begun instead, if the range was longer than the stream's `max_query_range`. Such an answer is
/// not whole: the range must be asked for in parts.
pub fn moved_start(page: &SearchPage, range: Window) -> Option<i64> {
    page.new_start_time
        .filter(|start| range.from < *start && *start < range.to)
}

/// # Errors
/// `Partial` when the server admits that something is missing.
pub fn check_whole(page: &SearchPage, api: &Api<'_>, what: &str) -> Result<(), SourceError> {
    if !page.is_partial && page.function_error.is_empty() {
        return Ok(());
    }
    let e = SourceError::new(ErrorKind::Partial, "the server says that its answer is incomplete");
    Err(api.named(e.detail(excerpt(&page.function_error.join("; "))), what))
}
