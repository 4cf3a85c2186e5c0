//! Pulumi: `pulumi stack export` (versions 3 and 4), and the checkpoint file that self-managed backends keep.
//!
//! Inputs and outputs are skipped unread, so secrets stay where they are. Format:
//! <https://github.com/pulumi/pulumi/blob/master/sdk/go/common/apitype/core.go> (`ResourceV3`).

use std::collections::BTreeMap;

use hashbrown::HashSet;
use serde::Deserialize;

use super::{Class, Edge, Evidence, Extracted, Reason, TopologyError, Unresolved, is_id, json, json::Text, relation};

const FORMAT: &str = "Pulumi stack";

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    deployment: Option<Deployment<'a>>,
    #[serde(borrow)]
    checkpoint: Option<Checkpoint<'a>>,
}

#[derive(Deserialize)]
struct Checkpoint<'a> {
    #[serde(borrow)]
    latest: Option<Deployment<'a>>,
}

#[derive(Deserialize)]
struct Deployment<'a> {
    /// `null` after everything was destroyed.
    #[serde(borrow, default)]
    resources: Option<Vec<Resource<'a>>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    urn: Text<'a>,
    #[serde(default)]
    delete: bool,
    #[serde(borrow)]
    parent: Option<Text<'a>>,
    #[serde(borrow)]
    dependencies: Option<Vec<Text<'a>>>,
    #[serde(borrow, rename = "propertyDependencies")]
    properties: Option<BTreeMap<Text<'a>, Option<Vec<Text<'a>>>>>,
}

/// `DEPENDS_ON` with the properties that cause it as evidence, and `PART_OF` for parents. Resources that wait for their
/// deletion are left out.
///
/// # Errors
/// [`TopologyError::Syntax`]; [`TopologyError::Unsupported`] without a deployment (an encrypted or foreign file).
pub fn edges(text: &str) -> Result<Extracted, TopologyError> {
    let file: File = json::parse(text, FORMAT)?;
    let deployment = file
        .deployment
        .or(file.checkpoint.and_then(|checkpoint| checkpoint.latest));
    let Some(deployment) = deployment else {
        return Err(TopologyError::Unsupported {
            format: FORMAT,
            what: "no deployment inside",
            hint: "Export the stack with `pulumi stack export`.",
        });
    };
    let resources = deployment.resources.unwrap_or_default();
    let known: HashSet<&str> = resources
        .iter()
        .filter(|r| !r.delete && is_id(r.urn.as_str()))
        .map(|r| r.urn.as_str())
        .collect();
    let (mut edges, mut unresolved) = (Vec::new(), Vec::new());
    // What waits for its deletion has the URN of its replacement, so the URN alone does not tell them apart.
    for resource in resources
        .iter()
        .filter(|resource| !resource.delete && known.contains(resource.urn.as_str()))
    {
        let src = resource.urn.as_str();
        let mut add = |relation, dst: &Text<'_>, evidence| {
            if known.contains(dst.as_str()) {
                edges.push(Edge::new(src, relation, dst.as_str(), evidence));
            } else if !dst.as_str().is_empty() {
                unresolved.push(Unresolved {
                    src: src.to_owned(),
                    reference: dst.as_str().to_owned(),
                    reason: Reason::NoInstance,
                    at: None,
                });
            }
        };
        for dst in resource.dependencies.iter().flatten() {
            add(relation::DEPENDS_ON, dst, Evidence::new(Class::Declared));
        }
        for (property, targets) in resource.properties.iter().flatten() {
            for dst in targets.iter().flatten() {
                add(
                    relation::DEPENDS_ON,
                    dst,
                    Evidence::at(Class::Attribute, property.as_str()),
                );
            }
        }
        if let Some(parent) = &resource.parent {
            add(relation::PART_OF, parent, Evidence::new(Class::Declared));
        }
    }
    Ok(Extracted::new(edges, unresolved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(resources: &str) -> (Vec<String>, Vec<String>) {
        let found = edges(&format!(
            r#"{{"version":3,"deployment":{{"resources":[{resources}]}}}}"#
        ))
        .unwrap();
        let edge = |e: &Edge| format!("{} {} {} {}", e.src, e.relation, e.dst, e.evidence.at.join(","));
        (
            found.edges.iter().map(edge).collect(),
            found
                .unresolved
                .iter()
                .map(|u| format!("{} {}", u.src, u.reference))
                .collect(),
        )
    }

    #[test]
    fn a_pending_delete_says_nothing_although_its_replacement_has_its_urn() {
        let (edges, lost) = told(
            r#"{"urn":"vpc"},{"urn":"old"},
               {"urn":"web","dependencies":["vpc"]},
               {"urn":"web","delete":true,"parent":"old","dependencies":["old","gone"],"propertyDependencies":{"x":["old"]}}"#,
        );
        assert_eq!(edges, ["web DEPENDS_ON vpc "]);
        assert!(lost.is_empty(), "{lost:?}");
        // Whichever comes first.
        let (edges, _) = told(r#"{"urn":"web","delete":true,"dependencies":["old"]},{"urn":"web"},{"urn":"old"}"#);
        assert!(edges.is_empty(), "{edges:?}");
    }

    #[test]
    fn what_only_waits_for_its_deletion_is_no_destination() {
        let (edges, lost) = told(r#"{"urn":"web","dependencies":["db"]},{"urn":"db","delete":true}"#);
        assert!(edges.is_empty(), "{edges:?}");
        assert_eq!(lost, ["web db"]);
    }

    #[test]
    fn properties_may_be_null_and_are_the_evidence() {
        let (edges, lost) = told(
            r#"{"urn":"vpc"},{"urn":"a","dependencies":["vpc"],"propertyDependencies":{"x":null,"vpcId":["vpc"],"y":[]}}"#,
        );
        assert_eq!(edges, ["a DEPENDS_ON vpc vpcId"]);
        assert!(lost.is_empty(), "{lost:?}");
        assert_eq!(
            told(r#"{"urn":"a","dependencies":null,"propertyDependencies":null}"#).0,
            [""; 0]
        );
    }

    #[test]
    fn parents_are_edges_and_providers_are_not() {
        let (edges, lost) = told(
            r#"{"urn":"stack"},{"urn":"p"},{"urn":"a","parent":"stack","provider":"p::id"},{"urn":"b","parent":""}"#,
        );
        assert_eq!(edges, ["a PART_OF stack "]);
        assert!(lost.is_empty(), "{lost:?}");
    }

    #[test]
    fn checkpoints_are_read_and_other_files_refused() {
        let text = r#"{"version":3,"checkpoint":{"latest":{"resources":[{"urn":"a","parent":"b"},{"urn":"b"}]}}}"#;
        assert_eq!(edges(text).unwrap().edges.len(), 1);
        assert!(matches!(edges("{}"), Err(TopologyError::Unsupported { .. })));
    }
}
