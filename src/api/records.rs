//! What functions that return records as they come have in common.

use crate::backend::clock::from_timestamptz;
use crate::backend::json::replace_nul;
use crate::error::{Error, Result, or_raise};
use crate::jobs::flow::Flow;
use engine::window::Window;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;

/// The records of a flow as rows. An error is raised at the row it takes the place of.
pub struct Records(pub Flow);

impl Iterator for Records {
    type Item = JsonB;

    fn next(&mut self) -> Option<JsonB> {
        or_raise(self.0.next()).map(|record| JsonB(or_raise(parse(&record))))
    }
}

/// A record as jsonb can hold it.
///
/// # Errors
/// `Corrupt` for what is no JSON.
pub fn parse(record: &str) -> Result<Value> {
    let mut value: Value = serde_json::from_str(record).map_err(|e| Error::Corrupt {
        what: "a record of the source",
        detail: format!("not JSON: {e}"),
    })?;
    if record.contains("\\u0000") {
        replace_nul(&mut value);
    }
    Ok(value)
}

/// The range of two finite times, the earlier one first.
///
/// # Errors
/// `Invalid` for any other.
pub fn interval(from: Option<TimestampWithTimeZone>, to: Option<TimestampWithTimeZone>) -> Result<Window> {
    let finite = |t: Option<TimestampWithTimeZone>| t.filter(|t| !t.is_infinity() && !t.is_neg_infinity());
    match (finite(from).map(from_timestamptz), finite(to).map(from_timestamptz)) {
        (Some(from), Some(to)) if from <= to => Ok(Window::new(from, to)),
        _ => Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "\"from\" and \"to\" must be two finite times, the earlier one first",
            "For example now() - interval '5 min' and now(); records at \"to\" are not part of the range.",
        )),
    }
}
