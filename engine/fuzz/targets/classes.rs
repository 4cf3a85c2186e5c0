//! Classes of templates: the same in any order of the lines, with repetitions.
#![no_main]

use engine::patterns::Masker;
use engine::patterns::alias::{Classes, Outcome};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let masker = Masker::new();
    let mut templates: Vec<String> = text.lines().take(64).map(|line| masker.template(line)).collect();
    let forward = outcome(&masker, &templates);
    let turn = text.len() % templates.len().max(1);
    templates.rotate_left(turn);
    assert_eq!(written(&outcome(&masker, &templates)), written(&forward));
    templates.reverse();
    templates.extend_from_within(..turn);
    assert_eq!(written(&outcome(&masker, &templates)), written(&forward));
    for alias in &forward.aliases {
        assert!(forward.classes.iter().any(|class| class.id == alias.class));
    }
});

fn outcome(masker: &Masker, templates: &[String]) -> Outcome {
    let mut classes = Classes::new();
    for template in templates {
        classes.insert(masker.template_fingerprint(template), template);
    }
    classes.outcome(masker)
}

fn written(outcome: &Outcome) -> String {
    format!("{outcome:?}")
}
