//! Short groups that are one value: a size said again in another unit, a bound, switches in brackets.

use super::bytes::{SPACE, class};
use super::scan::Scanner;
use super::units;

/// Longest group that is looked at.
const MAX_GROUP: usize = 48;

impl Scanner<'_> {
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
        if self.slice(0, self.i).ends_with(b" bytes ") && is_size(group) {
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
