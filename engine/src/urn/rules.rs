//! The tenants' rules for URNs, compiled: pure, linear in the attributes, without a way to fail.
//!
//! A rule says: what has these attributes is called so. The first rule that matches wins; where none does, a thing keeps
//! the URN it came with. Rules are checked when they are compiled ([`Rule::new`]), which happens before they are stored.

use std::fmt;

use super::attributes::Attributes;
use super::template::Template;
use super::{Resource, clean_name, describe};

/// What a rule applies to. Logs, metrics and spans are one kind: a rule for one of them only would give a service two
/// names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Logs, metrics and spans: what sends them.
    Telemetry,
    /// What spans call and what sends no spans of its own: databases, queues.
    Inferred,
    /// What files and APIs declare.
    Topology,
}

impl Kind {
    /// The kinds as `urn_rule.applies_to` names them.
    pub const NAMES: [&str; 3] = ["telemetry", "inferred", "topology"];

    /// A kind by its name, or that of a kind of record.
    pub fn from_name(name: &str) -> Option<Kind> {
        match name {
            "telemetry" | "log" | "metric" | "span" => Some(Kind::Telemetry),
            "inferred" => Some(Kind::Inferred),
            "topology" => Some(Kind::Topology),
            _ => None,
        }
    }

    /// What a URN of telemetry's own tables names.
    pub fn of_telemetry(urn: &str) -> Kind {
        if urn.starts_with(super::SERVICE_PREFIX) || urn.starts_with(super::HOST_PREFIX) {
            Kind::Telemetry
        } else {
            Kind::Inferred
        }
    }

    /// Whether things of this kind can have the attribute.
    fn has(self, attribute: &str) -> bool {
        const TELEMETRY: [&str; 2] = ["service.name", "host.name"];
        const INFERRED: [&str; 6] = [
            "db.system",
            "db.cluster",
            "db.name",
            "messaging.system",
            "messaging.cluster",
            "messaging.destination.name",
        ];
        const CLOUD: [&str; 2] = ["cloud.provider", "cloud.resource_id"];
        let name = attribute.replace('_', ".");
        let name = if name == "cloud.resource.id" { CLOUD[1] } else { &name };
        match self {
            Kind::Telemetry => TELEMETRY.contains(&name),
            Kind::Inferred => INFERRED.contains(&name),
            Kind::Topology => {
                TELEMETRY.contains(&name)
                    || INFERRED.contains(&name)
                    || CLOUD.contains(&name)
                    || name == "k8s.kind"
                    || name.strip_prefix("k8s.").is_some_and(|rest| {
                        rest.strip_suffix(".name")
                            .is_some_and(|kind| !kind.is_empty() && !kind.contains('.'))
                    })
            }
        }
    }
}

/// A rule as somebody wrote it: a row of `urn_rule`.
#[derive(Clone, Debug, Default)]
pub struct RuleText {
    pub name: String,
    /// Attributes and what their values must look like: a text, `*` for anything, `abc*`, `*abc` or `*abc*`.
    pub requires: Vec<(String, String)>,
    /// `urn:` and what follows, with `{attribute}` and `{attribute:label}` (the first label of a DNS name).
    pub template: String,
    /// `dim_resource.type`; `None`: as [`describe`] says of the URN.
    pub kind: Option<String>,
    /// The attribute that is `dim_resource.name`; `None`: as [`describe`] says of the URN.
    pub name_attribute: Option<String>,
    /// The rule is for names that are unique within the tenant only: two things must not get one name by it.
    pub only_unambiguous: bool,
}

/// Why a rule cannot be used: a sentence without a full stop, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub message: String,
    pub hint: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}

/// A compiled rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    pub applies_to: Kind,
    /// See [`RuleText::only_unambiguous`].
    pub only_unambiguous: bool,
    requires: Vec<(String, Pattern)>,
    template: Template,
    kind: Option<String>,
    name_attribute: Option<String>,
}

impl Rule {
    /// Compiles a rule.
    ///
    /// Rules for telemetry have one more duty: names that differ must stay apart, since the rows of two resources cannot be
    /// added up afterwards. So their URN ends with the whole name, and those of hosts begin with `urn:host:`, others not.
    ///
    /// # Errors
    /// [`RuleError`]: the template, the conditions, the type or the attribute of the name are not as they should be.
    pub fn new(applies_to: Kind, text: RuleText) -> Result<Rule, RuleError> {
        let template = Template::parse(&text.template).map_err(|what| RuleError {
            message: format!("the template {what}"),
            hint: "Write a template such as urn:svc:{service.name} or urn:db:{db.system}:{db.cluster:label}/{db.name}."
                .to_owned(),
        })?;
        let named = text
            .requires
            .iter()
            .map(|(name, _)| name.as_str())
            .chain(template.attributes())
            .chain(text.name_attribute.as_deref());
        for attribute in named {
            if !applies_to.has(attribute) {
                return Err(unknown_attribute(applies_to, attribute));
            }
        }
        if applies_to == Kind::Telemetry {
            keeps_names_apart(&template)?;
        }
        if text.only_unambiguous && applies_to != Kind::Topology {
            return Err(RuleError {
                message: "only rules for topology can be restricted to unambiguous names".to_owned(),
                hint: "Telemetry must get the same URN whatever else is known: leave only_unambiguous false."
                    .to_owned(),
            });
        }
        if let Some(kind) = &text.kind
            && !(1..=100).contains(&kind.len())
        {
            return Err(RuleError {
                message: "the type must have 1 to 100 bytes".to_owned(),
                hint: "Leave type NULL to have it told by the URN.".to_owned(),
            });
        }
        let requires = text.requires.into_iter();
        Ok(Rule {
            name: text.name,
            applies_to,
            only_unambiguous: text.only_unambiguous,
            requires: requires.map(|(name, value)| (name, Pattern::new(&value))).collect(),
            template,
            kind: text.kind,
            name_attribute: text.name_attribute,
        })
    }

    /// The thing as this rule names it; `None` where the rule does not match.
    fn apply(&self, of: &Attributes) -> Option<Resource> {
        let holds = |(name, pattern): &(String, Pattern)| of.get(name).is_some_and(|value| pattern.matches(value));
        if !self.requires.iter().all(holds) {
            return None;
        }
        let name = match &self.name_attribute {
            Some(attribute) => Some(clean_name(of.get(attribute)?).into_owned()),
            None => None,
        };
        let urn = self.template.fill(of)?;
        let (kind, told) = describe(&urn);
        Some(Resource {
            urn,
            kind: self.kind.clone().unwrap_or(kind).into(),
            name: name.unwrap_or(told),
        })
    }
}

/// The rules of one tenant, the strongest first.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Rules in the order in which they are tried.
    pub fn new(rules: Vec<Rule>) -> Rules {
        Rules(rules)
    }

    /// What a thing with these attributes is called, and the rule that says so; `None` where no rule matches.
    pub fn apply(&self, kind: Kind, of: &Attributes) -> Option<(Resource, &Rule)> {
        let mut rules = self.0.iter().filter(|rule| rule.applies_to == kind);
        rules.find_map(|rule| Some((rule.apply(of)?, rule)))
    }

    /// What is called by its attributes, and then by a rule. Of a record only service and host count.
    pub fn of_attributes(&self, kind: Kind, of: &Attributes) -> Resource {
        let urn = match kind {
            Kind::Telemetry => of.record().urn,
            Kind::Inferred | Kind::Topology => of.to_urn(),
        };
        self.of_urn(kind, &urn).0
    }

    /// What `urn` is called by a rule, and that rule; else as it is.
    pub fn of_urn(&self, kind: Kind, urn: &str) -> (Resource, Option<&Rule>) {
        match self.apply(kind, &Attributes::of_urn(urn)) {
            Some((resource, rule)) => (resource, Some(rule)),
            None => (Resource::of_urn(urn), None),
        }
    }

    /// What telemetry calls `urn` is called by this tenant: by a rule, else as it is.
    pub fn telemetry(&self, urn: &str) -> Resource {
        self.of_urn(Kind::of_telemetry(urn), urn).0
    }
}

/// What a value must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    open_start: bool,
    open_end: bool,
}

impl Pattern {
    fn new(pattern: &str) -> Pattern {
        let (open_start, rest) = pattern.strip_prefix('*').map_or((false, pattern), |rest| (true, rest));
        let (open_end, text) = rest.strip_suffix('*').map_or((false, rest), |text| (true, text));
        Pattern {
            text: text.to_owned(),
            open_start,
            open_end,
        }
    }

    fn matches(&self, value: &str) -> bool {
        match (self.open_start, self.open_end) {
            (false, false) => value == self.text,
            (true, false) => value.ends_with(&self.text),
            (false, true) => value.starts_with(&self.text),
            (true, true) => value.contains(&self.text),
        }
    }
}

fn unknown_attribute(kind: Kind, attribute: &str) -> RuleError {
    let (what, known) = match kind {
        Kind::Telemetry => (
            "telemetry",
            "service.name and host.name: the other attributes differ between the logs, metrics and spans of one service",
        ),
        Kind::Inferred => (
            "inferred",
            "db.system, db.cluster, db.name, messaging.system, messaging.cluster, messaging.destination.name",
        ),
        Kind::Topology => (
            "topology",
            "k8s.kind, k8s.namespace.name, k8s.<kind>.name (service, deployment, ...), service.name, host.name, db.*, messaging.*, cloud.provider, cloud.resource_id",
        ),
    };
    RuleError {
        message: format!("rules for {what} know no attribute \"{attribute}\""),
        hint: format!("They know {known}."),
    }
}

fn keeps_names_apart(template: &Template) -> Result<(), RuleError> {
    let good = match template.last_part() {
        Some(("host.name" | "host_name", before)) => before.starts_with(super::HOST_PREFIX),
        Some((_, before)) => !before.starts_with(super::HOST_PREFIX),
        None => false,
    };
    good.then_some(()).ok_or_else(|| RuleError {
        message: "the template of a rule for telemetry must keep names apart".to_owned(),
        hint: "End it with :{service.name} or /{service.name}, or begin it with urn:host: and end it with {host.name}; before that, plain text only.".to_owned(),
    })
}

#[cfg(test)]
mod tests;
