//! INI inventories, after ansible-core's `plugins/inventory/ini.py`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::model::{Inventory, MAX_HOSTS, too_many_hosts};
use super::range::{RangeError, expand};
use super::{literal, shell};
use crate::topology::TopologyError;

/// What the lines of a section define.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hosts,
    Children,
    Vars,
}

/// Adds what an INI file says to the inventory. Errors name the line, never its text: it may hold a password.
pub(super) fn parse(text: &str, file: &Arc<str>, inventory: &mut Inventory) -> Result<(), TopologyError> {
    let mut group = String::from("ungrouped");
    let mut kind = Kind::Hosts;
    // Named, but not yet declared: (line, parents that wait for it; none for a `:vars` section).
    let mut pending: IndexMap<String, (usize, Vec<String>)> = IndexMap::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some((name, section)) = section(line) {
            kind = match section {
                None | Some("hosts") => Kind::Hosts,
                Some("children") => Kind::Children,
                Some("vars") => Kind::Vars,
                Some(_) => return Err(syntax(number, "a section of unknown type")),
            };
            group = name.to_owned();
            if !inventory.groups.contains_key(name) {
                if kind == Kind::Vars && !pending.contains_key(name) {
                    pending.insert(group.clone(), (number, Vec::new()));
                }
                inventory.add_group(name)?;
            }
            if kind != Kind::Vars
                && let Some((_, parents)) = pending.shift_remove(name)
            {
                for parent in parents {
                    link(inventory, &parent, name, number)?;
                }
            }
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') {
            return Err(syntax(number, "a section with a name that is not allowed"));
        }
        match kind {
            Kind::Hosts => host_line(line, number, &group, file, inventory)?,
            Kind::Vars => {
                let (key, value) = line.split_once('=').ok_or(syntax(number, "a variable without ="))?;
                inventory.set_variable(&group, key.trim(), literal::value(value.trim()));
            }
            Kind::Children => {
                let child = group_name(line).ok_or(syntax(number, "a child that is no group name"))?;
                if inventory.groups.contains_key(child) {
                    link(inventory, &group, child, number)?;
                } else {
                    pending
                        .entry(child.to_owned())
                        .or_insert((number, Vec::new()))
                        .1
                        .push(group.clone());
                }
            }
        }
    }
    match pending.first() {
        Some((_, (line, _))) => Err(syntax(*line, "a group that is defined nowhere")),
        None => Ok(()),
    }
}

fn link(inventory: &mut Inventory, parent: &str, child: &str, line: usize) -> Result<(), TopologyError> {
    if parent == child {
        return Err(syntax(line, "a group that is its own child"));
    }
    inventory.link(parent, child);
    Ok(())
}

/// `[name]` or `[name:type]`, a comment may follow.
fn section(line: &str) -> Option<(&str, Option<&str>)> {
    let inner = line.strip_prefix('[')?;
    let close = inner.find(']')?;
    let after = inner.get(close + 1..)?.trim_start();
    if !(after.is_empty() || after.starts_with('#')) {
        return None;
    }
    let inner = inner.get(..close)?;
    let (name, kind) = match inner.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (inner, None),
    };
    let name_ok = !name.is_empty() && !name.contains(char::is_whitespace);
    let kind_ok = kind.is_none_or(|kind| !kind.is_empty() && kind.chars().all(|c| c.is_alphanumeric() || c == '_'));
    (name_ok && kind_ok).then_some((name, kind))
}

/// A group name in a `:children` section; a comment may follow after a blank.
fn group_name(line: &str) -> Option<&str> {
    let (name, after) = match line.find(char::is_whitespace) {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let after = after.trim_start();
    let ok = !name.contains([':', ']']) && (after.is_empty() || after.starts_with('#'));
    ok.then_some(name)
}

fn host_line(
    line: &str,
    number: usize,
    group: &str,
    file: &Arc<str>,
    inventory: &mut Inventory,
) -> Result<(), TopologyError> {
    let words = shell::split(line).ok_or(syntax(number, "a quotation that is not closed"))?;
    let Some((pattern, assignments)) = words.split_first() else {
        return Ok(());
    };
    let (names, port) = expand(pattern, MAX_HOSTS).map_err(|error| match error {
        RangeError::Malformed => syntax(number, "a host range that is not begin:end[:step]"),
        RangeError::TooMany => too_many_hosts(),
    })?;
    let mut vars = Vec::with_capacity(assignments.len());
    for word in assignments {
        let (key, value) = word
            .split_once('=')
            .ok_or(syntax(number, "a host variable without ="))?;
        vars.push((key, literal::value(value)));
    }
    for name in names {
        if name.trim() == "---" {
            return Err(syntax(number, "a YAML file, not an INI inventory"));
        }
        inventory.add_host(&name, group, file, port)?;
        for (key, value) in &vars {
            inventory.set_host_variable(&name, key, value.clone());
        }
    }
    Ok(())
}

fn syntax(line: usize, what: &'static str) -> TopologyError {
    TopologyError::Syntax {
        format: super::source::FORMAT,
        line,
        column: 0,
        what,
    }
}
