//! Word lists that say "no" fast: nearly every word of a line is in none of them.

/// A set of ASCII words of 1 to 31 bytes.
pub(super) struct WordList {
    /// Ascending.
    words: &'static [&'static str],
    /// For each first byte, the lengths of the words that start with it, as bits.
    firsts: [u32; 128],
    /// The same for last bytes.
    lasts: [u32; 128],
    /// For each first byte, where the words that start with it begin.
    starts: [u8; 128],
}

impl WordList {
    /// A list of words in ascending order; anything else does not compile.
    pub(super) const fn new(words: &'static [&'static str]) -> Self {
        assert!(words.len() < 256, "there are too many words");
        let (mut firsts, mut lasts, mut starts) = ([0u32; 128], [0u32; 128], [0u8; 128]);
        let mut i = 0;
        while i < words.len() {
            let word = words[i].as_bytes();
            assert!(
                !word.is_empty() && word.len() < 32,
                "the length of a word is out of range"
            );
            assert!(
                i == 0 || less(words[i - 1].as_bytes(), word),
                "the words are not in ascending order"
            );
            if firsts[word[0] as usize] == 0 {
                starts[word[0] as usize] = i as u8;
            }
            firsts[word[0] as usize] |= 1 << word.len();
            lasts[word[word.len() - 1] as usize] |= 1 << word.len();
            i += 1;
        }
        WordList {
            words,
            firsts,
            lasts,
            starts,
        }
    }

    /// Whether `word` is one of the list.
    #[inline]
    pub(super) fn has(&self, word: &[u8]) -> bool {
        self.may_have(word) && self.search(word).is_some()
    }

    /// Which of the words `word` is, counted from 0.
    #[inline]
    pub(super) fn position(&self, word: &[u8]) -> Option<usize> {
        if self.may_have(word) { self.search(word) } else { None }
    }

    /// False if `word` is none of the list, by its length, first and last byte.
    #[inline]
    pub(super) fn may_have(&self, word: &[u8]) -> bool {
        let (Some(first), Some(last)) = (word.first(), word.last()) else {
            return false;
        };
        self.may_have_between(*first, *last, word.len())
    }

    /// The same for `word` in small letters.
    #[inline]
    pub(super) fn may_have_in_any_case(&self, word: &[u8]) -> bool {
        let (Some(first), Some(last)) = (word.first(), word.last()) else {
            return false;
        };
        self.may_have_between(first.to_ascii_lowercase(), last.to_ascii_lowercase(), word.len())
    }

    #[inline]
    fn may_have_between(&self, first: u8, last: u8, len: usize) -> bool {
        let (Some(a), Some(b)) = (self.firsts.get(usize::from(first)), self.lasts.get(usize::from(last))) else {
            return false;
        };
        len < 32 && a & b & (1 << len) != 0
    }

    #[cold]
    fn search(&self, word: &[u8]) -> Option<usize> {
        let start = usize::from(*self.starts.get(usize::from(*word.first()?))?);
        let words = self.words.get(start..)?.iter().map(|w| w.as_bytes());
        let at = words
            .take_while(|w| w.first() == word.first())
            .position(|w| w == word)?;
        Some(start + at)
    }
}

/// Whether `a` comes before `b`, at compile time.
const fn less(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() {
        if a[i] != b[i] {
            return a[i] < b[i];
        }
        i += 1;
    }
    a.len() < b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    static LIST: WordList = WordList::new(&["a", "ab", "abc", "b", "cd"]);

    #[test]
    fn members_only() {
        for word in ["a", "ab", "abc", "b", "cd"] {
            assert!(LIST.has(word.as_bytes()), "{word}");
            let at = LIST.position(word.as_bytes()).unwrap();
            assert_eq!(LIST.words[at], word);
            assert!(LIST.may_have_in_any_case(word.to_uppercase().as_bytes()), "{word}");
        }
        for word in [
            "",
            "c",
            "ac",
            "abd",
            "bb",
            "ä",
            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop",
        ] {
            assert!(!LIST.has(word.as_bytes()), "{word}");
        }
    }
}
