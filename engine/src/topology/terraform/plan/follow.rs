//! From references to resources.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hashbrown::{HashMap, HashSet};

use super::module::{Node, Tree};
use crate::topology::terraform::config::ConfigGraph;
use crate::topology::{Class, Evidence, Reason, TopologyError, Unresolved};

/// Most entries of the sets that expressions lead to.
const MAX_FOLLOWED: usize = 5_000_000;

/// What references lead to: resources with the class of the reference, and what cannot be followed.
#[derive(Clone, Default)]
struct Found {
    resources: BTreeSet<(usize, Class)>,
    lost: BTreeSet<(String, Reason)>,
}

impl Found {
    fn add(&mut self, other: &Found) {
        self.resources.extend(&other.resources);
        self.lost.extend(other.lost.iter().cloned());
    }
}

/// A variable or an output of a module.
type Key<'t> = (usize, bool, &'t str);

struct Follower<'t> {
    tree: &'t Tree,
    names: Vec<String>,
    /// Address without keys -> index into `names`.
    resources: HashMap<String, usize>,
    known: HashMap<Key<'t>, Rc<Found>>,
    size: usize,
}

/// The graph of the configuration, and what could not be followed.
pub fn follow(tree: &Tree) -> Result<(ConfigGraph, Vec<Unresolved>), TopologyError> {
    let mut names = Vec::new();
    let mut resources = HashMap::new();
    for module in &tree.modules {
        for block in &module.resources {
            let name = format!("{}{}", module.prefix, block.name);
            resources.entry(name.clone()).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            });
        }
    }
    let mut follower = Follower {
        tree,
        names,
        resources,
        known: HashMap::new(),
        size: 0,
    };
    let mut edges = vec![BTreeMap::new(); follower.names.len()];
    let mut unresolved = Vec::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let around = follower.around(index)?;
        for block in &module.resources {
            let mut found = around.clone();
            for reference in &block.references {
                follower.reference(index, reference, Class::Reference, &mut found)?;
            }
            for reference in &block.depends_on {
                follower.reference(index, reference, Class::DependsOn, &mut found)?;
            }
            follower.count(&found)?;
            let address = format!("{}{}", module.prefix, block.name);
            let Some(&source) = follower.resources.get(&address) else {
                continue;
            };
            let Some(edges) = edges.get_mut(source) else {
                continue;
            };
            for (target, class) in found.resources.into_iter().filter(|&(target, _)| target != source) {
                let evidence = Evidence::new(class);
                edges
                    .entry(target)
                    .and_modify(|known: &mut Evidence| known.merge(evidence.clone()))
                    .or_insert(evidence);
            }
            for (reference, reason) in found.lost {
                unresolved.push(Unresolved {
                    src: address.clone(),
                    reference,
                    reason,
                    at: None,
                });
            }
        }
    }
    Ok((
        ConfigGraph {
            names: follower.names,
            edges,
        },
        unresolved,
    ))
}

impl<'t> Follower<'t> {
    fn module(&self, index: usize) -> Option<&'t Node> {
        self.tree.modules.get(index)
    }

    fn count(&mut self, found: &Found) -> Result<(), TopologyError> {
        self.size += found.resources.len() + found.lost.len() + 1;
        if self.size > MAX_FOLLOWED {
            return Err(TopologyError::Limit {
                what: "references through modules",
                limit: MAX_FOLLOWED,
            });
        }
        Ok(())
    }

    /// What the calls around a module wait for.
    fn around(&mut self, module: usize) -> Result<Found, TopologyError> {
        let mut found = Found::default();
        let mut at = module;
        while let Some(node) = self.module(at)
            && let Some(parent) = node.parent
        {
            for reference in &node.repeats {
                self.reference(parent, reference, Class::Reference, &mut found)?;
            }
            for reference in &node.depends_on {
                self.reference(parent, reference, Class::DependsOn, &mut found)?;
            }
            at = parent;
        }
        Ok(found)
    }

    /// Adds what one reference, written in `module`, leads to.
    fn reference(
        &mut self,
        module: usize,
        reference: &'t str,
        class: Class,
        found: &mut Found,
    ) -> Result<(), TopologyError> {
        let mut words = reference.split(['.', '[']);
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some(node) = self.module(module) else {
            return Ok(());
        };
        match first {
            "each" | "count" | "path" | "terraform" | "self" => {}
            "var" => found.add(&*self.value((module, false, second))?),
            "local" => {
                let local = reference.split(['[']).next().unwrap_or_default();
                let local = local.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
                found.lost.insert((format!("{}{local}", node.prefix), Reason::Local));
            }
            "module" => {
                let Some(&child) = node.children.get(second) else {
                    found
                        .lost
                        .insert((format!("{}module.{second}", node.prefix), Reason::Undefined));
                    return Ok(());
                };
                // A module with count or for_each is named with a key: `module.m[0].out`.
                let output = after_key(reference, first.len() + 1 + second.len());
                if class == Class::DependsOn {
                    self.whole_module(child, found);
                } else if let Some((name, _)) = self.module(child).and_then(|node| node.outputs.get_key_value(output)) {
                    found.add(&*self.value((child, true, name))?);
                } else {
                    for name in self.module(child).into_iter().flat_map(|node| node.outputs.keys()) {
                        found.add(&*self.value((child, true, name))?);
                    }
                }
            }
            _ => {
                let third = if first == "data" { words.next() } else { None };
                let mut address = format!("{}{first}.{second}", node.prefix);
                if let Some(third) = third {
                    address.push('.');
                    address.push_str(third);
                }
                match self.resources.get(&address) {
                    Some(&index) => {
                        found.resources.insert((index, class));
                    }
                    None => {
                        found.lost.insert((address, Reason::Undefined));
                    }
                }
            }
        }
        Ok(())
    }

    /// `depends_on = [module.m]`: all resources inside, at any depth.
    fn whole_module(&self, module: usize, found: &mut Found) {
        let mut todo = vec![module];
        while let Some(node) = todo.pop().and_then(|index| self.module(index)) {
            for block in &node.resources {
                if let Some(&index) = self.resources.get(&format!("{}{}", node.prefix, block.name)) {
                    found.resources.insert((index, Class::ModuleDependsOn));
                }
            }
            todo.extend(node.children.values());
        }
    }

    /// What a variable (from the expression of its call) or an output leads to. Variables and outputs may lead through
    /// each other to any depth, so this keeps its own stack; one that leads to itself adds nothing.
    fn value(&mut self, key: Key<'t>) -> Result<Rc<Found>, TopologyError> {
        let mut stack = vec![key];
        let mut open: HashSet<Key<'t>> = HashSet::new();
        while let Some(&top) = stack.last() {
            if self.known.contains_key(&top) {
                stack.pop();
                continue;
            }
            let (home, references, depends_on) = self.definition(top);
            if open.insert(top) {
                let before = stack.len();
                for inner in references.iter().flat_map(|reference| self.values_of(home, reference)) {
                    if !self.known.contains_key(&inner) && !open.contains(&inner) {
                        stack.push(inner);
                    }
                }
                if stack.len() > before {
                    continue;
                }
            }
            // Everything it leads through is known by now, or part of a circle.
            let mut found = Found::default();
            for reference in references {
                let inner = self.values_of(home, reference);
                if inner.is_empty() {
                    self.reference(home, reference, Class::Reference, &mut found)?;
                }
                inner
                    .iter()
                    .filter_map(|key| self.known.get(key))
                    .for_each(|inner| found.add(inner));
            }
            for reference in depends_on {
                self.reference(home, reference, Class::DependsOn, &mut found)?;
            }
            self.count(&found)?;
            self.known.insert(top, Rc::new(found));
            stack.pop();
        }
        Ok(self.known.get(&key).cloned().unwrap_or_default())
    }

    /// Where the expression of a variable or output stands, and what it refers to.
    fn definition(&self, (module, is_output, name): Key<'t>) -> (usize, &'t [String], &'t [String]) {
        let Some(node) = self.module(module) else {
            return (module, &[], &[]);
        };
        if is_output {
            let block = node.outputs.get(name);
            return (
                module,
                block.map_or(&[], |b| b.references.as_slice()),
                block.map_or(&[], |b| b.depends_on.as_slice()),
            );
        }
        let parent = node.parent.unwrap_or(module);
        (parent, node.variables.get(name).map_or(&[], Vec::as_slice), &[])
    }

    /// The variables and outputs that a reference names.
    fn values_of(&self, module: usize, reference: &'t str) -> Vec<Key<'t>> {
        let mut words = reference.split(['.', '[']);
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match first {
            "var" => vec![(module, false, second)],
            "module" => {
                let child = self.module(module).and_then(|node| node.children.get(second).copied());
                let Some((child, node)) = child.and_then(|child| Some((child, self.module(child)?))) else {
                    return Vec::new();
                };
                match node
                    .outputs
                    .get_key_value(after_key(reference, first.len() + 1 + second.len()))
                {
                    Some((name, _)) => vec![(child, true, name)],
                    None => node.outputs.keys().map(|name| (child, true, name.as_str())).collect(),
                }
            }
            _ => Vec::new(),
        }
    }
}

/// The word after an optional key: `out` of `["k"].out.id`, starting at `at`.
fn after_key(reference: &str, at: usize) -> &str {
    let rest = reference.get(at..).unwrap_or_default();
    let rest = if rest.starts_with('[') {
        rest.split_once(']').map_or("", |(_, rest)| rest)
    } else {
        rest
    };
    let word = rest.strip_prefix('.').unwrap_or_default();
    word.split(['.', '[']).next().unwrap_or_default()
}
