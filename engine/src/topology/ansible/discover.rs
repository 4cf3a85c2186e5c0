//! Which inventories and playbooks a checkout has, and which of the inventories count.

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::{Withheld, is_half, is_inventory_file, load};
use super::playbook::is_playbook;
use super::tree::{Tree, extension, join, normalize, parent};
use super::world::setting;
use super::yaml;
use crate::topology::{Reason, Unresolved};

/// Paths of a checkout, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    pub inventories: Vec<String>,
    pub playbooks: Vec<String>,
    /// YAML files outside of roles and folders of variables that do not parse: some may be playbooks.
    pub broken: Vec<String>,
    /// Inventories that cannot be read from the checkout, each with the reason.
    pub withheld: Vec<(String, Reason)>,
}

/// Looks through a tree by reading its files: names alone say little.
pub fn discover(tree: &Tree) -> Discovered {
    let mut found = Discovered::default();
    let mut halves = Vec::new();
    for path in tree.paths() {
        if is_playbook(tree, path) {
            found.playbooks.push(path.to_owned());
        } else if is_inventory_file(tree, path) {
            found.inventories.push(path.to_owned());
        } else if let Some(withheld) = Withheld::found(tree, path) {
            found.withheld.push((path.to_owned(), withheld.reason()));
        } else if is_half(tree, path) {
            halves.push(path);
        } else if is_broken(tree, path) {
            found.broken.push(path.to_owned());
        }
    }
    // A folder that is one inventory has those below it.
    halves.sort_by_key(|path| path.matches('/').count());
    let mut tried = BTreeMap::new();
    for half in halves {
        join_folder(tree, half, &mut tried, &mut found);
    }
    found
}

/// A file that needs the others of its folder: the folder is the inventory, if that helps. Each folder is tried once.
fn join_folder<'a>(
    tree: &Tree,
    half: &'a str,
    tried: &mut BTreeMap<&'a str, Option<BTreeSet<String>>>,
    found: &mut Discovered,
) {
    let dir = parent(half);
    if found.inventories.iter().any(|path| path == dir || is_below(dir, path)) {
        return;
    }
    let left_out = tried.entry(dir).or_insert_with(|| left_out_of(tree, dir));
    if left_out.as_ref().is_none_or(|files| files.contains(half)) {
        found.withheld.push((half.to_owned(), Reason::Undefined));
        return;
    }
    found.inventories.retain(|path| !is_below(path, dir));
    found.withheld.retain(|(path, _)| !is_below(path, dir));
    found.inventories.push(dir.to_owned());
    found.inventories.sort_unstable();
}

/// The files that are left out where the folder is read as one inventory; nothing where it is none.
fn left_out_of(tree: &Tree, dir: &str) -> Option<BTreeSet<String>> {
    let mut left_out = Vec::new();
    // In the root there is everything else, too.
    let whole = !dir.is_empty() && load(tree, dir, &mut left_out).is_ok_and(|inventory| !inventory.hosts.is_empty());
    whole.then(|| left_out.into_iter().map(|file| file.src).collect())
}

/// Which inventories are read where none is named: those that `ansible.cfg` names, else all that were found. What is not
/// read is reported.
pub fn choose(
    tree: &Tree,
    playbook_dir: &str,
    found: Vec<String>,
    withheld: Vec<(String, Reason)>,
    unresolved: &mut Vec<Unresolved>,
) -> Vec<String> {
    let entry = |src: &str, reference: &str, reason| Unresolved {
        src: src.to_owned(),
        reference: reference.to_owned(),
        reason,
        at: None,
    };
    let configured = [playbook_dir, ""]
        .into_iter()
        .find_map(|dir| setting(tree, dir, "inventory").map(|value| (dir, value)));
    let mut named: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut unread = BTreeSet::new();
    if let Some((dir, value)) = configured {
        for path in value.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            // The root holds everything else, too: then what was found there counts.
            let inside = normalize(dir, path)
                .filter(|inside| !path.starts_with(['/', '~']) && (tree.is_file(inside) || tree.is_dir(inside)));
            let Some(inside) = inside else {
                unresolved.push(entry(&join(dir, "ansible.cfg"), path, Reason::External));
                continue;
            };
            if !seen.insert(inside.clone()) {
                continue;
            }
            if inside.is_empty() {
                named.extend(found.iter().filter(|path| seen.insert((*path).clone())).cloned());
            } else if let Some(withheld) = tree.bytes(&inside).and_then(|bytes| Withheld::of(&inside, bytes)) {
                unresolved.push(entry(&inside, "inventory", withheld.reason()));
                unread.insert(inside);
            } else {
                named.push(inside);
            }
        }
    }
    let counts = |path: &str| named.is_empty() || named.iter().any(|dir| path == dir || is_below(path, dir));
    unresolved.extend(
        withheld
            .into_iter()
            // What is named was reported above, or is when it is read.
            .filter(|(path, _)| !unread.contains(path) && !named.iter().any(|dir| path == dir || is_below(path, dir)))
            .map(|(path, reason)| entry(&path, "inventory", reason)),
    );
    let others = found.iter().filter(|path| !counts(path));
    unresolved.extend(others.map(|path| entry(path, "inventory that ansible.cfg does not name", Reason::External)));
    if named.is_empty() { found } else { named }
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
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

#[cfg(test)]
mod tests;
