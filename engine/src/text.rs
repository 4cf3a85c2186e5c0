//! Small text helpers shared by everything that prepares text for the database.

use std::borrow::Cow;

/// The longest prefix of `text` that has at most `max` bytes and does not split a character.
///
/// ```
/// assert_eq!(engine::text::cut("abé", 3), "ab");
/// ```
pub fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// `text` with every NUL replaced by U+FFFD: Postgres can store a NUL neither in `text` nor in `jsonb`, and one
/// such record must not make a whole window fail.
pub fn without_nul(text: &str) -> Cow<'_, str> {
    match memchr::memchr(0, text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.replace('\0', "\u{FFFD}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_keeps_characters_whole() {
        assert_eq!(cut("añb", 0), "");
        assert_eq!(cut("añb", 2), "a");
        assert_eq!(cut("añb", 3), "añ");
        assert_eq!(cut("añb", 99), "añb");
    }

    #[test]
    fn nul_becomes_a_replacement_character() {
        assert!(matches!(without_nul("plain"), Cow::Borrowed("plain")));
        assert_eq!(without_nul("a\0b\0"), "a\u{FFFD}b\u{FFFD}");
    }
}
