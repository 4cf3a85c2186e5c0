//! Variables as objects of the engine, evaluated when they are read.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use minijinja::Value as Engine;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State};

use super::super::value::{Map, Value};
use super::super::why::Why;
use super::format::{host_text, token, token_of};
use super::frame::Missing;
use super::scope::Scope;
use super::session::{Mode, Session};

/// The outermost names of a template.
#[derive(Debug)]
pub(super) struct Root {
    pub scope: Arc<Scope>,
}

impl Root {
    pub fn new(scope: Arc<Scope>) -> Root {
        Root { scope }
    }

    /// The name under which filters and functions find the scope.
    pub const SCOPE: &'static str = "__scope";
}

/// The scope of the template that runs.
pub(super) fn scope_of(state: &State) -> Option<Arc<Scope>> {
    let root = state.lookup(Root::SCOPE)?;
    root.downcast_object_ref::<Root>().map(|root| root.scope.clone())
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Engine> {
        if key == Root::SCOPE {
            return Some(Engine::from_dyn_object(self.clone()));
        }
        self.scope.variable(key)
    }
}

/// An absent key of a mapping: an undefined value, or absent where the template asks `x in y`.
fn absent(session: &Arc<Session>, key: &str) -> Option<Engine> {
    (session.mode == Mode::Strict && !session.tests_membership())
        .then(|| Missing::value(session, Why::Undefined(key.to_owned())))
}

/// The text of a key: numbers and flags are keys as well.
fn key_text(key: &Engine) -> String {
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}

#[derive(Debug)]
pub(super) struct LazyMap {
    pub scope: Arc<Scope>,
    pub map: Arc<Map>,
}

impl Object for LazyMap {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        let key = key_text(key);
        // A host's character finds what is kept under the host's name.
        let host = || self.scope.session.world.host_name(token_of(&key)?);
        match self.map.get(key.as_str()).or_else(|| self.map.get(host()?.as_ref())) {
            Some(value) => Some(self.scope.lazy(value)),
            None => absent(&self.scope.session, &key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys: Vec<Engine> = self.map.keys().map(|key| Engine::from(key.as_ref())).collect();
        Enumerator::Iter(Box::new(keys.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.map.len())
    }
}

#[derive(Debug)]
pub(super) struct LazyList {
    pub scope: Arc<Scope>,
    pub list: Arc<Vec<Value>>,
}

impl Object for LazyList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        self.list.get(key.as_usize()?).map(|value| self.scope.lazy(value))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let all = self.clone();
        Enumerator::Iter(Box::new((0..self.list.len()).map(move |at| {
            all.list
                .get(at)
                .map_or(Engine::UNDEFINED, |value| all.scope.lazy(value))
        })))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.list.len())
    }
}

/// `groups`: hosts by group.
#[derive(Debug)]
pub(super) struct Groups(pub Arc<Session>);

impl Object for Groups {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        let key = key.as_str()?;
        match self.0.world.members.get_key_value(key) {
            Some((group, hosts)) => {
                self.0.read_group(group, hosts.len());
                Some(hosts.iter().map(|host| host_text(&self.0, host)).collect())
            }
            None => absent(&self.0, key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys: Vec<Engine> = self
            .0
            .world
            .members
            .keys()
            .map(|name| Engine::from(name.as_ref()))
            .collect();
        Enumerator::Iter(Box::new(keys.into_iter()))
    }
}

/// `hostvars`: the variables of every host.
#[derive(Debug)]
pub(super) struct HostVarsObject(pub Arc<Session>);

impl Object for HostVarsObject {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        let key = key.as_str()?;
        let world = &self.0.world;
        let index = token_of(key).or_else(|| world.host_index(key));
        match index.and_then(|index| world.host_name(index)) {
            Some(host) => Some(Engine::from_object(HostView {
                scope: Scope::host(&self.0, host),
            })),
            None => absent(&self.0, key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let hosts: Vec<Engine> = self
            .0
            .world
            .inventory
            .hosts
            .keys()
            .map(|host| host_text(&self.0, host))
            .collect();
        Enumerator::Iter(Box::new(hosts.into_iter()))
    }
}

/// `hostvars[x]`.
#[derive(Debug)]
struct HostView {
    scope: Arc<Scope>,
}

impl Object for HostView {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        let key = key.as_str()?;
        let symbolic = self.scope.session.mode == Mode::Symbolic;
        // What says where the host is stands for the host itself.
        if symbolic && (key.starts_with("ansible_") || key == "inventory_hostname") {
            let settings = key.ends_with("_port") || key.ends_with("_user") || key.ends_with("_connection");
            if !settings || self.scope.written(key).is_none() {
                let host = self
                    .scope
                    .host
                    .as_deref()
                    .and_then(|host| self.scope.session.world.host_index(host));
                return FactRef::value(host, key);
            }
        }
        match self.scope.variable(key) {
            Some(value) => Some(value),
            None => absent(&self.scope.session, key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let vars = self
            .scope
            .session
            .world
            .vars
            .of(self.scope.host.as_deref().unwrap_or(""));
        let keys: Vec<Engine> = vars.keys().map(|key| Engine::from(key.as_ref())).collect();
        Enumerator::Iter(Box::new(keys.into_iter()))
    }
}

/// A fact of a host, in symbolic reading: whatever is read below it stands for the host.
#[derive(Debug)]
pub(super) struct FactRef(usize);

impl FactRef {
    /// The host's character for facts that are text, an object for those that have parts. `None` for facts that say
    /// nothing about where the host is.
    pub fn value(host: Option<usize>, name: &str) -> Option<Engine> {
        let host = host?;
        let parts = [
            "ipv4", "ipv6", "facts", "all_", "eth", "en", "bond", "br", "docker", "default", "lo", "wl", "tun",
        ];
        let texts = ["host", "nodename", "fqdn", "domain", "address", "hostname"];
        let rest = name.strip_prefix("ansible_").unwrap_or(name);
        if texts.iter().any(|text| rest.contains(text)) && !rest.contains("addresses") {
            return Some(Engine::from(token(host)));
        }
        let dynamic = rest.chars().any(|c| token_of(c.encode_utf8(&mut [0; 4])).is_some());
        if dynamic || parts.iter().any(|part| rest.starts_with(part) || rest.contains("ipv")) {
            return Some(Engine::from_object(FactRef(host)));
        }
        None
    }
}

impl Object for FactRef {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        Some(match key.as_str() {
            Some("address" | "interface" | "broadcast" | "network" | "fqdn" | "hostname" | "nodename" | "domain") => {
                Engine::from(token(self.0))
            }
            _ => Engine::from_object(FactRef(self.0)),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(std::iter::once(Engine::from(token(self.0)))))
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&token(self.0))
    }
}

/// A list that `append` changes.
#[derive(Debug, Default)]
pub(super) struct MutableList(Mutex<Vec<Engine>>);

impl Object for MutableList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key.as_usize()?)
            .cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let items = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Enumerator::Iter(Box::new(items.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).len())
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Engine],
    ) -> Result<Engine, Error> {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (method, args) {
            ("append", [item]) => items.push(item.clone()),
            ("extend", [more]) => {
                let more: Vec<Engine> = more.try_iter()?.collect();
                items.extend(more);
            }
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        }
        Ok(Engine::from(()))
    }
}

/// A mapping that `update` changes.
#[derive(Debug, Default)]
pub(super) struct MutableMap(Mutex<indexmap::IndexMap<String, Engine>>);

impl Object for MutableMap {
    fn get_value(self: &Arc<Self>, key: &Engine) -> Option<Engine> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key_text(key))
            .cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys: Vec<Engine> = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .map(|key| Engine::from(key.as_str()))
            .collect();
        Enumerator::Iter(Box::new(keys.into_iter()))
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Engine],
    ) -> Result<Engine, Error> {
        match (method, args) {
            ("update", [more]) => {
                let keys: Vec<Engine> = more.try_iter()?.collect();
                let mut items = Vec::with_capacity(keys.len());
                for key in keys {
                    items.push((key_text(&key), more.get_item(&key)?));
                }
                self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(items);
                Ok(Engine::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
