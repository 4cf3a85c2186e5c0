//! Chunks: runs of bytes without blanks, brackets, quotes, commas and equal signs. Is a chunk text or a variable?

use super::bytes::{ALPHA, AT, COLON, DIGIT, DOT, SLASH, SPACE, WORD, all_digits, class, split_trailing};
use super::keys::{KeyKind, is_issued_token, is_secret_key, key_kind};
use super::scan::{Key, Scanner, Separator};
use super::severity::level_word;
use super::words::{self, Cue};

/// Punctuation that ends a sentence or clause rather than a token.
const TRAILING: &[u8] = b".:!?";
/// The same after a number.
const TRAILING_NUMBER: &[u8] = b".:!?%-";
/// A word of hexadecimal letters at least this long is a value.
const HEX_WORD: usize = 8;

impl Scanner<'_> {
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
        if seen & (DIGIT | SLASH | AT) == 0 {
            self.word(start, text, seen, cue);
        } else if seen & SLASH != 0 && self.url_or_path(text, end, cue) {
        } else if seen & DIGIT != 0 {
            self.number(text, cue);
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
    fn text(&mut self, text: &[u8]) {
        self.out.literal(text);
        self.header = false;
    }

    /// The chunk is the value of a key; true if the key alone decides that it is a variable.
    fn value(&mut self, key: Key, text: &[u8]) -> bool {
        let name = self.slice(key.start, key.end);
        let (core, tail) = split_trailing(text, TRAILING);
        let masked = match (key_kind(name), key.separator) {
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
            (KeyKind::Identity | KeyKind::Level, Separator::Equals | Separator::Json) => true,
            (KeyKind::Other, Separator::Equals) => !core.iter().any(|b| class(*b) & (COLON | SLASH) != 0),
            _ => words::is_value_word(core),
        };
        if masked && !core.is_empty() {
            self.variable();
            self.number_last = core.first().is_some_and(u8::is_ascii_digit);
            self.out.literal(tail);
            return true;
        }
        false
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
            self.out.literal(text);
            return;
        }
        if self.is_variable_word(core, seen, cue) {
            self.variable();
            self.out.literal(tail);
            return;
        }
        if self.out.after_mask_and_blank() {
            let unit = self.number_last && (words::is_size_unit(core) || words::is_currency(core));
            if (unit || (self.clock_last && words::is_zone(core))) && self.out.join_mask() {
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
        if tail.is_empty() {
            self.cue = words::cue(core);
            if core.starts_with(b"--") && is_secret_key(core) {
                // `--password x`
                self.key = Some(Key {
                    start,
                    end: start + core.len(),
                    separator: Separator::Loose,
                });
            }
        } else if tail == b":" {
            self.key = Some(Key {
                start,
                end: start + core.len(),
                separator: Separator::Loose,
            });
            self.cue = words::cue(core);
            if self.cue != Cue::Secret {
                self.cue = Cue::None;
            }
        }
    }

    /// Words that are variables wherever they stand, or where they stand.
    #[inline]
    fn is_variable_word(&self, core: &[u8], seen: u8, cue: Cue) -> bool {
        if words::is_bool(core) {
            return true;
        }
        if seen & DOT != 0 && words::is_host(core) {
            return true;
        }
        match cue {
            Cue::Identity if self.is_name(core) => return true,
            Cue::For if self.is_name_before_address(core) => return true,
            _ => {}
        }
        match core.first() {
            Some(b'A'..=b'Z') if core.len() >= 3 && core.len() <= 9 && self.is_date_word(core) => true,
            _ if core.len() >= HEX_WORD && core.iter().all(u8::is_ascii_hexdigit) => true,
            _ => core.len() >= 20 && is_issued_token(core),
        }
    }

    /// Where the word after this chunk starts: past one blank, if there is one.
    fn next_word(&self) -> &[u8] {
        let rest = self.s.get(self.i..).unwrap_or_default();
        let Some(rest) = rest.strip_prefix(b" ") else {
            return &[];
        };
        let end = rest
            .iter()
            .take(24)
            .position(|b| class(*b) & WORD == 0)
            .unwrap_or(rest.len().min(24));
        rest.get(..end).unwrap_or_default()
    }

    /// `user X`: X is a name if a preposition, a bracket or the end follows.
    fn is_name(&self, core: &[u8]) -> bool {
        if words::is_no_name(core) {
            return false;
        }
        match self.at(self.i) {
            b'\n' | b'[' | b'(' | b',' | b';' | b'\'' | b')' | b']' => true,
            b' ' => {
                let next = self.next_word();
                let after = self.at(self.i + 1);
                words::follows_name(next) || matches!(after, b'[' | b'(') || (next.is_empty() && after == b'\n')
            }
            _ => false,
        }
    }

    /// `for X from <address>`
    fn is_name_before_address(&self, core: &[u8]) -> bool {
        if words::is_no_name(core) || self.next_word() != b"from" {
            return false;
        }
        let address = self.s.get(self.i + 6..).unwrap_or_default();
        address
            .iter()
            .take(40)
            .take_while(|b| class(**b) & WORD != 0)
            .any(u8::is_ascii_digit)
    }

    /// Month and day names beside the rest of a date.
    fn is_date_word(&self, core: &[u8]) -> bool {
        let ahead = self.s.get(self.i..).unwrap_or_default();
        let blanks = ahead.iter().take(3).take_while(|b| matches!(b, b' ' | b',')).count();
        let ahead = ahead.get(blanks..).unwrap_or_default();
        if words::is_month(core) {
            return blanks > 0 && ahead.first().is_some_and(u8::is_ascii_digit)
                || (self.number_last && self.out.after_mask_and_blank());
        }
        if !words::is_week_day(core) || blanks == 0 {
            return false;
        }
        let word = ahead.iter().take(10).take_while(|b| b.is_ascii_alphabetic()).count();
        ahead.first().is_some_and(u8::is_ascii_digit) || words::is_month(ahead.get(..word).unwrap_or_default())
    }

    /// Words of a line header: the level after a time, the host of a syslog line.
    fn is_header_word(&self, core: &[u8]) -> bool {
        if !self.out.has_mask() {
            return false;
        }
        if level_word(core).is_some() && (self.clock || core.iter().all(u8::is_ascii_uppercase)) {
            return true;
        }
        if !self.clock || !self.clock_last || !self.out.after_mask_and_blank() {
            return false;
        }
        // <time> host program[pid]:
        let rest = self.s.get(self.i..).unwrap_or_default();
        let Some(rest) = rest.strip_prefix(b" ") else {
            return false;
        };
        let end = rest
            .iter()
            .take(48)
            .position(|b| class(*b) & WORD == 0 && !matches!(b, b'(' | b')'));
        let Some(end) = end else { return false };
        match rest.get(end) {
            Some(b'[') => rest.get(end + 1).is_some_and(u8::is_ascii_digit),
            Some(b' ') => rest.get(..end).is_some_and(|w| w.ends_with(b":")),
            _ => false,
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
            _ => words::is_value_word(value),
        };
        if masked {
            self.text(name);
            self.out.byte(b':');
            self.variable();
        }
        masked
    }

    /// A chunk with a slash: true if it was a URL or a path and has been written.
    fn url_or_path(&mut self, text: &[u8], end: usize, cue: Cue) -> bool {
        if let Some(p) = memchr::memmem::find(text, b"://") {
            self.url(text, p, end);
            return true;
        }
        let (core, tail) = split_trailing(text, TRAILING);
        let rooted = matches!(
            core,
            [b'/', _, ..] | [b'~' | b'.', b'/', ..] | [b'.', b'.', b'/', ..] | [b'\\', b'\\', _, ..]
        ) || matches!(core, [d, b':', b'\\' | b'/', ..] if d.is_ascii_alphabetic());
        if let [b'/', address @ ..] = core
            && address.first().is_some_and(u8::is_ascii_digit)
            && address.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':'))
        {
            // A resolved address without a name: `/10.0.0.1:80`.
            self.number(text.get(1..).unwrap_or_default(), cue);
            return true;
        }
        let root = core == b"/" && cue == Cue::Host;
        if rooted || root || (memchr::memchr(b':', core).is_none() && is_relative_path(core)) {
            self.path(core, tail);
            return true;
        }
        if memchr::memchr(b':', core).is_some() && !core.iter().any(u8::is_ascii_digit) {
            self.colon_groups(core, cue);
            self.out.literal(tail);
            return true;
        }
        false
    }

    /// Scheme kept, the rest a variable, up to a blank or quote.
    fn url(&mut self, text: &[u8], scheme: usize, end: usize) {
        self.text(text.get(..scheme + 3).unwrap_or(text));
        let mut i = end;
        while !matches!(self.at(i), b'"' | b'\'' | b'`' | b'<' | b'>' | b'\n') && class(self.at(i)) & SPACE == 0 {
            i += 1;
        }
        let rest_at = end - text.len() + scheme + 3;
        let (rest, tail) = split_trailing(self.slice(rest_at, i), b".,;:!?)]}");
        self.i = i;
        if !rest.is_empty() {
            self.variable();
        }
        self.out.literal(tail);
    }

    /// A path, with `:line` or a query behind it.
    fn path(&mut self, core: &[u8], tail: &[u8]) {
        let drive = if matches!(core, [_, b':', ..]) { 2 } else { 0 };
        let line = memchr::memchr(b':', core.get(drive..).unwrap_or_default());
        self.variable();
        if let Some(p) = line {
            let rest = core.get(drive + p + 1..).unwrap_or_default();
            self.out.byte(b':');
            if rest.iter().any(u8::is_ascii_digit) {
                self.variable();
            } else {
                self.out.literal(rest);
            }
        } else if memchr::memchr(b'?', core).is_some() && tail.is_empty() {
            while matches!(self.at(self.i), b'=' | b'&' | b',' | b';') || class(self.at(self.i)) & WORD != 0 {
                self.i += 1;
            }
        }
        self.header = false;
        self.out.literal(tail);
    }

    /// A chunk with a digit that is neither URL nor path.
    fn number(&mut self, text: &[u8], cue: Cue) {
        let (core, tail) = split_trailing(text, TRAILING_NUMBER);
        if memchr::memchr(b':', core).is_some() {
            self.colon_groups(core, cue);
        } else {
            self.part(core);
        }
        self.out.literal(tail);
    }

    /// A part with a digit and without colons.
    fn part(&mut self, part: &[u8]) {
        if words::is_known(part) {
            return self.text(part);
        }
        if memchr::memchr(b'@', part).is_some() {
            return self.at_sign(part);
        }
        if let Some(p) = memchr::memchr(b'#', part)
            && let Some(head) = part.get(..=p)
            && p + 1 < part.len()
            && !head.iter().any(u8::is_ascii_digit)
        {
            self.out.literal(head);
        } else if let Some(p) = memchr::memmem::rfind(part, b"...")
            && let Some(head) = part.get(..p + 3)
            && !head.iter().any(u8::is_ascii_digit)
        {
            // A leader: `threshold........5`
            self.out.literal(head);
        }
        self.out.mask();
        self.number_last = true;
        self.clock_last = false;
    }

    /// `name@host` is a variable, `Class@1f3a` one after its name.
    fn at_sign(&mut self, part: &[u8]) {
        let at = memchr::memchr(b'@', part).unwrap_or(0);
        let (left, right) = (
            part.get(..at).unwrap_or_default(),
            part.get(at + 1..).unwrap_or_default(),
        );
        let digits = right.iter().any(u8::is_ascii_digit);
        if digits && right.iter().all(u8::is_ascii_hexdigit) && !left.iter().any(u8::is_ascii_digit) {
            self.text(left);
            self.out.byte(b'@');
            self.variable();
        } else if digits || (!left.is_empty() && !right.is_empty()) || left.iter().any(u8::is_ascii_digit) {
            self.variable();
        } else {
            self.text(part);
        }
    }

    /// A chunk with colons: a time, an address, a host and port, or a list of key and value.
    fn colon_groups(&mut self, text: &[u8], cue: Cue) {
        let colons = memchr::memchr_iter(b':', text).count();
        let compact = text
            .iter()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'-' | b'+' | b'T' | b'Z'));
        let short = matches!(text, [_, b':', _, _] | [_, _, b':', _, _]);
        if compact && (colons >= 2 || short) && text.iter().any(u8::is_ascii_digit) {
            self.out.mask();
            self.number_last = true;
            self.clock_last = true;
            self.clock |= colons >= 2;
            return;
        }
        if memchr::memchr(b':', text)
            .and_then(|p| text.get(..p))
            .is_some_and(is_secret_key)
        {
            let name = memchr::memchr(b':', text)
                .and_then(|p| text.get(..=p))
                .unwrap_or_default();
            self.text(name);
            return self.variable();
        }
        let mut parts = text.split(|b| *b == b':').peekable();
        let mut first = true;
        while let Some(part) = parts.next() {
            if !first {
                self.out.byte(b':');
            }
            let before_port = parts.peek().is_some_and(|p| all_digits(p));
            if part.iter().any(u8::is_ascii_digit) {
                self.part(part);
            } else if words::is_host(part)
                || (first && before_port && cue == Cue::Host && is_bare_host(part))
                || (before_port && is_dotted_host(part))
                || is_relative_path(part)
                || part.starts_with(b"/")
                || (!first && words::is_value_word(part))
            {
                self.variable();
            } else if memchr::memchr(b'@', part).is_some() {
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

/// A word that can be a host before a port.
fn is_bare_host(part: &[u8]) -> bool {
    !part.is_empty()
        && part
            .iter()
            .all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'.' | b'_'))
        && !words::is_source_file(part)
}

/// A dotted lower-case name that is no source file.
fn is_dotted_host(part: &[u8]) -> bool {
    memchr::memchr(b'.', part).is_some()
        && part.iter().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'.'))
        && !part.starts_with(b".")
        && !words::is_source_file(part)
}

/// `a/b/c` or `a/b.txt`, but not `I/O` or `application/json`.
fn is_relative_path(part: &[u8]) -> bool {
    let Some(last) = memchr::memrchr(b'/', part) else {
        return false;
    };
    // `03/04/2026` is a number.
    let digits = part.iter().any(u8::is_ascii_digit);
    if (digits && words::is_known(part)) || !part.iter().any(u8::is_ascii_alphabetic) {
        return false;
    }
    if memchr::memchr(b'/', part) != Some(last) {
        return true;
    }
    let name = part.get(last + 1..).unwrap_or_default();
    memchr::memrchr(b'.', name).is_some_and(|dot| {
        let ext = name.get(dot + 1..).unwrap_or_default();
        dot > 0 && (1..=5).contains(&ext.len()) && ext.iter().all(u8::is_ascii_alphabetic)
    })
}
