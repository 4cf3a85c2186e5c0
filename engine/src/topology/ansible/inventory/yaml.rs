//! YAML inventories, after ansible-core's `plugins/inventory/yaml.py`.

use std::sync::Arc;

use super::super::value::{Map, Value};
use super::model::{Inventory, MAX_HOSTS, too_many_hosts};
use super::range::{RangeError, expand};
use crate::topology::TopologyError;

/// Deepest nesting of groups.
const MAX_DEPTH: usize = 64;

/// Whether a parsed file is a YAML inventory: a mapping of groups, not the settings of an inventory plugin.
pub(super) fn is_inventory(data: &Value) -> bool {
    let group = |(name, group): (&Arc<str>, &Value)| {
        let known = |map: &Map| ["hosts", "children", "vars"].iter().any(|key| map.contains_key(*key));
        name.as_ref() == "all" || group.as_map().is_some_and(known)
    };
    data.get("plugin").is_none_or(|plugin| plugin.as_str().is_none())
        && data.as_map().is_some_and(|map| map.iter().any(group))
}

/// Adds what a YAML inventory says to the inventory.
pub(super) fn parse(data: &Value, file: &Arc<str>, inventory: &mut Inventory) -> Result<(), TopologyError> {
    let groups = data.as_map().ok_or(broken("not a mapping of groups"))?;
    for (name, group) in groups {
        parse_group(name, group, file, inventory, 0)?;
    }
    Ok(())
}

fn parse_group(
    name: &str,
    data: &Value,
    file: &Arc<str>,
    inventory: &mut Inventory,
    depth: usize,
) -> Result<(), TopologyError> {
    if depth > MAX_DEPTH {
        return Err(TopologyError::Limit {
            what: "levels of nested groups",
            limit: MAX_DEPTH,
        });
    }
    let body = match data {
        Value::Null => None,
        Value::Map(body) => Some(body),
        // Ansible warns and leaves it out.
        _ => return Ok(()),
    };
    if name.is_empty() {
        return Err(broken("a group without a name"));
    }
    inventory.add_group(name)?;
    for (key, section) in body.into_iter().flat_map(|body| body.iter()) {
        let known = matches!(key.as_ref(), "vars" | "children" | "hosts");
        let single: Map;
        let section = match section {
            Value::Map(section) => section.as_ref(),
            Value::Str(one) if known => {
                single = std::iter::once((one.clone(), Value::Null)).collect();
                &single
            }
            Value::Null => continue,
            _ if known => return Err(broken("hosts, children or vars of a group are no mapping")),
            _ => continue,
        };
        match key.as_ref() {
            "vars" => {
                for (key, value) in section {
                    inventory.set_variable(name, key, value.clone());
                }
            }
            "children" => {
                for (child, data) in section {
                    parse_group(child, data, file, inventory, depth + 1)?;
                    if child.as_ref() == name {
                        return Err(broken("a group that is its own child"));
                    }
                    if inventory.groups.contains_key(child) {
                        inventory.link(name, child);
                    }
                }
            }
            "hosts" => {
                for (pattern, vars) in section {
                    parse_host(pattern, vars, name, file, inventory)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn parse_host(
    pattern: &str,
    vars: &Value,
    group: &str,
    file: &Arc<str>,
    inventory: &mut Inventory,
) -> Result<(), TopologyError> {
    let (names, port) = expand(pattern, MAX_HOSTS).map_err(|error| match error {
        RangeError::Malformed => broken("a host range that is not begin:end[:step]"),
        RangeError::TooMany => too_many_hosts(),
    })?;
    for host in names {
        inventory.add_host(&host, group, file, port)?;
        for (key, value) in vars.as_map().into_iter().flatten() {
            inventory.set_host_variable(&host, key, value.clone());
        }
    }
    Ok(())
}

fn broken(what: &'static str) -> TopologyError {
    TopologyError::Syntax {
        format: super::source::FORMAT,
        line: 0,
        column: 0,
        what,
    }
}
