//! What PostgreSQL's text and jsonb cannot hold.

use pgrx::JsonB;
use serde_json::Value;

/// The text with U+FFFD for every NUL.
pub fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{FFFD}")
    } else {
        text
    }
}

/// A parameter or result of type jsonb. Names in it may be somebody else's: a NUL in one fails nothing.
pub fn jsonb(mut value: Value) -> JsonB {
    replace_nul(&mut value);
    JsonB(value)
}

/// Replaces every NUL in texts and keys by U+FFFD.
pub fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_nul(std::mem::take(text)),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(members) => {
            *members = std::mem::take(members)
                .into_iter()
                .map(|(key, mut member)| {
                    replace_nul(&mut member);
                    (without_nul(key), member)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
