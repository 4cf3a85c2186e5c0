//! One JSON object becomes one row.
//!
//! The quick way ([`Plain`]) reads the object in one pass with borrowed strings and takes only what needs no thought:
//! texts where texts belong, no key twice. Everything else goes the careful way, which reads the same object again from
//! its raw text. A property test holds both to the same result.

use super::cursor::{Cursor, string};
use super::fields::{self, Label, Role, role};
use super::plain::Plain;
use super::row::{Row, RowSink};
use super::scalar::Scalar;
use super::{DecodeError, Options};
use crate::record::{Dataset, RejectReason};
use std::borrow::Cow;
use std::collections::HashMap;

/// What to do with the value of a key.
#[derive(Clone, Copy)]
struct Target<'a> {
    role: Option<(Role, u8)>,
    /// The column and what it is as a label, if it is one.
    label: Option<(&'a str, Label)>,
}

impl Target<'_> {
    /// Nothing.
    const NONE: Target<'static> = Target {
        role: None,
        label: None,
    };
}

/// Keys seen so far in this text and their targets. Records of one stream have the same keys in the same order, so the
/// next key is nearly always the next entry.
struct Keys<'a> {
    options: &'a Options,
    entries: Vec<Entry<'a>>,
    next: usize,
}

/// A key.
struct Entry<'a> {
    key: &'a str,
    /// The key as it stands in the text, from behind the last comma to its colon.
    raw: &'a str,
    target: Target<'a>,
}

/// Streams with more columns resolve the rest of them for every record.
const KEYS_KEPT: usize = 128;

impl<'a> Keys<'a> {
    /// What the column of this name is to us.
    fn resolve(&self, column: &str) -> (Option<(Role, u8)>, Option<Label>) {
        let Options { dataset, labels, .. } = self.options;
        let label = (*dataset == Dataset::Metrics).then(|| fields::label(labels, column));
        (role(*dataset, column), label.flatten())
    }

    /// Reads a key with its colon; `None` if it is no text, or one we need but spelled with escapes.
    #[inline]
    fn read(&mut self, text: &mut Plain<'a>) -> Option<Target<'a>> {
        if let Some(entry) = self.entries.get(self.next)
            && text.eat_raw(entry.raw)
        {
            self.next += 1;
            return Some(entry.target);
        }
        let start = text.position();
        let key = text.string()?;
        text.expect(b':')?;
        match key {
            Cow::Borrowed(key) => Some(self.target(key, text.since(start))),
            Cow::Owned(key) => (self.resolve(self.options.column(&key)) == (None, None)).then_some(Target::NONE),
        }
    }

    fn target(&mut self, key: &'a str, raw: &'a str) -> Target<'a> {
        let ahead = self.entries.get(self.next..).unwrap_or_default();
        let behind = || self.entries.iter().take(self.next);
        let found = match ahead.iter().position(|entry| entry.key == key) {
            Some(i) => Some(self.next + i),
            None => behind().position(|entry| entry.key == key),
        };
        if let Some((i, entry)) = found.and_then(|i| Some((i, self.entries.get(i)?))) {
            self.next = i + 1;
            return entry.target;
        }
        let column = self.options.column(key);
        let (role, label) = self.resolve(column);
        let target = Target {
            role,
            label: label.map(|label| (column, label)),
        };
        if self.entries.len() < KEYS_KEPT {
            self.entries.push(Entry { key, raw, target });
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
            options,
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
        // The start of the value, past any white space.
        cursor.peek();
        let raw = match self.quick(cursor.rest()) {
            Some(length) => cursor.take(length),
            // Something rare, or no JSON at all: only the last is an error.
            None => {
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

    /// Reads the object that `text` starts with into the row and gives its length; `None` if it is not plain.
    fn quick(&mut self, text: &'a str) -> Option<usize> {
        self.row.reset();
        self.keys.next = 0;
        let mut text = Plain::new(text);
        text.expect(b'{')?;
        if text.eat(b'}') {
            return Some(text.position());
        }
        loop {
            let target = self.keys.read(&mut text)?;
            let label = target.label.filter(|(_, label)| self.row.wants(*label));
            match (target.role, label) {
                (None, None) => text.skip()?,
                (role, label) => {
                    let cell = text.cell()?;
                    let is_text = matches!(cell, Scalar::Text(_) | Scalar::Null);
                    if let Some((name, label)) = label {
                        is_text.then(|| self.row.put_label(Cow::Borrowed(name), label, cell.clone()))?;
                    }
                    if let Some((role, rank)) = role {
                        let plain = (is_text || !role.is_text()) && self.row.put(role, rank, cell);
                        plain.then_some(())?;
                    }
                }
            }
            match text.next() {
                b',' => {}
                b'}' => return self.row.sort_labels().then(|| text.position()),
                _ => return None,
            }
        }
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
            // Either the key itself or a name that lives as long as the options.
            let column = match self.keys.options.column(&key) {
                same if same == key => key,
                long => Cow::Owned(long.to_owned()),
            };
            let (role, label) = self.keys.resolve(&column);
            if let Some((role, rank)) = role {
                self.row.put(role, rank, cell());
            }
            if let Some(label) = label {
                self.row.put_label(column, label, cell());
            }
        }
        self.row.sort_labels();
        Ok(raw)
    }
}

#[cfg(test)]
mod tests;
