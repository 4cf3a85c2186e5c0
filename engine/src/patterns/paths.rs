//! Chunks with slashes: URLs and paths.

use super::bytes::{COLON, DIGIT, SPACE, WORD, class, classes, split_trailing};
use super::known::is_known;
use super::scan::Scanner;
use super::token::TRAILING;
use super::words::Cue;

/// A double quote as syslog daemons escape it.
const ESCAPED_QUOTE: &[u8] = b"\\042";

impl Scanner<'_> {
    /// A chunk with a slash: true if it was a URL or a path and has been written.
    pub(super) fn url_or_path(&mut self, text: &[u8], end: usize, cue: Cue) -> bool {
        if let Some(scheme) = text.windows(3).position(|w| w == b"://") {
            self.url(text, scheme, end);
            return true;
        }
        let (core, tail) = split_trailing(text, TRAILING);
        if core.len() > 2 * ESCAPED_QUOTE.len() && core.starts_with(ESCAPED_QUOTE) && core.ends_with(ESCAPED_QUOTE) {
            self.variable();
            self.out.literal(tail);
            return true;
        }
        let rooted = matches!(
            core,
            [b'/', _, ..] | [b'~' | b'.', b'/', ..] | [b'.', b'.', b'/', ..] | [b'\\', b'\\', _, ..]
        ) || matches!(core, [d, b':', b'\\' | b'/', ..] if d.is_ascii_alphabetic());
        if let [b'/', address @ ..] = core
            && address.first().is_some_and(u8::is_ascii_digit)
            && address.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':'))
        {
            // A resolved address without a name: `/10.0.0.1:80`.
            self.number(text.get(1..).unwrap_or_default(), classes(text), cue);
            return true;
        }
        let root = core == b"/" && cue == Cue::Host;
        let seen = classes(core);
        if rooted || root || (seen & COLON == 0 && is_relative_path(core)) {
            self.path(core, tail);
            return true;
        }
        if seen & DIGIT == 0
            && let Some(colon) = core.iter().position(|b| *b == b':')
        {
            self.colon_groups(core, colon, cue);
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
}

/// `a/b/c`, `a/b.txt` or `org.acme/.Main`, but not `I/O` or `application/json`.
pub(super) fn is_relative_path(part: &[u8]) -> bool {
    let Some(last) = memchr::memrchr(b'/', part) else {
        return false;
    };
    // `03/04/2026` is a number.
    let digits = part.iter().any(u8::is_ascii_digit);
    if (digits && is_known(part)) || !part.iter().any(u8::is_ascii_alphabetic) {
        return false;
    }
    if memchr::memchr(b'/', part) != Some(last) {
        return true;
    }
    let name = part.get(last + 1..).unwrap_or_default();
    let dotted = part.get(..last).is_some_and(|p| p.contains(&b'.'));
    memchr::memrchr(b'.', name).is_some_and(|dot| {
        let ext = name.get(dot + 1..).unwrap_or_default();
        dotted || dot > 0 && (1..=5).contains(&ext.len()) && ext.iter().all(u8::is_ascii_alphabetic)
    })
}
