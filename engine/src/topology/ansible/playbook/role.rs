//! Roles: where they are, and what they bring.

use std::sync::Arc;

use super::super::tree::{Tree, join, normalize, parent};
use super::super::value::{Map, Value};
use super::super::vars::load_vars;
use super::super::world::{World, setting};
use super::super::yaml;
use crate::topology::Unresolved;

/// A role as a play or another role names it.
#[derive(Clone, Debug)]
pub(super) struct RoleRef {
    pub name: Value,
    /// Variables given with the role, which are above all others.
    pub params: Map,
    pub when: Vec<Value>,
}

/// Keys of a role entry that are no parameters.
const KEYWORDS: &[&str] = &[
    "role",
    "name",
    "src",
    "version",
    "scm",
    "vars",
    "tags",
    "when",
    "become",
    "become_user",
    "become_method",
    "delegate_to",
    "environment",
    "no_log",
    "ignore_errors",
    "collections",
    "any_errors_fatal",
    "connection",
    "remote_user",
];

/// Reads `roles:` or `dependencies:`.
pub(super) fn refs(value: Option<&Value>) -> Vec<RoleRef> {
    let mut found = Vec::new();
    for item in value.map(Value::listed).unwrap_or_default() {
        match &item {
            Value::Str(_) => found.push(RoleRef {
                name: item,
                params: Map::new(),
                when: Vec::new(),
            }),
            Value::Map(map) => {
                let Some(name) = ["role", "name", "src"].iter().find_map(|key| map.get(*key)) else {
                    continue;
                };
                let mut params: Map = map.get("vars").and_then(Value::as_map).cloned().unwrap_or_default();
                let plain = map.iter().filter(|(key, _)| !KEYWORDS.contains(&key.as_ref()));
                params.extend(plain.map(|(key, value)| (key.clone(), value.clone())));
                let when = map.get("when").map(Value::listed).unwrap_or_default();
                found.push(RoleRef {
                    name: name.clone(),
                    params,
                    when,
                });
            }
            _ => {}
        }
    }
    found
}

/// A role that was found.
#[derive(Debug)]
pub(super) struct Role {
    pub name: String,
    /// Folder in the tree.
    pub path: String,
    pub defaults: Arc<Map>,
    pub vars: Arc<Map>,
    pub dependencies: Vec<RoleRef>,
}

/// The folder of a role: `roles` beside the playbook, `roles_path` of ansible.cfg, beside the playbook itself, beside the
/// role that names it, or a collection of the tree.
pub(super) fn find(world: &World, name: &str, playbook: &str, from_role: Option<&str>) -> Option<String> {
    let tree = &world.tree;
    let dir = parent(playbook);
    let mut places = vec![join(dir, "roles"), join(&world.playbook_dir, "roles")];
    for config in ["", dir, &world.playbook_dir] {
        let paths = setting(tree, config, "roles_path").unwrap_or_default();
        places.extend(
            paths
                .split(':')
                .filter(|path| !path.starts_with(['~', '/']))
                .filter_map(|path| normalize(config, path.trim())),
        );
    }
    places.extend(from_role.map(|path| parent(path).to_owned()));
    places.extend([dir.to_owned(), "roles".to_owned()]);
    if let [namespace, collection, role] = name.split('.').collect::<Vec<_>>().as_slice() {
        let below = format!("collections/ansible_collections/{namespace}/{collection}/roles");
        for base in [dir, ""] {
            let path = join(&join(base, &below), role);
            if tree.is_dir(&path) {
                return Some(path);
            }
        }
    }
    let named = places.iter().filter_map(|place| normalize(place, name));
    let direct = world.tree_path(dir, name).filter(|_| name.contains('/'));
    named.chain(direct).find(|path| !path.is_empty() && is_role(tree, path))
}

fn is_role(tree: &Tree, path: &str) -> bool {
    ["tasks", "defaults", "vars", "meta", "templates", "handlers", "files"]
        .iter()
        .any(|part| tree.is_dir(&join(path, part)))
}

/// Reads a role; files that cannot be read are reported.
pub(super) fn read(tree: &Tree, name: &str, path: &str, from: (&str, &str), unresolved: &mut Vec<Unresolved>) -> Role {
    let mut vars = |folder: &str, file: &str| {
        let mut all = Map::new();
        for file in main_files(tree, &join(path, folder), file) {
            match load_vars(tree, &file) {
                Ok(more) => all.extend(more),
                Err(entry) => unresolved.push(entry),
            }
        }
        Arc::new(all)
    };
    let (defaults, vars) = (vars("defaults", from.0), vars("vars", from.1));
    let meta = main_files(tree, &join(path, "meta"), "main");
    let meta = meta
        .first()
        .and_then(|file| tree.bytes(file))
        .and_then(|bytes| yaml::load(bytes).ok());
    let dependencies = refs(meta.as_ref().and_then(|meta| meta.get("dependencies")));
    Role {
        name: name.to_owned(),
        path: path.to_owned(),
        defaults,
        vars,
        dependencies,
    }
}

/// `main.yml`, `main.yaml`, `main.json` or `main`; the files of a folder `main`.
pub(super) fn main_files(tree: &Tree, folder: &str, name: &str) -> Vec<String> {
    let stem = join(folder, name);
    for ending in [".yml", ".yaml", ".json", ""] {
        let path = format!("{stem}{ending}");
        if tree.is_file(&path) {
            return vec![path];
        }
    }
    let inside = tree
        .list(&stem)
        .into_iter()
        .filter(|(name, dir)| !dir && !name.starts_with('.'));
    inside.map(|(name, _)| join(&stem, name)).collect()
}
