//! The fingerprint format: lines with the template and fingerprint they must have for ever. Stored rows keep their
//! fingerprints, so a change of any vector is a change of the format and raises `MASK_VERSION`.
//!
//! `data/fingerprints.tsv`: template, fingerprint (16 hex digits), line; `\n`, `\t` and `\\` are escapes. To add
//! lines, write `?` for both, run with `OBSERVE_BRIDGE_PRINT_VECTORS=1` and `--nocapture`, and check what it prints.

use engine::patterns::{MASK_VERSION, Masker, Scratch};

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
    assert_eq!(MASK_VERSION, 2, "a new version needs new vectors");
}
