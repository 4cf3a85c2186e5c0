//! Answers of the search API whose hits are read as they are, and whether they are whole.

use super::api::Api;
use crate::source::error::{ErrorKind, SourceError, excerpt};
use engine::window::Window;
use serde::Deserialize;
use serde_json::Value;

/// An answer to a search.
#[derive(Deserialize)]
pub struct Answered<T> {
    pub hits: Vec<T>,
    #[serde(default)]
    is_partial: bool,
    #[serde(default)]
    function_error: Value,
    #[serde(default)]
    new_start_time: Option<i64>,
}

/// Reads the body of an answer to `what`.
///
/// # Errors
/// `BadResponse` for what is no such answer.
pub fn parse<'b, T: Deserialize<'b>>(api: &Api<'_>, what: &str, body: &'b [u8]) -> Result<Answered<T>, SourceError> {
    serde_json::from_slice(body).map_err(|e| {
        let cut = SourceError::new(
            ErrorKind::BadResponse,
            "the answer is cut short or not what was asked for",
        );
        api.named(cut.detail(e.to_string()), what)
    })
}

impl<T> Answered<T> {
    /// Where the server has begun instead, if the range was longer than the stream's `max_query_range`.
    pub fn moved_start(&self, range: Window) -> Option<i64> {
        self.new_start_time
            .filter(|start| range.from < *start && *start < range.to)
    }

    /// # Errors
    /// `Partial` when the server admits that something is missing.
    pub fn check_whole(&self, api: &Api<'_>, what: &str) -> Result<(), SourceError> {
        let said = match &self.function_error {
            Value::Null => String::new(),
            Value::String(said) => said.clone(),
            Value::Array(said) if said.is_empty() => String::new(),
            other => other.to_string(),
        };
        if !self.is_partial && said.is_empty() {
            return Ok(());
        }
        let e = SourceError::new(ErrorKind::Partial, "the server says that its answer is incomplete");
        Err(api.named(e.detail(excerpt(&said)), what))
    }
}
