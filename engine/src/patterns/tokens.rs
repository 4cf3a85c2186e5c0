//! Templates as words, variables and what stands between them: what is done with a template once it is there.

use super::skeleton::MASK;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `<*>`
    Variable,
    /// A word that may be one value of a variable.
    Word,
    /// A word that is the name of a value (`name=`, `"name":`) or part of something larger (`CPU#<*>`).
    Fixed,
    /// Blanks and punctuation.
    Between,
}

/// A piece of a template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

/// Splits a template; the texts together are the template.
pub(super) fn tokens<'a>(template: &'a str, out: &mut Vec<Token<'a>>) {
    out.clear();
    let bytes = template.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let (kind, len) = if rest.starts_with(MASK) {
            (Kind::Variable, MASK.len())
        } else {
            let word = rest.iter().position(|b| is_between(*b)).unwrap_or(rest.len());
            match word {
                0 => (Kind::Between, 1),
                _ => {
                    let word = rest.get(..word).unwrap_or_default();
                    let core = word.iter().rposition(|b| !matches!(b, b'.' | b'!' | b'?'));
                    match core.map(|p| p + 1) {
                        None => (Kind::Between, word.len()),
                        Some(len) if word.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80) => (Kind::Word, len),
                        Some(len) => (Kind::Between, len),
                    }
                }
            }
        };
        // Splits are at ASCII bytes only, so the range is never refused.
        out.push(Token {
            kind,
            text: template.get(at..at + len).unwrap_or_default(),
        });
        at += len;
    }
    fix(out);
}

/// Words that cannot be a value.
fn fix(tokens: &mut [Token<'_>]) {
    for i in 0..tokens.len() {
        let beside = |d: usize| tokens.get(i.wrapping_add(d));
        let (before, after, next) = (beside(usize::MAX), beside(1), beside(2));
        let variable = |t: Option<&Token<'_>>| t.is_some_and(|t| t.kind == Kind::Variable);
        let is = |t: Option<&Token<'_>>, text: &str| t.is_some_and(|t| t.text == text);
        let fixed = variable(before)
            || variable(after)
            || is(after, "=")
            || (is(after, "\"") && is(next, ":") && is(before, "\""));
        if let Some(token) = tokens.get_mut(i)
            && token.kind == Kind::Word
            && fixed
        {
            token.kind = Kind::Fixed;
        }
    }
}

fn is_between(b: u8) -> bool {
    b.is_ascii_whitespace()
        || matches!(
            b,
            b'(' | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'<'
                | b'>'
                | b'"'
                | b'\''
                | b'`'
                | b','
                | b';'
                | b':'
                | b'='
                | b'|'
                | b'&'
        )
}

/// `org.acme.shop.Order`: three identifiers or more, joined by dots, the last with a capital as classes have.
pub(super) fn is_qualified_name(word: &str) -> bool {
    let (mut parts, mut class) = (0, false);
    let plain = word.split('.').all(|part| {
        parts += 1;
        class = part.starts_with(|c: char| c.is_ascii_uppercase());
        part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'))
    });
    plain && class && parts >= 3
}

/// What templates of equally many tokens have in common, with a variable where they differ. Neighbouring variables
/// become one, as in templates.
pub(super) fn common(templates: &[&str]) -> String {
    let Some((first, others)) = templates.split_first() else {
        return String::new();
    };
    let (mut pattern, mut other) = (Vec::new(), Vec::new());
    tokens(first, &mut pattern);
    for template in others {
        tokens(template, &mut other);
        for (a, b) in pattern.iter_mut().zip(&other) {
            if a.text != b.text {
                a.kind = Kind::Variable;
                a.text = "<*>";
            }
        }
    }
    let mut out = Folded::default();
    for token in &pattern {
        out.push(token);
    }
    out.text
}

/// A template that grows by tokens; neighbouring variables become one.
#[derive(Default)]
pub(super) struct Folded {
    pub(super) text: String,
    /// Where the last variable ended.
    variable_end: Option<usize>,
}

impl Folded {
    pub(super) fn push(&mut self, token: &Token<'_>) {
        if token.kind != Kind::Variable {
            self.text.push_str(token.text);
            return;
        }
        if let Some(end) = self.variable_end
            && matches!(self.text.get(end..), Some("" | " " | "," | ", "))
        {
            self.text.truncate(end);
            return;
        }
        self.text.push_str(token.text);
        self.variable_end = Some(self.text.len());
    }
}
