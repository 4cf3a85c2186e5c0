//! What an extractor finds: edges with their evidence, and what it could not resolve.

use std::collections::BTreeMap;

use serde::Serialize;

use super::identity::{self, Identity};
use crate::text::cut;

/// One declared relation between two things, in the words of the source format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Identifier of the source format: a Terraform address, a Pulumi URN, a logical id, `Kind/namespace/name`, an
    /// inventory host.
    pub src: String,
    pub dst: String,
    /// `DEPENDS_ON`, `RUNS_ON`, `ROUTES_TO`, ...: one of [`super::relation`].
    pub relation: &'static str,
    /// The resource's `urn:` name, where the input says enough to build it; never guessed.
    pub src_urn: Option<String>,
    pub dst_urn: Option<String>,
    pub evidence: Evidence,
}

impl Edge {
    /// An edge without URNs.
    pub fn new(src: impl Into<String>, relation: &'static str, dst: impl Into<String>, evidence: Evidence) -> Edge {
        Edge {
            src: src.into(),
            dst: dst.into(),
            relation,
            src_urn: None,
            dst_urn: None,
            evidence,
        }
    }

    /// Whether two identifiers of one thing are joined, such as an instance and its cluster that both are known by the
    /// database that they hold. There is nothing to store of it.
    pub fn is_within_one_thing(&self) -> bool {
        self.src != self.dst && self.src_urn.is_some() && self.src_urn == self.dst_urn
    }
}

/// Why an edge is believed. Serialized, it is the `evidence` column: names and places, never values of the input
/// that could be secret. Two extractions of one input give equal evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Evidence {
    pub class: Class,
    /// Where the input says it: attribute paths, field names, files. Sorted, without repeats, at most [`MAX_PLACES`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<String>,
    /// The edge holds only under a condition that is unknown without running anything.
    #[serde(skip_serializing_if = "is_false")]
    pub conditional: bool,
    /// The input names the destination but does not contain it.
    #[serde(skip_serializing_if = "is_false")]
    pub dangling: bool,
    /// Further facts, such as `port` or `scheme`.
    #[serde(flatten)]
    pub props: BTreeMap<&'static str, String>,
}

/// Longest list of places kept for one edge; one place is enough to look it up.
pub const MAX_PLACES: usize = 16;
/// Longest place; what is longer is cut.
const MAX_PLACE_BYTES: usize = 512;
/// Longest identifier. Sources have shorter ones, and Postgres can't index longer ones. Every edge repeats its
/// identifiers, so a made-up long one would fill the memory.
const MAX_ID_BYTES: usize = 2048;

/// Whether a text can be an identifier.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_BYTES
}

/// A place as evidence keeps it.
pub fn place(text: &str) -> String {
    cut(text, MAX_PLACE_BYTES).to_owned()
}

impl Evidence {
    pub fn new(class: Class) -> Evidence {
        Evidence {
            class,
            at: Vec::new(),
            conditional: false,
            dangling: false,
            props: BTreeMap::new(),
        }
    }

    /// Evidence found at one place.
    pub fn at(class: Class, at: &str) -> Evidence {
        let mut evidence = Evidence::new(class);
        evidence.at.push(place(at));
        evidence
    }

    /// Takes up what another occurrence of the same edge says: the strongest class, all places, and a condition or a
    /// missing destination only where both have it.
    pub fn merge(&mut self, other: Evidence) {
        self.class = self.class.min(other.class);
        self.at.extend(other.at);
        self.conditional &= other.conditional;
        self.dangling &= other.dangling;
        for (key, value) in other.props {
            let kept = self.props.entry(key).or_insert_with(|| value.clone());
            if value < *kept {
                *kept = value;
            }
        }
    }

    fn tidy(&mut self) {
        self.at.sort_unstable();
        self.at.dedup();
        self.at.truncate(MAX_PLACES);
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// How the input says it, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An attribute's value is the identifier of the destination, and the input declares the dependency as well.
    Attribute,
    /// The input declares the dependency, without saying through which attribute.
    Declared,
    /// An expression names the destination (`references` of a plan, `Ref`, `Fn::GetAtt`, `Fn::Sub`).
    Reference,
    /// An explicit `depends_on` or `DependsOn`.
    DependsOn,
    /// A `depends_on` that names a whole module.
    ModuleDependsOn,
    /// A field of an API answer or of a manifest names the destination.
    Field,
    /// A label selector matches.
    Selector,
    /// An endpoint written out in a variable, a template or an argument.
    Literal,
    /// An endpoint found by evaluating variables.
    Resolved,
    /// The host group is named; its members are the destinations.
    GroupRef,
}

/// Something that the input refers to, but that cannot be known from the input alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unresolved {
    /// Who refers, in the words of the source format.
    pub src: String,
    /// What is referred to: an address, an expression's name, a group. Never a value.
    pub reference: String,
    pub reason: Reason,
    /// Where the input says it, if that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Why something is unresolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The dependency is declared, but has no instance in this input (count = 0, a pruned file, a targeted apply).
    NoInstance,
    /// A Terraform local: plan JSON does not contain them.
    Local,
    /// Lives outside this input: another stack's export, a remote state, an external resource.
    External,
    /// Made while running: dynamic inventory, `add_host`, `group_by`, a templated include.
    Dynamic,
    /// A host fact.
    Fact,
    /// A `lookup()` or `query()`.
    Lookup,
    /// A value made by an earlier task (`register`, `set_fact` of a result).
    Runtime,
    /// Encrypted with Ansible vault.
    Vault,
    /// No definition anywhere in the input.
    Undefined,
    /// A filter, test, plugin or syntax that is not evaluated statically.
    Unsupported,
    /// A file or object that cannot be read; the rest of the input was read without it.
    Broken,
}

/// Everything that one input says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Sorted by source, relation, destination; each triple once.
    pub edges: Vec<Edge>,
    /// Sorted, without repeats.
    pub unresolved: Vec<Unresolved>,
    /// What else things are known as. Sorted, without repeats.
    pub identities: Vec<Identity>,
}

impl Extracted {
    /// Sorts, and joins repeated edges into one that has the evidence of all.
    pub fn new(mut edges: Vec<Edge>, mut unresolved: Vec<Unresolved>) -> Extracted {
        edges.sort_by(|a, b| (&a.src, a.relation, &a.dst).cmp(&(&b.src, b.relation, &b.dst)));
        edges.dedup_by(|again, kept| {
            let same = again.src == kept.src && again.relation == kept.relation && again.dst == kept.dst;
            if same {
                kept.src_urn = kept.src_urn.take().or(again.src_urn.take());
                kept.dst_urn = kept.dst_urn.take().or(again.dst_urn.take());
                let other = std::mem::replace(&mut again.evidence, Evidence::new(Class::GroupRef));
                kept.evidence.merge(other);
            }
            same
        });
        for edge in &mut edges {
            edge.evidence.tidy();
        }
        unresolved.sort_unstable();
        unresolved.dedup();
        Extracted {
            edges,
            unresolved,
            identities: Vec::new(),
        }
    }

    /// The same with what else its things are known as.
    pub fn known_as(mut self, identities: Vec<Identity>) -> Extracted {
        self.identities = identity::tidy(identities);
        self
    }
}
