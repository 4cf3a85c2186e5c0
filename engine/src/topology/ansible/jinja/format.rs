//! Results: text as Python writes it, values out of the engine, and the characters that stand for hosts.

use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value as Engine};

use super::super::value::{Map, Value};
use super::super::why::Why;
use super::frame::{self, error, missing};
use super::session::{Mode, Session};

/// First of the private-use characters that stand for hosts; enough for every host of an inventory.
const FIRST_TOKEN: u32 = 0xF_0000;
/// Deepest nesting of a result.
const MAX_DEPTH: usize = 64;

/// The character that stands for a host.
pub(super) fn token(host: usize) -> String {
    let code = u32::try_from(host)
        .ok()
        .and_then(|host| FIRST_TOKEN.checked_add(host))
        .and_then(char::from_u32);
    code.map(String::from).unwrap_or_default()
}

/// The host that a text of one such character stands for.
pub fn token_of(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    let c = chars.next().filter(|c| *c as u32 >= FIRST_TOKEN)?;
    chars.next().is_none().then(|| (c as u32 - FIRST_TOKEN) as usize)
}

/// A host's name, or its character in symbolic reading.
pub(super) fn host_text(session: &Session, host: &str) -> Engine {
    match (session.mode, session.world.host_index(host)) {
        (Mode::Symbolic, Some(index)) => Engine::from(token(index)),
        _ => Engine::from(host),
    }
}

/// Text of a variable. In symbolic reading, a text that names a host is the host.
pub(super) fn text_value(session: &Session, text: &Arc<str>) -> Engine {
    if session.mode == Mode::Symbolic
        && let Some(index) = session.world.host_named(text)
    {
        return Engine::from(token(index));
    }
    Engine::from(text.as_ref())
}

/// What a template wrote through expressions.
#[derive(Clone, Debug, Default)]
pub(super) struct Emitted {
    count: usize,
    last: Option<Engine>,
    bytes: usize,
}

impl Emitted {
    /// Ansible's rule: nothing written is null, one expression alone keeps its type, everything else is text.
    pub fn result(self, text: &str) -> Engine {
        match self.last {
            None if text.is_empty() => Engine::from(()),
            Some(value) if self.count == 1 && self.bytes == text.len() => value,
            _ => Engine::from(text),
        }
    }
}

/// Writes the value of an expression as Python's `str()` does. Null writes nothing.
pub(super) fn emit(out: &mut Output, state: &mut State, value: &Engine) -> Result<(), Error> {
    if value.is_none() {
        return Ok(());
    }
    if let Some(missing) = missing(value) {
        return Err(error(missing.why.clone()));
    }
    if value.is_undefined() {
        let lenient = state.undefined_behavior() == minijinja::UndefinedBehavior::Chainable;
        return if lenient {
            Ok(())
        } else {
            Err(error(Why::Undefined("undefined value".to_owned())))
        };
    }
    let mut text = String::new();
    python_str(value, &mut text, 0)?;
    let emitted = state.get_or_insert_extension_with(Emitted::default);
    emitted.count += 1;
    emitted.bytes += text.len();
    emitted.last = Some(value.clone());
    out.write_str(&text)?;
    Ok(())
}

/// Python's `str()` (depth 0) and `repr()` (below).
pub(super) fn python_str(value: &Engine, out: &mut String, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(error(Why::Budget));
    }
    if let Some(missing) = missing(value) {
        return Err(error(missing.why.clone()));
    }
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String if depth > 0 => repr(value.as_str().unwrap_or_default(), out),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.push_str(&float(number)),
            Err(_) => out.push_str(&value.to_string()),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (at, item) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                python_str(&item, out, depth + 1)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                python_str(&key, out, depth + 1)?;
                out.push_str(": ");
                python_str(&value.get_item(&key)?, out, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Undefined | ValueKind::Invalid => {
            return Err(error(Why::Undefined("undefined value".to_owned())));
        }
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

/// Python's `repr()` of a float.
fn float(number: f64) -> String {
    if number == 0.0 || (1e-4..1e16).contains(&number.abs()) {
        let text = number.to_string();
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text.to_lowercase(),
    }
}

fn repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// Takes a value out of the engine, evaluating what is lazy. Text is no template any more.
pub(super) fn finalize(session: &Arc<Session>, value: &Engine) -> Result<Value, Why> {
    convert(value, 0).or_else(|why| match session.mode {
        Mode::Symbolic if why.is_undefined() => Ok(Value::Null),
        _ => Err(why),
    })
}

pub(super) fn convert(value: &Engine, depth: usize) -> Result<Value, Why> {
    if depth > MAX_DEPTH {
        return Err(Why::Budget);
    }
    if let Some(missing) = missing(value) {
        return Err(missing.why.clone());
    }
    let failed = |error: Error| frame::why(&error);
    Ok(match value.kind() {
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => match value.as_i64() {
            Some(number) if value.is_integer() => Value::Int(number),
            _ => Value::Float(f64::try_from(value.clone()).map_err(failed)?),
        },
        ValueKind::String => Value::Unsafe(Arc::from(value.as_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Result<Vec<Value>, Why> = value
                .try_iter()
                .map_err(failed)?
                .map(|item| element(&item, depth))
                .collect();
            Value::List(Arc::new(items?))
        }
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter().map_err(failed)? {
                let text: Arc<str> = key.as_str().map_or_else(|| Arc::from(key.to_string()), Arc::from);
                let item = value.get_item(&key).map_err(failed)?;
                map.insert(text, element(&item, depth)?);
            }
            Value::Map(Arc::new(map))
        }
        ValueKind::Undefined => return Err(Why::Undefined("undefined value".to_owned())),
        ValueKind::Invalid => {
            return Err(value
                .try_iter()
                .err()
                .map_or(Why::Unsupported("expression".to_owned()), failed));
        }
        // Facts in symbolic reading, and functions.
        _ => Value::Unsafe(Arc::from(value.to_string())),
    })
}

fn element(value: &Engine, depth: usize) -> Result<Value, Why> {
    convert(value, depth + 1)
}
