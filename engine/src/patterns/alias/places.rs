//! Which templates are equal but for the word in one place, or but for qualified names.
//!
//! A template with n words has n places. The rest of it, before and after the place, is hashed from both ends, so that
//! all places of a template together cost one pass in each direction. Equal hashes of 64 bits count as equal rests.

use super::join::Joined;
use super::{CONSTANT_WORDS, FIRST_WORDS, Rule, WORDS};
use crate::patterns::severity::level_word;
use crate::patterns::tokens::{Kind, Token, is_qualified_name, tokens};
use crate::patterns::words::is_method;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Places of a template that are looked at; what comes later in a line is seldom what tells statements apart.
const MAX_PLACES: usize = 64;

/// The hash that stands for a variable in a place.
const VARIABLE: u64 = 0;

/// One place of one template.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Hash of the template without the word.
    rest: u64,
    /// Hash of the word; [`VARIABLE`] for a variable.
    word: u64,
    template: usize,
    /// No word comes before it.
    first: bool,
    named: Named,
}

/// Words of which few are enough, in capitals and where no word before them has a small letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// A method of HTTP.
    Method,
    /// A severity.
    Level,
    Other,
}

/// Joins templates that differ in one word.
pub(super) fn join_words(templates: &[&str], joined: &mut Joined) {
    let mut places = Vec::new();
    let mut buffer = Vec::new();
    let mut behind = Vec::new();
    for (template, text) in templates.iter().enumerate() {
        tokens(text, &mut buffer);
        add_places(template, &buffer, &mut behind, &mut places);
    }
    places.sort_unstable();
    for group in places.chunk_by(|a, b| a.rest == b.rest) {
        // Each rule looks at the words that are of its kind, so that others cannot undo what it joins.
        let mut rule = |of_kind: &dyn Fn(&Place) -> bool, enough: usize| {
            let of_kind = || group.iter().filter(|p| of_kind(p));
            if distinct_words(of_kind()) >= enough {
                joined.join(of_kind().map(|p| p.template), Rule::Word);
            }
        };
        let variable = group.iter().any(|p| p.word == VARIABLE);
        let first = group.iter().any(|p| p.first && p.word != VARIABLE);
        let enough = match (variable, first) {
            (true, _) => 2,
            (false, true) => FIRST_WORDS,
            (false, false) => WORDS,
        };
        rule(&|_| true, enough);
        // Methods are few and well known: no other first word need be seen to know that they vary.
        rule(&|p| p.named == Named::Method, WORDS);
        rule(&|p| p.named == Named::Level, 2);
    }
}

/// How many different words there are. `places` are sorted by word.
fn distinct_words<'a>(places: impl Iterator<Item = &'a Place>) -> usize {
    let mut last = None;
    places.filter(|p| last.replace(p.word) != Some(p.word)).count()
}

fn add_places(template: usize, tokens: &[Token<'_>], behind: &mut Vec<u64>, places: &mut Vec<Place>) {
    let constants = tokens
        .iter()
        .filter(|t| matches!(t.kind, Kind::Word | Kind::Fixed))
        .count();
    // behind[k] = hash of the last k tokens.
    behind.clear();
    behind.push(0);
    let mut hash = 0;
    for token in tokens.iter().rev() {
        hash = xxh3_64_with_seed(token.text.as_bytes(), hash);
        behind.push(hash);
    }
    let (mut before, mut seen, mut first, mut header) = (0u64, 0, true, true);
    for (i, token) in tokens.iter().enumerate() {
        let place = matches!(token.kind, Kind::Word | Kind::Variable);
        let others = constants - usize::from(token.kind == Kind::Word);
        if place && others >= CONSTANT_WORDS && seen < MAX_PLACES {
            seen += 1;
            let after = behind.get(tokens.len() - i - 1).copied().unwrap_or_default();
            places.push(Place {
                rest: xxh3_64_with_seed([before.to_le_bytes(), after.to_le_bytes()].as_flattened(), i as u64),
                word: match token.kind {
                    Kind::Variable => VARIABLE,
                    _ => xxh3_64_with_seed(token.text.as_bytes(), 0).max(VARIABLE + 1),
                },
                template,
                first,
                named: named(token.text, header),
            });
        }
        if matches!(token.kind, Kind::Word | Kind::Fixed) {
            first = false;
            header &= !token.text.bytes().any(|b| b.is_ascii_lowercase());
        }
        before = xxh3_64_with_seed(token.text.as_bytes(), before);
    }
}

fn named(word: &str, header: bool) -> Named {
    let word = word.as_bytes();
    if header && level_word(word).is_some() && word.iter().all(u8::is_ascii_uppercase) {
        Named::Level
    } else if header && is_method(word) {
        Named::Method
    } else {
        Named::Other
    }
}

/// Joins templates that differ in two qualified names or more.
pub(super) fn join_names(templates: &[&str], joined: &mut Joined) {
    let mut buffer = Vec::new();
    let mut rests: Vec<(u64, usize)> = Vec::new();
    for (template, text) in templates.iter().enumerate() {
        tokens(text, &mut buffer);
        let (mut hash, mut names, mut words) = (0, 0, 0);
        for token in &buffer {
            let word = matches!(token.kind, Kind::Word | Kind::Fixed);
            let name = token.kind == Kind::Word && is_qualified_name(token.text);
            names += usize::from(name);
            words += usize::from(word && !name);
            // No token of a template is empty, so this is no other token's hash.
            hash = xxh3_64_with_seed(if name { "" } else { token.text }.as_bytes(), hash);
        }
        if names >= 2 && words >= CONSTANT_WORDS {
            rests.push((hash, template));
        }
    }
    rests.sort_unstable();
    for group in rests.chunk_by(|a, b| a.0 == b.0).filter(|g| g.len() >= WORDS) {
        joined.join(group.iter().map(|(_, template)| *template), Rule::Names);
    }
}
