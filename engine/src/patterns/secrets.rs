//! Masking of secrets in text that is stored: samples, labels, rejects. The value becomes `***`.
//!
//! Masked are the values of secret keys (`password=x`, `"token": "x"`, `--api-key x`, `IDENTIFIED BY`-like `PASSWORD
//! 'x'`), user and password of URLs, what follows `Bearer` and `Basic`, tokens with a well-known prefix (cloud
//! access keys, JWTs, ...), private key blocks, and payment card numbers.

use super::bytes::cut;
use super::cards::card_number;
use super::keys::{is_issued_token, is_secret_key};
use std::borrow::Cow;

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
        no_key_end: false,
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
    /// No private key block ends in what is left of the text.
    no_key_end: bool,
}

impl Scan<'_> {
    fn run(&mut self) {
        while let Some(&b) = self.s.get(self.i) {
            if is_word(b) {
                let start = self.i;
                while self.s.get(self.i).is_some_and(|b| is_word(*b)) {
                    self.i += 1;
                }
                self.word(start, self.i);
            } else if b == b':' && self.rest(self.i).starts_with(b"://") {
                self.i += 3;
                self.user_info();
            } else {
                self.i += 1;
            }
        }
    }

    fn rest(&self, from: usize) -> &[u8] {
        self.s.get(from..).unwrap_or_default()
    }

    fn at(&self, i: usize) -> u8 {
        self.s.get(i).copied().unwrap_or(0)
    }

    /// Replaces `start..end`, which begin and end at ASCII bytes or the end of the text, and goes on behind it.
    fn hide(&mut self, start: usize, end: usize) {
        self.i = end;
        let hidden = self.text.get(start..end).unwrap_or_default();
        // Already hidden: a second pass changes nothing.
        if hidden.is_empty() || hidden == HIDDEN {
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
        if word.iter().any(u8::is_ascii_digit) && word.iter().all(|b| b.is_ascii_digit() || *b == b'-') {
            return self.digits(start, end);
        }
        // `_` and `-` belong to keys, so the word before a separator is the whole key.
        if is_secret_key(word) {
            self.secret_value(start, end);
        }
    }

    /// A word of digits and dashes, perhaps the first group of a card number.
    fn digits(&mut self, start: usize, end: usize) {
        let lead = self.rest(start).iter().take_while(|b| **b == b'-').count();
        let fraction = start.checked_sub(1).is_some_and(|p| self.at(p) == b'.');
        match card_number(self.rest(start + lead)) {
            Some(len) if !fraction => self.hide(start + lead, start + lead + len),
            _ => self.i = end,
        }
    }

    /// `://user:password@host`: what comes before the last `@` of the authority.
    fn user_info(&mut self) {
        let start = self.i;
        let authority = self.rest(start);
        let len = authority
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | 0..=b' '))
            .unwrap_or(authority.len());
        if let Some(at) = authority.get(..len).and_then(|a| memchr::memrchr(b'@', a)) {
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
        let end = if self.no_key_end {
            None
        } else {
            memchr::memmem::find(self.rest(body), b"-----END ")
        };
        self.no_key_end |= end.is_none();
        let end = end.map_or(self.s.len(), |p| {
            let label = body + p + 9;
            memchr::memmem::find(self.rest(label).get(..64).unwrap_or(self.rest(label)), b"-----")
                .map_or(self.s.len(), |q| label + q + 5)
        });
        self.hide(start, end);
    }

    /// After `Bearer` or `Basic`: hides a token, leaves a word (`basic authentication failed`).
    fn scheme(&mut self, from: usize) {
        let start = from + self.rest(from).iter().take_while(|b| **b == b' ').count();
        let token = self.rest(start);
        let len = token
            .iter()
            .position(|b| !(is_word(*b) || matches!(b, b'+' | b'/' | b'=' | b'~')))
            .unwrap_or(token.len());
        let token = token.get(..len).unwrap_or_default();
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
                if matches!(
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

    /// Past what separates a key from its value: `=`, `:`, `=>`, `:=`; a blank after `--key` or before a quote.
    fn separator(&self, key_start: usize, key_end: usize) -> Option<usize> {
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
            if self.at(at) == quote {
                return at;
            }
            if escaped && self.at(at + 1) == quote {
                return at;
            }
            i = at + 2;
        }
        self.s.len()
    }

    /// The end of a value without quotes. `whole`: the value of a header, up to the end of the line or a quote.
    fn bare_end(&self, start: usize, whole: bool) -> usize {
        let rest = self.rest(start);
        let ends = |b: &u8| {
            if whole {
                matches!(b, b'\n' | b'\r' | b'"' | b'\'')
            } else {
                matches!(
                    b,
                    0..=b' ' | b'"' | b'\'' | b'`' | b',' | b';' | b'&' | b')' | b']' | b'}' | b'<' | b'>'
                )
            }
        };
        start + rest.iter().position(ends).unwrap_or(rest.len())
    }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_hidden() {
        for (text, want) in [
            ("login password=hunter2 ok", "login password=*** ok"),
            ("password: hunter2, user: bob", "password: ***, user: bob"),
            (
                "{\"user\":\"bob\",\"password\":\"a\\\"b\",\"n\":1}",
                "{\"user\":\"bob\",\"password\":\"***\",\"n\":1}",
            ),
            ("{\"api_key\": 12345}", "{\"api_key\": ***}"),
            (
                "body={\\\"token\\\":\\\"abc\\\",\\\"x\\\":1}",
                "body={\\\"token\\\":\\\"***\\\",\\\"x\\\":1}",
            ),
            (
                "get https://bob:pa:ss@db.example.com/x?access_token=abc&y=1",
                "get https://***@db.example.com/x?access_token=***&y=1",
            ),
            ("postgres://bob@db/x", "postgres://***@db/x"),
            (
                "Authorization: Basic dXNlcjpwYXNz\nHost: x",
                "Authorization: ***\nHost: x",
            ),
            (
                "curl -H 'Authorization: Bearer abc.def' x",
                "curl -H 'Authorization: ***' x",
            ),
            ("sent Bearer abcDEF123 to x", "sent Bearer *** to x"),
            ("key AKIAABCDEFGHIJKLMNOP used", "key *** used"),
            (
                "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end",
                "jwt *** end",
            ),
            (
                "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
                "a *** b",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "***"),
            ("paid with 4111 1111 1111 1111 today", "paid with *** today"),
            ("card=4111-1111-1111-1111;", "card=***;"),
            ("run --password hunter2 --host x", "run --password *** --host x"),
            ("ALTER ROLE x PASSWORD 'hunter2'", "ALTER ROLE x PASSWORD '***'"),
            ("PGPASSWORD=x psql", "PGPASSWORD=*** psql"),
            ("client_secret => 'x'", "client_secret => '***'"),
            ("{'secret': 'x'}", "{'secret': '***'}"),
            ("password=\"unfinished", "password=\"***"),
            ("password=пароль!", "password=***"),
        ] {
            assert_eq!(mask_secrets(text), want);
            assert_eq!(mask_secrets(want), want, "a second pass");
        }
    }

    #[test]
    fn the_rest_is_left_alone() {
        for text in [
            "",
            "Failed password for root from 10.0.0.1 port 22 ssh2",
            "max_tokens=100 token_count: 5",
            "basic authentication failed",
            "order 1234567890123456 at 1767607200000000000",
            "https://example.com/a@b",
            "password=",
            "{\"password\":null,\"x\":true}",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "größe=5 naïve",
        ] {
            assert!(matches!(mask_secrets(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn samples_are_cut_at_a_character() {
        assert_eq!(sample("äöü", 3), "ä");
        assert_eq!(sample("a\0b", 10), "ab");
        assert_eq!(sample("password=hunter2", 12), "password=***");
        assert_eq!(sample("x", 0), "");
    }

    #[test]
    fn a_megabyte_of_anything_is_fast() {
        for unit in [
            "1",
            "=",
            "\"",
            "://",
            "://@",
            "password=",
            "password=\"",
            "-----BEGIN PRIVATE KEY ",
            "4111 ",
            "-",
            "\\\"",
            "Bearer ",
            "ä",
            "token:{",
            "\0",
            "password=",
        ] {
            let text = unit.repeat(1_000_000 / unit.len());
            let start = std::time::Instant::now();
            let masked = mask_secrets(&text);
            assert!(masked.len() <= text.len() + 3, "{unit:?}");
            assert!(start.elapsed().as_secs() < 5, "{unit:?} took {:?}", start.elapsed());
        }
    }

    proptest! {
        #[test]
        fn a_value_never_survives(
            key in "(password|api_key|accessToken|CLIENT_SECRET)", sep in "(=|: |:|=\")", value in "[A-Za-z0-9+/]{8,40}",
            before in "[ -~]{0,20}[ ,]", after in "( [ -~]{0,20})?"
        ) {
            prop_assume!(!before.contains(['"', '\'', '`']) && !before.contains(&value) && !after.contains(&value));
            let text = format!("{before}{key}{sep}{value}{after}");
            prop_assert!(!mask_secrets(&text).contains(&value), "{}", mask_secrets(&text));
        }

        #[test]
        fn stable_and_bounded(text in "\\PC{0,200}", max in 0usize..100) {
            let once = mask_secrets(&text).into_owned();
            let cut = sample(&text, max);
            prop_assert!(cut.len() <= max && once.starts_with(&cut));
        }
    }
}
