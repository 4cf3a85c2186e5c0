//! Where names are looked up: magic variables, then layers of variables, the highest first.

use std::sync::Arc;

use minijinja::Value as Engine;

use super::super::tree::parent;
use super::super::value::{Map, Value, is_template};
use super::super::why::Why;
use super::format::{host_text, text_value};
use super::frame::{Missing, error};
use super::objects::{FactRef, Groups, HostVarsObject, LazyList, LazyMap};
use super::session::{Mode, Session};

/// What a play knows besides variables.
#[derive(Clone, Debug, Default)]
pub struct PlayFacts {
    /// Hosts of the play.
    pub hosts: Arc<Vec<Arc<str>>>,
    /// Folder of the role, as a path of the tree.
    pub role_path: Option<String>,
    pub role_name: Option<String>,
}

/// The names that an expression can see.
#[derive(Debug)]
pub struct Scope {
    pub session: Arc<Session>,
    pub host: Option<Arc<str>>,
    /// Variables, the lowest first; the host's own are below all of them unless `defaults` is.
    layers: Vec<Arc<Map>>,
    pub play: PlayFacts,
}

/// Functions of the engine and of Ansible: not variables.
const FUNCTIONS: &[&str] = &[
    "range",
    "dict",
    "namespace",
    "debug",
    "lookup",
    "query",
    "q",
    "now",
    "undef",
    "__list",
    "__map",
    "lipsum",
    "cycler",
    "joiner",
];

impl Scope {
    /// The scope of a host: its own variables alone.
    pub fn host(session: &Arc<Session>, host: &Arc<str>) -> Arc<Scope> {
        let layers = vec![session.world.vars.of(host)];
        Arc::new(Scope {
            session: session.clone(),
            host: Some(host.clone()),
            layers,
            play: PlayFacts::default(),
        })
    }

    /// A host in a play. `below` are layers under the host's variables (role defaults), `above` over them.
    pub fn play(
        session: &Arc<Session>,
        host: &Arc<str>,
        below: &[Arc<Map>],
        above: &[Arc<Map>],
        play: PlayFacts,
    ) -> Arc<Scope> {
        let mut layers = below.to_vec();
        layers.push(session.world.vars.of(host));
        layers.extend(above.iter().cloned());
        Arc::new(Scope {
            session: session.clone(),
            host: Some(host.clone()),
            layers,
            play,
        })
    }

    /// The same scope with more variables on top.
    pub fn with(self: &Arc<Scope>, layer: Arc<Map>) -> Arc<Scope> {
        let mut layers = self.layers.clone();
        layers.push(layer);
        Arc::new(Scope {
            session: self.session.clone(),
            host: self.host.clone(),
            layers,
            play: self.play.clone(),
        })
    }

    /// The variable as it is written, magic ones excepted.
    pub fn written(&self, name: &str) -> Option<&Value> {
        self.layers.iter().rev().find_map(|layer| layer.get(name))
    }

    /// The variable of this name; `None` for functions of the engine, so that they are found.
    pub(super) fn variable(self: &Arc<Scope>, name: &str) -> Option<Engine> {
        if let Some(value) = self.magic(name) {
            return Some(value);
        }
        if let Some(value) = self.written(name) {
            return Some(self.lazy(value));
        }
        if FUNCTIONS.contains(&name) {
            return None;
        }
        self.absent(name)
    }

    /// A name without a definition.
    pub(super) fn absent(self: &Arc<Scope>, name: &str) -> Option<Engine> {
        let fact = name.starts_with("ansible_") || name == "hostvars";
        match self.session.mode {
            Mode::Symbolic if fact => {
                let host = self
                    .host
                    .as_deref()
                    .and_then(|host| self.session.world.host_index(host));
                FactRef::value(host, name)
            }
            Mode::Symbolic => None,
            Mode::Strict => {
                let why = if fact {
                    Why::Fact(name.to_owned())
                } else {
                    Why::Undefined(name.to_owned())
                };
                Some(Missing::value(&self.session, why))
            }
        }
    }

    fn magic(self: &Arc<Scope>, name: &str) -> Option<Engine> {
        let world = &self.session.world;
        let host = self.host.as_deref();
        let known = host.and_then(|host| world.inventory.hosts.get(host));
        Some(match name {
            "inventory_hostname" => host_text(&self.session, host?),
            "inventory_hostname_short" => match self.session.mode {
                Mode::Symbolic => host_text(&self.session, host?),
                Mode::Strict => Engine::from(host?.split('.').next().unwrap_or_default()),
            },
            "groups" => Engine::from_object(Groups(self.session.clone())),
            "hostvars" => Engine::from_object(HostVarsObject(self.session.clone())),
            "group_names" => {
                let mut names: Vec<Arc<str>> = host.map(|host| world.inventory.groups_of(host)).unwrap_or_default();
                names.sort();
                names.iter().map(|name| Engine::from(name.as_ref())).collect()
            }
            "inventory_file" => Engine::from(world.outer_path(&known?.file)),
            "inventory_dir" => Engine::from(world.outer_path(parent(&known?.file))),
            "playbook_dir" => Engine::from(world.outer_path(&world.playbook_dir)),
            "role_path" => Engine::from(world.outer_path(self.play.role_path.as_ref()?)),
            "role_name" | "ansible_role_name" => Engine::from(self.play.role_name.as_deref()?),
            "ansible_play_hosts" | "ansible_play_hosts_all" | "ansible_play_batch" | "play_hosts" => {
                if self.play.hosts.is_empty() {
                    return None;
                }
                self.play
                    .hosts
                    .iter()
                    .map(|host| host_text(&self.session, host))
                    .collect()
            }
            "ansible_host" if self.session.mode == Mode::Symbolic => host_text(&self.session, host?),
            "ansible_check_mode" | "ansible_diff_mode" => Engine::from(false),
            "omit" => Engine::from(OMIT),
            _ => return None,
        })
    }

    /// A written value as the engine sees it: templates are evaluated when they are read.
    pub(super) fn lazy(self: &Arc<Scope>, value: &Value) -> Engine {
        match value {
            Value::Null => Engine::from(()),
            Value::Bool(flag) => Engine::from(*flag),
            Value::Int(number) => Engine::from(*number),
            Value::Float(number) => Engine::from(*number),
            Value::Unsafe(text) => text_value(&self.session, text),
            Value::Str(text) if is_template(text) => match self.session.variable(self, text) {
                Ok(value) => value,
                Err(why) => self.failed(why),
            },
            Value::Str(text) => text_value(&self.session, text),
            Value::Vault => self.failed(Why::Vault("vault".to_owned())),
            Value::List(list) => Engine::from_object(LazyList {
                scope: self.clone(),
                list: list.clone(),
            }),
            Value::Map(map) => Engine::from_object(LazyMap {
                scope: self.clone(),
                map: map.clone(),
            }),
        }
    }

    /// A variable whose own template has no value: undefined where Ansible has it undefined, else an error on use.
    fn failed(self: &Arc<Scope>, why: Why) -> Engine {
        match self.session.mode {
            Mode::Symbolic => Engine::UNDEFINED,
            Mode::Strict if why.is_undefined() => Missing::value(&self.session, why),
            Mode::Strict => {
                self.session.fail(why.clone());
                Engine::from(error(why))
            }
        }
    }
}

/// What `omit` stands for in text; arguments that are it are left out.
pub const OMIT: &str = "__omit_place_holder__";
