//! One inventory of a checkout with everything that evaluating variables needs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::inventory::{Inventory, Members, load};
use super::tree::{Tree, normalize, parent};
use super::value::{Map, Value};
use super::vars::HostVars;
use crate::topology::{Identity, Role, TopologyError, Unresolved, identity};
use crate::urn::Resource;

/// Connections to an address.
const CONNECTIONS: [&str; 7] = [
    "smart",
    "ssh",
    "ansible.builtin.ssh",
    "paramiko",
    "paramiko_ssh",
    "winrm",
    "psrp",
];
/// Where machines themselves listen: SSH, WinRM.
const PORTS: [i64; 3] = [22, 5985, 5986];

/// An inventory, the playbook folder beside it, and their variables.
#[derive(Debug)]
pub struct World {
    pub tree: Arc<Tree>,
    /// What stands for the tree's root in paths such as `playbook_dir`.
    pub root: String,
    pub inventory: Arc<Inventory>,
    /// Hosts of every group, inherited ones included.
    pub members: Members,
    pub vars: HostVars,
    /// Folder of the playbooks.
    pub playbook_dir: String,
    /// Host by `ansible_host`, where exactly one has it.
    addresses: HashMap<Arc<str>, usize>,
    /// `ansible_host` of hosts that have one as plain text, else the name.
    address_of: Vec<Arc<str>>,
    /// Addresses that several hosts have.
    shared: HashSet<Arc<str>>,
    /// Set when nobody wants the result any more.
    stop: Arc<AtomicBool>,
}

impl World {
    /// Reads an inventory (a file or a folder). `root` stands for the tree's root in paths.
    pub fn load(
        tree: &Arc<Tree>,
        root: &str,
        inventory: &str,
        playbook_dir: &str,
        unresolved: &mut Vec<Unresolved>,
    ) -> Result<World, TopologyError> {
        let dir = if tree.is_file(inventory) {
            parent(inventory)
        } else {
            inventory
        };
        let read = Arc::new(load(tree, inventory, unresolved)?);
        let members = read.members()?;
        let deep = setting(tree, playbook_dir, "hash_behaviour").is_some_and(|value| value == "merge");
        let mut dirs = vec![dir.to_owned()];
        if playbook_dir != dir {
            dirs.push(playbook_dir.to_owned());
        }
        let vars = HostVars::new(tree.clone(), read.clone(), dirs, deep);
        let mut world = World {
            tree: tree.clone(),
            root: root.to_owned(),
            inventory: read,
            members,
            vars,
            playbook_dir: playbook_dir.to_owned(),
            addresses: HashMap::new(),
            address_of: Vec::new(),
            shared: HashSet::new(),
            stop: Arc::default(),
        };
        world.index_addresses();
        Ok(world)
    }

    /// The same, given up when the flag is set.
    pub fn stopped_by(mut self, stop: &Arc<AtomicBool>) -> World {
        self.stop = stop.clone();
        self
    }

    /// Whether nobody wants the result any more.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn index_addresses(&mut self) {
        for (index, name) in self.inventory.hosts.keys().enumerate() {
            let vars = self.vars.of(name);
            let written = ["ansible_host", "ansible_ssh_host"]
                .iter()
                .find_map(|key| plain(&vars, key));
            let address = written.unwrap_or_else(|| name.clone());
            if self.addresses.insert(address.clone(), index).is_some() {
                self.shared.insert(address.clone());
            }
            self.address_of.push(address);
        }
        for address in &self.shared {
            self.addresses.remove(address);
        }
        // A name is found before an address.
        for (index, name) in self.inventory.hosts.keys().enumerate() {
            self.addresses.insert(name.clone(), index);
        }
    }

    /// What the hosts are known as: their names, and the addresses at which Ansible reaches them. One with a port of its own
    /// may be a forwarder's, and the address of a connection that is no network's means something else.
    pub fn identities(&self) -> Vec<Identity> {
        let mut found = Vec::new();
        for (name, address) in self.inventory.hosts.keys().zip(&self.address_of) {
            let vars = self.vars.of(name);
            let says = |keys: [&str; 2]| keys.iter().find_map(|key| vars.get(*key));
            let direct = vars
                .get("ansible_connection")
                .is_none_or(|connection| connection.as_str().is_some_and(|it| CONNECTIONS.contains(&it)))
                && says(["ansible_port", "ansible_ssh_port"]).is_none_or(|port| match port {
                    Value::Int(port) => PORTS.contains(port),
                    other => other
                        .as_str()
                        .and_then(|port| port.parse().ok())
                        .is_some_and(|port: i64| PORTS.contains(&port)),
                });
            let reached = identity::machine_at(address).filter(|_| direct);
            let own = Resource::host(name).urn;
            found.extend(
                [Some(own.clone()), reached]
                    .into_iter()
                    .flatten()
                    .map(|known_as| Identity {
                        thing: name.to_string(),
                        urn: Some(own.clone()),
                        role: Role::Host,
                        known_as,
                    }),
            );
        }
        found
    }

    /// The host that this text names: its inventory name, or an address that no other host has.
    pub fn host_named(&self, text: &str) -> Option<usize> {
        self.addresses.get(text).copied()
    }

    pub fn host_index(&self, name: &str) -> Option<usize> {
        self.inventory.hosts.get_index_of(name)
    }

    pub fn host_name(&self, index: usize) -> Option<&Arc<str>> {
        self.inventory.hosts.get_index(index).map(|(name, _)| name)
    }

    /// `ansible_host` where it is written out, else the name.
    pub fn address(&self, index: usize) -> &str {
        self.address_of.get(index).map_or("", AsRef::as_ref)
    }

    /// Whether other hosts have the same address, or there is no other host: then groups are what can be told apart.
    pub fn shares_address(&self, index: usize) -> bool {
        self.address_of.len() == 1
            || self
                .address_of
                .get(index)
                .is_some_and(|address| self.shared.contains(address))
    }

    /// Turns a path that variables gave (`<root>/roles/x`) into one of the tree; relative ones are below `base`.
    pub fn tree_path(&self, base: &str, path: &str) -> Option<String> {
        match path.strip_prefix(self.root.as_str()) {
            Some(inside) if !self.root.is_empty() => normalize("", inside.trim_start_matches('/')),
            _ if path.starts_with(['/', '~']) => None,
            _ => normalize(base, path),
        }
    }

    /// A tree path as variables see it.
    pub fn outer_path(&self, path: &str) -> String {
        if path.is_empty() {
            self.root.clone()
        } else {
            format!("{}/{path}", self.root)
        }
    }
}

fn plain(vars: &Map, key: &str) -> Option<Arc<str>> {
    match vars.get(key) {
        Some(Value::Str(text) | Value::Unsafe(text)) if !super::value::is_template(text) => Some(text.clone()),
        _ => None,
    }
}

/// A setting of `ansible.cfg` in a folder: section `[defaults]`.
pub fn setting<'a>(tree: &'a Tree, dir: &str, name: &str) -> Option<&'a str> {
    let text = tree.text(&super::tree::join(dir, "ansible.cfg"))?;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[defaults]";
        } else if inside
            && let Some((key, value)) = line.split_once(['=', ':'])
            && key.trim() == name
        {
            return Some(value.split([';', '#']).next().unwrap_or("").trim());
        }
    }
    None
}
