//! Byte classes: one table look-up per byte of a line tells the scanner all it needs.

/// `0`-`9`.
pub(super) const DIGIT: u8 = 0x01;
/// `/` and `\`.
pub(super) const SLASH: u8 = 0x02;
/// `:`.
pub(super) const COLON: u8 = 0x04;
/// `.`.
pub(super) const DOT: u8 = 0x08;
/// `@`.
pub(super) const AT: u8 = 0x10;
/// May be part of a chunk: letters, digits, bytes of a multi-byte character, and punctuation that binds.
pub(super) const WORD: u8 = 0x20;
/// Blank or control character, newline excluded.
pub(super) const SPACE: u8 = 0x40;
/// ASCII letter or byte of a multi-byte character.
pub(super) const ALPHA: u8 = 0x80;

/// A one in each byte.
const ONES: u64 = u64::from_le_bytes([1; 8]);

static CLASS: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut t = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        t[i] = match b {
            b'0'..=b'9' => WORD | DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' | 0x80..=0xff => WORD | ALPHA,
            b'/' | b'\\' => WORD | SLASH,
            b':' => WORD | COLON,
            b'.' => WORD | DOT,
            b'@' => WORD | AT,
            b'_' | b'-' | b'#' | b'%' | b'+' | b'$' | b'~' | b'*' | b'?' | b'!' => WORD,
            b'\n' => 0,
            0..=b' ' | 0x7f => SPACE,
            _ => 0,
        };
        i += 1;
    }
    t
}

/// The class bits of a byte.
#[inline(always)]
pub(super) fn class(b: u8) -> u8 {
    // A u8 index into 256 entries cannot be out of range.
    CLASS[b as usize]
}

/// How many bytes at the start of `s` may be part of a chunk, and their class bits together.
#[inline]
pub(super) fn word_bytes(s: &[u8]) -> (usize, u8) {
    let (mut len, mut seen) = (0, 0);
    for b in s {
        let c = class(*b);
        if c & WORD == 0 {
            break;
        }
        seen |= c;
        len += 1;
    }
    (len, seen)
}

/// How many ASCII letters `s` starts with.
///
/// Eight bytes at a time: adding to the low seven bits of a byte carries into its high bit from `a`, and again from
/// behind `z` on.
#[inline]
pub(super) fn letters(s: &[u8]) -> usize {
    const HIGH: u64 = ONES << 7;
    let mut at = 0;
    while let Some(eight) = s.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let x = u64::from_le_bytes(*eight);
        let small = (x | (ONES << 5)) & !HIGH;
        let from_a = small + ONES * (0x80 - b'a' as u64);
        let behind_z = small + ONES * (0x7f - b'z' as u64);
        let others = !(from_a & !behind_z & !x) & HIGH;
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = s.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_alphabetic()).count()
}

/// Whether every byte of a non-empty slice is an ASCII digit.
pub(super) fn all_digits(s: &[u8]) -> bool {
    !s.is_empty() && s.iter().all(u8::is_ascii_digit)
}

/// `text` in two: what comes before, and its trailing bytes that are in `set`, which is punctuation.
#[inline]
pub(super) fn split_trailing<'a>(text: &'a [u8], set: &[u8]) -> (&'a [u8], &'a [u8]) {
    if text.last().is_some_and(u8::is_ascii_alphanumeric) {
        return (text, &[]);
    }
    let keep = text.iter().rposition(|b| !set.contains(b)).map_or(0, |p| p + 1);
    text.split_at(keep)
}

/// Lower-cases `word` into `buf`; `None` if it does not fit.
#[inline]
pub(super) fn lower<'b>(word: &[u8], buf: &'b mut [u8]) -> Option<&'b [u8]> {
    let dst = buf.get_mut(..word.len())?;
    for (d, s) in dst.iter_mut().zip(word) {
        *d = s.to_ascii_lowercase();
    }
    Some(dst)
}

/// The longest start of `text` of at most `max` bytes that ends at a character.
pub(super) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    (0..=max).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Whether a text is a time of day, `HH:MM:SS`.
#[inline]
pub(super) fn is_clock(text: &[u8]) -> bool {
    let (Some(eight), 8) = (text.first_chunk::<8>(), text.len()) else {
        return false;
    };
    // What is too much for a digit (more than 9), or for a colon (more than 0), reaches the high bit of its byte.
    const LIMITS: u64 = u64::from_le_bytes([0x76, 0x76, 0x7f, 0x76, 0x76, 0x7f, 0x76, 0x76]);
    let x = u64::from_le_bytes(*eight) ^ u64::from_le_bytes(*b"00:00:00");
    (x | x.wrapping_add(LIMITS)) & (ONES << 7) == 0
}

/// The class bits of all bytes together.
#[inline]
pub(super) fn classes(text: &[u8]) -> u8 {
    text.iter().fold(0, |seen, b| seen | class(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn letters_are_counted(text in "[a-zA-Z]{0,20}", rest in prop::collection::vec(any::<u8>(), 0..12)) {
            let all: Vec<u8> = text.bytes().chain(rest).collect();
            let slow = all.iter().take_while(|b| b.is_ascii_alphabetic()).count();
            prop_assert_eq!(letters(&all), slow);
        }
    }

    #[test]
    fn every_byte_is_a_letter_or_none() {
        for b in 0..=u8::MAX {
            assert_eq!(letters(&[b; 11]), if b.is_ascii_alphabetic() { 11 } else { 0 }, "{b}");
        }
    }
}
