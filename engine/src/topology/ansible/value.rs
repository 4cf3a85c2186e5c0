//! Variables as Ansible sees them: what YAML, INI and JSON files give, before any template is evaluated.

use std::sync::Arc;

use indexmap::IndexMap;

/// Variables by name, in the order of the file.
pub type Map = IndexMap<Arc<str>, Value>;

/// One value of a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text that Ansible treats as a Jinja2 template where it contains `{{` or `{%`.
    Str(Arc<str>),
    /// Text that is never a template (`!unsafe`).
    Unsafe(Arc<str>),
    /// Encrypted (`!vault`): the name is known, the value is not.
    Vault,
    List(Arc<Vec<Value>>),
    Map(Arc<Map>),
}

impl Value {
    pub fn str(text: impl Into<Arc<str>>) -> Value {
        Value::Str(text.into())
    }

    /// The text of a string, template or not.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) | Value::Unsafe(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The entry of a mapping; `None` where this is no mapping.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Whether some string below holds template syntax.
    pub fn has_template(&self) -> bool {
        match self {
            Value::Str(text) => is_template(text),
            Value::List(list) => list.iter().any(Value::has_template),
            Value::Map(map) => map.values().any(Value::has_template),
            _ => false,
        }
    }

    /// A list or a single value, as a list: the usual leniency of playbook keywords. Null is the empty list.
    pub fn listed(&self) -> Vec<Value> {
        match self {
            Value::Null => Vec::new(),
            Value::List(list) => list.to_vec(),
            other => vec![other.clone()],
        }
    }

    /// The value as JSON, templates as they are written. Vault becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Null | Value::Vault => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Int(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::Str(text) | Value::Unsafe(text) => Json::from(text.as_ref()),
            Value::List(list) => list.iter().map(Value::to_json).collect(),
            Value::Map(map) => map.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect(),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    /// From a self-describing format such as JSON; keys keep their order.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> serde::de::Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::str(text))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(Arc::new(list)))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            map.insert(Arc::from(key), value);
        }
        Ok(Value::Map(Arc::new(map)))
    }
}

/// Whether Ansible would send this text through Jinja2.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Lays `over` above `base`. With `deep` (`hash_behaviour = merge`), mappings on both sides are joined key by key.
pub fn combine(base: &mut Map, over: &Map, deep: bool) {
    for (key, value) in over {
        if deep && let (Some(Value::Map(below)), Value::Map(above)) = (base.get(key), value) {
            let mut joined = below.as_ref().clone();
            combine(&mut joined, above, true);
            base.insert(key.clone(), Value::Map(Arc::new(joined)));
            continue;
        }
        base.insert(key.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Value)]) -> Map {
        entries.iter().map(|(k, v)| (Arc::from(*k), v.clone())).collect()
    }

    #[test]
    fn merging_replaces_unless_told_to_join() {
        let below = map(&[(
            "a",
            Value::Map(Arc::new(map(&[("x", Value::Int(1)), ("y", Value::Int(2))]))),
        )]);
        let above = map(&[("a", Value::Map(Arc::new(map(&[("y", Value::Int(3))]))))]);
        let mut replaced = below.clone();
        combine(&mut replaced, &above, false);
        assert_eq!(replaced, above);
        let mut joined = below;
        combine(&mut joined, &above, true);
        let inner = joined["a"].as_map().unwrap();
        assert_eq!(
            (inner.get("x"), inner.get("y")),
            (Some(&Value::Int(1)), Some(&Value::Int(3)))
        );
    }
}
