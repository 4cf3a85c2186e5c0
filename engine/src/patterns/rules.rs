//! Masks of a tenant's own: what is a variable in its lines beyond what the built-in rules see.
//!
//! They run before the scan, which then reads `<*>`, or the name of the mask, in place of every match. All of them are
//! one automaton without look-around and back references, so a line costs time in proportion to its length and to the
//! size of the automaton; and as searching again after each match could look at the rest of the line each time, the
//! number of matches and the length that is looked at are bounded.

use super::bytes::cut;
use regex_automata::meta::{BuildError, Config, Regex};
use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// Most rules of a tenant.
pub const MAX_RULES: usize = 200;
/// Longest rule, in bytes.
pub const MAX_RULE: usize = 500;
/// Longest name of a mask, in bytes.
pub const MAX_SHOWN: usize = 32;
/// Largest automaton of all rules, in bytes; its lazy form may take as much again.
const MAX_COMPILED: usize = 1 << 20;
/// More of a line than this is not searched.
const MAX_SEARCHED: usize = 8 * 1024;
/// Matches that are replaced in a line.
const MAX_MATCHES: usize = 256;
/// Seed of the rules' own hash.
const SEED: u64 = 0x6f62_7275_6c65_7332;

/// What a rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// A word that says nothing about what happened, such as the name of a company's site. It is masked where it stands
    /// as a whole word; case counts.
    Ignore,
    /// A regular expression (the syntax of the `regex` crate) whose matches are masked.
    Mask,
}

impl RuleKind {
    /// The kind of this name: `ignore` or `mask`.
    pub fn from_name(name: &str) -> Option<RuleKind> {
        match name {
            "ignore" => Some(RuleKind::Ignore),
            "mask" => Some(RuleKind::Mask),
            _ => None,
        }
    }
}

/// A rule of a tenant. Of rules that match at one place the first one wins: by `priority`, then kind and text, so the order
/// in which rules are given says nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Lower ones first.
    pub priority: i32,
    pub kind: RuleKind,
    /// The word, or the expression.
    pub text: String,
    /// What the template shows instead of `<*>`: `order` for `<order>`. Small letters and `_`, beginning with a letter, at
    /// most [`MAX_SHOWN`]. Where the built-in rules see a variable all the same (the value of `key=`), it is `<*>`.
    pub shown: Option<String>,
}

impl Rule {
    /// A word that is ignored.
    pub fn ignore(word: impl Into<String>) -> Rule {
        Rule {
            priority: 0,
            kind: RuleKind::Ignore,
            text: word.into(),
            shown: None,
        }
    }

    /// An expression whose matches are masked.
    pub fn mask(expression: impl Into<String>) -> Rule {
        Rule {
            kind: RuleKind::Mask,
            ..Rule::ignore(expression)
        }
    }

    /// Whether the rule can be used by itself.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self) -> Result<(), RuleError> {
        if self.text.len() > MAX_RULE {
            return Err(RuleError::TooLong(cut(&self.text, 40).to_owned()));
        }
        if self.kind == RuleKind::Ignore && self.text.trim().is_empty() {
            return Err(RuleError::MatchesNothing(self.text.clone()));
        }
        if let Some(shown) = &self.shown
            && !is_name(shown)
        {
            return Err(RuleError::Name(shown.clone()));
        }
        let regex = build(&[self.expression()]).map_err(|e| match syntax_error(&e, &self.text) {
            Some((position, why)) => RuleError::Syntax(self.text.clone(), position, why),
            None => RuleError::TooBig(Some(self.text.clone())),
        })?;
        if regex.is_match("") {
            return Err(RuleError::MatchesNothing(self.text.clone()));
        }
        Ok(())
    }

    fn expression(&self) -> String {
        match self.kind {
            RuleKind::Ignore => whole_word(&self.text),
            RuleKind::Mask => self.text.clone(),
        }
    }
}

/// Why rules were refused. The message names the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// More than [`MAX_RULES`]: how many.
    TooMany(usize),
    /// Longer than [`MAX_RULE`]: its start.
    TooLong(String),
    /// The empty word, or an expression that matches the empty text.
    MatchesNothing(String),
    /// An expression that cannot be read: itself, at which character (the first is 1), and why.
    Syntax(String, usize, String),
    /// A rule that compiles to more than is allowed, or all of them together.
    TooBig(Option<String>),
    /// A `shown` that is no name.
    Name(String),
}

impl RuleError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            RuleError::TooMany(_) => "One expression with alternatives, (a|b|c), takes the place of many rules.",
            RuleError::TooLong(_) => "Split it into several rules.",
            RuleError::MatchesNothing(_) => "Write what must be there at least: a+ instead of a*.",
            RuleError::Syntax(..) => {
                "The syntax is that of Rust's regex crate: look-around and back references are not there. kind \"ignore\" takes a plain word."
            }
            RuleError::TooBig(_) => {
                "Use smaller repetitions: \\w+ instead of \\w{1,500}; (?-u:\\w) is a fraction of \\w."
            }
            RuleError::Name(_) => {
                "Small letters and _, beginning with a letter, at most 32: order_id is shown as <order_id>."
            }
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleError::TooMany(n) => write!(f, "{n} rules are more than the {MAX_RULES} allowed"),
            RuleError::TooLong(start) => write!(
                f,
                "the rule that starts with \"{start}\" is longer than {MAX_RULE} bytes"
            ),
            RuleError::MatchesNothing(rule) => write!(f, "the rule \"{rule}\" matches the empty text"),
            RuleError::Syntax(rule, position, why) => {
                write!(
                    f,
                    "the rule \"{rule}\" is no regular expression: {why} at character {position}"
                )
            }
            RuleError::TooBig(Some(rule)) => write!(f, "the rule \"{rule}\" is too large when compiled"),
            RuleError::TooBig(None) => write!(f, "the rules together are too large when compiled"),
            RuleError::Name(name) => write!(f, "\"{name}\" cannot be shown in a template"),
        }
    }
}

impl std::error::Error for RuleError {}

/// Rules, ready to use.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    regex: Regex,
    /// What takes the place of a match of each.
    shown: Vec<String>,
    version: u64,
}

impl Compiled {
    /// `None` if there are no rules.
    pub(super) fn new(rules: &[Rule]) -> Result<Option<Compiled>, RuleError> {
        rules.iter().try_for_each(Rule::check)?;
        let mut ordered: Vec<&Rule> = rules.iter().collect();
        ordered.sort_unstable();
        // What the priority was does not matter any more, and of equal rules the first does all.
        let mut all: Vec<(String, String)> = Vec::with_capacity(ordered.len());
        for rule in ordered {
            let expression = rule.expression();
            if all.iter().all(|(known, _)| *known != expression) {
                let shown = rule
                    .shown
                    .as_ref()
                    .map_or_else(|| "<*>".to_owned(), |s| format!("<{s}>"));
                all.push((expression, shown));
            }
        }
        if all.is_empty() {
            return Ok(None);
        }
        if all.len() > MAX_RULES {
            return Err(RuleError::TooMany(all.len()));
        }
        let mut version = Xxh3::with_seed(SEED);
        for text in all.iter().flat_map(|(expression, shown)| [expression, shown]) {
            version.update(&(text.len() as u64).to_le_bytes());
            version.update(text.as_bytes());
        }
        let (expressions, shown): (Vec<String>, Vec<String>) = all.into_iter().unzip();
        Ok(Some(Compiled {
            regex: build(&expressions).map_err(|_| RuleError::TooBig(None))?,
            shown,
            version: version.digest(),
        }))
    }

    /// What makes fingerprints under these rules other than under any others.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Writes the line with `<*>`, or the rule's name, for every match into `out`; false if there is none, and `out` is of
    /// no use.
    pub(super) fn mask(&self, line: &str, out: &mut String) -> bool {
        out.clear();
        let head = cut(line, MAX_SEARCHED);
        let mut copied = 0;
        // `\b` matches the empty text in a line, though not in an empty one. That is no variable.
        let matches = self.regex.find_iter(head).filter(|m| !m.is_empty());
        for found in matches.take(MAX_MATCHES) {
            out.push_str(line.get(copied..found.start()).unwrap_or_default());
            out.push_str(self.shown.get(found.pattern().as_usize()).map_or("<*>", String::as_str));
            copied = found.end();
        }
        out.push_str(line.get(copied..).unwrap_or_default());
        copied > 0
    }
}

/// One automaton; where several expressions match at one place, the first wins.
fn build(expressions: &[String]) -> Result<Regex, Box<BuildError>> {
    let config = Config::new()
        .nfa_size_limit(Some(MAX_COMPILED))
        .hybrid_cache_capacity(MAX_COMPILED);
    Regex::builder()
        .configure(config)
        .build_many(expressions)
        .map_err(Box::new)
}

/// At which character of an expression what is wrong begins, and what it is; `None` if it is only too large.
fn syntax_error(error: &BuildError, text: &str) -> Option<(usize, String)> {
    let (offset, why) = match error.syntax_error()? {
        regex_syntax::Error::Parse(e) => (e.span().start.offset, e.kind().to_string()),
        regex_syntax::Error::Translate(e) => (e.span().start.offset, e.kind().to_string()),
        other => (0, other.to_string()),
    };
    Some((text.get(..offset).unwrap_or_default().chars().count() + 1, why))
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_SHOWN
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The word, not as part of another: where it begins or ends with a letter or digit, none stands beside it.
fn whole_word(word: &str) -> String {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let edge = |inner| if inner { r"\b" } else { "" };
    format!(
        "{}{}{}",
        edge(letter(word.chars().next())),
        regex_syntax::escape(word),
        edge(letter(word.chars().next_back()))
    )
}

#[cfg(test)]
mod tests;
