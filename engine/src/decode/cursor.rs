//! A walk over JSON text that knows where it is. `serde_json` does the reading; this keeps the offset, so that the raw
//! text of any value is at hand and one bad value does not end the walk.

use super::DecodeError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// A position in JSON text.
pub(super) struct Cursor<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Cursor { text, pos: 0 }
    }

    /// A walk over bytes, checked by [`utf8`].
    pub(super) fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        utf8(bytes).map(Cursor::new)
    }

    /// Bytes up to the next one.
    pub(super) fn offset(&self) -> usize {
        self.pos
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    /// Takes the next `length` bytes, which somebody else has read.
    pub(super) fn take(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or_default();
        self.pos += taken.len();
        taken
    }

    /// The next byte that is not white space, without taking it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = self.rest().as_bytes();
        let blank = rest
            .iter()
            .position(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t'))
            .unwrap_or(rest.len());
        self.pos += blank;
        rest.get(blank).copied()
    }

    /// Takes `byte` if it comes next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{}`", char::from(byte))))
        }
    }

    /// The error for anything but `wanted` coming next.
    pub(super) fn unexpected(&mut self, wanted: &str) -> DecodeError {
        match self.peek() {
            None => DecodeError::at(self.pos, format!("the text ends where {wanted} should be")).cut(),
            Some(_) => DecodeError::at(self.pos, format!("{wanted} should be here")),
        }
    }

    /// Only white space may follow.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.unexpected("the end of the text"))
        }
    }

    /// Steps over the next value, whatever it is, and gives its raw text. On an error the cursor stays where it was.
    pub(super) fn raw(&mut self) -> Result<&'a str, DecodeError> {
        self.peek();
        let rest = self.rest();
        let mut reader = serde_json::Deserializer::from_str(rest);
        IgnoredAny::deserialize(&mut reader).map_err(|e| self.broken(rest, &e))?;
        Ok(self.take(reader.into_iter::<IgnoredAny>().byte_offset()))
    }

    /// Walks over an object: `each` gets every key and must read its value.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{')?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            each(self, key)?;
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Takes a key of an object with its colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        let raw = self.raw()?;
        self.expect(b':')?;
        // A key with half a surrogate pair is no text. Keep it with its quotes: no name of ours looks like that.
        Ok(string(raw).unwrap_or(Cow::Borrowed(raw)))
    }

    /// Walks over an array: `each` must read one element.
    pub(super) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'[')?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.eat(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// `serde_json` counts lines and columns from where it started; we count bytes of the whole text.
    fn broken(&self, rest: &str, error: &serde_json::Error) -> DecodeError {
        let lines_before = error.line().saturating_sub(1);
        let line_start = match lines_before {
            0 => 0,
            n => memchr::memchr_iter(b'\n', rest.as_bytes())
                .nth(n - 1)
                .map_or(0, |at| at + 1),
        };
        let offset = self.pos + line_start + error.column();
        let offset = offset.min(self.text.len());
        if error.is_eof() {
            DecodeError::at(offset, "the text ends in the middle of a value").cut()
        } else {
            DecodeError::at(offset, "this is not valid JSON")
        }
    }
}

/// Checks that bytes are UTF-8, as JSON must be, once for the whole text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|e| DecodeError::at(e.valid_up_to(), "the text is not UTF-8"))
}

/// The text of a raw JSON string, borrowed unless it has escapes. `None` if it is no string or holds half a surrogate
/// pair.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_text_of_each_value() {
        let mut c = Cursor::new(" { \"a\" : [1, {\"b\":\"]\"}] ,\n\"\\u0063\":-1.5e999,\"d\":null } ");
        let mut seen = Vec::new();
        c.object(|c, key| {
            seen.push((key.into_owned(), c.raw()?));
            Ok(())
        })
        .unwrap();
        c.end().unwrap();
        let want = [("a", "[1, {\"b\":\"]\"}]"), ("c", "-1.5e999"), ("d", "null")];
        assert_eq!(seen, want.map(|(k, v)| (k.to_string(), v)));
    }

    #[test]
    fn errors_say_where() {
        let at = |text: &str| Cursor::new(text).object(|c, _| c.raw().map(|_| ())).unwrap_err().offset;
        assert_eq!(at("{\"a\":1 \"b\":2}"), Some(7));
        assert_eq!(at("{\"a\""), Some(4));
        assert_eq!(at("{\"a\":\n\n  tru }"), Some(13));
        assert_eq!(at("[]"), Some(0));
        assert_eq!(Cursor::from_bytes(b"{\xff}").err().and_then(|e| e.offset), Some(1));
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text_but_does_not_end_the_walk() {
        assert_eq!(string("\"\\ud800\""), None);
        assert_eq!(string("\"\\ud83d\\ude00\"").as_deref(), Some("😀"));
        let mut keys = 0;
        let mut c = Cursor::new("{\"\\ud800\":\"\\udfff\",\"a\":1}");
        c.object(|c, _| {
            keys += 1;
            c.raw().map(|_| ())
        })
        .unwrap();
        assert_eq!(keys, 2);
    }
}
