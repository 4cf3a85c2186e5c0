//! YAML documents as JSON values, within limits: depth, and nodes after aliases are filled in.
//!
//! All scalars become strings, except null: nothing here computes with numbers, and so `1e3`, `0x10`, `yes` and
//! `1.10` stay what the author wrote. Merge keys (`<<`) are resolved; of repeated keys the last counts.

mod frame;
mod keys;

pub use keys::outer_keys;

use frame::{Frame, Key, merge};

use hashbrown::HashMap;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde_json::{Map, Value};

use super::TopologyError;

/// Deepest nesting; the same as serde_json's.
pub const MAX_DEPTH: usize = 128;
/// Most nodes of one document, with aliases filled in. Also the most nodes that all aliases of a stream fill in.
pub const MAX_NODES: usize = 4_000_000;
/// A list or map counts for as many nodes: even a small one takes some 500 bytes, a scalar about 100.
const COLLECTION: usize = 4;
const FORMAT: &str = "YAML";

/// What to do with tags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// Values as if untagged.
    Ignore,
    /// CloudFormation's short forms: `!Ref x` is `{"Ref": x}`, `!Sub x` is `{"Fn::Sub": x}`.
    Functions,
}

/// The documents of a stream, one at a time. Ends after the first error.
pub struct Documents<'a> {
    parser: Parser<'a, StrInput<'a>>,
    tags: Tags,
    /// Collections that are not closed yet, the outermost first.
    open: Vec<Open>,
    /// Whether objects in an outer list `items` are handed out by themselves.
    split: bool,
    anchors: HashMap<usize, (Value, usize)>,
    /// Of this document.
    nodes: usize,
    /// Filled in for aliases, in all documents.
    aliased: usize,
    done: bool,
}

struct Open {
    frame: Frame,
    anchor: usize,
    tag: Option<String>,
    /// Count of nodes when it began.
    nodes: usize,
}

impl<'a> Documents<'a> {
    pub fn new(text: &'a str, tags: Tags) -> Documents<'a> {
        Documents {
            parser: Parser::new_from_str(text),
            tags,
            open: Vec::new(),
            split: false,
            anchors: HashMap::new(),
            nodes: 0,
            aliased: 0,
            done: false,
        }
    }

    /// Hands out the objects of a list `items` one by one, before the document that they are in: a cluster's dump is one
    /// document, too large to keep whole. Elements that do not say what they are (`kind`, `metadata`) stay inside.
    pub fn split_items(mut self) -> Documents<'a> {
        self.split = true;
        self
    }

    fn document(&mut self) -> Result<Option<Value>, TopologyError> {
        loop {
            let Some(event) = self.parser.next_event() else {
                return Ok(None);
            };
            let (event, _) = event.map_err(|error| syntax(&error))?;
            let value = match event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(_) => {
                    self.anchors.clear();
                    self.nodes = 0;
                    continue;
                }
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => continue,
                Event::SequenceStart(anchor, tag) => {
                    self.open(Frame::List(Vec::new()), anchor, tag.as_deref())?;
                    continue;
                }
                Event::MappingStart(anchor, tag) => {
                    let frame = Frame::Map {
                        map: Map::new(),
                        merged: Vec::new(),
                        key: Key::Expected,
                    };
                    self.open(frame, anchor, tag.as_deref())?;
                    continue;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.count(1)?;
                    let plain = style == ScalarStyle::Plain;
                    if plain
                        && text == "<<"
                        && let Some(Open {
                            frame:
                                Frame::Map {
                                    key: key @ Key::Expected,
                                    ..
                                },
                            ..
                        }) = self.open.last_mut()
                    {
                        *key = Key::Merge;
                        continue;
                    }
                    let null = plain && tag.is_none() && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                    let value = if null {
                        Value::Null
                    } else {
                        Value::String(text.into_owned())
                    };
                    self.finish(value, anchor, self.function(tag.as_deref()), 1)?
                }
                Event::Alias(anchor) => {
                    let size = self.anchors.get(&anchor).map_or(1, |(_, size)| *size);
                    self.aliased = self.aliased.saturating_add(size);
                    self.count(size)?;
                    self.anchors
                        .get(&anchor)
                        .map_or(Value::Null, |(value, _)| value.clone())
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(Open {
                        frame,
                        anchor,
                        tag,
                        nodes,
                    }) = self.open.pop()
                    else {
                        continue;
                    };
                    let value = match frame {
                        Frame::List(list) => Value::Array(list),
                        Frame::Map { map, merged, .. } => Value::Object(merge(map, merged)),
                    };
                    self.finish(value, anchor, tag, self.nodes - nodes + COLLECTION)?
                }
            };
            if self.is_item(&value) {
                // What is handed out takes no more space here.
                self.nodes = self.open.last().map_or(0, |list| list.nodes);
                return Ok(Some(value));
            }
            match self.open.last_mut() {
                None => return Ok(Some(value)),
                Some(parent) => parent.frame.push(value),
            }
        }
    }

    fn open(&mut self, frame: Frame, anchor: usize, tag: Option<&Tag>) -> Result<(), TopologyError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(TopologyError::Limit {
                what: "levels of nesting",
                limit: MAX_DEPTH,
            });
        }
        self.count(COLLECTION)?;
        let tag = self.function(tag);
        self.open.push(Open {
            frame,
            anchor,
            tag,
            nodes: self.nodes,
        });
        Ok(())
    }

    fn is_item(&self, value: &Value) -> bool {
        let in_items = match self.open.as_slice() {
            [
                Open {
                    frame: Frame::Map {
                        key: Key::Named(name), ..
                    },
                    ..
                },
                Open {
                    frame: Frame::List(_), ..
                },
            ] => name == "items",
            _ => false,
        };
        self.split && in_items && value.get("kind").is_some() && value.get("metadata").is_some()
    }

    fn count(&mut self, nodes: usize) -> Result<(), TopologyError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes.max(self.aliased) > MAX_NODES {
            return Err(TopologyError::Limit {
                what: "YAML nodes",
                limit: MAX_NODES,
            });
        }
        Ok(())
    }

    /// Applies a tag and remembers an anchor. The copy for the anchor counts as well.
    fn finish(
        &mut self,
        value: Value,
        anchor: usize,
        tag: Option<String>,
        size: usize,
    ) -> Result<Value, TopologyError> {
        let value = match tag {
            Some(tag) => Value::Object(Map::from_iter([(tag, value)])),
            None => value,
        };
        if anchor > 0 {
            self.count(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    /// The function that a short tag stands for.
    fn function(&self, tag: Option<&Tag>) -> Option<String> {
        let tag = tag.filter(|tag| self.tags == Tags::Functions && tag.handle == "!" && !tag.suffix.is_empty())?;
        Some(match tag.suffix.as_str() {
            name @ ("Ref" | "Condition") => name.to_owned(),
            name => format!("Fn::{name}"),
        })
    }
}

impl Iterator for Documents<'_> {
    type Item = Result<Value, TopologyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let document = self.document();
        self.done = !matches!(document, Ok(Some(_)));
        document.transpose()
    }
}

fn syntax(error: &ScanError) -> TopologyError {
    let marker = error.marker();
    TopologyError::Syntax {
        format: FORMAT,
        line: marker.line(),
        column: marker.col() + 1,
        what: "not valid YAML",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Vec<Value>, TopologyError> {
        Documents::new(text, Tags::Functions).collect()
    }

    #[test]
    fn scalars_keep_their_text() {
        let text = "a: 0755\nb: yes\nc: ~\nd: ''\ne:\n- 1.10\n---\n- x\n---\n";
        assert_eq!(
            read(text).unwrap(),
            [
                json!({"a": "0755", "b": "yes", "c": null, "d": "", "e": ["1.10"]}),
                json!(["x"]),
                json!(null)
            ]
        );
    }

    #[test]
    fn anchors_merges_and_functions() {
        let text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nr: !Ref Vpc\ns: !Sub ['${A}', {A: !GetAtt B.Arn}]\n";
        assert_eq!(
            read(text).unwrap(),
            [
                json!({"base": {"x": "1", "y": "2"}, "use": {"x": "1", "y": "3"}, "r": {"Ref": "Vpc"},
                    "s": {"Fn::Sub": ["${A}", {"A": {"Fn::GetAtt": "B.Arn"}}]}})
            ]
        );
    }

    #[test]
    fn items_come_one_by_one() {
        let text = "items:\n- {kind: A, metadata: {}}\n- {b: 1}\n- {kind: C, metadata: {}}\nkind: List\n---\nx: [{kind: A, metadata: {}}]\n";
        let read: Result<Vec<Value>, TopologyError> = Documents::new(text, Tags::Ignore).split_items().collect();
        let object = |kind: &str| json!({"kind": kind, "metadata": {}});
        assert_eq!(
            read.unwrap(),
            [
                object("A"),
                object("C"),
                json!({"items": [{"b": "1"}], "kind": "List"}),
                json!({"x": [object("A")]})
            ]
        );
    }

    #[test]
    fn bombs_and_depth_end_in_an_error() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(","));
        }
        assert!(matches!(
            read(&bomb),
            Err(TopologyError::Limit { what: "YAML nodes", .. })
        ));
        let anchored: String = (0..120).map(|i| format!("&a{i} [")).collect();
        assert!(read(&format!("{anchored}{}{}", "x,".repeat(50_000), "]".repeat(120))).is_err());
        for deep in [
            "[".repeat(10_000),
            "{a: ".repeat(10_000),
            "- ".repeat(10_000),
            "? ".repeat(10_000),
        ] {
            assert!(read(&deep).is_err());
            outer_keys(&deep, |_| false);
        }
        assert!(matches!(
            read("a: [1\nb: }"),
            Err(TopologyError::Syntax { line: 2, .. })
        ));
        assert!(read("a: *nobody").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-a:&*!<{}\\[\\]|>#'\"?, \n]{0,60}", other in ".{0,60}") {
            let _ = (read(&text), read(&other));
        }
    }
}
