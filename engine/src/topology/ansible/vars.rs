//! Variables of hosts: inventory, `group_vars`, `host_vars`, in Ansible's order.
//!
//! Low to high, as ansible-core 2.19 computes it: inventory variables of `all`, then of the other groups; files of `all`
//! beside the inventory, then beside the playbook; files of the other groups, likewise; inventory variables of the host;
//! files of the host, likewise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::inventory::Inventory;
use super::tree::{Tree, extension, join};
use super::value::{Map, Value, combine};
use super::yaml;
use crate::topology::{Reason, Unresolved};

/// Deepest nesting of folders of variables.
const MAX_DEPTH: usize = 16;

/// The variables of one inventory beside one playbook folder.
#[derive(Debug)]
pub struct HostVars {
    tree: Arc<Tree>,
    inventory: Arc<Inventory>,
    /// Folders that may hold `group_vars` and `host_vars`: the inventory's, the playbook's.
    dirs: Vec<String>,
    /// `hash_behaviour = merge` in ansible.cfg.
    deep: bool,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    files: HashMap<(bool, usize, Arc<str>), Arc<Map>>,
    hosts: HashMap<Arc<str>, Arc<Map>>,
    unresolved: Vec<Unresolved>,
}

impl HostVars {
    pub fn new(tree: Arc<Tree>, inventory: Arc<Inventory>, dirs: Vec<String>, deep: bool) -> HostVars {
        HostVars {
            tree,
            inventory,
            dirs,
            deep,
            cache: Mutex::default(),
        }
    }

    /// The variables of a host, templates as they are written. Empty for `localhost` where the inventory lacks it.
    pub fn of(&self, host: &str) -> Arc<Map> {
        if let Some(known) = self.lock().hosts.get(host) {
            return known.clone();
        }
        let groups = self.inventory.groups_of(host);
        let mut vars = Map::new();
        let all: Arc<str> = Arc::from("all");
        for group in std::iter::once(&all).chain(&groups) {
            if let Some(group) = self.inventory.groups.get(group) {
                combine(&mut vars, &group.vars, self.deep);
            }
        }
        for dir in 0..self.dirs.len() {
            combine(&mut vars, &self.files(true, dir, &all), self.deep);
        }
        for dir in 0..self.dirs.len() {
            for group in &groups {
                combine(&mut vars, &self.files(true, dir, group), self.deep);
            }
        }
        if let Some((name, known)) = self.inventory.hosts.get_key_value(host) {
            combine(&mut vars, &known.vars, self.deep);
            for dir in 0..self.dirs.len() {
                combine(&mut vars, &self.files(false, dir, name), self.deep);
            }
        }
        let vars = Arc::new(vars);
        self.lock().hosts.insert(Arc::from(host), vars.clone());
        vars
    }

    /// Variables of one group alone, `all` left out where it is another: inventory and files.
    pub fn of_group(&self, group: &Arc<str>) -> Map {
        let mut vars = self
            .inventory
            .groups
            .get(group)
            .map(|group| group.vars.clone())
            .unwrap_or_default();
        for dir in 0..self.dirs.len() {
            combine(&mut vars, &self.files(true, dir, group), self.deep);
        }
        vars
    }

    /// Variables written for one host alone: inventory and files.
    pub fn of_host_alone(&self, host: &Arc<str>) -> Map {
        let mut vars = self
            .inventory
            .hosts
            .get(host)
            .map(|host| host.vars.clone())
            .unwrap_or_default();
        for dir in 0..self.dirs.len() {
            combine(&mut vars, &self.files(false, dir, host), self.deep);
        }
        vars
    }

    /// Files of variables that could not be read so far.
    pub fn unresolved(&self) -> Vec<Unresolved> {
        self.lock().unresolved.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self, group: bool, dir: usize, name: &Arc<str>) -> Arc<Map> {
        let key = (group, dir, name.clone());
        if let Some(known) = self.lock().files.get(&key) {
            return known.clone();
        }
        let mut vars = Map::new();
        let mut unresolved = Vec::new();
        let base = self.dirs.get(dir).map_or("", String::as_str);
        let folder = join(base, if group { "group_vars" } else { "host_vars" });
        for path in vars_files(&self.tree, &folder, name) {
            match load_vars(&self.tree, &path) {
                Ok(more) => combine(&mut vars, &more, self.deep),
                Err(entry) => unresolved.push(entry),
            }
        }
        let vars = Arc::new(vars);
        let mut cache = self.lock();
        cache.unresolved.extend(unresolved);
        cache.files.insert(key, vars.clone());
        vars
    }
}

/// Reads a file of variables: a mapping, or nothing.
pub fn load_vars(tree: &Tree, path: &str) -> Result<Map, Unresolved> {
    let entry = |reason| Unresolved {
        src: path.to_owned(),
        reference: "variables".to_owned(),
        reason,
        at: None,
    };
    let bytes = tree.bytes(path).ok_or_else(|| entry(Reason::Broken))?;
    if yaml::is_vault(bytes) {
        return Err(entry(Reason::Vault));
    }
    match yaml::load(bytes) {
        Ok(Value::Map(map)) => Ok(map.as_ref().clone()),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(entry(Reason::Broken)),
    }
}

/// The files of a name in a folder: `<name>`, which may be a folder, else `<name>.yml`, `.yaml`, `.json`. The first that
/// exists ends the search.
fn vars_files(tree: &Tree, folder: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    if name.starts_with('/') {
        return found;
    }
    for ending in ["", ".yml", ".yaml", ".json"] {
        let path = join(folder, &format!("{name}{ending}"));
        if tree.is_dir(&path) {
            walk(tree, &path, &mut found, 0);
            break;
        }
        if tree.is_file(&path) {
            found.push(path);
            break;
        }
    }
    found
}

fn walk(tree: &Tree, dir: &str, found: &mut Vec<String>, depth: usize) {
    for (name, folder) in tree.list(dir) {
        if name.starts_with('.') || name.ends_with('~') || depth > MAX_DEPTH {
            continue;
        }
        let path = join(dir, name);
        match (folder, extension(name)) {
            (true, "") => walk(tree, &path, found, depth + 1),
            (false, "" | ".yml" | ".yaml" | ".json") => found.push(path),
            _ => {}
        }
    }
}
