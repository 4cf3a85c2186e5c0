//! The fingerprint format: lines with the template and fingerprint they must have for ever. Stored rows keep their
//! fingerprints, so a change of any vector is a change of the format and raises `MASK_VERSION`.
//!
//! `data/fingerprints.tsv`: template, fingerprint (16 hex digits), line; `\n`, `\t` and `\\` are escapes. To add
//! lines, write `?` for both, run with `OBSERVE_BRIDGE_PRINT_VECTORS=1` and `--nocapture`, and check what it prints.

use engine::patterns::alias::{Classes, Outcome};
use engine::patterns::{MASK_VERSION, Masker, Scratch};
use proptest::prelude::{Just, Strategy};
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;

const VECTORS: &str = include_str!("data/fingerprints.tsv");

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => out.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(other) => other,
                None => '\\',
            }),
            (c, false) => out.push(c),
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")
}

fn vectors() -> impl Iterator<Item = (usize, Vec<&'static str>)> {
    VECTORS
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.is_empty() && !l.starts_with("# "))
        .map(|(n, l)| (n + 1, l.splitn(3, '\t').collect()))
}

#[test]
fn lines_have_their_fingerprints() {
    let masker = Masker::new();
    let mut scratch = Scratch::default();
    let mut seen = 0;
    for (number, fields) in vectors() {
        let [template, fingerprint, line] = fields[..] else {
            panic!("line {number}: three fields expected")
        };
        let pattern = masker.analyse(&unescape(line), &mut scratch);
        let (got_template, got_fingerprint) = (escape(pattern.template), format!("{:016x}", pattern.fingerprint));
        if std::env::var_os("OBSERVE_BRIDGE_PRINT_VECTORS").is_some() {
            println!("{got_template}\t{got_fingerprint}\t{line}");
            continue;
        }
        assert_eq!(
            (got_template.as_str(), got_fingerprint.as_str()),
            (template, fingerprint),
            "line {number}: {line}"
        );
        seen += 1;
    }
    assert!(
        seen > 40 || std::env::var_os("OBSERVE_BRIDGE_PRINT_VECTORS").is_some(),
        "only {seen} vectors"
    );
}

#[test]
fn order_and_reuse_of_buffers_change_nothing() {
    let masker = Masker::new();
    let mut scratch = Scratch::default();
    let forward: Vec<u64> = vectors()
        .map(|(_, f)| masker.fingerprint(&unescape(f[2]), &mut scratch))
        .collect();
    let mut backward: Vec<u64> = vectors()
        .collect::<Vec<_>>()
        .iter()
        .rev()
        .map(|(_, f)| masker.fingerprint(&unescape(f[2]), &mut Scratch::default()))
        .collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(MASK_VERSION, 3, "a new version needs new vectors");
}

/// Lines that become classes, beside those of the vectors.
fn lines() -> Vec<String> {
    let topics = [
        "orders", "carts", "users", "stock", "prices", "mails", "returns", "visits",
    ];
    let classes = topics.map(|topic| format!("consumer for topic {topic} is up and waits for messages"));
    vectors()
        .map(|(_, fields)| unescape(fields[2]))
        .chain(classes)
        .collect()
}

/// How often each pattern was seen, and the classes, when windows of so many lines are read one after the other, each
/// as if after a restart.
fn in_windows(lines: &[String], window: usize) -> (BTreeMap<(u64, String), usize>, Outcome) {
    let (mut counts, mut classes) = (BTreeMap::new(), Classes::new());
    for window in lines.chunks(window) {
        let (masker, mut scratch) = (Masker::new(), Scratch::default());
        for line in window {
            let pattern = masker.analyse(line, &mut scratch);
            classes.insert(pattern.fingerprint, pattern.template);
            *counts
                .entry((pattern.fingerprint, pattern.template.to_owned()))
                .or_default() += 1;
        }
    }
    (counts, classes.outcome(&Masker::new()))
}

#[test]
fn a_hundred_shuffles_window_sizes_and_restarts_give_equal_patterns_and_classes() {
    let all = lines();
    let want = in_windows(&all, all.len());
    assert!(want.0.len() > 20 && !want.1.classes.is_empty(), "something to compare");
    let orders = (Just(all).prop_shuffle(), 1..100usize);
    let mut runner = TestRunner::new(Config::with_cases(100));
    let same = runner.run(&orders, |(lines, window)| {
        assert_eq!(in_windows(&lines, window), want, "windows of {window}");
        Ok(())
    });
    same.expect("equal in any order");
}
