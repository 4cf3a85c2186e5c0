//! `topo_mask_props()` and `topo_mask_end()`: edges without the secrets that somebody put into them.

use crate::error::{Error, Result, or_raise};
use engine::patterns::{mask_secrets, mask_value};
use pgrx::prelude::*;
use serde_json::Value;

/// What has a user and a password, if any, before its host.
const AUTHORITY: &str = "://";

/// Properties of an edge without secrets, by the rules for attributes of records; NULL where they have none.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_mask_props(props: &str) -> Option<String> {
    or_raise(masked(props))
}

/// An end of an edge: user and password of a URL are hidden.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_mask_end(identifier: &str) -> String {
    match identifier.contains(AUTHORITY) {
        true => mask_secrets(identifier).into_owned(),
        false => identifier.to_owned(),
    }
}

fn masked(props: &str) -> Result<Option<String>> {
    // The parser has a limit of nesting, which bounds the recursion below. Its error would quote the input.
    let mut value: Value = serde_json::from_str(props).map_err(|_| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "the \"props\" of an edge nest too deeply, or hold a number that is too large",
            "Give at most 100 levels, and numbers up to 1e308.",
        )
    })?;
    Ok(hide("", &mut value).then(|| value.to_string()))
}

/// Hides what is secret in a value of that name; whether there was something.
fn hide(name: &str, value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let shown = mask_value(name, text).into_owned();
            let differs = shown != *text;
            *text = shown;
            differs
        }
        Value::Array(items) => items.iter_mut().fold(false, |found, item| hide(name, item) | found),
        Value::Object(fields) => fields
            .iter_mut()
            .fold(false, |found, (name, field)| hide(name, field) | found),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
