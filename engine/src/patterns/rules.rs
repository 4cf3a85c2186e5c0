//! Masks of a tenant's own: what is a variable in its lines beyond what the built-in rules see.
//!
//! They run before the scan, which then reads `<*>` in place of every match. All of them are one regular expression
//! without look-around and back references, so a line costs time in proportion to its length and to the size of the
//! expression; and as searching again after each match could look at the rest of the line each time, the number of
//! matches and the length that is looked at are bounded.

use super::bytes::cut;
use regex::{Regex, RegexBuilder};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Most rules of a tenant.
pub const MAX_RULES: usize = 200;
/// Longest rule, in bytes.
pub const MAX_RULE: usize = 500;
/// Largest compiled expression, in bytes; its lazy automaton may take as much again.
const MAX_COMPILED: usize = 1 << 20;
/// More of a line than this is not searched.
const MAX_SEARCHED: usize = 8 * 1024;
/// Matches that are replaced in a line.
const MAX_MATCHES: usize = 256;
/// Seed of the rules' own hash.
const SEED: u64 = 0x6f62_7275_6c65_7331;

/// The rules of a tenant, as they are stored. Their order says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Words that say nothing about what happened, such as the names of a company's sites. They are masked where they
    /// stand as whole words; case counts.
    pub ignore: Vec<String>,
    /// Regular expressions (the syntax of the `regex` crate) whose matches are masked.
    pub masks: Vec<String>,
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
    /// An expression that cannot be read: itself, and why.
    Syntax(String, String),
    /// All of them together compile to more than is allowed.
    TooBig,
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
            RuleError::Syntax(rule, why) => write!(f, "the rule \"{rule}\" is no regular expression: {why}"),
            RuleError::TooBig => write!(f, "the rules together are too large"),
        }
    }
}

impl std::error::Error for RuleError {}

/// Rules, ready to use.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    regex: Regex,
    version: u64,
}

impl Compiled {
    /// `None` if there are no rules.
    pub(super) fn new(rules: &Rules) -> Result<Option<Compiled>, RuleError> {
        let mut alternatives = Vec::with_capacity(rules.ignore.len() + rules.masks.len());
        for word in &rules.ignore {
            check_length(word)?;
            if word.trim().is_empty() {
                return Err(RuleError::MatchesNothing(word.clone()));
            }
            alternatives.push(whole_word(word));
        }
        for mask in &rules.masks {
            check_length(mask)?;
            check_mask(mask)?;
            alternatives.push(format!("(?:{mask})"));
        }
        if alternatives.is_empty() {
            return Ok(None);
        }
        if alternatives.len() > MAX_RULES {
            return Err(RuleError::TooMany(alternatives.len()));
        }
        // Of two rules that match at one place the first one wins: one order for one set.
        alternatives.sort_unstable();
        alternatives.dedup();
        let all = alternatives.join("|");
        let regex = builder(&all).build().map_err(|_| RuleError::TooBig)?;
        Ok(Some(Compiled {
            regex,
            version: xxh3_64_with_seed(all.as_bytes(), SEED),
        }))
    }

    /// What makes fingerprints under these rules other than under any others.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Writes the line with `<*>` for every match into `out`; false if there is none, and `out` is of no use.
    pub(super) fn mask(&self, line: &str, out: &mut String) -> bool {
        out.clear();
        let head = cut(line, MAX_SEARCHED);
        let mut copied = 0;
        // `\b` matches the empty text in a line, though not in an empty one. That is no variable.
        let matches = self.regex.find_iter(head).filter(|m| !m.is_empty());
        for found in matches.take(MAX_MATCHES) {
            out.push_str(line.get(copied..found.start()).unwrap_or_default());
            out.push_str("<*>");
            copied = found.end();
        }
        out.push_str(line.get(copied..).unwrap_or_default());
        copied > 0
    }
}

fn check_length(rule: &str) -> Result<(), RuleError> {
    if rule.len() > MAX_RULE {
        return Err(RuleError::TooLong(cut(rule, 40).to_owned()));
    }
    Ok(())
}

/// A mask must be an expression by itself (`a)|(b` is none) and in brackets (a comment without an end is none).
fn check_mask(mask: &str) -> Result<(), RuleError> {
    for form in [mask, &format!("(?:{mask})")] {
        let regex = builder(form).build().map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => RuleError::TooBig,
            e => RuleError::Syntax(mask.to_owned(), e.to_string()),
        })?;
        if regex.is_match("") {
            return Err(RuleError::MatchesNothing(mask.to_owned()));
        }
    }
    Ok(())
}

fn builder(pattern: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED);
    builder
}

/// The word, not as part of another: where it begins or ends with a letter or digit, none stands beside it.
fn whole_word(word: &str) -> String {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let edge = |inner| if inner { r"\b" } else { "" };
    format!(
        "{}{}{}",
        edge(letter(word.chars().next())),
        regex::escape(word),
        edge(letter(word.chars().next_back()))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns::{Masker, Scratch};
    use proptest::prelude::*;

    fn rules(ignore: &[&str], masks: &[&str]) -> Rules {
        let owned = |list: &[&str]| list.iter().map(|r| (*r).to_owned()).collect();
        Rules {
            ignore: owned(ignore),
            masks: owned(masks),
        }
    }

    fn masker(ignore: &[&str], masks: &[&str]) -> Masker {
        Masker::with_rules(&rules(ignore, masks)).unwrap()
    }

    fn fingerprint(masker: &Masker, line: &str) -> u64 {
        masker.fingerprint(line, &mut Scratch::default())
    }

    #[test]
    fn ignored_words_are_masked_as_whole_words() {
        let masker = masker(&["Paris", "New York", "(beta)"], &[]);
        for (line, want) in [
            ("site Paris is up", "site <*> is up"),
            ("site New York is up", "site <*> is up"),
            ("site Parisian is up", "site Parisian is up"),
            ("site paris is up", "site paris is up"),
            ("Paris", "<*>"),
            ("app (beta) is up", "app <*> is up"),
            ("Paris, Paris and x", "<*> and x"),
        ] {
            assert_eq!(masker.template(line), want, "{line}");
        }
    }

    #[test]
    fn masks_come_before_the_scan() {
        let masker = masker(&[], &["lot [A-Z]+", r"\bstate=\w+"]);
        assert_eq!(masker.template("got lot ABC, state=warm at 5"), "got <*> at <*>");
        assert_eq!(masker.template("got nothing at 5"), "got nothing at <*>");
    }

    #[test]
    fn rules_are_part_of_the_fingerprint() {
        let (plain, with) = (Masker::new(), masker(&["x"], &["a+b", "cd"]));
        assert_ne!(fingerprint(&plain, "hello"), fingerprint(&with, "hello"));
        assert_eq!(fingerprint(&with, "hello"), with.template_fingerprint("hello"));
        // Neither order nor repetition of rules matters; having none is having no rules.
        let again = masker(&["x", "x"], &["cd", "a+b", "cd"]);
        assert_eq!(fingerprint(&again, "hello"), fingerprint(&with, "hello"));
        assert_eq!(fingerprint(&masker(&[], &[]), "hello"), fingerprint(&plain, "hello"));
    }

    #[test]
    fn a_mask_does_not_uncover_a_secret() {
        for hiding in [masker(&["password"], &[]), masker(&[], &["pass[a-z]+", "Bearer|://"])] {
            for line in [
                "x password=hunter",
                "{\"password\":\"hunter\"}",
                "Bearer hunterHUNTER1 password: hunter",
            ] {
                assert!(!hiding.template(line).contains("hunter"), "{}", hiding.template(line));
            }
        }
    }

    #[test]
    fn bad_rules_are_refused_by_name() {
        let refused = |ignore: &[&str], masks: &[&str]| Masker::with_rules(&rules(ignore, masks)).unwrap_err();
        assert!(matches!(refused(&[], &["a("]), RuleError::Syntax(rule, _) if rule == "a("));
        assert!(matches!(refused(&[], &["a)|(b"]), RuleError::Syntax(..)));
        assert!(matches!(refused(&[], &["(?x) a # b"]), RuleError::Syntax(..)));
        assert!(matches!(refused(&[], &["(?=a)"]), RuleError::Syntax(..)));
        for empty in ["a*", "", "^", "a|"] {
            assert!(
                matches!(refused(&[], &[empty]), RuleError::MatchesNothing(_)),
                "{empty}"
            );
        }
        assert!(matches!(refused(&[" "], &[]), RuleError::MatchesNothing(_)));
        assert!(matches!(refused(&[], &[r"(\w{100}){100}"]), RuleError::TooBig));
        assert!(matches!(refused(&[&"é".repeat(MAX_RULE)], &[]), RuleError::TooLong(_)));
        let many: Vec<String> = (0..=MAX_RULES).map(|i| format!("w{i}")).collect();
        let many = Rules {
            ignore: many,
            masks: vec![],
        };
        let error = Masker::with_rules(&many).unwrap_err();
        assert_eq!(error, RuleError::TooMany(MAX_RULES + 1));
        assert!(error.to_string().contains("200"));
    }

    #[test]
    fn long_lines_are_searched_in_part() {
        let masker = masker(&["x"], &["[0-9]+[a-z]"]);
        let compiled = masker.rules.as_ref().unwrap();
        let mut out = String::new();
        assert!(compiled.mask(&"x ".repeat(500_000), &mut out));
        assert_eq!(out.matches("<*>").count(), MAX_MATCHES);
        assert!(!compiled.mask(&format!("{} x", "1".repeat(MAX_SEARCHED)), &mut out));
    }

    proptest! {
        #[test]
        fn no_rule_and_no_line_is_trouble(
            ignore in prop::collection::vec(".{0,8}", 0..4), masks in prop::collection::vec("[ab().*|\\[\\]\\\\^$?+w]{0,8}", 0..4), line in ".{0,80}"
        ) {
            let rules = Rules { ignore, masks };
            if let Ok(masker) = Masker::with_rules(&rules) {
                let template = masker.template(&line);
                let shuffled = Rules {
                    ignore: rules.ignore.iter().rev().cloned().collect(),
                    masks: rules.masks.iter().rev().cloned().collect(),
                };
                prop_assert_eq!(Masker::with_rules(&shuffled).unwrap().template(&line), template);
            }
        }
    }
}
