//! Masking of secrets in text that is stored: samples, labels, rejects. The value becomes `***`.
//!
//! Masked are the values of secret keys (`password=x`, `"token": "x"`, `--api-key x`, `PASSWORD 'x'`), user and password of URLs, what follows `Bearer` and `Basic`, tokens with a well-known prefix (cloud
//! access keys, JWTs, ...), private key blocks, and payment card numbers.

mod cards;
mod values;

use super::bytes::cut;
use super::keys::is_issued_token;
use super::secret_keys::is_secret_key;
use crate::work::looked;
use cards::card_number;
use std::borrow::Cow;

pub(crate) use values::names_secret;
pub use values::{mask_json, mask_value};

/// What a secret is replaced by.
const HIDDEN: &str = "***";

/// `text` without its secrets, borrowed if it has none. Linear in the length of the text.
pub fn mask_secrets(text: &str) -> Cow<'_, str> {
    let mut scan = Scan {
        text,
        s: text.as_bytes(),
        i: 0,
        copied: 0,
        out: String::new(),
    };
    scan.run();
    if scan.copied == 0 {
        return Cow::Borrowed(text);
    }
    scan.out.push_str(text.get(scan.copied..).unwrap_or_default());
    Cow::Owned(scan.out)
}

/// A sample of `text` for storing: without secrets and NUL bytes, at most `max_bytes` bytes, cut at a character.
pub fn sample(text: &str, max_bytes: usize) -> String {
    let mut masked = mask_secrets(text).into_owned();
    masked.truncate(cut(&masked, max_bytes).len());
    // Postgres text cannot hold NUL.
    masked.retain(|c| c != '\0');
    masked
}

struct Scan<'t> {
    text: &'t str,
    s: &'t [u8],
    i: usize,
    /// Everything before has been copied to `out` or hidden; 0 = nothing hidden yet.
    copied: usize,
    out: String,
}

impl Scan<'_> {
    fn run(&mut self) {
        while let Some(&b) = self.s.get(self.i) {
            if is_word(b) {
                let start = self.i;
                self.i += self.run_of(start, is_word);
                self.word(start, self.i);
            } else if b == b':' && self.rest(self.i).starts_with(b"://") {
                self.i += 3;
                self.user_info();
            } else {
                looked(1);
                self.i += 1;
            }
        }
    }

    fn rest(&self, from: usize) -> &[u8] {
        self.s.get(from..).unwrap_or_default()
    }

    /// How many bytes from there on are such.
    fn run_of(&self, from: usize, such: impl Fn(u8) -> bool) -> usize {
        let rest = self.rest(from);
        let len = rest.iter().position(|b| !such(*b)).unwrap_or(rest.len());
        looked(len);
        len
    }

    fn at(&self, i: usize) -> u8 {
        self.s.get(i).copied().unwrap_or(0)
    }

    /// Replaces `start..end`, which begin and end at ASCII bytes or the end of the text, and goes on behind it.
    fn hide(&mut self, start: usize, end: usize) {
        self.i = end;
        let hidden = self.text.get(start..end).unwrap_or_default();
        // Already hidden, here or as a variable of a template: a second pass changes nothing.
        if hidden == HIDDEN || is_variables(hidden) {
            return;
        }
        self.out.push_str(self.text.get(self.copied..start).unwrap_or_default());
        self.out.push_str(HIDDEN);
        self.copied = end;
    }

    /// A run of letters, digits, `_`, `-` and `.`: key, scheme, token or number.
    fn word(&mut self, start: usize, end: usize) {
        let word = self.s.get(start..end).unwrap_or_default();
        if word.starts_with(b"-----BEGIN") {
            return self.private_key(start);
        }
        if word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic") {
            return self.scheme(end);
        }
        if is_issued_token(word) {
            return self.hide(start, end);
        }
        if let Some((from, to)) = self.card(start, end) {
            return self.hide(from, to);
        }
        // `_` and `-` belong to keys, so the word before a separator is the whole key.
        if is_secret_key(word) {
            self.secret_value(start, end);
        }
    }

    /// The extent of a card number that starts in the word, after anything but a letter or digit; not in a fraction.
    fn card(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        (start..end).filter(|i| self.at(*i).is_ascii_digit()).find_map(|i| {
            let before = |n: usize| i.checked_sub(n).map_or(b' ', |p| self.at(p));
            let inside = before(1).is_ascii_alphanumeric() || (before(1) == b'.' && before(2).is_ascii_digit());
            if inside {
                return None;
            }
            card_number(self.rest(i)).map(|len| (i, i + len))
        })
    }

    /// `://user:password@host`: what comes before the last `@` of the authority.
    fn user_info(&mut self) {
        let start = self.i;
        let len = self.run_of(start, |b| {
            !matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | 0..=b' ')
        });
        let authority = self.s.get(start..start + len);
        if let Some(at) = authority.and_then(|a| memchr::memrchr(b'@', a)) {
            self.hide(start, start + at);
        }
    }

    /// From `-----BEGIN` to the end of `-----END ...-----`, or to the end of the text if it was cut.
    fn private_key(&mut self, start: usize) {
        let head = self.rest(start);
        let head = head.get(..64).unwrap_or(head);
        if memchr::memmem::find(head, b"PRIVATE KEY").is_none() {
            return;
        }
        let body = start + 10;
        let end = memchr::memmem::find(self.rest(body), b"-----END ");
        looked(end.unwrap_or(self.rest(body).len()));
        let end = end.map_or(self.s.len(), |p| {
            let label = body + p + 9;
            memchr::memmem::find(self.rest(label).get(..64).unwrap_or(self.rest(label)), b"-----")
                .map_or(self.s.len(), |q| label + q + 5)
        });
        self.hide(start, end);
    }

    /// After `Bearer` or `Basic`: hides a token, leaves a word (`basic authentication failed`).
    fn scheme(&mut self, from: usize) {
        let start = from + self.run_of(from, |b| b == b' ');
        let len = self.run_of(start, |b| is_word(b) || matches!(b, b'+' | b'/' | b'=' | b'~'));
        let token = self.s.get(start..start + len).unwrap_or_default();
        let word = token.iter().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'.'));
        if start > from && len >= 6 && !word {
            self.hide(start, start + len);
        }
    }

    /// The value of a secret key, if one follows.
    fn secret_value(&mut self, key_start: usize, key_end: usize) {
        let Some(value) = self.separator(key_start, key_end) else {
            return;
        };
        let whole = ends_with_ignore_case(
            self.s.get(key_start..key_end).unwrap_or_default(),
            &[b"authorization", b"cookie"],
        );
        let escaped = self.rest(value).starts_with(b"\\\"");
        let start = value + usize::from(escaped);
        match self.at(start) {
            q @ (b'"' | b'\'' | b'`') => {
                let end = self.quoted_end(start + 1, q, escaped);
                self.hide(start + 1, end);
            }
            // Members of an object or list are looked at one by one.
            b'{' | b'[' | b'(' => self.i = start + 1,
            _ => {
                let end = self.bare_end(start, whole);
                let bare = self.s.get(start..end).unwrap_or_default();
                let key = bare.strip_suffix(b":").or(bare.strip_suffix(b"="));
                if !whole && key.is_some_and(|key| key.iter().copied().all(is_word) && is_secret_key(key)) {
                    // `password: client_secret: x`: what stands there is the next key.
                    self.i = start;
                } else if matches!(
                    self.s.get(start..end),
                    Some(b"null" | b"true" | b"false" | b"nil" | b"None")
                ) {
                    self.i = end;
                } else {
                    self.hide(start, end);
                }
            }
        }
    }

    /// Past what separates a key from its value: `=`, `:`, `=>`, `:=`; a blank after `--key` or before a quote; the end
    /// of an XML tag.
    fn separator(&self, key_start: usize, key_end: usize) -> Option<usize> {
        let opens_tag = key_start.checked_sub(1).is_some_and(|before| self.at(before) == b'<');
        if opens_tag && self.at(key_end) == b'>' {
            return Some(key_end + 1);
        }
        let mut i = key_end;
        // The end of a quoted key, which may itself be escaped.
        if self.at(i) == b'\\' {
            i += 1;
        }
        let quoted = matches!(self.at(i), b'"' | b'\'' | b']');
        i += usize::from(quoted);
        let blanks = self.blanks(i);
        i += blanks;
        let marks = self
            .rest(i)
            .iter()
            .take(2)
            .take_while(|b| matches!(b, b'=' | b':' | b'>'))
            .count();
        if marks > 0 && matches!(self.at(i), b'=' | b':') {
            i += marks;
            return Some(i + self.blanks(i));
        }
        let option = self.rest(key_start).starts_with(b"--") && self.at(i) != b'-';
        (blanks > 0 && !quoted && (option || self.at(i) == b'\'')).then_some(i)
    }

    /// How many blanks there are at `i`; more than 8 are taken as 8.
    fn blanks(&self, i: usize) -> usize {
        self.rest(i)
            .iter()
            .take(8)
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count()
    }

    /// The closing quote, or the end of the text.
    fn quoted_end(&self, start: usize, quote: u8, escaped: bool) -> usize {
        let mut i = start;
        while let Some(p) = memchr::memchr2(quote, b'\\', self.rest(i)) {
            let at = i + p;
            looked(p + 1);
            if self.at(at) == quote {
                return at;
            }
            if escaped && self.at(at + 1) == quote {
                return at;
            }
            i = at + 2;
        }
        looked(self.rest(i).len());
        self.s.len()
    }

    /// The end of a value without quotes. `whole`: the value of a header, up to the end of the line or a quote.
    fn bare_end(&self, start: usize, whole: bool) -> usize {
        let goes_on = |b| {
            if whole {
                !matches!(b, b'\n' | b'\r' | b'"' | b'\'')
            } else {
                !matches!(
                    b,
                    0..=b' ' | b'"' | b'\'' | b'`' | b',' | b';' | b'&' | b')' | b']' | b'}' | b'<' | b'>'
                )
            }
        };
        start + self.run_of(start, goes_on)
    }
}

/// Whether nothing is left of `text` without the variables of a template and the marks between them.
fn is_variables(text: &str) -> bool {
    let marks = |part: &str| part.bytes().all(|b| b.is_ascii_punctuation() || b == b' ');
    text.is_empty() || (text.starts_with("<*>") && text.split("<*>").all(marks))
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

fn ends_with_ignore_case(key: &[u8], ends: &[&[u8]]) -> bool {
    ends.iter().any(|e| {
        key.len() >= e.len()
            && key
                .get(key.len() - e.len()..)
                .is_some_and(|t| t.eq_ignore_ascii_case(e))
    })
}

#[cfg(test)]
mod tests;
