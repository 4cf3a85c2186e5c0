//! Reading JSON that others wrote: size limits, and errors that say where but never what stood there.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;

use super::TopologyError;

/// Largest input that is read piece by piece (Terraform, Pulumi). Parsing needs up to three times as much besides.
pub const MAX_STREAMED_BYTES: usize = 128 << 20;
/// Largest input that is read into a tree of values (API answers, CloudFormation), which needs up to ten times as much.
pub const MAX_TREE_BYTES: usize = 32 << 20;

/// A string of the input, borrowed unless it has escapes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Text<'_> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The input as text without a byte order mark.
///
/// # Errors
/// [`TopologyError::Limit`] beyond `max` bytes, [`TopologyError::NotUtf8`].
pub fn text(content: &[u8], max: usize) -> Result<&str, TopologyError> {
    if content.len() > max {
        return Err(TopologyError::Limit {
            what: "bytes",
            limit: max,
        });
    }
    let text = std::str::from_utf8(content).map_err(|error| TopologyError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Parses one JSON value.
///
/// # Errors
/// [`TopologyError::Syntax`] without any of the content: serde's own message may quote it.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str, format: &'static str) -> Result<T, TopologyError> {
    serde_json::from_str(text).map_err(|error| syntax(&error, format))
}

/// serde's error as ours.
pub fn syntax(error: &serde_json::Error, format: &'static str) -> TopologyError {
    let what = match error.classify() {
        Category::Eof => "the input ends too early",
        Category::Data => "a value is not of the expected type",
        // serde_json has no kind for its depth limit of 128.
        Category::Syntax if error.to_string().starts_with("recursion limit") => "nested too deeply",
        Category::Syntax | Category::Io => "not valid JSON",
    };
    TopologyError::Syntax {
        format,
        line: error.line(),
        column: error.column(),
        what,
    }
}

/// The text at a field, if it is a non-empty string.
pub fn str_at<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The elements at a field; nothing when it is absent or no list.
pub fn list_at<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
