//! Reading playbooks and the playbooks they import.

use std::sync::Arc;

use super::super::tree::{Tree, extension, normalize, parent};
use super::super::value::{Map, Value, is_template};
use super::super::yaml;
use crate::topology::{Reason, Unresolved};

/// Deepest chain of imports.
const MAX_DEPTH: usize = 32;
/// Most plays of one playbook, imports included.
const MAX_PLAYS: usize = 20_000;

/// A play as it is written.
#[derive(Clone, Debug)]
pub struct Play {
    /// The file that holds it.
    pub file: Arc<str>,
    pub body: Arc<Map>,
    /// Conditions of the imports that lead here.
    pub when: Vec<Value>,
    /// Variables given with the imports.
    pub vars: Map,
}

/// The plays of a playbook in order. What cannot be read is reported and left out.
pub fn load(tree: &Tree, path: &str, unresolved: &mut Vec<Unresolved>) -> Vec<Play> {
    let mut plays = Vec::new();
    let mut open = vec![path.to_owned()];
    read(tree, path, &[], &Map::new(), &mut plays, &mut open, unresolved);
    plays
}

fn read(
    tree: &Tree,
    path: &str,
    when: &[Value],
    vars: &Map,
    plays: &mut Vec<Play>,
    open: &mut Vec<String>,
    unresolved: &mut Vec<Unresolved>,
) {
    let entry = |reference: &str, reason| Unresolved {
        src: path.to_owned(),
        reference: reference.to_owned(),
        reason,
        at: None,
    };
    let Some(bytes) = tree.bytes(path) else {
        unresolved.push(entry("playbook", Reason::External));
        return;
    };
    if yaml::is_vault(bytes) {
        unresolved.push(entry("playbook", Reason::Vault));
        return;
    }
    let Ok(Value::List(items)) = yaml::load(bytes) else {
        unresolved.push(entry("playbook", Reason::Broken));
        return;
    };
    let file: Arc<str> = Arc::from(path);
    for item in items.iter() {
        let Value::Map(body) = item else {
            unresolved.push(entry("play", Reason::Broken));
            continue;
        };
        let import = ["import_playbook", "ansible.builtin.import_playbook", "include"]
            .iter()
            .find_map(|key| body.get(*key));
        let Some(import) = import.filter(|_| !body.contains_key("hosts")) else {
            if body.contains_key("hosts") && plays.len() < MAX_PLAYS {
                plays.push(Play {
                    file: file.clone(),
                    body: body.clone(),
                    when: when.to_vec(),
                    vars: vars.clone(),
                });
            }
            continue;
        };
        let target = import
            .as_str()
            .filter(|text| !is_template(text))
            .and_then(|text| normalize(parent(path), text));
        let Some(target) = target else {
            unresolved.push(entry("import_playbook", Reason::Dynamic));
            continue;
        };
        if open.contains(&target) || open.len() >= MAX_DEPTH {
            unresolved.push(entry("import_playbook", Reason::Unsupported));
            continue;
        }
        if !tree.is_file(&target) {
            unresolved.push(entry(&target, Reason::External));
            continue;
        }
        let mut inner = when.to_vec();
        inner.extend(body.get("when").into_iter().flat_map(Value::listed));
        let mut inner_vars = vars.clone();
        inner_vars.extend(body.get("vars").and_then(Value::as_map).cloned().unwrap_or_default());
        open.push(target.clone());
        read(tree, &target, &inner, &inner_vars, plays, open, unresolved);
        open.pop();
    }
}

/// Whether a file reads as a playbook: a list with at least one play or import.
pub fn is_playbook(tree: &Tree, path: &str) -> bool {
    let folders = [
        "roles",
        "tasks",
        "handlers",
        "templates",
        "vars",
        "defaults",
        "meta",
        "group_vars",
        "host_vars",
        "files",
        "molecule",
        "tests",
        "collections",
        "library",
    ];
    let inner = path
        .split('/')
        .rev()
        .skip(1)
        .any(|part| folders.contains(&part) || part.starts_with('.'));
    if inner || !matches!(extension(path), ".yml" | ".yaml") {
        return false;
    }
    let play = |item: &Value| {
        item.get("import_playbook").is_some()
            || item.get("ansible.builtin.import_playbook").is_some()
            || item.get("hosts").is_some()
    };
    tree.bytes(path)
        .and_then(|bytes| yaml::load(bytes).ok())
        .is_some_and(|data| data.as_list().is_some_and(|items| items.iter().any(play)))
}
