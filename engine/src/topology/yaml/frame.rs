//! Lists and maps that are being filled.

use serde_json::{Map, Value};

/// A collection that is being filled.
pub enum Frame {
    List(Vec<Value>),
    Map {
        map: Map<String, Value>,
        merged: Vec<Value>,
        key: Key,
    },
}

pub enum Key {
    Expected,
    /// The value of this key comes next.
    Named(String),
    /// `<<`.
    Merge,
    /// A list or map as key: its value is left out.
    Unusable,
}

impl Frame {
    pub fn push(&mut self, value: Value) {
        match self {
            Frame::List(list) => list.push(value),
            Frame::Map { map, merged, key } => match std::mem::replace(key, Key::Expected) {
                Key::Expected => {
                    *key = match value {
                        Value::String(name) => Key::Named(name),
                        Value::Null => Key::Named("null".to_owned()),
                        _ => Key::Unusable,
                    }
                }
                Key::Named(name) => {
                    map.insert(name, value);
                }
                Key::Merge => merged.push(value),
                Key::Unusable => {}
            },
        }
    }
}

/// Fills in what `<<` names: own keys win, then the first of several maps.
pub fn merge(mut map: Map<String, Value>, merged: Vec<Value>) -> Map<String, Value> {
    for value in merged {
        let maps = match value {
            Value::Array(list) => list,
            other => vec![other],
        };
        for (key, value) in maps
            .into_iter()
            .filter_map(|map| if let Value::Object(map) = map { Some(map) } else { None })
            .flatten()
        {
            map.entry(key).or_insert(value);
        }
    }
    map
}
