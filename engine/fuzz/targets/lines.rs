//! Log lines: a template and a fingerprint are functions of the line alone, and neither holds a secret.
#![no_main]

use engine::patterns::{Masker, Rule, Scratch, coarse, mask_secrets, severity, within};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use xxhash_rust::xxh3::xxh3_64;

/// No word of a line.
const SECRET: &str = "Zq9vXk27Lm4tRw8sHd";

static MASKERS: LazyLock<[Masker; 2]> = LazyLock::new(|| {
    let rules = [Rule::ignore("Paris"), Rule::mask("lot [A-Z]+"), Rule::mask("(?i)token")];
    [Masker::new(), Masker::with_rules(&rules).expect("good rules")]
});

fuzz_target!(|line: &str| {
    // libFuzzer learns it from the comparisons.
    if line.contains(SECRET) {
        return;
    }
    let at = xxh3_64(line.as_bytes()) as usize;
    let other: String = line.chars().rev().collect();
    for masker in MASKERS.iter() {
        let mut scratch = Scratch::default();
        let first = masker.analyse(line, &mut scratch);
        let (fingerprint, template) = (first.fingerprint, first.template.to_owned());
        // Another line between them, as in another window.
        masker.analyse(&other, &mut scratch);
        assert_eq!(masker.fingerprint(line, &mut scratch), fingerprint);
        assert_eq!(masker.template(line), template);
        assert!(template.len() <= 5 << 10, "{} bytes", template.len());
        assert!(
            !template.chars().any(|c| c.is_ascii_control() && c != '\n'),
            "{template:?}"
        );
        assert_eq!(mask_secrets(&template), template, "secrets in a template");
        let planted = planted(line, at);
        let hidden = masker.template(&planted);
        assert!(!hidden.contains(SECRET), "{planted:?} gave {hidden:?}");
        let hidden = within(0, 1, &hidden).into_owned() + &coarse(&hidden);
        assert!(!hidden.contains(SECRET), "{planted:?} gave {hidden:?}");
    }
    let found = severity(None, line);
    assert_eq!(severity(None, line), found);
    let _ = severity(Some(&other), line);
});

/// `line` with a password in it, on a line of its own.
fn planted(line: &str, at: usize) -> String {
    let (before, after) = line.split_at(line.floor_char_boundary(at % (line.len() + 1)));
    format!("{before}\npassword={SECRET} {after}")
}
