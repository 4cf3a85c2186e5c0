use super::*;
use crate::patterns::{Masker, Scratch};
use proptest::prelude::*;

fn template_fingerprint(template: &str) -> u64 {
    Masker::new().template_fingerprint(template)
}

/// The outcome for templates, by template instead of fingerprint.
fn outcome(templates: &[&str]) -> Outcome {
    let mut classes = Classes::new();
    for template in templates {
        classes.insert(template_fingerprint(template), template);
    }
    classes.outcome(&Masker::new())
}

/// All templates are in one class, and it has this template.
fn one_class(want: &str, templates: &[&str]) {
    let found = outcome(templates);
    let class = Class {
        id: template_fingerprint(want),
        template: want.to_owned(),
    };
    assert_eq!(found.classes, [class], "{templates:?}");
    let members = templates.iter().filter(|t| **t != want).count();
    assert_eq!(found.aliases.len(), members, "{templates:?}");
}

fn no_class(templates: &[&str]) {
    assert_eq!(outcome(templates), Outcome::default(), "{templates:?}");
}

#[test]
fn one_word_that_varies_makes_a_class() {
    one_class(
        "sent <*> to topic <*> now",
        &[
            "sent <*> to topic orders now",
            "sent <*> to topic payments now",
            "sent <*> to topic audit-events now",
            "sent <*> to topic clicks now",
        ],
    );
    // Three may be three statements.
    no_class(&["pump A is up", "pump B is up", "pump C is up"]);
}

#[test]
fn a_word_and_a_variable_make_a_class() {
    one_class(
        "open <*> failed, denied",
        &["open pwd failed, denied", "open <*> failed, denied"],
    );
}

#[test]
fn the_first_word_says_most() {
    let services: Vec<String> = ('a'..='j').map(|c| format!("{c}{c}d startup succeeded")).collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    no_class(&services[..9]);
    one_class("<*> startup succeeded", &services);
    one_class(
        "<*> HTTP/1.1 status=<*>",
        &[
            "GET <*> HTTP/1.1 status=<*>",
            "PUT <*> HTTP/1.1 status=<*>",
            "POST <*> HTTP/1.1 status=<*>",
            "HEAD <*> HTTP/1.1 status=<*>",
        ],
    );
}

#[test]
fn severities_are_no_difference() {
    one_class(
        "<*> RAS KERNEL <*> fp unavailable",
        &[
            "<*> RAS KERNEL INFO fp unavailable",
            "<*> RAS KERNEL FATAL fp unavailable",
        ],
    );
    no_class(&["the state is now ERROR here", "the state is now INFO here"]);
}

#[test]
fn other_words_do_not_part_what_few_words_joined() {
    let joined = |with: &[&str], more: &str| {
        let mut templates = with.to_vec();
        templates.push(more);
        let found = outcome(&templates);
        assert_eq!(found.classes, outcome(with).classes, "{templates:?}");
        assert!(!found.classes.is_empty() && found.aliases.len() == with.len());
    };
    joined(
        &[
            "<*> RAS KERNEL INFO fp unavailable",
            "<*> RAS KERNEL FATAL fp unavailable",
        ],
        "<*> RAS KERNEL NULL fp unavailable",
    );
    joined(
        &[
            "GET <*> gave status=<*>",
            "PUT <*> gave status=<*>",
            "POST <*> gave status=<*>",
            "HEAD <*> gave status=<*>",
        ],
        "Asking <*> gave status=<*>",
    );
}

#[test]
fn constant_words_must_be_left() {
    no_class(&[
        "alpha started",
        "beta started",
        "gamma started",
        "delta started",
        "<*> started",
    ]);
    no_class(&["got alpha", "got beta", "got gamma", "got delta", "got <*>"]);
}

#[test]
fn keys_and_parts_of_words_are_no_values() {
    no_class(&["set the a=<*>", "set the b=<*>", "set the c=<*>", "set the d=<*>"]);
    no_class(&["is up CPU#<*>", "is up GPU#<*>", "is up TPU#<*>", "is up NPU#<*>"]);
    no_class(&[
        "{\"a\":<*>,\"x\":\"y\",\"z\":1}",
        "{\"b\":<*>,\"x\":\"y\",\"z\":1}",
        "{\"c\":<*>,\"x\":\"y\",\"z\":1}",
        "{\"d\":<*>,\"x\":\"y\",\"z\":1}",
    ]);
}

#[test]
fn names_of_classes_vary_together() {
    one_class(
        "registering <*> for <*>",
        &[
            "registering org.acme.Order for org.acme.OrderHandler",
            "registering org.acme.Basket for org.acme.BasketHandler",
            "registering org.acme.User for org.acme.UserHandler",
            "registering org.acme.Mail for org.acme.MailHandler",
        ],
    );
    // Keys of a configuration.
    no_class(&[
        "a.b.c is now x.b.c",
        "a.b.d is now x.b.d",
        "a.b.e is now x.b.e",
        "a.b.f is now x.b.f",
    ]);
}

#[test]
fn classes_that_share_a_member_are_one() {
    let mut templates = vec![];
    for job in ["reindex", "cleanup", "warmup", "snapshot"] {
        templates.push(format!("job {job} on queue fast is done"));
    }
    for queue in ["slow", "bulk", "night"] {
        templates.push(format!("job reindex on queue {queue} is done"));
    }
    let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
    one_class("job <*> on queue <*> is done", &templates);
}

#[test]
fn equal_templates_of_two_versions_are_one_class() {
    let mut classes = Classes::new();
    classes.insert(7, "took <*>");
    classes.insert(template_fingerprint("took <*>"), "took <*>");
    let found = classes.outcome(&Masker::new());
    let alias = Alias {
        fingerprint: 7,
        class: template_fingerprint("took <*>"),
        rule: Rule::Equal,
    };
    assert_eq!(found.aliases, [alias]);
    assert_eq!(found.classes.len(), 1);
}

#[test]
fn a_fingerprint_of_several_templates_counts_once() {
    let mut classes = Classes::new();
    assert!(classes.is_empty() && classes.insert(1, "b"));
    assert!(!classes.insert(1, "c") && !classes.insert(1, "b") && classes.insert(1, "a"));
    assert!(classes.contains(1) && !classes.contains(2));
    assert_eq!(classes.len(), 1);
}

#[test]
fn a_class_is_the_fingerprint_of_a_line_with_its_template() {
    let masker = Masker::new();
    let mut scratch = Scratch::default();
    let topics = ["orders", "payments", "audit", "clicks", "orders-7"];
    let mut classes = Classes::new();
    let mut last = 0;
    for topic in topics {
        let line = format!("sent 5 records to topic {topic} now");
        let pattern = masker.analyse(&line, &mut scratch);
        classes.insert(pattern.fingerprint, pattern.template);
        last = pattern.fingerprint;
    }
    let found = classes.outcome(&Masker::new());
    assert_eq!(found.classes.len(), 1);
    assert_eq!(
        found.classes[0].id, last,
        "the topic with a digit is masked by stage one"
    );
    assert_eq!(found.aliases.len(), 4);
}

#[test]
fn long_and_odd_templates_are_no_trouble() {
    let long: Vec<String> = (0..50)
        .map(|i| format!("{} w{}", "word ".repeat(800), (b'a' + i) as char))
        .collect();
    let mut templates: Vec<&str> = long.iter().map(String::as_str).collect();
    templates.extend(["", " ", "<*>", "<*><*>", "...", "=", "\"\":", "é ü ö", "<*", "*>"]);
    outcome(&templates);
}

/// Templates out of few words, so that many of them differ in one.
fn templates() -> impl Strategy<Value = Vec<String>> {
    let word = prop::sample::select(vec![
        "a", "b", "c", "d", "e", "<*>", "GET", "INFO", "ERROR", "x.y.Z", "x.y.W", "k=", "(v)", "e.",
    ]);
    let line = prop::collection::vec(word, 1..6).prop_map(|words| words.join(" "));
    prop::collection::vec(line, 0..120)
}

proptest! {
    #[test]
    fn order_batches_and_repetitions_change_nothing(
        templates in templates(), order in any::<prop::sample::Index>(), split in any::<prop::sample::Index>(), seed in any::<u64>()
    ) {
        let whole = outcome(&templates.iter().map(String::as_str).collect::<Vec<_>>());
        // Another order, in two batches between which the outcome is asked for, and some of it twice.
        let mut shuffled = templates.clone();
        shuffled.sort_by_key(|t| xxhash_rust::xxh3::xxh3_64_with_seed(t.as_bytes(), seed));
        let n = shuffled.len();
        let mut classes = Classes::new();
        let at = if n == 0 { 0 } else { split.index(n) };
        for template in &shuffled[..at] {
            classes.insert(template_fingerprint(template), template);
        }
        classes.outcome(&Masker::new());
        for template in shuffled.iter().skip(if n == 0 { 0 } else { order.index(n).min(at) }) {
            classes.insert(template_fingerprint(template), template);
        }
        prop_assert_eq!(classes.outcome(&Masker::new()), whole);
    }

    #[test]
    fn what_is_joined_stays_joined(templates in templates(), more in templates()) {
        let before = outcome(&templates.iter().map(String::as_str).collect::<Vec<_>>());
        let all: Vec<&str> = templates.iter().chain(&more).map(String::as_str).collect();
        let after = outcome(&all);
        let class = |outcome: &Outcome, fingerprint: u64| {
            let alias = outcome.aliases.iter().find(|a| a.fingerprint == fingerprint);
            alias.map_or(fingerprint, |a| a.class)
        };
        let prints: Vec<u64> = templates.iter().map(|t| template_fingerprint(t)).collect();
        for a in &prints {
            for b in &prints {
                if class(&before, *a) == class(&before, *b) {
                    prop_assert_eq!(class(&after, *a), class(&after, *b));
                }
            }
        }
    }

    #[test]
    fn every_alias_leads_to_a_class_with_that_id(templates in templates()) {
        let found = outcome(&templates.iter().map(String::as_str).collect::<Vec<_>>());
        for alias in &found.aliases {
            prop_assert!(alias.fingerprint != alias.class);
            prop_assert!(found.classes.iter().any(|c| c.id == alias.class));
        }
        for class in &found.classes {
            prop_assert_eq!(class.id, template_fingerprint(&class.template));
        }
    }

    #[test]
    fn no_text_is_trouble(templates in prop::collection::vec(".{0,60}", 0..20)) {
        outcome(&templates.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
