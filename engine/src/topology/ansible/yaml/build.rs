//! From parser events to values, without recursion.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::super::value::{Map, Value};
use super::{FORMAT, scalar};
use crate::topology::TopologyError;

/// Deepest nesting.
const MAX_DEPTH: usize = 200;
/// Most values of one file, aliases expanded.
const MAX_VALUES: usize = 4_000_000;

/// The first document.
pub(super) fn document(text: &str) -> Result<Value, TopologyError> {
    let mut builder = Builder {
        // libyaml keeps no line break that is not there; the parser adds one to block text at the end of the file.
        unended: (!text.ends_with('\n')).then(|| text.chars().count()),
        ..Builder::default()
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| TopologyError::Syntax {
            format: FORMAT,
            line: error.marker().line(),
            column: error.marker().col() + 1,
            what: "broken syntax",
        })?;
        if builder.event(event, span)? {
            break;
        }
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    /// Values below, aliases expanded.
    size: usize,
    unsafe_text: bool,
    items: Items,
}

enum Items {
    List(Vec<Value>),
    Map {
        /// Key that waits for its value; true where it is the merge key.
        key: Option<(Arc<str>, bool)>,
        merged: Vec<Arc<Map>>,
        own: Map,
    },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    anchors: HashMap<usize, (Value, usize)>,
    root: Option<Value>,
    total: usize,
    unended: Option<usize>,
}

impl Builder {
    /// Takes an event; true at the end of the first document.
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<bool, TopologyError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mut text: Arc<str> = Arc::from(text.as_ref());
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if block && self.unended.is_some_and(|end| span.end.index() >= end) {
                    text = Arc::from(text.strip_suffix('\n').unwrap_or(&text));
                }
                let merge = style == ScalarStyle::Plain && tag.is_none() && text.as_ref() == "<<";
                let value = self.scalar(&text, style, tag.as_deref());
                self.remember(anchor, &value, 1);
                self.put(value, 1, Some((text, merge)))?;
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_deref(), Items::List(Vec::new()))?,
            Event::MappingStart(anchor, tag) => {
                let items = Items::Map {
                    key: None,
                    merged: Vec::new(),
                    own: Map::new(),
                };
                self.open(anchor, tag.as_deref(), items)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    let (anchor, size) = (open.anchor, open.size + 1);
                    let value = close(open);
                    self.remember(anchor, &value, size);
                    self.put(value, size, None)?;
                }
            }
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or(TopologyError::Syntax {
                    format: FORMAT,
                    line: span.start.line(),
                    column: span.start.col() + 1,
                    what: "an alias inside of what it stands for",
                })?;
                let key = value.as_str().map(|text| (Arc::from(text), false));
                self.put(value, size, key)?;
            }
            Event::DocumentEnd => return Ok(true),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        Ok(false)
    }

    fn scalar(&self, text: &Arc<str>, style: ScalarStyle, tag: Option<&Tag>) -> Value {
        let name = tag.map(|tag| tag.suffix.as_str());
        let core = tag.is_some_and(Tag::is_yaml_core_schema);
        match name {
            Some("vault" | "vault-encrypted") if !core => return Value::Vault,
            Some("unsafe") if !core => return Value::Unsafe(text.clone()),
            Some("str") if core => {}
            Some("int" | "float" | "bool" | "null") if core => return scalar::plain(text),
            None if style == ScalarStyle::Plain => {
                let value = scalar::plain(text);
                if !matches!(value, Value::Str(_)) {
                    return value;
                }
            }
            _ => {}
        }
        if text.starts_with("$ANSIBLE_VAULT;") {
            return Value::Vault;
        }
        if self.stack.last().is_some_and(|open| open.unsafe_text) {
            return Value::Unsafe(text.clone());
        }
        Value::Str(text.clone())
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, items: Items) -> Result<(), TopologyError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(TopologyError::Limit {
                what: "levels of nested YAML",
                limit: MAX_DEPTH,
            });
        }
        let inherited = self.stack.last().is_some_and(|open| open.unsafe_text);
        let unsafe_text = inherited || tag.is_some_and(|tag| tag.suffix == "unsafe" && !tag.is_yaml_core_schema());
        self.stack.push(Open {
            anchor,
            size: 0,
            unsafe_text,
            items,
        });
        Ok(())
    }

    fn remember(&mut self, anchor: usize, value: &Value, size: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
    }

    /// Puts a value into the open collection. `key` is its text, where it may be a key.
    fn put(&mut self, value: Value, size: usize, key: Option<(Arc<str>, bool)>) -> Result<(), TopologyError> {
        self.total = self.total.saturating_add(if self.stack.is_empty() { 0 } else { size });
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        open.size = open.size.saturating_add(size);
        if open.size > MAX_VALUES || self.total > MAX_VALUES.saturating_mul(8) {
            return Err(TopologyError::Limit {
                what: "values in a YAML file, aliases expanded",
                limit: MAX_VALUES,
            });
        }
        match &mut open.items {
            Items::List(list) => list.push(value),
            Items::Map {
                key: waiting,
                merged,
                own,
            } => match waiting.take() {
                // A key that is no scalar cannot be named in a template: it is kept under a name of its own.
                None => *waiting = Some(key.unwrap_or_else(|| (Arc::from("?"), false))),
                Some((_, true)) => match value {
                    Value::Map(map) => merged.push(map),
                    Value::List(list) => merged.extend(list.iter().filter_map(|value| match value {
                        Value::Map(map) => Some(map.clone()),
                        _ => None,
                    })),
                    _ => {}
                },
                Some((name, false)) => {
                    own.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

/// Merged mappings come first, the earlier of them wins, and the mapping's own keys win over all.
fn close(open: Open) -> Value {
    match open.items {
        Items::List(list) => Value::List(Arc::new(list)),
        Items::Map { merged, own, .. } if merged.is_empty() => Value::Map(Arc::new(own)),
        Items::Map { merged, own, .. } => {
            let mut all = Map::new();
            for map in &merged {
                for (key, value) in map.iter() {
                    all.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            all.extend(own);
            Value::Map(Arc::new(all))
        }
    }
}
