//! Which inventories and playbooks a checkout has.

use super::inventory::is_inventory_file;
use super::playbook::is_playbook;
use super::tree::{Tree, extension, parent};
use super::yaml;

/// Paths of a checkout, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    pub inventories: Vec<String>,
    pub playbooks: Vec<String>,
    /// YAML files outside of roles and folders of variables that do not parse: some may be playbooks.
    pub broken: Vec<String>,
}

/// Looks through a tree by reading its files: names alone say little.
pub fn discover(tree: &Tree) -> Discovered {
    let mut found = Discovered::default();
    for path in tree.paths() {
        if is_playbook(tree, path) {
            found.playbooks.push(path.to_owned());
        } else if is_inventory_file(tree, path) {
            found.inventories.push(path.to_owned());
        } else if is_broken(tree, path) {
            found.broken.push(path.to_owned());
        }
    }
    found
}

fn is_broken(tree: &Tree, path: &str) -> bool {
    let inner = ["templates", "files", "collections", "molecule"];
    let yaml = matches!(extension(path), ".yml" | ".yaml") && !path.split('/').any(|part| inner.contains(&part));
    yaml && !path.starts_with('.')
        && tree
            .bytes(path)
            .is_some_and(|bytes| !yaml::is_vault(bytes) && yaml::load(bytes).is_err())
}

/// The folder that counts as the playbooks': that of the playbook nearest to the root.
pub fn playbook_dir(playbooks: &[String]) -> &str {
    let depth = |path: &&String| path.matches('/').count();
    playbooks.iter().min_by_key(depth).map_or("", |path| parent(path))
}
