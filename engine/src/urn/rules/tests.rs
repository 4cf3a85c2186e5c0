use proptest::prelude::*;

use super::*;
use crate::urn::Resource;

fn text(requires: &[(&str, &str)], template: &str) -> RuleText {
    let requires = requires.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    RuleText {
        name: template.to_owned(),
        requires: requires.collect(),
        template: template.to_owned(),
        ..RuleText::default()
    }
}

fn rule(kind: Kind, requires: &[(&str, &str)], template: &str) -> Rule {
    Rule::new(kind, text(requires, template)).unwrap()
}

fn named(rules: &Rules, kind: Kind, urn: &str) -> Option<String> {
    rules
        .apply(kind, &Attributes::of_urn(urn))
        .map(|(entity, _)| entity.urn)
}

#[test]
fn the_first_rule_that_matches_wins() {
    let rules = Rules::new(vec![
        rule(
            Kind::Topology,
            &[("k8s.namespace.name", "prod-*")],
            "urn:svc:{k8s.service.name}",
        ),
        rule(
            Kind::Topology,
            &[],
            "urn:k8s:svc:{k8s.namespace.name}/{k8s.service.name}",
        ),
        rule(
            Kind::Telemetry,
            &[("service_name", "*cart*")],
            "urn:k8s:svc:shop/{service.name}",
        ),
    ]);
    for (kind, urn, expected) in [
        (Kind::Topology, "urn:k8s:svc:prod-1/cart", Some("urn:svc:cart")),
        (Kind::Topology, "urn:k8s:svc:test/cart", Some("urn:k8s:svc:test/cart")),
        (Kind::Topology, "urn:k8s:deployment:prod-1/cart", None),
        (Kind::Telemetry, "urn:svc:my-cart", Some("urn:k8s:svc:shop/my-cart")),
        (Kind::Telemetry, "urn:svc:pay", None),
        (Kind::Inferred, "urn:svc:my-cart", None),
    ] {
        assert_eq!(named(&rules, kind, urn).as_deref(), expected, "{urn}");
    }
}

#[test]
fn type_and_name_are_told_by_the_rule_or_the_urn() {
    let rds = RuleText {
        kind: Some("rds".to_owned()),
        name_attribute: Some("db.name".to_owned()),
        ..text(
            &[("db.cluster", "*.rds.amazonaws.com")],
            "urn:db:{db.system}:{db.cluster:label}/{db.name}",
        )
    };
    let rules = Rules::new(vec![Rule::new(Kind::Inferred, rds).unwrap()]);
    let entity = |urn: &str, kind: &str, name: &str| Resource {
        urn: urn.to_owned(),
        kind: kind.to_owned().into(),
        name: name.to_owned(),
    };
    assert_eq!(
        rules.telemetry("urn:db:postgres:main.x1.eu-1.rds.amazonaws.com/shop"),
        entity("urn:db:postgres:main/shop", "rds", "shop")
    );
    assert_eq!(
        rules.telemetry("urn:db:postgres:main/shop"),
        entity("urn:db:postgres:main/shop", "db:postgres", "main/shop")
    );
}

#[test]
fn bad_rules_are_explained() {
    for (kind, requires, template, what) in [
        (Kind::Telemetry, &[][..], "svc", "urn:"),
        (
            Kind::Telemetry,
            &[],
            "urn:svc:{k8s.namespace.name}",
            "k8s.namespace.name",
        ),
        (Kind::Telemetry, &[("pod", "*")], "urn:svc:{service.name}", "pod"),
        (Kind::Telemetry, &[], "urn:svc:x{service.name}", "apart"),
        (Kind::Telemetry, &[], "urn:svc:{service.name:label}", "apart"),
        (Kind::Telemetry, &[], "urn:svc:{service.name}/x", "apart"),
        (Kind::Telemetry, &[], "urn:svc:{host.name}", "apart"),
        (Kind::Telemetry, &[], "urn:host:{service.name}", "apart"),
        (Kind::Inferred, &[], "urn:svc:{service.name}", "service.name"),
        (Kind::Topology, &[], "urn:x:{k8s.a.b.name}", "k8s.a.b.name"),
    ] {
        let error = Rule::new(kind, text(requires, template)).unwrap_err();
        assert!(error.message.contains(what), "{template}: {error}");
        assert!(!error.hint.is_empty());
    }
    let shared = RuleText {
        only_unambiguous: true,
        ..text(&[], "urn:svc:{service.name}")
    };
    assert!(Rule::new(Kind::Telemetry, shared.clone()).is_err());
    assert!(Rule::new(Kind::Topology, shared).is_ok());
    let typed = RuleText {
        kind: Some(String::new()),
        ..text(&[], "urn:svc:{service.name}")
    };
    assert!(Rule::new(Kind::Telemetry, typed).is_err());
}

proptest! {
    /// Whatever rules for telemetry say, two resources that differ get URNs that differ.
    #[test]
    fn telemetry_stays_apart(
        a in "[a-c/:.]{1,3}", b in "[a-c/:.]{1,3}", a_host in any::<bool>(), b_host in any::<bool>(),
        parts in prop::collection::vec(("(\\*|[a-c])?", "urn:(svc|host|k8s):([a-c]/)?", any::<bool>()), 0..4),
    ) {
        let rules = parts.iter().filter_map(|(value, before, host)| {
            let attribute = if *host { "host.name" } else { "service.name" };
            let requires: &[(&str, &str)] = if value.is_empty() { &[] } else { &[(attribute, value)] };
            Rule::new(Kind::Telemetry, text(requires, &format!("{before}{{{attribute}}}"))).ok()
        });
        let rules = Rules::new(rules.collect());
        let of = |name: &str, host: bool| if host { Resource::host(name) } else { Resource::service(name) };
        let (a, b) = (of(&a, a_host), of(&b, b_host));
        prop_assert_eq!(a == b, rules.telemetry(&a.urn).urn == rules.telemetry(&b.urn).urn);
    }

    #[test]
    fn compiling_never_panics(template in "(urn:)?[a-z:{}./é]{0,20}(\\{service.name\\})?", value in ".{0,5}", urn in "urn:svc:.{0,20}") {
        for kind in [Kind::Telemetry, Kind::Inferred, Kind::Topology] {
            if let Ok(rule) = Rule::new(kind, text(&[("service.name", &value)], &template)) {
                let rules = Rules::new(vec![rule]);
                if let Some((entity, _)) = rules.apply(kind, &Attributes::of_urn(&urn)) {
                    prop_assert!(entity.urn.starts_with("urn:") && entity.urn.is_ascii());
                }
            }
        }
    }
}
