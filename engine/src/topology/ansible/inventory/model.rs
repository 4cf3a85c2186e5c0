//! Hosts and groups, and who contains whom.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use super::super::value::{Map, Value, combine};
use crate::topology::TopologyError;

/// Most hosts of one inventory, ranges included.
pub const MAX_HOSTS: usize = 100_000;
/// Most groups of one inventory.
const MAX_GROUPS: usize = 20_000;
/// Most memberships of hosts in groups, inherited ones included.
const MAX_MEMBERSHIPS: usize = 5_000_000;

/// Hosts by group, inherited ones included.
pub type Members = IndexMap<Arc<str>, Arc<Vec<Arc<str>>>>;

/// A group of hosts.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Hosts named in the group itself, in the order of the file.
    pub hosts: Vec<Arc<str>>,
    /// Groups named as children, in the order of the file.
    pub children: Vec<Arc<str>>,
    /// Variables of the group in the inventory file.
    pub vars: Map,
    /// `ansible_group_priority`, 1 unless set.
    pub priority: i64,
    /// Longest way from `all`, which has 0. Set by [`Inventory::finish`].
    pub depth: usize,
    members: HashSet<Arc<str>>,
    parents: Vec<Arc<str>>,
}

/// A host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Variables of the host in the inventory file; `ansible_port` where the name has a port.
    pub vars: Map,
    /// The file that named it first.
    pub file: Arc<str>,
    /// Groups that name it, without their ancestors.
    groups: Vec<Arc<str>>,
}

/// Hosts and groups in the order in which the files name them.
#[derive(Clone, Debug)]
pub struct Inventory {
    pub groups: IndexMap<Arc<str>, Group>,
    pub hosts: IndexMap<Arc<str>, Host>,
}

impl Default for Inventory {
    fn default() -> Inventory {
        let mut inventory = Inventory {
            groups: IndexMap::new(),
            hosts: IndexMap::new(),
        };
        for name in ["all", "ungrouped"] {
            inventory.groups.insert(
                Arc::from(name),
                Group {
                    priority: 1,
                    ..Group::default()
                },
            );
        }
        inventory.link("all", "ungrouped");
        inventory
    }
}

impl Inventory {
    /// Adds a group unless it is there.
    pub fn add_group(&mut self, name: &str) -> Result<(), TopologyError> {
        if self.groups.contains_key(name) {
            return Ok(());
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(TopologyError::Limit {
                what: "groups in an inventory",
                limit: MAX_GROUPS,
            });
        }
        self.groups.insert(
            Arc::from(name),
            Group {
                priority: 1,
                ..Group::default()
            },
        );
        Ok(())
    }

    /// Adds a host unless it is there, and puts it into a group that exists. A port counts where the host is new.
    pub fn add_host(
        &mut self,
        name: &str,
        group: &str,
        file: &Arc<str>,
        port: Option<u16>,
    ) -> Result<(), TopologyError> {
        if !self.hosts.contains_key(name) {
            if self.hosts.len() >= MAX_HOSTS {
                return Err(too_many_hosts());
            }
            let mut host = Host {
                file: file.clone(),
                ..Host::default()
            };
            if let Some(port) = port {
                host.vars.insert(Arc::from("ansible_port"), Value::Int(port.into()));
            }
            self.hosts.insert(Arc::from(name), host);
        }
        if let (Some((_, name, host)), Some((_, group_name, group))) =
            (self.hosts.get_full_mut(name), self.groups.get_full_mut(group))
            && group.members.insert(name.clone())
        {
            group.hosts.push(name.clone());
            host.groups.push(group_name.clone());
        }
        Ok(())
    }

    /// Makes a group the child of another. Both exist.
    pub fn link(&mut self, parent: &str, child: &str) {
        let (Some((parent_name, _)), Some((child_name, _))) =
            (self.groups.get_key_value(parent), self.groups.get_key_value(child))
        else {
            return;
        };
        let (parent_name, child_name) = (parent_name.clone(), child_name.clone());
        if let Some(group) = self.groups.get_mut(child) {
            if group.parents.contains(&parent_name) {
                return;
            }
            group.parents.push(parent_name);
        }
        if let Some(group) = self.groups.get_mut(parent) {
            group.children.push(child_name);
        }
    }

    /// Sets a variable of a group that exists.
    pub fn set_variable(&mut self, group: &str, key: &str, value: Value) {
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        if key == "ansible_group_priority" {
            group.priority = match &value {
                Value::Int(number) => *number,
                Value::Str(text) => text.trim().parse().unwrap_or(group.priority),
                _ => group.priority,
            };
            return;
        }
        set(&mut group.vars, key, value);
    }

    /// Sets a variable of a host that exists.
    pub fn set_host_variable(&mut self, host: &str, key: &str, value: Value) {
        if let Some(host) = self.hosts.get_mut(host) {
            set(&mut host.vars, key, value);
        }
    }

    /// Hangs loose groups below `all`, sorts out `ungrouped`, and sets depths. Fails where groups contain each other.
    pub fn finish(&mut self) -> Result<(), TopologyError> {
        let loose: Vec<Arc<str>> = self
            .groups
            .iter()
            .filter(|(name, group)| name.as_ref() != "all" && group.parents.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        for name in &loose {
            self.link("all", name);
        }
        self.sort_out_ungrouped();
        self.set_depths()
    }

    fn sort_out_ungrouped(&mut self) {
        let mut join = Vec::new();
        let mut leave = HashSet::new();
        for (name, host) in &self.hosts {
            let elsewhere = host
                .groups
                .iter()
                .any(|group| !matches!(group.as_ref(), "all" | "ungrouped"));
            let inside = host.groups.iter().any(|group| group.as_ref() == "ungrouped");
            if elsewhere && inside {
                leave.insert(name.clone());
            } else if !elsewhere && !inside {
                join.push(name.clone());
            }
        }
        let Some(ungrouped) = self.groups.get_mut("ungrouped") else {
            return;
        };
        ungrouped.hosts.retain(|name| !leave.contains(name));
        ungrouped.hosts.extend(join.iter().cloned());
        ungrouped.members = ungrouped.hosts.iter().cloned().collect();
        let name: Arc<str> = Arc::from("ungrouped");
        for host in &leave {
            if let Some(host) = self.hosts.get_mut(host) {
                host.groups.retain(|group| *group != name);
            }
        }
        for host in &join {
            if let Some(host) = self.hosts.get_mut(host) {
                host.groups.push(name.clone());
            }
        }
    }

    /// Visits groups after all their parents; what is left has a cycle.
    fn set_depths(&mut self) -> Result<(), TopologyError> {
        let mut waiting: IndexMap<Arc<str>, usize> = self
            .groups
            .iter()
            .map(|(name, group)| (name.clone(), group.parents.len()))
            .collect();
        let mut ready: Vec<Arc<str>> = waiting
            .iter()
            .filter(|(_, parents)| **parents == 0)
            .map(|(name, _)| name.clone())
            .collect();
        let mut visited = 0;
        while let Some(name) = ready.pop() {
            visited += 1;
            let Some(group) = self.groups.get(&name) else { continue };
            let (depth, children) = (group.depth + 1, group.children.clone());
            for child in children {
                if let Some(group) = self.groups.get_mut(&child) {
                    group.depth = group.depth.max(depth);
                }
                if let Some(parents) = waiting.get_mut(&child) {
                    *parents -= 1;
                    if *parents == 0 {
                        ready.push(child);
                    }
                }
            }
        }
        if visited < self.groups.len() {
            return Err(TopologyError::Syntax {
                format: super::source::FORMAT,
                line: 0,
                column: 0,
                what: "groups contain each other in a circle",
            });
        }
        Ok(())
    }

    /// Hosts of every group, inherited ones included: the `groups` variable. The order is Ansible's: the group's own
    /// hosts, then those of its children, then of theirs.
    pub fn members(&self) -> Result<Members, TopologyError> {
        let mut all = IndexMap::with_capacity(self.groups.len());
        let mut budget = MAX_MEMBERSHIPS;
        for name in self.groups.keys() {
            let mut hosts: indexmap::IndexSet<Arc<str>> = indexmap::IndexSet::new();
            let mut seen: HashSet<&str> = HashSet::from([name.as_ref()]);
            let mut level: Vec<&str> = vec![name];
            while !level.is_empty() {
                let mut next = Vec::new();
                for group in level.iter().filter_map(|name| self.groups.get(*name)) {
                    let spent = 1 + group.hosts.len() + group.children.len();
                    budget = budget.checked_sub(spent).ok_or(TopologyError::Limit {
                        what: "memberships of hosts in groups",
                        limit: MAX_MEMBERSHIPS,
                    })?;
                    hosts.extend(group.hosts.iter().cloned());
                    next.extend(
                        group
                            .children
                            .iter()
                            .map(AsRef::as_ref)
                            .filter(|child| seen.insert(child)),
                    );
                }
                level = next;
            }
            all.insert(name.clone(), Arc::new(hosts.into_iter().collect()));
        }
        Ok(all)
    }

    /// Groups of a host with all ancestors, `all` left out, in the order in which their variables apply: depth, then
    /// priority, then name.
    pub fn groups_of(&self, host: &str) -> Vec<Arc<str>> {
        let mut found: HashSet<Arc<str>> = HashSet::new();
        let mut open: Vec<Arc<str>> = self.hosts.get(host).map(|host| host.groups.clone()).unwrap_or_default();
        while let Some(name) = open.pop() {
            if found.insert(name.clone())
                && let Some(group) = self.groups.get(&name)
            {
                open.extend(group.parents.iter().cloned());
            }
        }
        let mut sorted: Vec<Arc<str>> = found.into_iter().filter(|name| name.as_ref() != "all").collect();
        sorted.sort_by_cached_key(|name| {
            let group = self.groups.get(name);
            (
                group.map_or(0, |group| group.depth),
                group.map_or(1, |group| group.priority),
                name.clone(),
            )
        });
        sorted
    }
}

/// A second mapping of the same name is joined with the first, as Ansible does; everything else replaces.
fn set(vars: &mut Map, key: &str, value: Value) {
    let deep = vars.get(key).is_some_and(|old| old.as_map().is_some());
    let one: Map = std::iter::once((Arc::from(key), value)).collect();
    combine(vars, &one, deep);
}

pub(super) fn too_many_hosts() -> TopologyError {
    TopologyError::Limit {
        what: "hosts in an inventory",
        limit: MAX_HOSTS,
    }
}
