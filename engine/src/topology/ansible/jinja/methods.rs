//! Methods of Python's strings, lists and mappings, which the engine does not have.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::format::python_str;

/// Calls a Python method; [`ErrorKind::UnknownMethod`] where there is none.
pub(super) fn call(_state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => string(value.as_str().unwrap_or_default(), method, args),
        ValueKind::Seq | ValueKind::Iterable => list(value, method, args),
        ValueKind::Map => map(value, method, args),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn string(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let arg = |at: usize| args.get(at).and_then(Value::as_str);
    let number = |at: usize| args.get(at).and_then(Value::as_usize);
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    let list = |parts: Vec<&str>| parts.into_iter().map(Value::from).collect::<Value>();
    let chars: Vec<char> = arg(0).unwrap_or(" \t\r\n\u{b}\u{c}").chars().collect();
    Ok(match method {
        "lower" | "casefold" => Value::from(text.to_lowercase()),
        "upper" => Value::from(text.to_uppercase()),
        "capitalize" => {
            let mut rest = text.chars();
            let first: String = rest.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
            Value::from(first + &rest.as_str().to_lowercase())
        }
        "strip" => Value::from(text.trim_matches(chars.as_slice())),
        "lstrip" => Value::from(text.trim_start_matches(chars.as_slice())),
        "rstrip" => Value::from(text.trim_end_matches(chars.as_slice())),
        "startswith" => Value::from(text.starts_with(arg(0).ok_or_else(unknown)?)),
        "endswith" => Value::from(text.ends_with(arg(0).ok_or_else(unknown)?)),
        "replace" => Value::from(text.replace(arg(0).ok_or_else(unknown)?, arg(1).ok_or_else(unknown)?)),
        "splitlines" => list(text.lines().collect()),
        "split" => match (arg(0), number(1)) {
            (None, None) => list(text.split_whitespace().collect()),
            (Some(""), _) | (None, Some(_)) => return Err(unknown()),
            (Some(by), None) => list(text.split(by).collect()),
            (Some(by), Some(most)) => list(text.splitn(most + 1, by).collect()),
        },
        "rsplit" => match (arg(0), number(1)) {
            (Some(by), Some(most)) if !by.is_empty() => {
                let mut parts: Vec<&str> = text.rsplitn(most + 1, by).collect();
                parts.reverse();
                list(parts)
            }
            (Some(by), None) if !by.is_empty() => list(text.split(by).collect()),
            _ => return Err(unknown()),
        },
        "join" => {
            let mut joined = String::new();
            for (at, item) in args.first().ok_or_else(unknown)?.try_iter()?.enumerate() {
                if at > 0 {
                    joined.push_str(text);
                }
                joined.push_str(item.as_str().ok_or_else(unknown)?);
            }
            Value::from(joined)
        }
        "find" => {
            let at = text.find(arg(0).ok_or_else(unknown)?);
            at.map_or(Value::from(-1), |at| {
                Value::from(text.get(..at).unwrap_or("").chars().count())
            })
        }
        "count" => Value::from(
            text.matches(arg(0).filter(|part| !part.is_empty()).ok_or_else(unknown)?)
                .count(),
        ),
        "isdigit" | "isnumeric" | "isdecimal" => {
            Value::from(!text.is_empty() && text.chars().all(|c| c.is_ascii_digit()))
        }
        "isalpha" => Value::from(!text.is_empty() && text.chars().all(char::is_alphabetic)),
        "isalnum" => Value::from(!text.is_empty() && text.chars().all(char::is_alphanumeric)),
        "zfill" => {
            let width = number(0).filter(|width| *width < 1000).ok_or_else(unknown)?;
            Value::from(format!("{text:0>width$}"))
        }
        "format" => Value::from(format(text, args)?),
        _ => return Err(unknown()),
    })
}

/// `'{}:{}'.format(a, b)` with plain and numbered fields; anything else is not evaluated.
fn format(text: &str, args: &[Value]) -> Result<String, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    let mut out = String::with_capacity(text.len());
    let mut next = 0;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(rest.get(..at).unwrap_or(""));
        let tail = rest.get(at..).unwrap_or("");
        if let Some(after) = tail.strip_prefix("{{").or_else(|| tail.strip_prefix("}}")) {
            out.push_str(tail.get(..1).unwrap_or(""));
            rest = after;
            continue;
        }
        let (field, after) = tail
            .strip_prefix('{')
            .and_then(|tail| tail.split_once('}'))
            .ok_or_else(unknown)?;
        let index = if field.is_empty() {
            next += 1;
            next - 1
        } else {
            field.parse::<usize>().map_err(|_| unknown())?
        };
        python_str(args.get(index).ok_or_else(unknown)?, &mut out, 0)?;
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn list(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    let wanted = args.first();
    Ok(match method {
        "index" => {
            let wanted = wanted.ok_or_else(unknown)?;
            let at = value.try_iter()?.position(|item| item == *wanted);
            Value::from(at.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "not in the list"))?)
        }
        "count" => {
            let wanted = wanted.ok_or_else(unknown)?;
            Value::from(value.try_iter()?.filter(|item| item == wanted).count())
        }
        "copy" => value.clone(),
        _ => return Err(unknown()),
    })
}

fn map(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    Ok(match method {
        "keys" => value.try_iter()?.collect(),
        "values" => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            keys.iter()
                .map(|key| value.get_item(key))
                .collect::<Result<Vec<_>, _>>()?
                .into()
        }
        "items" => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            let pairs: Result<Vec<Value>, Error> = keys
                .into_iter()
                .map(|key| Ok(Value::from(vec![key.clone(), value.get_item(&key)?])))
                .collect();
            pairs?.into()
        }
        "get" => {
            let key = args.first().ok_or_else(unknown)?;
            let known = value.try_iter()?.any(|known| known == *key);
            if known {
                value.get_item(key)?
            } else {
                args.get(1).cloned().unwrap_or_else(|| Value::from(()))
            }
        }
        "copy" => value.clone(),
        _ => return Err(unknown()),
    })
}
