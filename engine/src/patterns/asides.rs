//! Groups that are one value: a size said again in another unit, a bound, switches in brackets, a setting with its name.

use super::bytes::{SPACE, class, lower};
use super::list::WordList;
use super::scan::Scanner;
use super::units;
use crate::work::looked;

/// Longest group that is looked at.
const MAX_GROUP: usize = 48;

/// What stands between a size and the same size in another unit.
const BYTES: &[u8] = b" bytes ";

/// What programs call a table of settings when they print it, one a line.
static TABLES: WordList = WordList::new(&[
    "conf",
    "config",
    "configuration",
    "env",
    "environment",
    "options",
    "parameters",
    "properties",
    "property",
    "settings",
    "variables",
]);

/// Longest name of a table.
const LONGEST_TABLE: usize = 13;

impl Scanner<'_> {
    /// `environment:java.home=/usr/lib/jvm`, up to the end of the line, if it is the chunk `text` with what follows it: which
    /// setting it is says as little about what happened as its value does. Says whether it was one and has been written.
    pub(super) fn setting(&mut self, text: &[u8]) -> bool {
        let Some((table, name)) = memchr::memchr(b':', text).and_then(|at| text.split_at_checked(at)) else {
            return false;
        };
        let mut buf = [0; LONGEST_TABLE];
        if name.len() < 2 || !lower(table, &mut buf).is_some_and(|table| TABLES.has(table)) {
            return false;
        }
        // More settings, or the end of a group around this one.
        let others = |b: &u8| matches!(b, b'=' | b'[' | b']' | b'(' | b')' | b'{' | b'}' | b'\n');
        let end = self.quoted.unwrap_or(self.s.len());
        let value = self.s.get(self.i + 1..end).unwrap_or_default();
        let len = value.iter().position(others).unwrap_or(value.len());
        looked(len);
        if !matches!(value.get(len), None | Some(b'\n')) {
            return false;
        }
        self.text(table);
        self.out.byte(b':');
        self.variable();
        self.i += 1 + len;
        true
    }

    /// `(1.2 KB)` after `1229 bytes`, which is left out, since small sizes come without it; or `( on off )`, which is
    /// a variable. Says whether there was one.
    pub(super) fn aside(&mut self) -> bool {
        let window = self.slice(self.i + 1, self.s.len().min(self.i + 1 + MAX_GROUP));
        let Some(len) = memchr::memchr3(b')', b'(', b'\n', window) else {
            return false;
        };
        if window.get(len) != Some(&b')') {
            return false;
        }
        let group = window.get(..len).unwrap_or_default();
        let end = self.i + 1 + len + 1;
        if self.slice(self.i.saturating_sub(BYTES.len()), self.i) == BYTES && is_size(group) {
            self.out.trim();
            self.i = end;
            return true;
        }
        if !is_switches(group) {
            return false;
        }
        let blank = |b: Option<&u8>| b.is_some_and(|b| class(*b) & SPACE != 0);
        self.out.byte(b'(');
        if blank(group.first()) {
            self.out.space();
        }
        self.out.mask();
        if blank(group.last()) {
            self.out.space();
        }
        self.out.byte(b')');
        self.i = end;
        true
    }

    /// `<1 sec`: a bound is a value like the value itself. Says whether there was one.
    pub(super) fn bound(&mut self) -> bool {
        let window = self.slice(self.i + 1, self.s.len().min(self.i + 1 + MAX_GROUP));
        let number = window.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        if !window.first().is_some_and(u8::is_ascii_digit) {
            return false;
        }
        let rest = window.get(number..).unwrap_or_default();
        let blank = usize::from(rest.first() == Some(&b' '));
        let rest = rest.get(blank..).unwrap_or_default();
        let unit = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if !units::is_time_unit(rest.get(..unit).unwrap_or_default()) {
            return false;
        }
        self.variable();
        self.i += 1 + number + blank + unit;
        true
    }
}

/// A number and the unit of a size.
fn is_size(group: &[u8]) -> bool {
    let number = group
        .iter()
        .take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
        .count();
    let unit = group.get(number..).unwrap_or_default();
    number > 0 && units::is_unit(unit.strip_prefix(b" ").unwrap_or(unit))
}

/// Nothing but words like `on` and `off`.
fn is_switches(group: &[u8]) -> bool {
    let mut words = group
        .split(|b| class(*b) & SPACE != 0 || *b == b',')
        .filter(|w| !w.is_empty())
        .peekable();
    words.peek().is_some() && words.all(units::is_switch)
}
