//! A reader of plain JSON: texts, numbers and words one after another, eight bytes of a text at a time.
//!
//! It reads what telemetry is nearly always made of and says `None` to anything else, valid or not; then the caller
//! reads the same text again with [`Cursor`](super::cursor::Cursor), which knows what is wrong and where. What it does
//! read is valid JSON: a text with escapes, a fraction and a nested value are handed to `serde_json`.

use super::scalar::Scalar;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Number;
use std::borrow::Cow;

/// Integers of more digits may not fit into 64 bits.
const SAFE_DIGITS: usize = 18;

/// A position in JSON text.
pub(super) struct Plain<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Plain<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Plain { text, at: 0 }
    }

    /// How much of the text has been read.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What has been read since `position`.
    pub(super) fn since(&self, position: usize) -> &'a str {
        self.text.get(position..self.at).unwrap_or_default()
    }

    /// The next byte that is not white space; 0 at the end.
    #[inline]
    fn peek(&mut self) -> u8 {
        match self.text.as_bytes().get(self.at) {
            Some(&b) if b > b' ' => b,
            _ => self.peek_further(),
        }
    }

    fn peek_further(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(&b) = bytes.get(self.at) {
            if !matches!(b, b' ' | b'\n' | b'\r' | b'\t') {
                return b;
            }
            self.at += 1;
        }
        0
    }

    /// Takes the next byte that is not white space; 0 at the end.
    #[inline]
    pub(super) fn next(&mut self) -> u8 {
        let next = self.peek();
        self.at += usize::from(next != 0);
        next
    }

    /// Takes `byte` if it comes next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    /// Takes `byte`, which must come next.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    /// Takes `wanted` if the JSON goes on with it, byte by byte.
    #[inline]
    pub(super) fn eat_raw(&mut self, wanted: &str) -> bool {
        let end = self.at + wanted.len();
        let next = self.text.as_bytes().get(self.at..end);
        let found = next.is_some_and(|next| same(next, wanted.as_bytes()));
        if found {
            self.at = end;
        }
        found
    }

    /// Reads a text.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        self.rest_of_string()
    }

    /// Reads a text behind its first quote.
    #[inline]
    fn rest_of_string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let end = special(self.text.as_bytes(), start)?;
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return self.text.get(start..end).map(Cow::Borrowed);
        }
        self.escaped(start, end).map(Cow::Owned)
    }

    /// Reads a text that starts at `start` and has its first escape at `at`.
    #[cold]
    fn escaped(&mut self, start: usize, mut at: usize) -> Option<String> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at)? {
                b'"' => break,
                // What is escaped is looked at by `serde_json`.
                b'\\' => at = special(bytes, at + 2)?,
                _ => return None,
            }
        }
        self.at = at + 1;
        serde_json::from_str(self.text.get(start - 1..=at)?).ok()
    }

    /// Reads a value that is neither an array nor an object.
    #[inline]
    pub(super) fn cell(&mut self) -> Option<Scalar<'a>> {
        match self.peek() {
            b'"' => {
                self.at += 1;
                self.rest_of_string().map(Scalar::Text)
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.word("null", Scalar::Null),
            b't' => self.word("true", Scalar::Bool(true)),
            b'f' => self.word("false", Scalar::Bool(false)),
            _ => None,
        }
    }

    /// Steps over a value.
    #[inline]
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.peek() {
            b'"' => {
                let start = self.at + 1;
                let end = special(self.text.as_bytes(), start)?;
                if self.text.as_bytes().get(end) == Some(&b'"') {
                    self.at = end + 1;
                    return Some(());
                }
                self.escaped(start, end).map(|_| ())
            }
            b'{' | b'[' => self.nested(),
            _ => self.cell().map(|_| ()),
        }
    }

    #[cold]
    fn nested(&mut self) -> Option<()> {
        let mut reader = serde_json::Deserializer::from_str(self.text.get(self.at..)?);
        IgnoredAny::deserialize(&mut reader).ok()?;
        self.at += reader.into_iter::<IgnoredAny>().byte_offset();
        Some(())
    }

    fn word(&mut self, word: &str, value: Scalar<'a>) -> Option<Scalar<'a>> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    #[inline]
    fn number(&mut self) -> Option<Scalar<'a>> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (mut value, mut len) = (0i64, 0);
        while let Some(eight) = rest.get(len..).and_then(|rest| eight_digits(rest.first_chunk()?))
            && len + 8 <= SAFE_DIGITS
        {
            value = value * 100_000_000 + eight;
            len += 8;
        }
        let digits = rest.get(len..SAFE_DIGITS.min(rest.len())).unwrap_or_default();
        for digit in digits.iter().take_while(|b| b.is_ascii_digit()) {
            value = value * 10 + i64::from(digit - b'0');
            len += 1;
        }
        let starts_well = len == 1 || rest.first() != Some(&b'0');
        if len > 0 && starts_well && matches!(rest.get(len), Some(b',' | b'}')) {
            self.at += len;
            return Some(Scalar::Int(value));
        }
        let len = rest
            .iter()
            .take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        let number: Number = serde_json::from_str(self.text.get(self.at..self.at + len)?).ok()?;
        self.at += len;
        match (number.as_i64(), number.as_u64()) {
            (Some(i), _) => Some(Scalar::Int(i)),
            (None, Some(u)) => Some(Scalar::UInt(u)),
            (None, None) => number.as_f64().map(Scalar::Float),
        }
    }
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// The number that eight digits spell: first in pairs, then in fours, then all.
#[inline]
fn eight_digits(digits: &[u8; 8]) -> Option<i64> {
    let x = u64::from_le_bytes(*digits) ^ (ONES * b'0' as u64);
    // More than 9 reaches the high bit of its byte, or had it.
    if (x | x.wrapping_add(ONES * 0x76)) & HIGH != 0 {
        return None;
    }
    let pairs = (x * 10 + (x >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours * 10_000 + (fours >> 32)) & 0xffff_ffff) as i64)
}

/// Whether two texts of equal length are the same: for short ones quicker than a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    #[inline]
    fn ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
        a.first_chunk::<N>() == b.first_chunk() && a.last_chunk::<N>() == b.last_chunk()
    }
    match a.len() {
        8..=16 => ends::<8>(a, b),
        17..=32 => ends::<16>(a, b),
        4..=7 => ends::<4>(a, b),
        _ => a == b,
    }
}

/// Where the first quote, backslash or control character stands, from `at` on.
///
/// Eight bytes at a time: `x - 0x01..` borrows out of a byte of `x` that is zero, so the high bit of each byte tells
/// whether it was one; a borrow spoils later bytes only, and the first is what counts. Swapping blank and quote by their
/// bit 2 puts the quote beside the control characters, so that one comparison finds both.
#[inline]
fn special(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?;
    while let Some((eight, others)) = rest.split_first_chunk::<8>() {
        let x = u64::from_le_bytes(*eight);
        let (swapped, backslash) = (x ^ (ONES * 2), x ^ (ONES * b'\\' as u64));
        let below = swapped.wrapping_sub(ONES * (b' ' + 1) as u64) & !swapped;
        let found = (below | (backslash.wrapping_sub(ONES) & !backslash)) & HIGH;
        if found != 0 {
            return Some(bytes.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = others;
    }
    let found = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..b' '))?;
    Some(bytes.len() - rest.len() + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn special_bytes_are_found_wherever_they_stand(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0usize..40) {
            let is_special = |b: &u8| *b == b'"' || *b == b'\\' || *b < b' ';
            let slow = bytes.get(at..).and_then(|b| b.iter().position(is_special)).map(|p| at + p);
            prop_assert_eq!(special(&bytes, at), slow);
        }

        #[test]
        fn what_it_reads_is_what_serde_json_reads(text in r#"[ ]?("([a-z\\"ué]|\\[nu"0-9a-f]){0,12}"|-?[0-9]{1,22}(\.[0-9]{0,3})?([eE][-+]?[0-9]{0,3})?|nul{1,2}|true|\[1,?\]?|\{"a":"b"?\}),"#) {
            let mut plain = Plain::new(&text);
            let read = plain.cell();
            let whole = text.strip_suffix(',').unwrap_or_default();
            let want = serde_json::from_str::<serde_json::Value>(whole).ok();
            match (read, want) {
                (Some(Scalar::Text(t)), Some(want)) => prop_assert_eq!(Some(t.as_ref()), want.as_str()),
                (Some(Scalar::Int(i)), Some(want)) => prop_assert_eq!(Some(i), want.as_i64()),
                (Some(Scalar::UInt(u)), Some(want)) => prop_assert_eq!(Some(u), want.as_u64()),
                (Some(Scalar::Float(f)), Some(want)) => prop_assert_eq!(Some(f), want.as_f64()),
                (Some(Scalar::Bool(b)), Some(want)) => prop_assert_eq!(Some(b), want.as_bool()),
                (Some(Scalar::Null), Some(want)) => prop_assert!(want.is_null()),
                // `nul` is not read; `"a",` may end earlier than the whole.
                (None, _) => {}
                (Some(_), None) => prop_assert!(plain.position() < text.len()),
                (Some(other), Some(want)) => prop_assert!(false, "{other:?} is not {want}"),
            }
            let mut plain = Plain::new(&text);
            if plain.skip().is_some() && plain.position() + 1 == text.len() {
                prop_assert!(serde_json::from_str::<IgnoredAny>(whole).is_ok());
            }
        }
    }

    #[test]
    fn keys_are_told_apart() {
        for key in [
            "",
            "a",
            "abc",
            "value",
            "severity",
            "_timestamp",
            "reference_parent",
            "reference_parent_span_id",
            "a_key_of_more_than_thirty_two_bytes",
        ] {
            let mut text = Plain::new(key);
            assert!(text.eat_raw(key) && text.since(0) == key, "{key}");
            assert!(!Plain::new(key).eat_raw(&format!("{key}x")));
            for (at, _) in key.char_indices() {
                let mut other = key.to_owned();
                other.replace_range(at..=at, "#");
                assert!(!Plain::new(key).eat_raw(&other), "{other}");
            }
        }
    }

    #[test]
    fn texts_are_borrowed_unless_they_have_escapes() {
        let text = r#""plain text of some length", "a\tb", "cut"#;
        let mut plain = Plain::new(text);
        assert!(matches!(
            plain.string(),
            Some(Cow::Borrowed("plain text of some length"))
        ));
        assert!(plain.eat(b','));
        assert!(matches!(plain.string(), Some(Cow::Owned(t)) if t == "a\tb"));
        assert!(plain.eat(b','));
        assert_eq!(plain.string(), None);
    }
}
