//! The scan: one pass over the bytes of a line, which splits it into chunks, quoted texts, keys and punctuation.

use super::bytes::{ALPHA, SPACE, WORD, class, cut, letters, word_bytes};
use super::skeleton::{MASK, Skeleton};
use super::words::Cue;
use crate::work::looked;

/// More input than this is never looked at. (Templates end far earlier, see [`Skeleton`].)
pub(super) const MAX_INPUT: usize = 64 * 1024;

/// Longest group in brackets that is looked at as part of a line header.
const MAX_HEADER_GROUP: usize = 256;

/// What separates a key from its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// `key=value`
    Equals,
    /// `"key": value`
    Json,
    /// `key: value` or `key = value`, which may as well be prose.
    Loose,
}

/// A key whose value comes next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) separator: Separator,
}

/// The state of one scan.
pub(super) struct Scanner<'s> {
    pub(super) s: &'s [u8],
    /// Next byte to read.
    pub(super) i: usize,
    pub(super) out: &'s mut Skeleton,
    /// What the previous word says about the next.
    pub(super) cue: Cue,
    pub(super) key: Option<Key>,
    /// Extent of the last chunk.
    pub(super) last: (usize, usize),
    /// Still in the header: nothing but variables and punctuation so far.
    pub(super) header: bool,
    /// A time of day has been seen; the name of a month in the header.
    pub(super) clock: bool,
    pub(super) month: bool,
    /// The last mask stands for a number, of a time of day if `clock_last`.
    pub(super) number_last: bool,
    pub(super) clock_last: bool,
    /// End of a quoted text that is being scanned.
    pub(super) quoted: Option<usize>,
    /// No further double quote (backtick) ends in what is left of this line.
    pub(super) unpaired: [bool; 2],
    pub(super) frames: super::frames::Frames,
}

impl<'s> Scanner<'s> {
    /// Scans `line` into `out`.
    pub(super) fn run(line: &'s str, out: &'s mut Skeleton) {
        let line = cut(line, MAX_INPUT);
        out.start();
        let mut scanner = Scanner {
            s: line.as_bytes(),
            i: 0,
            out,
            cue: Cue::None,
            key: None,
            last: (0, 0),
            header: true,
            clock: false,
            month: false,
            number_last: false,
            clock_last: false,
            quoted: None,
            unpaired: [false; 2],
            frames: super::frames::Frames::default(),
        };
        scanner.scan();
        scanner.out.finish();
    }

    fn scan(&mut self) {
        while let Some(&b) = self.s.get(self.i) {
            let c = class(b);
            looked(1);
            if c & WORD != 0 {
                let start = self.i;
                let rest = self.s.get(start..).unwrap_or_default();
                let letters = if c & ALPHA == 0 { 0 } else { letters(rest) };
                looked(letters);
                if letters == 0 || !self.plain_word(start, start + letters) {
                    let (more, seen) = word_bytes(rest.get(letters..).unwrap_or_default());
                    looked(more);
                    self.i = start + letters + more;
                    self.last = (start, self.i);
                    self.chunk(start, self.i, if letters == 0 { seen } else { seen | c });
                }
                if self.out.is_full() {
                    return;
                }
            } else if c & SPACE != 0 {
                self.blank(b);
            } else {
                self.punctuation(b);
            }
        }
    }

    /// The bytes of a range; empty if there is none.
    #[inline]
    pub(super) fn slice(&self, start: usize, end: usize) -> &'s [u8] {
        let slice = self.s.get(start..end).unwrap_or_default();
        looked(slice.len());
        slice
    }

    /// The byte at `i`; a newline past the end.
    #[inline]
    pub(super) fn at(&self, i: usize) -> u8 {
        looked(1);
        self.s.get(i).copied().unwrap_or(b'\n')
    }

    /// The byte before the current one; a newline at the start.
    pub(super) fn before(&self) -> u8 {
        self.i.checked_sub(1).map_or(b'\n', |i| self.at(i))
    }

    fn blank(&mut self, b: u8) {
        self.i += 1;
        // Terminal colours: ESC [ parameters letter.
        if b == 0x1b && self.at(self.i) == b'[' {
            self.i += 1;
            while matches!(self.at(self.i), b'0'..=b'9' | b';') {
                self.i += 1;
            }
            if self.at(self.i).is_ascii_alphabetic() {
                self.i += 1;
            }
            return;
        }
        self.out.space();
    }

    fn punctuation(&mut self, b: u8) {
        match b {
            b'\n' => self.line_break(),
            b'=' => self.equals(),
            b'"' | b'\'' | b'`' => self.quote(b),
            b'<' if self.s.get(self.i..).is_some_and(|s| s.starts_with(MASK)) => {
                self.out.mask();
                self.i += MASK.len();
            }
            b'<' if class(self.before()) & SPACE != 0 && self.bound() => {}
            b'(' if self.aside() => {}
            b'(' | b'[' | b'{' => self.open(b),
            _ => {
                self.out.byte(b);
                self.i += 1;
                self.cue = Cue::None;
                self.key = None;
            }
        }
    }

    fn line_break(&mut self) {
        let start = self.i;
        while matches!(self.at(self.i), b'\n' | b'\r') && self.i < self.s.len() {
            self.i += 1;
        }
        let blank_line = self.slice(start, self.i).iter().filter(|b| **b == b'\n').count() > 1;
        self.out.newline();
        self.cue = Cue::None;
        self.key = None;
        self.quoted = None;
        self.unpaired = [false; 2];
        self.fold_frames(blank_line);
    }

    /// `=`: what stands before it is a key. An absent value is a variable like a present one.
    fn equals(&mut self) {
        let (start, end) = self.last;
        self.out.byte(b'=');
        self.i += 1;
        self.cue = Cue::None;
        if end + 1 == self.i && end > start {
            self.key = Some(Key {
                start,
                end,
                separator: Separator::Equals,
            });
            if matches!(
                self.at(self.i),
                b' ' | b'\t' | b'\n' | b',' | b';' | b')' | b']' | b'}' | b'&'
            ) {
                self.out.mask();
                self.number_last = false;
                // `password= x`: what follows the blank may still be the secret.
                self.key = self.key.map(|k| Key {
                    separator: Separator::Loose,
                    ..k
                });
            }
        } else if end + 2 == self.i && end > start {
            self.key = Some(Key {
                start,
                end,
                separator: Separator::Loose,
            });
        }
    }

    /// `()`, `[]` and `{}` are the empty form of a group that may hold a value; after a word it is a call.
    fn open(&mut self, b: u8) {
        let close = match b {
            b'(' => b')',
            b'[' => b']',
            _ => b'}',
        };
        let before = self.before();
        self.out.byte(b);
        self.i += 1;
        self.cue = Cue::None;
        self.key = None;
        if b == b'[' && self.header && self.clock && self.out.has_mask() && self.header_group() {
            return;
        }
        if self.at(self.i) == close && (class(before) & SPACE != 0 || matches!(before, b'\n' | b'=' | b':' | b',')) {
            self.out.mask();
            self.out.byte(close);
            self.i += 1;
        }
    }

    /// `[thread name]` between time and message: who wrote the line is not what it says. Says whether there was one.
    fn header_group(&mut self) -> bool {
        let window = self.slice(self.i, self.s.len().min(self.i + MAX_HEADER_GROUP));
        let mut depth = 1;
        let Some(len) = memchr::memchr3_iter(b'[', b']', b'\n', window).find(|at| {
            match window.get(*at) {
                Some(b'[') => depth += 1,
                Some(b']') => depth -= 1,
                _ => return true,
            }
            depth == 0
        }) else {
            return false;
        };
        let end = self.i + len;
        // Something must follow: else the group is the message.
        if depth != 0 || len == 0 || !matches!(self.at(end + 1), b' ' | b':' | b'[') {
            return false;
        }
        self.out.mask();
        self.out.byte(b']');
        self.i = end + 1;
        true
    }
}
