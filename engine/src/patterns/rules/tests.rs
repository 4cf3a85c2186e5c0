use super::*;
use crate::patterns::{Masker, Scratch};
use proptest::prelude::*;

fn rules(ignore: &[&str], masks: &[&str]) -> Vec<Rule> {
    let words = ignore.iter().copied().map(Rule::ignore);
    words.chain(masks.iter().copied().map(Rule::mask)).collect()
}

fn named(priority: i32, mask: &str, shown: &str) -> Rule {
    Rule {
        priority,
        shown: Some(shown.to_owned()),
        ..Rule::mask(mask)
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
fn names_are_shown_and_priorities_decide() {
    let masker =
        |order, lot| Masker::with_rules(&[named(order, "[A-Z]+-[A-Z]+", "order"), named(lot, "LOT-A", "lot")]).unwrap();
    assert_eq!(
        masker(1, 2).template("got LOT-AB and LOT-A at 5"),
        "got <order> and <order> at <*>"
    );
    assert_eq!(
        masker(2, 1).template("got LOT-AB and X-Y at 5"),
        "got <lot>B and <order> at <*>"
    );
    // Only the order that priorities make is part of the fingerprint, and the names are.
    let of = |masker: &Masker| fingerprint(masker, "hello");
    assert_eq!(of(&masker(1, 2)), of(&masker(-5, 7)));
    assert_ne!(of(&masker(1, 2)), of(&masker(2, 1)));
    let other = Masker::with_rules(&[named(1, "[A-Z]+-[A-Z]+", "parcel"), named(2, "LOT-A", "lot")]).unwrap();
    assert_ne!(of(&masker(1, 2)), of(&other));
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
    let error = refused(&[], &["é+a(b"]);
    assert!(
        matches!(&error, RuleError::Syntax(rule, 4, _) if rule == "é+a(b"),
        "{error}"
    );
    assert!(error.to_string().contains("unclosed group at character 4"), "{error}");
    assert!(matches!(refused(&[], &["a)|(b"]), RuleError::Syntax(..)));
    assert!(matches!(refused(&[], &[r"(\w)\1"]), RuleError::Syntax(..)));
    assert!(matches!(refused(&[], &["(?=a)"]), RuleError::Syntax(..)));
    for empty in ["a*", "", "^", "a|"] {
        assert!(
            matches!(refused(&[], &[empty]), RuleError::MatchesNothing(_)),
            "{empty}"
        );
    }
    assert!(matches!(refused(&[" "], &[]), RuleError::MatchesNothing(_)));
    assert!(matches!(refused(&[], &[r"(\w{100}){100}"]), RuleError::TooBig(Some(_))));
    let large: Vec<String> = (0..100).map(|i| format!(r"\pL{{20}}{i}")).collect();
    let large: Vec<&str> = large.iter().map(String::as_str).collect();
    assert_eq!(refused(&[], &large), RuleError::TooBig(None));
    for name in ["", "Order", "a-b", "_a", "order1", &"a".repeat(MAX_SHOWN + 1)] {
        assert!(
            matches!(Masker::with_rules(&[named(0, "x", name)]), Err(RuleError::Name(_))),
            "{name}"
        );
    }
    assert!(matches!(refused(&[&"é".repeat(MAX_RULE)], &[]), RuleError::TooLong(_)));
    let many: Vec<Rule> = (0..=MAX_RULES).map(|i| Rule::ignore(format!("w{i}"))).collect();
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
        let words = ignore.into_iter().map(Rule::ignore);
        let rules: Vec<Rule> = words.chain(masks.into_iter().map(Rule::mask)).collect();
        if let Ok(masker) = Masker::with_rules(&rules) {
            let shuffled: Vec<Rule> = rules.iter().rev().cloned().collect();
            let shuffled = Masker::with_rules(&shuffled).unwrap();
            prop_assert_eq!(shuffled.template(&line), masker.template(&line));
            prop_assert_eq!(fingerprint(&shuffled, &line), fingerprint(&masker, &line));
        }
    }
}
