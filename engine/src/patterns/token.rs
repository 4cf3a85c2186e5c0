//! Chunks: runs of bytes without blanks, brackets, quotes, commas and equal signs. Is a chunk text or a variable?

use super::bytes::{ALPHA, AT, COLON, DIGIT, SLASH, SPACE, WORD, class, classes, is_clock, split_trailing};
use super::keys::{KeyKind, key_kind};
use super::prose::{HEX_WORD, ISSUED_TOKEN};
use super::scan::{Key, Scanner, Separator};
use super::secret_keys::is_secret_key;
use super::units;
use super::words::{self, Cue};

/// Punctuation that ends a sentence or clause rather than a token.
pub(super) const TRAILING: &[u8] = b".:!?";

/// Longest printed object that counts as a value.
const MAX_FIELDS: usize = 64;

/// Longest word after a number that may be its unit or zone.
const MAX_UNIT: usize = 4;

impl Scanner<'_> {
    /// A chunk that starts with the ASCII letters from `start` to `end`: writes it and moves behind it if it is an
    /// ordinary word with nothing or one mark behind it, which most chunks of most lines are. False leaves it to
    /// [`Scanner::chunk`], which comes to the same result by more questions.
    #[inline]
    pub(super) fn plain_word(&mut self, start: usize, end: usize) -> bool {
        // What is a variable for its neighbours.
        if self.header || !matches!(self.cue, Cue::None | Cue::Host) {
            return false;
        }
        let behind = self.at(end);
        let marked = class(behind) & WORD != 0;
        if marked && (!TRAILING.contains(&behind) || class(self.at(end + 1)) & WORD != 0) {
            return false;
        }
        let text = self.slice(start, end);
        match text.len() {
            // A unit or a zone.
            ..=MAX_UNIT if self.out.after_mask_and_blank() => return false,
            HEX_WORD.. if text.len() >= ISSUED_TOKEN || text.iter().all(u8::is_ascii_hexdigit) => return false,
            _ => {}
        }
        if units::is_bool(text) || units::may_be_date_word(text) {
            return false;
        }
        if let Some(key) = self.key.take()
            && (key.separator != Separator::Loose
                || units::is_value_word(text)
                || is_secret_key(self.slice(key.start, key.end)))
        {
            self.key = Some(key);
            return false;
        }
        self.i = end + usize::from(marked);
        self.last = (start, self.i);
        self.out.word(self.s, start, self.i);
        let cue = words::cue(text);
        self.cue = if marked && cue != Cue::Secret { Cue::None } else { cue };
        if behind == b':' {
            self.key = Some(Key {
                start,
                end,
                separator: Separator::Loose,
            });
        }
        true
    }

    /// One chunk, `s[start..end]`, whose bytes have the class bits `seen`.
    #[inline]
    pub(super) fn chunk(&mut self, start: usize, end: usize, seen: u8) {
        let cue = std::mem::take(&mut self.cue);
        let key = self.key.take();
        let mut text = self.slice(start, end);
        if let Some(k) = key {
            if let Some(rest) = text.strip_prefix(b":") {
                self.out.byte(b':');
                if rest.is_empty() {
                    self.key = key;
                    return;
                }
                text = rest;
            }
            if self.value(k, text) {
                return;
            }
        }
        if cue == Cue::Secret && self.secret_word(text) {
            return;
        }
        if seen & (ALPHA | SLASH | COLON | AT) == 0 && is_bare_number(text) {
            self.out.mask();
            self.number_last = true;
            self.clock_last = false;
            return;
        }
        if seen & COLON != 0 && self.at(self.i) == b'=' && self.setting(text) {
            return;
        }
        if is_clock(text) {
            return self.time_of_day();
        }
        if seen & (DIGIT | SLASH | AT) == 0 {
            self.word(start, text, seen, cue);
        } else if seen & SLASH != 0 && self.url_or_path(text, end, cue) {
            // Written.
        } else if seen & DIGIT != 0 {
            self.number(text, seen, cue);
        } else if seen & AT != 0 {
            let (core, tail) = split_trailing(text, TRAILING);
            self.at_sign(core);
            self.out.literal(tail);
        } else {
            self.word(start, text, seen, cue);
        }
    }

    /// Writes a mask for a chunk.
    pub(super) fn variable(&mut self) {
        self.out.mask();
        self.number_last = false;
        self.clock_last = false;
    }

    /// Writes a chunk as it is.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.out.literal(text);
        self.header = false;
    }

    /// The chunk is the value of a key; true if the key alone decides that it is a variable.
    fn value(&mut self, key: Key, text: &[u8]) -> bool {
        let name = self.slice(key.start, key.end);
        let (core, tail) = split_trailing(text, TRAILING);
        let kind = match key.separator {
            // Then all that matters is whether it is a secret.
            Separator::Loose if !is_secret_key(name) => KeyKind::Other,
            _ => key_kind(name),
        };
        let masked = match (kind, key.separator) {
            (KeyKind::Secret, _) => {
                // All of it, whatever it is made of.
                self.skip_value();
                if words::is_auth_scheme(core) && self.at(self.i) == b' ' {
                    // `Authorization: Basic xyz`
                    self.i += 1;
                    self.skip_value();
                }
                self.variable();
                return true;
            }
            (KeyKind::Identity, Separator::Equals | Separator::Json) => !words::is_account(core),
            (KeyKind::Level, Separator::Equals | Separator::Json) => true,
            (KeyKind::Other, Separator::Equals) => classes(core) & (COLON | SLASH) == 0,
            (_, Separator::Loose) => units::is_bool(core) || (units::is_value_word(core) && !self.prose_follows()),
            _ => units::is_value_word(core),
        };
        if masked && !core.is_empty() {
            self.variable();
            self.number_last = core.first().is_some_and(u8::is_ascii_digit);
            self.out.literal(tail);
            if key.separator == Separator::Equals && self.at(self.i) == b'{' {
                self.skip_fields();
            }
            return true;
        }
        false
    }

    /// `source=WorkSource{10113}`: a printed object is a value like any other. It is one where it has no blanks and no
    /// further braces.
    fn skip_fields(&mut self) {
        let window = self.slice(self.i + 1, self.s.len().min(self.i + 1 + MAX_FIELDS));
        let plain = |b: &&u8| !matches!(**b, b'{' | b'}' | b'\n') && class(**b) & SPACE == 0;
        let len = window.iter().take_while(plain).count();
        if window.get(len) == Some(&b'}') {
            self.i += len + 2;
        }
    }

    /// Moves to the next blank, quote or `&`.
    fn skip_value(&mut self) {
        while !matches!(self.at(self.i), b'"' | b'\'' | b'&' | b'\n') && class(self.at(self.i)) & SPACE == 0 {
            self.i += 1;
        }
    }

    /// The chunk after `Bearer` or `Basic`, if it is no ordinary word.
    fn secret_word(&mut self, text: &[u8]) -> bool {
        let lower = text
            .iter()
            .all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b',' | b':' | b'-'));
        if lower || text.len() < 6 {
            return false;
        }
        while self.at(self.i) == b'=' {
            self.i += 1;
        }
        self.variable();
        true
    }

    /// A chunk without digits, slashes and at signs.
    #[inline]
    fn word(&mut self, start: usize, text: &[u8], seen: u8, cue: Cue) {
        let (core, tail) = match text.last() {
            Some(b'.' | b':' | b'!' | b'?') => split_trailing(text, TRAILING),
            _ => (text, &[][..]),
        };
        if core.is_empty() || seen & ALPHA == 0 {
            if self.is_absent(text) {
                self.out.mask();
            } else {
                self.out.literal(text);
            }
            return;
        }
        if self.is_variable_word(core, seen, cue) {
            self.month |= self.header && units::is_month(core);
            self.variable();
            self.out.literal(tail);
            return;
        }
        if self.out.after_mask_and_blank() {
            let unit = self.number_last && units::is_unit(core);
            if (unit || (self.clock_last && units::is_zone(core))) && self.out.join_mask() {
                self.out.literal(tail);
                return;
            }
        }
        if self.header && self.is_header_word(core) {
            let clock = self.clock_last;
            self.variable();
            self.clock_last = clock;
            self.out.literal(tail);
            return;
        }
        if seen & COLON != 0 && self.inner_colon(core) {
            self.out.literal(tail);
            return;
        }
        self.text(text);
        self.cue = words::cue(core);
        // `--password x`, `key: value`
        let option = core.starts_with(b"--") && is_secret_key(core);
        if tail == b":" || option {
            self.key = Some(Key {
                start,
                end: start + core.len(),
                separator: Separator::Loose,
            });
        }
        // Punctuation ends what a word announces, except before credentials.
        if !tail.is_empty() && self.cue != Cue::Secret {
            self.cue = Cue::None;
        }
    }

    /// `key:value` in one word without digits; true if the value was a variable and has been written.
    fn inner_colon(&mut self, core: &[u8]) -> bool {
        let Some(at) = memchr::memchr(b':', core) else {
            return false;
        };
        let (name, value) = (
            core.get(..at).unwrap_or_default(),
            core.get(at + 1..).unwrap_or_default(),
        );
        if name.is_empty() || value.is_empty() || value.starts_with(b":") {
            return false;
        }
        let masked = match key_kind(name) {
            KeyKind::Secret | KeyKind::Identity => true,
            _ => units::is_value_word(value),
        };
        if masked {
            self.text(name);
            self.out.byte(b':');
            self.variable();
        }
        masked
    }
}

/// Whether a chunk without letters, slashes, colons and at signs is a number and nothing else.
#[inline]
fn is_bare_number(text: &[u8]) -> bool {
    matches!(text, [b'0'..=b'9'] | [b'0'..=b'9', .., b'0'..=b'9'])
}
