//! The output of the scanner: template text that folds neighbouring variables as it grows.

use super::MASK_VERSION;

/// What stands for a variable in a template.
pub(super) const MASK: &[u8] = b"<*>";
/// Bytes before the template in the buffer: the mask version, so that one hash covers both.
const PREFIX: usize = 2;
/// A template stops growing here. Capping the output, not the input, keeps the cut independent of how long the
/// variables are.
const MAX_TEMPLATE: usize = 4096;

/// A growing template. The buffer is reused from line to line.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    buf: Vec<u8>,
    /// Where the last mask ended; 0 = none.
    mask_end: usize,
}

impl Skeleton {
    /// Forgets the previous line.
    pub(super) fn start(&mut self) {
        self.buf.clear();
        self.buf.extend_from_slice(&MASK_VERSION.to_le_bytes());
        self.mask_end = 0;
    }

    /// Version and template, as they are hashed.
    pub(super) fn hashed(&self) -> &[u8] {
        &self.buf
    }

    /// The template text.
    pub(super) fn text(&self) -> &str {
        // Input is cut at ASCII bytes or whole characters only, so this is always UTF-8.
        self.buf
            .get(PREFIX..)
            .and_then(|t| std::str::from_utf8(t).ok())
            .unwrap_or_default()
    }

    /// Whether nothing has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.buf.len() <= PREFIX
    }

    /// Whether the template has reached its largest size.
    pub(super) fn is_full(&self) -> bool {
        self.buf.len() >= PREFIX + MAX_TEMPLATE
    }

    /// Whether a mask has been written.
    pub(super) fn has_mask(&self) -> bool {
        self.mask_end != 0
    }

    /// A mark for [`Skeleton::rewind`].
    pub(super) fn mark(&self) -> usize {
        self.buf.len()
    }

    /// Drops everything written since `mark`.
    pub(super) fn rewind(&mut self, mark: usize) {
        self.buf.truncate(mark.max(PREFIX));
        if self.mask_end > self.buf.len() {
            self.mask_end = 0;
        }
    }

    /// Literal text.
    #[inline]
    pub(super) fn literal(&mut self, text: &[u8]) {
        self.buf.extend_from_slice(text);
    }

    /// Literal text, `line[start..end]`: as [`Skeleton::literal`], quicker for words.
    #[inline]
    pub(super) fn word(&mut self, line: &[u8], start: usize, end: usize) {
        let len = self.buf.len() + (end - start);
        // Copying a fixed size needs no loop; what is too much is dropped again.
        match line.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(some) if end - start <= some.len() => {
                self.buf.extend_from_slice(some);
                self.buf.truncate(len);
            }
            _ => self.literal(line.get(start..end).unwrap_or_default()),
        }
    }

    /// One literal byte.
    #[inline]
    pub(super) fn byte(&mut self, b: u8) {
        self.buf.push(b);
    }

    /// A blank: one for any run, none at the start of a line.
    #[inline]
    pub(super) fn space(&mut self) {
        if !self.is_empty() && !matches!(self.buf.last(), Some(b' ' | b'\n')) {
            self.buf.push(b' ');
        }
    }

    /// A line break: one for any run, none at the start.
    pub(super) fn newline(&mut self) {
        self.trim();
        if !self.is_empty() {
            self.buf.push(b'\n');
        }
    }

    /// Ends the template: cut to its largest size at a character, without trailing blanks.
    pub(super) fn finish(&mut self) {
        let mut end = PREFIX + MAX_TEMPLATE;
        if self.buf.len() > end {
            // Bytes 10xxxxxx continue a character.
            while end > PREFIX && self.buf.get(end).is_some_and(|b| b & 0xc0 == 0x80) {
                end -= 1;
            }
            self.buf.truncate(end);
        }
        self.trim();
    }

    /// Drops trailing blanks and line breaks.
    pub(super) fn trim(&mut self) {
        while !self.is_empty() && matches!(self.buf.last(), Some(b' ' | b'\n')) {
            self.buf.pop();
        }
    }

    /// A variable. Lists of variables, separated by blanks or commas, become one; colon groups at most two.
    #[inline]
    pub(super) fn mask(&mut self) {
        if self.mask_end != 0 {
            match self.buf.get(self.mask_end..) {
                Some(b"" | b" " | b"," | b", ") => {
                    self.buf.truncate(self.mask_end);
                    return;
                }
                Some(b":") if self.buf.get(..self.mask_end).is_some_and(|b| b.ends_with(b"<*>:<*>")) => {
                    self.buf.truncate(self.mask_end);
                    return;
                }
                _ => {}
            }
        }
        self.buf.extend_from_slice(MASK);
        self.mask_end = self.buf.len();
    }

    /// A quoted variable, or an empty pair of quotes. Lists of them become one.
    pub(super) fn quoted_mask(&mut self, quote: u8, empty: bool) {
        if self.mask_end != 0
            && let Some([q, b','] | [q, b',', b' ']) = self.buf.get(self.mask_end..)
            && *q == quote
        {
            self.buf.truncate(self.mask_end + 1);
            return;
        }
        self.buf.push(quote);
        if !empty {
            self.buf.extend_from_slice(MASK);
            self.mask_end = self.buf.len();
        }
        self.buf.push(quote);
    }

    /// If nothing but one blank follows the last mask, drops the blank and says so: the next word belongs to the mask.
    pub(super) fn join_mask(&mut self) -> bool {
        let joined = self.after_mask_and_blank();
        if joined {
            self.buf.truncate(self.mask_end);
        }
        joined
    }

    /// Whether nothing but one blank follows the last mask.
    #[inline]
    pub(super) fn after_mask_and_blank(&self) -> bool {
        self.mask_end != 0 && self.buf.len() == self.mask_end + 1 && self.buf.last() == Some(&b' ')
    }
}
