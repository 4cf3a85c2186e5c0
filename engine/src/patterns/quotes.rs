//! Quoted texts: JSON keys, values of keys, messages that are scanned, and names that are variables.

use super::keys::{KeyKind, key_kind};
use super::known::is_known;
use super::scan::{Key, Scanner, Separator};
use super::words::{self, Cue};
use crate::work::looked;

/// A text in single quotes longer than this is taken as apostrophes, a JSON key as a variable.
const MAX_QUOTED_TEXT: usize = 128;

impl Scanner<'_> {
    /// A quote: the start or end of a text that is either scanned or a variable, or an apostrophe.
    pub(super) fn quote(&mut self, q: u8) {
        if let Some(end) = self.quoted {
            self.out.byte(q);
            self.i += 1;
            if self.i > end {
                self.quoted = None;
                self.key = None;
            }
            return;
        }
        let Some(end) = self.closing_quote(q) else {
            self.out.byte(q);
            self.i += 1;
            self.cue = Cue::None;
            return;
        };
        let inner = (self.i + 1, end);
        if self.is_json_key(end) {
            self.key = Some(Key {
                start: inner.0,
                end: inner.1,
                separator: Separator::Json,
            });
            // A key is copied: its own text is what tells templates apart.
            self.cue = Cue::None;
            self.json_key(q, inner);
            // A blank before the colon says nothing.
            self.i = end + 1 + usize::from(self.at(end + 1) == b' ');
            return;
        }
        let key = self
            .key
            .take()
            .filter(|k| k.separator != Separator::Loose || self.is_secret(k));
        let scanned = match key {
            Some(k) => key_kind(self.slice(k.start, k.end)) == KeyKind::Text,
            None => self.out.is_empty() || is_request(self.slice(inner.0, inner.1)),
        };
        self.cue = Cue::None;
        if scanned {
            self.out.byte(q);
            self.i += 1;
            self.quoted = Some(end);
        } else if key.is_some() {
            self.out.mask();
            self.number_last = false;
            self.header = false;
            self.i = end + 1;
        } else {
            self.out.quoted_mask(q, inner.0 == inner.1);
            self.number_last = false;
            self.header = false;
            self.i = end + 1;
        }
    }

    /// A JSON key is text; one with digits is a value itself (`{"1234": ...}`), unless it is a well-known word.
    fn json_key(&mut self, q: u8, (start, end): (usize, usize)) {
        let key = self.slice(start, end);
        let plain = key.len() <= MAX_QUOTED_TEXT && !key.iter().any(u8::is_ascii_control);
        self.out.byte(q);
        if plain && (!key.iter().any(u8::is_ascii_digit) || is_known(key)) {
            self.out.literal(key);
        } else {
            self.out.mask();
        }
        self.out.byte(q);
    }

    fn is_secret(&self, key: &Key) -> bool {
        key_kind(self.slice(key.start, key.end)) == KeyKind::Secret
    }

    /// Whether the quoted text that ends at `end` is followed by a colon and a value.
    fn is_json_key(&self, end: usize) -> bool {
        let colon = end + 1 + usize::from(self.at(end + 1) == b' ');
        self.at(end) == b'"'
            && self.at(colon) == b':'
            && matches!(
                self.at(colon + 1),
                b' ' | b'"' | b'-' | b'0'..=b'9' | b'{' | b'[' | b't' | b'f' | b'n'
            )
    }

    /// Where the quoted text that starts here ends: on the same line, not after a backslash. Every byte is looked
    /// at once per kind of quote, since a quote that finds no end says so for the rest of the line.
    fn closing_quote(&mut self, q: u8) -> Option<usize> {
        if q == b'\'' {
            return self.closing_single_quote();
        }
        let unpaired = self.unpaired.get_mut(usize::from(q == b'`'))?;
        if *unpaired {
            return None;
        }
        let mut from = self.i + 1;
        loop {
            let rest = self.s.get(from..)?;
            let found = memchr::memchr3(q, b'\\', b'\n', rest);
            looked(found.map_or(rest.len(), |p| p + 1));
            match found {
                Some(p) if self.s.get(from + p) == Some(&b'\\') => from += p + 2,
                Some(p) if self.s.get(from + p) == Some(&q) => return Some(from + p),
                _ => {
                    *unpaired = true;
                    return None;
                }
            }
        }
    }

    /// A single quote opens after anything but a letter or digit and closes before anything but those.
    fn closing_single_quote(&self) -> Option<usize> {
        if self.before().is_ascii_alphanumeric() {
            return None;
        }
        let start = self.i + 1;
        let window = self.slice(start, self.s.len().min(start + MAX_QUOTED_TEXT));
        window
            .iter()
            .take_while(|b| **b != b'\n')
            .enumerate()
            .filter(|(_, b)| **b == b'\'')
            .map(|(p, _)| start + p)
            .find(|p| !self.at(p + 1).is_ascii_alphanumeric())
    }
}

/// `GET /path HTTP/1.1`: the request of an access log. Its method says what was asked for, so it is scanned.
fn is_request(text: &[u8]) -> bool {
    let method = text.iter().take(8).position(|b| *b == b' ').unwrap_or(0);
    let (method, rest) = text.split_at(method);
    words::is_method(method) && (rest.starts_with(b" /") || rest.starts_with(b" http"))
}
