//! Chunks with digits: numbers, times, addresses, identifiers.

use super::bytes::{ALPHA, AT, COLON, DIGIT, DOT, all_digits, classes, split_trailing};
use super::hosts::{is_host, is_host_before_port};
use super::known::is_known;
use super::paths::is_relative_path;
use super::scan::Scanner;
use super::secret_keys::is_secret_key;
use super::units::is_value_word;
use super::words::Cue;

/// Punctuation after a number that is not part of it.
const TRAILING: &[u8] = b".:!?%-";

/// A name before a dot and a number is text from this length on.
const MIN_NAME: usize = 2;

impl Scanner<'_> {
    /// A chunk with a digit that is neither URL nor path.
    pub(super) fn number(&mut self, text: &[u8], seen: u8, cue: Cue) {
        if self.is_named(text, seen) {
            return self.text(text);
        }
        let (core, tail) = split_trailing(text, TRAILING);
        let colon = if seen & COLON == 0 {
            None
        } else {
            core.iter().position(|b| *b == b':')
        };
        match colon {
            Some(colon) => self.colon_groups(core, colon, cue),
            None => self.part(core, seen),
        }
        self.out.literal(tail);
    }

    /// A name with digits, for what follows it: `jk2_init()` is a function, `r24=` a key with a small number.
    fn is_named(&self, text: &[u8], seen: u8) -> bool {
        let next = self.at(self.i);
        if !matches!(next, b'(' | b'=') {
            return false;
        }
        let head = text
            .iter()
            .take_while(|b| b.is_ascii_alphabetic() || **b == b'_')
            .count();
        if head == 0 || seen & (COLON | DOT | AT) != 0 {
            return false;
        }
        let digits = text.get(head..).unwrap_or_default();
        match next {
            b'(' => self.at(self.i + 1) == b')' && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_'),
            b'=' => digits.len() <= 2 && all_digits(digits),
            _ => false,
        }
    }

    /// A part with a digit and without colons.
    fn part(&mut self, part: &[u8], seen: u8) {
        if is_known(part) {
            return self.text(part);
        }
        if seen & AT != 0 {
            return self.at_sign(part);
        }
        self.out.literal(head_of_number(part, seen));
        self.out.mask();
        self.number_last = true;
        self.clock_last = false;
    }

    /// `name@host` is a variable, `Class@1f3a` one after its name.
    pub(super) fn at_sign(&mut self, part: &[u8]) {
        let at = part.iter().position(|b| *b == b'@').unwrap_or(0);
        let (left, right) = (
            part.get(..at).unwrap_or_default(),
            part.get(at + 1..).unwrap_or_default(),
        );
        let digits = (classes(left) & DIGIT != 0, classes(right) & DIGIT != 0);
        match digits {
            (false, true) if right.iter().all(u8::is_ascii_hexdigit) => {
                self.text(left);
                self.out.byte(b'@');
                self.variable();
            }
            (false, false) if left.is_empty() || right.is_empty() => self.text(part),
            _ => self.variable(),
        }
    }

    /// Writes a mask for a time of day.
    pub(super) fn time_of_day(&mut self) {
        self.out.mask();
        self.number_last = true;
        self.clock_last = true;
        self.clock = true;
    }

    /// A chunk with colons, the first at `colon`: a time, an address, a host and port, or keys and values.
    pub(super) fn colon_groups(&mut self, text: &[u8], colon: usize, cue: Cue) {
        let colons = text.iter().filter(|b| **b == b':').count();
        let hour_minute = matches!(text, [_, b':', _, _] | [_, _, b':', _, _]);
        if (colons >= 2 || hour_minute) && is_compact(text) {
            let clock = self.clock;
            self.time_of_day();
            self.clock = clock || colons >= 2;
            return;
        }
        let name = text.get(..colon).unwrap_or_default();
        if classes(name) & ALPHA != 0 && is_secret_key(name) {
            self.text(text.get(..=colon).unwrap_or_default());
            return self.variable();
        }
        let mut parts = text.split(|b| *b == b':').peekable();
        let mut first = true;
        while let Some(part) = parts.next() {
            if !first {
                self.out.byte(b':');
            }
            let seen = classes(part);
            let port = parts.peek().is_some_and(|p| all_digits(p));
            if seen & DIGIT != 0 {
                self.part(part, seen);
            } else if is_host(part)
                || (port && is_host_before_port(part, first && cue == Cue::Host))
                || part.starts_with(b"/")
                || is_relative_path(part)
                || (!first && is_value_word(part))
            {
                self.variable();
            } else if seen & AT != 0 {
                self.at_sign(part);
            } else if !part.is_empty() {
                self.text(part);
            }
            first = false;
        }
        if colons >= 3 && self.number_last {
            // `10/Oct/2026:13:55:36` and the like.
            self.clock_last = true;
            self.clock = true;
        }
    }
}

/// What is text at the start of a number: `CPU#` of `CPU#0`, the leader of `threshold........0x5`, the name of
/// `core.2275`.
fn head_of_number(part: &[u8], seen: u8) -> &[u8] {
    let digit = part.iter().position(u8::is_ascii_digit).unwrap_or(0);
    if digit == 0 {
        return &[];
    }
    let head = part.get(..digit).unwrap_or_default();
    let end = match head.iter().position(|b| *b == b'#') {
        Some(hash) => hash + 1,
        None if seen & DOT != 0 => {
            let name = head.iter().take_while(|b| b.is_ascii_alphabetic()).count();
            let dots = head.get(name..).unwrap_or_default();
            let number = part.get(digit..).unwrap_or_default();
            if name >= MIN_NAME && dots.iter().all(|b| *b == b'.') && all_digits(number) {
                digit
            } else {
                head.windows(3).rposition(|w| w == b"...").map_or(0, |p| p + 3)
            }
        }
        None => 0,
    };
    head.get(..end).unwrap_or_default()
}

/// Hexadecimal digits and what joins them in times, MAC and IPv6 addresses, at least one of them decimal.
fn is_compact(text: &[u8]) -> bool {
    let joins = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'-' | b'+' | b'T' | b'Z');
    text.iter().all(joins) && text.iter().any(u8::is_ascii_digit)
}
