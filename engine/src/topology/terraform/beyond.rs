//! What lies beyond the direct dependencies of an instance: a declared dependency on something there says nothing new.

use super::direct::Graph;
use crate::topology::TopologyError;

/// Most steps of all searches in one state.
const MAX_STEPS: usize = 400_000_000;

/// A search for everything that lies beyond the direct dependencies of an instance.
pub struct Search {
    instances: Vec<u32>,
    groups: Vec<u32>,
    round: u32,
    steps: usize,
    todo: Vec<usize>,
}

impl Search {
    pub fn new(groups: usize, instances: usize) -> Search {
        Search {
            instances: vec![0; instances],
            groups: vec![0; groups],
            round: 0,
            steps: 0,
            todo: Vec::new(),
        }
    }

    pub fn is_marked(&self, instance: usize) -> bool {
        self.round > 0 && self.instances.get(instance) == Some(&self.round)
    }

    /// Marks what is reachable from `source` over two or more edges.
    pub fn mark_beyond(&mut self, graph: &Graph, source: usize) -> Result<(), TopologyError> {
        self.round += 1;
        let dependencies = graph.dependencies_of(source);
        // Attribute evidence is never dropped, and nothing lies beyond itself.
        if dependencies.len() < 2 || dependencies.iter().all(|dependency| !dependency.attributes.is_empty()) {
            return Ok(());
        }
        for dependency in dependencies {
            if dependency.attributes.is_empty() {
                let members = graph
                    .groups
                    .get(dependency.group)
                    .map_or(&[] as &[usize], |group| group.members.as_slice());
                self.steps += members.len();
                for &member in members {
                    self.mark_successors(graph, member);
                }
            } else {
                for &(member, _) in &dependency.attributes {
                    self.mark_successors(graph, member);
                }
            }
        }
        while let Some(next) = self.todo.pop() {
            self.mark_successors(graph, next);
            if self.steps > MAX_STEPS {
                return Err(TopologyError::Limit {
                    what: "steps between resource instances",
                    limit: MAX_STEPS,
                });
            }
        }
        Ok(())
    }

    fn mark_successors(&mut self, graph: &Graph, instance: usize) {
        for dependency in graph.dependencies_of(instance) {
            self.steps += 1;
            if !dependency.attributes.is_empty() {
                for &(member, _) in &dependency.attributes {
                    self.mark(member);
                }
            } else if let Some(seen) = self.groups.get_mut(dependency.group)
                && std::mem::replace(seen, self.round) != self.round
                && let Some(group) = graph.groups.get(dependency.group)
            {
                group.members.iter().for_each(|&member| self.mark(member));
            }
        }
    }

    fn mark(&mut self, instance: usize) {
        self.steps += 1;
        if let Some(seen) = self.instances.get_mut(instance)
            && std::mem::replace(seen, self.round) != self.round
        {
            self.todo.push(instance);
        }
    }
}
