//! Which values of a state are secret. Marks alone do not tell: providers leave attributes unmarked, and the same
//! value also sits in unmarked copies. So a value is secret when its path is marked or its name says so, anywhere in
//! the state; kept are only hashes of such values.

use hashbrown::{HashMap, HashSet};
use serde_json::Value;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

/// Most attribute names whose meaning is remembered; a state has some hundreds.
const MAX_NAMES: usize = 10_000;

/// Hashes of the secret values of a state.
#[derive(Default)]
pub struct Secrets {
    values: HashSet<u64>,
    /// Names seen before, and whether they mean a secret.
    names: HashMap<String, bool>,
}

impl Secrets {
    pub fn add(&mut self, value: &str) {
        self.values.insert(xxh3_64(value.as_bytes()));
    }

    /// Whether this exact text is a secret value somewhere.
    pub fn contains(&self, value: &str) -> bool {
        self.values.contains(&xxh3_64(value.as_bytes()))
    }

    /// Whether an attribute of this name usually holds a secret.
    pub fn means_secret(&mut self, name: &str) -> bool {
        if let Some(&known) = self.names.get(name) {
            return known;
        }
        if self.names.len() >= MAX_NAMES {
            self.names.clear();
        }
        let secret = is_secret_name(name);
        self.names.insert(name.to_owned(), secret);
        secret
    }
}

/// The marked paths of one instance.
pub struct Marks(HashSet<String>);

impl Marks {
    pub fn of(sensitive: Option<&RawValue>) -> Marks {
        Marks(marked_paths(sensitive).into_iter().collect())
    }

    /// The mark on this path or on what is around it.
    pub fn around<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.0.is_empty() {
            return None;
        }
        // A path has at most 128 steps; only made-up keys have more dots.
        let ends = path
            .match_indices('.')
            .map(|(end, _)| end)
            .take(256)
            .chain([path.len()]);
        ends.filter_map(|end| path.get(..end))
            .find(|head| self.0.contains(*head))
    }
}

/// Marked paths as texts like `input.password`. Indices are left out: a mark on one element hides
/// its siblings.
fn marked_paths(sensitive: Option<&RawValue>) -> Vec<String> {
    let mut paths = Vec::new();
    match sensitive.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
        // State: [[{"type": "get_attr", "value": "input"}, ..], ..]
        Some(Value::Array(list)) => {
            for path in &list {
                let steps = path.as_array().map_or(&[] as &[Value], Vec::as_slice);
                let names = steps.iter().filter_map(|step| match step.get("value") {
                    Some(Value::String(name)) => Some(name.as_str()),
                    Some(Value::Object(key)) => key.get("value").and_then(Value::as_str),
                    _ => None,
                });
                paths.push(names.collect::<Vec<_>>().join("."));
            }
        }
        // `show -json`: the values' own shape with `true` at the marks. serde_json limits the depth to 128.
        Some(tree) => marks(&tree, &mut String::new(), &mut paths),
        None => {}
    }
    paths.retain(|path| !path.is_empty());
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn marks(tree: &Value, path: &mut String, paths: &mut Vec<String>) {
    match tree {
        Value::Bool(true) => paths.push(path.clone()),
        Value::Array(list) => list.iter().for_each(|inner| marks(inner, path, paths)),
        Value::Object(fields) => {
            for (name, inner) in fields {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                marks(inner, path, paths);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 10] = [
        "password",
        "passwd",
        "secret",
        "token",
        "private_key",
        "access_key",
        "api_key",
        "credential",
        "passphrase",
        "connection_string",
    ];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(json: &str) -> Vec<String> {
        marked_paths(Some(&RawValue::from_string(json.to_owned()).unwrap()))
    }

    #[test]
    fn both_ways_of_marking_are_read() {
        let list = r#"[[{"type":"get_attr","value":"input"},{"type":"index","value":{"value":"k","type":"string"}}],
                       [{"type":"get_attr","value":"a"},{"type":"index","value":{"value":0,"type":"number"}}]]"#;
        assert_eq!(paths(list), ["a", "input.k"]);
        assert_eq!(
            paths(r#"{"input":{"k":true,"z":{}},"l":[{"p":true},false]}"#),
            ["input.k", "l.p"]
        );
        let marks = Marks(["a.b".to_owned()].into());
        assert_eq!(
            ["a", "a.b", "a.b.c", "a.bc"].map(|path| marks.around(path)),
            [None, Some("a.b"), Some("a.b"), None]
        );
        assert!(paths("[]").is_empty() && paths("[3, [[]]]").is_empty() && marked_paths(None).is_empty());
    }
}
