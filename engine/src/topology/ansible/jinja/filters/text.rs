//! Filters on text and numbers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, Value};
use regex::{Regex, RegexBuilder};

use super::super::super::tree::{extension, file_name, parent};
use super::{text_of, unsupported};

/// Compiled size of one expression, in bytes.
const MAX_REGEX_SIZE: usize = 1 << 20;

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("string", |value: &Value| {
        text_of(value).map(|text| Value::from(text.as_ref()))
    });
    environment.add_filter("bool", to_bool);
    environment.add_filter("int", to_int);
    environment.add_filter("b64encode", |value: &Value| {
        Ok::<_, Error>(STANDARD.encode(text_of(value)?.as_bytes()))
    });
    environment.add_filter("b64decode", |value: &Value| {
        let bytes = STANDARD
            .decode(text_of(value)?.trim())
            .map_err(|_| unsupported("b64decode"))?;
        String::from_utf8(bytes).map_err(|_| unsupported("b64decode"))
    });
    environment.add_filter("basename", |value: &Value| {
        Ok::<_, Error>(file_name(&text_of(value)?).to_owned())
    });
    environment.add_filter("dirname", |value: &Value| {
        Ok::<_, Error>(parent(&text_of(value)?).to_owned())
    });
    environment.add_filter("splitext", |value: &Value| {
        let text = text_of(value)?;
        let ending = extension(&text);
        let stem = text.strip_suffix(ending).unwrap_or(&text).to_owned();
        Ok::<_, Error>(vec![stem, ending.to_owned()])
    });
    environment.add_filter("path_join", path_join);
    environment.add_filter("quote", |value: &Value| {
        let text = text_of(value)?;
        let plain = !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c));
        Ok::<_, Error>(if plain {
            text.to_string()
        } else {
            format!("'{}'", text.replace('\'', "'\"'\"'"))
        })
    });
    environment.add_filter("split", |value: &Value, by: Option<String>| {
        let text = text_of(value)?;
        let parts: Vec<String> = match by.as_deref() {
            Some("") => return Err(unsupported("split")),
            Some(by) => text.split(by).map(str::to_owned).collect(),
            None => text.split_whitespace().map(str::to_owned).collect(),
        };
        Ok::<_, Error>(parts)
    });
    environment.add_filter("join", join);
    environment.add_filter("regex_escape", |value: &Value| {
        Ok::<_, Error>(regex::escape(&text_of(value)?))
    });
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("regex_search", regex_search);
    environment.add_filter("regex_findall", regex_findall);
    for name in ["match", "search", "regex"] {
        environment.add_test(name, move |value: &Value, pattern: &str, options: Kwargs| {
            let anchored = if name == "match" {
                format!("^(?:{pattern})")
            } else {
                pattern.to_owned()
            };
            Ok::<_, Error>(compile(&anchored, &options)?.is_match(&text_of(value)?))
        });
    }
}

/// Ansible's rule: a few words are true, everything else is false.
fn to_bool(value: &Value) -> Result<Value, Error> {
    if matches!(value.kind(), ValueKind::None | ValueKind::Bool) {
        return Ok(value.clone());
    }
    let text = text_of(value)?.to_lowercase();
    Ok(Value::from(matches!(
        text.as_str(),
        "yes" | "on" | "1" | "true" | "1.0"
    )))
}

/// Jinja2's `int`: 0, or the given value, where the text is no number.
fn to_int(value: &Value, fallback: Option<i64>, base: Option<u32>) -> Result<i64, Error> {
    if value.kind() == ValueKind::Bool {
        return Ok(i64::from(value.is_true()));
    }
    if let Some(number) = value.as_i64().filter(|_| value.is_integer()) {
        return Ok(number);
    }
    let text = text_of(value)?;
    let text = text.trim();
    let parsed = i64::from_str_radix(text, base.filter(|base| (2..=36).contains(base)).unwrap_or(10)).ok();
    let whole = || {
        text.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(|number| number.trunc() as i64)
    };
    Ok(parsed.or_else(whole).or(fallback).unwrap_or(0))
}

fn path_join(parts: &Value) -> Result<String, Error> {
    if parts.as_str().is_some() {
        return text_of(parts).map(|text| text.to_string());
    }
    let mut path = String::new();
    for part in parts.try_iter()? {
        let part = text_of(&part)?;
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(&part);
    }
    Ok(path)
}

fn join(values: &Value, by: Option<String>, attribute: Option<Value>) -> Result<String, Error> {
    if attribute.as_ref().is_some_and(|attribute| !attribute.is_kwargs()) || values.kind() == ValueKind::Map {
        return Err(unsupported("join"));
    }
    let name = attribute
        .and_then(|options| options.get_attr("attribute").ok())
        .filter(|name| !name.is_undefined());
    let mut joined = String::new();
    if let Some(text) = values.as_str() {
        let parts: Vec<String> = text.chars().map(String::from).collect();
        return Ok(parts.join(by.as_deref().unwrap_or("")));
    }
    for (at, value) in values.try_iter()?.enumerate() {
        if at > 0 {
            joined.push_str(by.as_deref().unwrap_or(""));
        }
        let value = match name.as_ref().and_then(Value::as_str) {
            Some(name) => value.get_attr(name)?,
            None => value,
        };
        joined.push_str(&text_of(&value)?);
    }
    Ok(joined)
}

fn compile(pattern: &str, options: &Kwargs) -> Result<Regex, Error> {
    let ignore_case: Option<bool> = options.get("ignorecase")?;
    let multiline: Option<bool> = options.get("multiline")?;
    options
        .assert_all_used()
        .map_err(|_| unsupported("regular expression options"))?;
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case.unwrap_or(false))
        .multi_line(multiline.unwrap_or(false))
        .size_limit(MAX_REGEX_SIZE)
        .build()
        .map_err(|_| unsupported("regular expression"))
}

/// Python's replacement text: `\1` and `\g<name>` are groups, `$` is a dollar.
fn replacement(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(digit @ '0'..='9') => {
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                Some('g') if chars.peek() == Some(&'<') => {
                    chars.next();
                    let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                    out.push_str(&format!("${{{name}}}"));
                }
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

fn regex_replace(value: &Value, pattern: &str, by: Option<&str>, options: Kwargs) -> Result<String, Error> {
    let regex = compile(pattern, &options)?;
    Ok(regex
        .replace_all(&text_of(value)?, replacement(by.unwrap_or("")).as_str())
        .into_owned())
}

fn regex_search(value: &Value, pattern: &str, group: Option<&str>, options: Kwargs) -> Result<Value, Error> {
    let regex = compile(pattern, &options)?;
    let text = text_of(value)?;
    let Some(found) = regex.captures(&text) else {
        return Ok(Value::from(()));
    };
    let part = |index: usize| found.get(index).map_or("", |part| part.as_str()).to_owned();
    match group {
        None => Ok(Value::from(part(0))),
        Some(group) => {
            let index = group
                .trim_start_matches('\\')
                .parse()
                .map_err(|_| unsupported("regex_search"))?;
            Ok(Value::from(vec![part(index)]))
        }
    }
}

fn regex_findall(value: &Value, pattern: &str, options: Kwargs) -> Result<Vec<Value>, Error> {
    let regex = compile(pattern, &options)?;
    let text = text_of(value)?;
    let groups = regex.captures_len() - 1;
    let found = regex.captures_iter(&text).map(|found| {
        let part = |index: usize| found.get(index).map_or("", |part| part.as_str()).to_owned();
        match groups {
            0 | 1 => Value::from(part(groups)),
            _ => Value::from((1..=groups).map(part).collect::<Vec<_>>()),
        }
    });
    Ok(found.collect())
}
