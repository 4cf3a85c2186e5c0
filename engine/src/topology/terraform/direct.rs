//! Direct dependencies between instances, from a state that records only the closure between resource blocks.
//!
//! Terraform writes into `dependencies` all ancestors of a resource, without instance keys. So a dependency is
//! 1. expanded to the instances whose module keys agree on the module calls that both sides share,
//! 2. narrowed to those whose id, arn or self link an attribute of the source holds, if there are any,
//! 3. dropped when it has no such evidence and a longer path implies it.

use std::ops::Range;

use hashbrown::HashMap;

use super::attributes;
use super::beyond::Search;
use super::model::{Instance, State};
use super::secrets::{Marks, Secrets};
use crate::topology::{
    Class, Edge, Evidence, Extracted, MAX_PLACES, Reason, TopologyError, Unresolved, place, relation,
};

/// Most edges of one state.
const MAX_EDGES: usize = 500_000;
/// Most declared dependencies of all instances; a name of a whole module counts for every resource inside.
pub const MAX_DEPENDENCIES: usize = 4_000_000;
/// What more instances than this have in common identifies none of them.
const MAX_OWNERS: usize = 64;
/// The attributes that other instances refer to.
const IDENTITIES: [&str; 3] = ["id", "arn", "self_link"];

/// The direct edges of a state, without URNs, and the hashes of its secrets.
///
/// # Errors
/// [`TopologyError::Limit`] when instances without attribute evidence multiply beyond all measure.
pub fn edges(state: &State<'_>) -> Result<(Extracted, Secrets), TopologyError> {
    let mut unresolved = state.broken.clone();
    let mut graph = Graph::new(state, &mut unresolved)?;
    let secrets = graph.match_attributes(state);
    let edges = graph.reduced(state)?;
    Ok((Extracted::new(edges, unresolved), secrets))
}

/// Instances of one resource that agree on the module keys around a source.
pub struct Group {
    resource: usize,
    pub members: Vec<usize>,
}

/// What one instance depends on through one resource block.
pub struct Dependency {
    pub group: usize,
    /// Members that attributes point at, with the paths; empty: all members, as declared.
    pub attributes: Vec<(usize, Vec<String>)>,
}

/// Instances and what they depend on.
pub struct Graph {
    pub groups: Vec<Group>,
    /// Per instance, a range of `dependencies`.
    of: Vec<Range<usize>>,
    dependencies: Vec<Dependency>,
}

impl Graph {
    fn new(state: &State<'_>, unresolved: &mut Vec<Unresolved>) -> Result<Graph, TopologyError> {
        let targets = state.targets();
        let mut groups = Vec::new();
        // (resource, levels of shared module calls) -> address of the innermost shared call -> group
        let mut known: HashMap<(usize, usize), HashMap<&str, usize>> = HashMap::new();
        let mut graph = Graph {
            groups: Vec::new(),
            of: Vec::with_capacity(state.instances.len()),
            dependencies: Vec::new(),
        };
        let mut seen: HashMap<usize, usize> = HashMap::new();
        let mut count = 0usize;
        for (index, source) in state.instances.iter().enumerate() {
            let begin = graph.dependencies.len();
            for &name in &source.dependencies {
                let named = targets.get(name as usize).map_or(&[] as &[usize], Vec::as_slice);
                let mut found = false;
                count += 1 + named.len();
                if count > MAX_DEPENDENCIES {
                    return Err(TopologyError::Limit {
                        what: "dependencies",
                        limit: MAX_DEPENDENCIES,
                    });
                }
                for &resource in named {
                    let levels = shared_levels(state, source.resource, resource);
                    let by_module = known
                        .entry((resource, levels))
                        .or_insert_with(|| group_by_module(state, resource, levels, &mut groups));
                    let Some(&group) = by_module.get(module_prefix(source, levels)) else {
                        continue;
                    };
                    found = true;
                    if resource != source.resource && seen.insert(resource, index) != Some(index) {
                        graph.dependencies.push(Dependency {
                            group,
                            attributes: Vec::new(),
                        });
                    }
                }
                if !found && let Some(name) = state.names.get(name as usize) {
                    unresolved.push(Unresolved {
                        src: source.address.clone(),
                        reference: name.clone(),
                        reason: Reason::NoInstance,
                        at: None,
                    });
                }
            }
            graph.of.push(begin..graph.dependencies.len());
        }
        graph.groups = groups;
        Ok(graph)
    }

    /// Looks for identities of possible targets in the attributes of every instance, and collects secret values.
    fn match_attributes(&mut self, state: &State<'_>) -> Secrets {
        let mut owners: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, instance) in state.instances.iter().enumerate() {
            let mut names = attributes::pick(instance.attributes, IDENTITIES);
            names.sort_unstable();
            for (at, name) in names.iter().enumerate() {
                if let Some(name) = name
                    && names.get(at + 1).is_none_or(|next| next.as_ref() != Some(name))
                {
                    owners.entry_ref(name.as_ref()).or_default().push(index);
                }
            }
        }
        let mut secrets = Secrets::default();
        let mut by_resource: HashMap<usize, usize> = HashMap::new();
        let mut matched: HashMap<usize, usize> = HashMap::new();
        for (source, range) in state.instances.iter().zip(&self.of) {
            let Some(raw) = source.attributes else {
                continue;
            };
            let dependencies = self.dependencies.get_mut(range.clone()).unwrap_or_default();
            by_resource.clear();
            matched.clear();
            for (at, dependency) in dependencies.iter().enumerate() {
                if let Some(group) = self.groups.get(dependency.group) {
                    by_resource.insert(group.resource, at);
                }
            }
            let marks = Marks::of(source.sensitive);
            attributes::walk(raw, &mut |found, value| {
                let mark = marks.around(found.plain);
                if mark.is_some() || secrets.means_secret(found.name) {
                    secrets.add(value);
                }
                if by_resource.is_empty() || value.is_empty() || (found.top && IDENTITIES.contains(&found.name)) {
                    return;
                }
                let Some(candidates) = owners.get(value).filter(|owners| owners.len() <= MAX_OWNERS) else {
                    return;
                };
                for &candidate in candidates {
                    let Some(target) = state.instances.get(candidate) else {
                        continue;
                    };
                    let Some(dependency) = by_resource
                        .get(&target.resource)
                        .and_then(|&at| dependencies.get_mut(at))
                    else {
                        continue;
                    };
                    if !agrees(state, source, target) {
                        continue;
                    }
                    // Of a marked attribute even the keys inside are not shown.
                    let path = mark.unwrap_or(found.path);
                    let at = *matched.entry(candidate).or_insert_with(|| {
                        dependency.attributes.push((candidate, Vec::new()));
                        dependency.attributes.len() - 1
                    });
                    if let Some((_, paths)) = dependency.attributes.get_mut(at)
                        && paths.len() < MAX_PLACES
                    {
                        paths.push(place(path));
                    }
                }
            });
        }
        secrets
    }

    fn reduced(self, state: &State<'_>) -> Result<Vec<Edge>, TopologyError> {
        let mut edges = Vec::new();
        let mut search = Search::new(self.groups.len(), state.instances.len());
        // A real configuration has no cycles. In an edited state that has some, "implied by a longer path" means
        // nothing, so nothing is dropped.
        let acyclic = super::config::of_state(state)?.is_acyclic();
        for (index, source) in state.instances.iter().enumerate() {
            if acyclic {
                search.mark_beyond(&self, index)?;
            }
            for dependency in self.dependencies_of(index) {
                let members = self
                    .groups
                    .get(dependency.group)
                    .map_or(&[] as &[usize], |group| group.members.as_slice());
                let declared = dependency.attributes.is_empty();
                for &member in if declared { members } else { &[] } {
                    if !search.is_marked(member) {
                        edges.push(edge(state, source, member, Evidence::new(Class::Declared)));
                    }
                }
                for (member, paths) in &dependency.attributes {
                    let mut evidence = Evidence::new(Class::Attribute);
                    evidence.at.clone_from(paths);
                    edges.push(edge(state, source, *member, evidence));
                }
                if edges.len() > MAX_EDGES {
                    return Err(TopologyError::Limit {
                        what: "edges between instances",
                        limit: MAX_EDGES,
                    });
                }
            }
        }
        Ok(edges)
    }

    pub fn dependencies_of(&self, instance: usize) -> &[Dependency] {
        self.of
            .get(instance)
            .and_then(|range| self.dependencies.get(range.clone()))
            .unwrap_or_default()
    }
}

fn edge(state: &State<'_>, source: &Instance<'_>, target: usize, evidence: Evidence) -> Edge {
    let target = state.instances.get(target).map_or("", |target| target.address.as_str());
    Edge::new(&source.address, relation::DEPENDS_ON, target, evidence)
}

/// How many module calls, from the root, two resources have in common.
fn shared_levels(state: &State<'_>, a: usize, b: usize) -> usize {
    let modules = |index: usize| {
        state
            .resources
            .get(index)
            .map_or(&[] as &[String], |r| r.modules.as_slice())
    };
    modules(a).iter().zip(modules(b)).take_while(|(a, b)| a == b).count()
}

/// The address of the module call `levels` deep around an instance, keys included.
fn module_prefix<'i>(instance: &'i Instance<'_>, levels: usize) -> &'i str {
    let end = levels
        .checked_sub(1)
        .and_then(|last| instance.module.get(last))
        .copied()
        .unwrap_or(0);
    instance.address.get(..end).unwrap_or_default()
}

fn agrees(state: &State<'_>, a: &Instance<'_>, b: &Instance<'_>) -> bool {
    let levels = shared_levels(state, a.resource, b.resource);
    module_prefix(a, levels) == module_prefix(b, levels)
}

fn group_by_module<'s>(
    state: &'s State<'_>,
    resource: usize,
    levels: usize,
    groups: &mut Vec<Group>,
) -> HashMap<&'s str, usize> {
    let mut by_module = HashMap::new();
    let members = state
        .resources
        .get(resource)
        .map_or(&[] as &[usize], |resource| resource.instances.as_slice());
    for &member in members {
        let Some(instance) = state.instances.get(member) else {
            continue;
        };
        let group = *by_module.entry(module_prefix(instance, levels)).or_insert_with(|| {
            groups.push(Group {
                resource,
                members: Vec::new(),
            });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(group) {
            group.members.push(member);
        }
    }
    by_module
}
