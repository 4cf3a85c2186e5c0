//! What takes the place of patterns when a tenant has too many of them: coarser functions of the template, as pure as
//! the template itself. Lines of a kind that no mask recognises (an address in words, a text typed by people) would
//! else fill the dictionary without bound.

use super::tokens::{Folded, Kind, Token, tokens};
use std::borrow::Cow;

/// Words that a coarse template keeps.
const WORDS: usize = 2;
/// Pieces of a template that are looked at: what varies without bound would else vary in punctuation too.
const MAX_TOKENS: usize = 40;

/// The template of everything for which even the coarse templates are too many.
pub const REST: &str = "<*>";

/// The coarse form of a template: of its first line, punctuation and the first two words; all other words become
/// variables.
///
/// ```
/// use engine::patterns::coarse;
/// assert_eq!(coarse("note from Bob (late): call me, <*> o'clock"), "note from <*> (<*>): <*>'<*>");
/// ```
pub fn coarse(template: &str) -> String {
    let line = template.split('\n').next().unwrap_or_default();
    let mut parts = Vec::new();
    tokens(line, &mut parts);
    let (mut out, mut words) = (Folded::default(), 0);
    for token in parts.iter().take(MAX_TOKENS) {
        let word = matches!(token.kind, Kind::Word | Kind::Fixed);
        words += usize::from(word);
        if word && words > WORDS {
            out.push(&Token {
                kind: Kind::Variable,
                text: REST,
            });
        } else {
            out.push(token);
        }
    }
    out.text
}

/// The template under which a new pattern is stored if the tenant has `known` patterns and `limit` are allowed: its
/// own, from there on the [`coarse`] one, and from twice as many on [`REST`]. Patterns that are known stay as they are.
/// `limit` 0 means none.
pub fn within(limit: usize, known: usize, template: &str) -> Cow<'_, str> {
    if limit == 0 || known < limit {
        Cow::Borrowed(template)
    } else if known < limit.saturating_mul(2) {
        Cow::Owned(coarse(template))
    } else {
        Cow::Borrowed(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_words_and_punctuation_are_kept() {
        for (template, want) in [
            ("", ""),
            ("<*>", "<*>"),
            ("took <*>", "took <*>"),
            ("<*> [<*>] a.B: order of Bob is late.", "<*> [<*>] a.B: order <*>."),
            ("panic: x is nil\nat f\nat <*>", "panic: x <*>"),
            ("{\"msg\":\"hi there\",\"n\":<*>}", "{\"msg\":\"hi <*>\",\"<*>\":<*>}"),
        ] {
            assert_eq!(coarse(template), want, "{template}");
        }
    }

    #[test]
    fn limits() {
        let at = |known| within(10, known, "a b c").into_owned();
        assert_eq!(
            [at(0), at(9), at(10), at(19), at(20)],
            ["a b c", "a b c", "a b <*>", "a b <*>", REST]
        );
        assert_eq!(within(0, usize::MAX, "a b c"), "a b c");
    }

    proptest! {
        #[test]
        fn coarse_templates_are_short_of_words_and_stay_as_they_are(template in "([a-z]{1,4}|<\\*>|[ .,:=()\"]){0,60}") {
            let once = coarse(&template);
            prop_assert_eq!(coarse(&once), once.clone());
            let mut parts = Vec::new();
            tokens(&once, &mut parts);
            prop_assert!(parts.iter().filter(|t| matches!(t.kind, Kind::Word | Kind::Fixed)).count() <= WORDS);
        }
    }
}
