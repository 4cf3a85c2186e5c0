//! `urn_of()`, and what the table `urn_rule` and `topo_load()` need of the rules.

use crate::api::tenant::tenant_id;
use crate::backend::json::without_nul;
use crate::error::{Error, Result, or_raise};
use crate::store::urn_rules;
use engine::urn::attributes::Attributes;
use engine::urn::rules::{Kind, RuleText};
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;

/// The URN of what has these attributes, by the tenant's rules: to try rules.
#[pg_extern(stable)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn urn_of(
    attrs: Option<JsonB>,
    kind: default!(&str, "'span'"),
    tenant: default!(Option<&str>, "NULL"),
) -> Option<String> {
    attrs.map(|attrs| or_raise(named(&attrs.0, kind, tenant)))
}

/// Raises where a rule is not as it should be; for the trigger of `urn_rule`.
#[pg_extern(stable)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn urn_rule_check(
    applies_to: &str,
    requires: JsonB,
    template: &str,
    kind: Option<&str>,
    name_attribute: Option<&str>,
    only_unambiguous: bool,
) {
    let text = RuleText {
        template: template.to_owned(),
        kind: kind.map(str::to_owned),
        name_attribute: name_attribute.map(str::to_owned),
        only_unambiguous,
        ..RuleText::default()
    };
    or_raise(urn_rules::check(applies_to, &requires.0, text));
}

/// Tells all processes, at commit, that `urn_rule` has changed.
#[pg_extern(volatile)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn urn_rules_forget() {
    or_raise(urn_rules::changed());
}

/// What the rules of a tenant call these URNs of topology: arrays in the order of the URNs, in one row.
#[allow(
    clippy::type_complexity,
    reason = "the columns of the result, which the macro reads from the signature"
)]
#[pg_extern(stable, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn urn_candidates(
    tenant_id: i64,
    urns: Vec<String>,
) -> TableIterator<
    'static,
    (
        name!(candidates, Vec<String>),
        name!(types, Vec<String>),
        name!(names, Vec<String>),
        name!(exclusives, Vec<bool>),
    ),
> {
    let rules = or_raise(urn_rules::of(Some(tenant_id)));
    let (mut candidates, mut types, mut names, mut exclusives) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for urn in urns {
        let (resource, rule) = rules.of_urn(Kind::Topology, &urn);
        exclusives.push(rule.is_some_and(|rule| rule.only_unambiguous) && resource.urn != urn);
        candidates.push(resource.urn);
        types.push(resource.kind.into_owned());
        names.push(resource.name);
    }
    TableIterator::once((candidates, types, names, exclusives))
}

fn named(attrs: &Value, kind: &str, tenant: Option<&str>) -> Result<String> {
    let kind = Kind::from_name(kind).ok_or_else(|| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("there is no kind \"{kind}\""),
            "Kinds are log, metric, span (all three: telemetry), inferred and topology.",
        )
    })?;
    let Value::Object(attrs) = attrs else {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "attrs must be a JSON object",
            "Give the attributes, such as {\"service.name\": \"cart\"}.",
        ));
    };
    let mut of = Attributes::default();
    for (name, value) in attrs {
        match value {
            Value::String(text) => of.push(name, text),
            Value::Number(number) => of.push(name, &number.to_string()),
            // What is no plain value names nothing.
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
        }
    }
    let tenant = tenant.map(tenant_id).transpose()?;
    Ok(without_nul(urn_rules::of(tenant)?.of_attributes(kind, &of).urn))
}
