//! Which files are inventories, and reading them.

use std::sync::Arc;

use super::super::tree::{Tree, extension, file_name, join};
use super::super::yaml as yaml_file;
use super::model::Inventory;
use super::withheld::{Withheld, is_yaml};
use super::{ini, yaml};
use crate::topology::{Reason, TopologyError, Unresolved};

/// Name of the format in errors.
pub(super) const FORMAT: &str = "ansible inventory";

/// Extensions that a folder of inventories leaves out, as ansible-core does by default.
const IGNORED: &[&str] = &[
    ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
];
/// Deepest nesting of folders.
const MAX_DEPTH: usize = 16;

/// Reads a file, or a folder of files in sorted order. In a folder, a file that cannot be read, or that
/// is no static inventory, is reported in `unresolved` and left out; the same file named alone is an error.
pub fn load(tree: &Tree, path: &str, unresolved: &mut Vec<Unresolved>) -> Result<Inventory, TopologyError> {
    let mut inventory = Inventory::default();
    if tree.is_file(path) {
        read_file(tree, path, &mut inventory)?;
    } else if tree.is_dir(path) {
        read_folder(tree, path, &mut inventory, unresolved, 0)?;
    } else {
        return Err(TopologyError::UnknownFormat(
            "the inventory is no file and no folder of the tree",
        ));
    }
    inventory.finish()?;
    Ok(inventory)
}

fn read_folder(
    tree: &Tree,
    dir: &str,
    inventory: &mut Inventory,
    unresolved: &mut Vec<Unresolved>,
    depth: usize,
) -> Result<(), TopologyError> {
    if depth > MAX_DEPTH {
        return Err(TopologyError::Limit {
            what: "levels of nested inventory folders",
            limit: MAX_DEPTH,
        });
    }
    for (name, folder) in tree.list(dir) {
        let ignored = name.starts_with('.') || IGNORED.iter().any(|ending| name.ends_with(ending));
        if ignored || matches!(name, "host_vars" | "group_vars" | "vars_plugins") {
            continue;
        }
        let path = join(dir, name);
        if folder {
            read_folder(tree, &path, inventory, unresolved, depth + 1)?;
            continue;
        }
        if let Some(withheld) = tree.bytes(&path).and_then(|bytes| Withheld::of(&path, bytes)) {
            unresolved.push(left_out(&path, withheld.reason()));
            continue;
        }
        let mut trial = inventory.clone();
        match read_file(tree, &path, &mut trial) {
            Ok(()) => *inventory = trial,
            Err(limit @ TopologyError::Limit { .. }) => return Err(limit),
            Err(_) => unresolved.push(left_out(&path, Reason::Broken)),
        }
    }
    Ok(())
}

fn left_out(path: &str, reason: Reason) -> Unresolved {
    Unresolved {
        src: path.to_owned(),
        reference: "inventory".to_owned(),
        reason,
        at: None,
    }
}

/// YAML where the file is a mapping of groups, else INI.
fn read_file(tree: &Tree, path: &str, inventory: &mut Inventory) -> Result<(), TopologyError> {
    let bytes = tree.bytes(path).unwrap_or_default();
    if let Some(withheld) = Withheld::of(path, bytes) {
        return Err(withheld.error());
    }
    let file: Arc<str> = Arc::from(path);
    let by_name = is_yaml(path);
    if by_name || extension(path).is_empty() {
        match yaml_file::load(bytes) {
            Ok(data) if data.as_map().is_some() => return yaml::parse(&data, &file, inventory),
            Err(error) if by_name => return Err(error),
            _ => {}
        }
    }
    let text = std::str::from_utf8(bytes).map_err(|error| TopologyError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    ini::parse(text, &file, inventory)
}

/// Whether the path leaves it open that the file is an inventory: folders of variables, roles and playbooks have none.
pub(super) fn may_be_inventory(path: &str) -> bool {
    let folder = |part: &str| {
        let parts = [
            "group_vars",
            "host_vars",
            "roles",
            "tasks",
            "templates",
            "vars",
            "defaults",
            "handlers",
            "meta",
        ];
        parts.contains(&part) || matches!(part, "files" | "library" | "filter_plugins" | "collections")
    };
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    !hidden && !path.split('/').rev().skip(1).any(folder) && !IGNORED.iter().any(|ending| path.ends_with(ending))
}

/// Whether a file is an INI inventory that speaks of groups which another file of its folder has to define.
pub fn is_half(tree: &Tree, path: &str) -> bool {
    if !may_be_inventory(path) || !matches!(extension(path), "" | ".ini") {
        return false;
    }
    let relates = |line: &str| line.starts_with('[') && line.trim_end().ends_with(":children]");
    tree.text(path).is_some_and(|text| text.lines().any(relates))
        && read_file(tree, path, &mut Inventory::default()).is_err()
}

/// Whether a file reads as an inventory with at least one group or host. Used to find inventories in a checkout.
pub fn is_inventory_file(tree: &Tree, path: &str) -> bool {
    if !may_be_inventory(path) {
        return false;
    }
    let name = file_name(path);
    let Some(bytes) = tree.bytes(path) else { return false };
    match extension(path) {
        ".yml" | ".yaml" | ".json" => yaml_file::load(bytes).is_ok_and(|data| yaml::is_inventory(&data)),
        "" | ".ini" => {
            // A name may hold dots, and hosts need no section: what counts is that it reads, and that it looks like
            // hosts rather than prose or a program's settings.
            let text = std::str::from_utf8(bytes).unwrap_or("");
            let sections = text.lines().filter(|line| line.trim_start().starts_with('[')).count();
            let named = matches!(name, "hosts" | "inventory" | "hosts.ini" | "inventory.ini");
            let mut trial = Inventory::default();
            (sections > 0 || named) && read_file(tree, path, &mut trial).is_ok() && !trial.hosts.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
