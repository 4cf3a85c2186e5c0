//! One JSON object becomes one row.
//!
//! The quick way reads the object in one pass with borrowed strings and takes only what needs no thought: texts where
//! texts belong, no key twice. Everything else goes the careful way, which reads the same object again from its raw
//! text. A property test holds both to the same result.

use super::cursor::{Cursor, string};
use super::fields::{self, Label, LabelChoice, Role, role};
use super::row::{Row, RowSink};
use super::scalar::Scalar;
use super::{DecodeError, Options};
use crate::record::{Dataset, RejectReason};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// What to do with the value of a key.
#[derive(Clone, Copy)]
struct Target<'a> {
    role: Option<(Role, u8)>,
    /// The key and what it is as a label, if it is one.
    label: Option<(&'a str, Label)>,
}

/// Keys seen so far in this text and their targets. Records of one stream have the same keys in the same order, so the
/// next key is nearly always the next entry.
struct Keys<'a> {
    dataset: Dataset,
    labels: &'a LabelChoice,
    entries: Vec<(&'a str, Target<'a>)>,
    next: usize,
}

/// Streams with more columns resolve the rest of them for every record.
const KEYS_KEPT: usize = 128;

impl<'a> Keys<'a> {
    fn resolve(&self, key: &str) -> (Option<(Role, u8)>, Option<Label>) {
        let label = (self.dataset == Dataset::Metrics).then(|| fields::label(self.labels, key));
        (role(self.dataset, key), label.flatten())
    }

    fn target(&mut self, key: &'a str) -> Target<'a> {
        let ahead = self.entries.get(self.next..).unwrap_or_default();
        let behind = || self.entries.iter().take(self.next);
        let found = match ahead.iter().position(|(k, _)| *k == key) {
            Some(i) => Some(self.next + i),
            None => behind().position(|(k, _)| *k == key),
        };
        if let Some((i, (_, target))) = found.and_then(|i| Some((i, self.entries.get(i)?))) {
            self.next = i + 1;
            return *target;
        }
        let (role, label) = self.resolve(key);
        let target = Target {
            role,
            label: label.map(|label| (key, label)),
        };
        if self.entries.len() < KEYS_KEPT {
            self.entries.push((key, target));
            self.next = self.entries.len();
        }
        target
    }
}

/// Reads the objects of one text.
pub(super) struct Hits<'a> {
    keys: Keys<'a>,
    row: Row<'a>,
}

impl<'a> Hits<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let keys = Keys {
            dataset: options.dataset,
            labels: &options.labels,
            entries: Vec::new(),
            next: 0,
        };
        Hits {
            keys,
            row: Row::default(),
        }
    }

    /// Reads the next value, which should be an object, and hands it on: exactly one call of `out`, unless the text
    /// is not JSON (or, where the value is to be `alone`, goes on behind it). Gives the timestamp if it is a good one.
    pub(super) fn next(
        &mut self,
        cursor: &mut Cursor<'a>,
        alone: bool,
        out: &mut impl RowSink,
    ) -> Result<Option<i64>, DecodeError> {
        self.row.reset();
        self.keys.next = 0;
        let raw = match cursor.read(Quick {
            keys: &mut self.keys,
            row: &mut self.row,
        }) {
            Ok((true, raw)) if self.row.sort_labels() => raw,
            Ok((_, raw)) => self.careful(raw)?,
            // Not an object, a number beyond f64, half a surrogate pair, or no JSON at all: only the last is an error.
            Err(_) => {
                let raw = cursor.raw()?;
                self.careful(raw)?
            }
        };
        if alone {
            cursor.end()?;
        }
        let done = if raw.starts_with('{') {
            out.row(&self.row)
        } else {
            Err(RejectReason::NotAnObject)
        };
        if let Err(reason) = done {
            out.reject(reason, self.row.timestamp(), raw);
        }
        Ok(self.row.timestamp())
    }

    /// Reads an object that is valid JSON from its raw text, which it gives back.
    fn careful(&mut self, raw: &'a str) -> Result<&'a str, DecodeError> {
        self.row.reset();
        if !raw.starts_with('{') {
            return Ok(raw);
        }
        let mut cells: HashMap<Cow<'a, str>, &'a str> = HashMap::new();
        Cursor::new(raw).object(|c, key| {
            let value = c.raw()?;
            cells.insert(key, value);
            Ok(())
        })?;
        for (key, value) in cells {
            let cell = || match value {
                "null" => Scalar::Null,
                v if v.starts_with('"') => string(v).map_or(Scalar::Unreadable, Scalar::Text),
                v => Scalar::Json(v),
            };
            let (role, label) = self.keys.resolve(&key);
            if let Some((role, rank)) = role {
                self.row.put(role, rank, cell());
            }
            if let Some(label) = label {
                self.row.put_label(key, label, cell());
            }
        }
        self.row.sort_labels();
        Ok(raw)
    }
}

/// Reads an object into the row; true if that is the whole truth about it.
struct Quick<'r, 'a> {
    keys: &'r mut Keys<'a>,
    row: &'r mut Row<'a>,
}

impl<'a> DeserializeSeed<'a> for Quick<'_, 'a> {
    type Value = bool;
    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<bool, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Quick<'_, 'a> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<bool, M::Error> {
        let mut plain = true;
        while let Some(target) = map.next_key_seed(Key(self.keys))? {
            let Some(target) = target else {
                plain = false;
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let label = target.label.filter(|(_, label)| self.row.wants(*label));
            if target.role.is_none() && label.is_none() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Some(cell) = map.next_value_seed(Cell)? else {
                plain = false;
                continue;
            };
            let text = matches!(cell, Scalar::Text(_) | Scalar::Null);
            if let Some((name, label)) = label {
                plain &= text;
                self.row.put_label(Cow::Borrowed(name), label, cell.clone());
            }
            if let Some((role, rank)) = target.role {
                plain &= text || !role.is_text();
                plain &= self.row.put(role, rank, cell);
            }
        }
        Ok(plain)
    }
}

/// Reads a key; `None` if it is one we need but spelled with escapes.
struct Key<'r, 'a>(&'r mut Keys<'a>);

impl<'a> DeserializeSeed<'a> for Key<'_, 'a> {
    type Value = Option<Target<'a>>;
    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key<'_, 'a> {
    type Value = Option<Target<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(Some(self.0.target(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let unneeded = self.0.resolve(key) == (None, None);
        Ok(unneeded.then_some(Target {
            role: None,
            label: None,
        }))
    }
}

/// Reads a cell; `None` if it is an array or an object.
struct Cell;

impl<'a> DeserializeSeed<'a> for Cell {
    type Value = Option<Scalar<'a>>;
    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Cell {
    type Value = Option<Scalar<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Null))
    }

    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Bool(v)))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Int(v)))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::UInt(v)))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Float(v)))
    }

    fn visit_borrowed_str<E>(self, v: &'a str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Borrowed(v))))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Owned(v.to_owned()))))
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
