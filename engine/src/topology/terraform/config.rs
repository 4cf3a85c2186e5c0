//! The graph between resource blocks, as `terraform graph` draws it: without instance keys, transitively reduced.

use std::collections::{BTreeMap, BTreeSet};

use super::direct::MAX_DEPENDENCIES;
use super::model::State;
use crate::topology::{Class, Edge, Evidence, Extracted, TopologyError, relation};

/// Most steps of a reduction.
const MAX_STEPS: usize = 400_000_000;

/// Resource blocks and what they depend on.
pub struct ConfigGraph {
    pub names: Vec<String>,
    /// Per resource its dependencies and how each is declared.
    pub edges: Vec<BTreeMap<usize, Evidence>>,
}

/// The declared dependencies between the resources of a state that have instances.
///
/// # Errors
/// [`TopologyError::Limit`].
pub fn of_state(state: &State<'_>) -> Result<ConfigGraph, TopologyError> {
    let targets = state.targets();
    let mut names: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); state.resources.len()];
    for instance in &state.instances {
        if let Some(names) = names.get_mut(instance.resource) {
            names.extend(&instance.dependencies);
        }
    }
    let mut count = 0;
    let mut edges = Vec::with_capacity(names.len());
    for (source, names) in names.iter().enumerate() {
        let named = names.iter().filter_map(|&name| targets.get(name as usize)).flatten();
        let named = named
            .filter(|&&target| target != source)
            .inspect(|_| count += 1)
            .take(MAX_DEPENDENCIES);
        edges.push(named.map(|&target| (target, Evidence::new(Class::Declared))).collect());
        if count >= MAX_DEPENDENCIES {
            return Err(TopologyError::Limit {
                what: "dependencies",
                limit: MAX_DEPENDENCIES,
            });
        }
    }
    let names = state.resources.iter().map(|resource| resource.config.clone()).collect();
    Ok(ConfigGraph { names, edges })
}

impl ConfigGraph {
    /// Kahn's algorithm.
    pub fn is_acyclic(&self) -> bool {
        let mut incoming = vec![0usize; self.names.len()];
        for &target in self.edges.iter().flat_map(BTreeMap::keys) {
            if let Some(count) = incoming.get_mut(target) {
                *count += 1;
            }
        }
        let mut free: Vec<usize> = (0..incoming.len())
            .filter(|&node| incoming.get(node) == Some(&0))
            .collect();
        let mut freed = 0;
        while let Some(node) = free.pop() {
            freed += 1;
            for &target in self.edges.get(node).into_iter().flat_map(BTreeMap::keys) {
                if let Some(count) = incoming.get_mut(target) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(target);
                    }
                }
            }
        }
        freed == incoming.len()
    }

    /// The edges that no longer path implies. A graph with cycles stays whole.
    ///
    /// # Errors
    /// [`TopologyError::Limit`] for graphs that no real configuration has.
    pub fn reduced(&self) -> Result<Extracted, TopologyError> {
        let acyclic = self.is_acyclic();
        let mut seen = vec![usize::MAX; self.names.len()];
        let mut steps = 0;
        let mut kept = Vec::new();
        for (source, targets) in self.edges.iter().enumerate() {
            let mut todo: Vec<usize> = if acyclic {
                targets.keys().copied().collect()
            } else {
                Vec::new()
            };
            while let Some(node) = todo.pop() {
                for &next in self.edges.get(node).into_iter().flat_map(BTreeMap::keys) {
                    steps += 1;
                    if let Some(mark) = seen.get_mut(next)
                        && std::mem::replace(mark, source) != source
                    {
                        todo.push(next);
                    }
                }
            }
            if steps > MAX_STEPS {
                return Err(TopologyError::Limit {
                    what: "steps between resources",
                    limit: MAX_STEPS,
                });
            }
            kept.extend(self.edges_of(source, |target| seen.get(target) != Some(&source)));
        }
        Ok(Extracted::new(kept, Vec::new()))
    }

    /// All edges.
    pub fn all(&self) -> Vec<Edge> {
        (0..self.names.len())
            .flat_map(|source| self.edges_of(source, |_| true))
            .collect()
    }

    fn edges_of(&self, source: usize, keep: impl Fn(usize) -> bool) -> Vec<Edge> {
        let targets = self.edges.get(source).into_iter().flatten();
        targets
            .filter(|&(&target, _)| keep(target))
            .filter_map(|(&target, evidence)| {
                let (src, dst) = (self.names.get(source)?, self.names.get(target)?);
                Some(Edge::new(src, relation::DEPENDS_ON, dst, evidence.clone()))
            })
            .collect()
    }
}
