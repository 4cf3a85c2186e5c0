//! JSON as Python's `json` module writes it, and reading JSON and YAML.

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, Value};

use super::super::super::value::Value as Written;
use super::super::super::yaml;
use super::data::engine;
use super::{text_of, unsupported, whole};

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("to_json", |value: &Value, options: Kwargs| {
        options.assert_all_used().map_err(|_| unsupported("to_json"))?;
        let mut out = String::new();
        write(&whole(value)?, None, 0, &mut out);
        Ok::<_, Error>(out)
    });
    environment.add_filter("to_nice_json", |value: &Value, options: Kwargs| {
        let indent: Option<usize> = options.get("indent")?;
        options.assert_all_used().map_err(|_| unsupported("to_nice_json"))?;
        let mut out = String::new();
        write(&whole(value)?, Some(indent.unwrap_or(4).min(16)), 0, &mut out);
        Ok::<_, Error>(out)
    });
    environment.add_filter("from_json", |value: &Value| {
        let data: Written = serde_json::from_str(&text_of(value)?).map_err(|_| unsupported("from_json"))?;
        Ok::<_, Error>(engine(&data))
    });
    environment.add_filter("from_yaml", |value: &Value| {
        let data = yaml::load(text_of(value)?.as_bytes()).map_err(|_| unsupported("from_yaml"))?;
        Ok::<_, Error>(engine(&data))
    });
}

/// `json.dumps`, with an indent also `sort_keys=True`. The depth is that of finished values, which is bounded.
fn write(value: &Written, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match value {
        Written::List(list) if !list.is_empty() => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push_str(comma);
                }
                line(out, depth + 1);
                write(item, indent, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        Written::Map(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            if indent.is_some() {
                entries.sort_by(|a, b| a.0.cmp(b.0));
            }
            out.push('{');
            for (at, (key, item)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push_str(comma);
                }
                line(out, depth + 1);
                string(key, out);
                out.push_str(": ");
                write(item, indent, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        Written::Str(text) | Written::Unsafe(text) => string(text, out),
        other => out.push_str(&other.to_json().to_string()),
    }
}

/// ASCII only, as Python writes it by default.
fn string(text: &str, out: &mut String) {
    for c in serde_json::Value::from(text).to_string().chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}
