//! Texts below values: variables, arguments, environments.

use std::sync::Arc;

use super::super::super::jinja::{Access, Scope};
use super::super::super::value::{Map, Value};
use super::super::super::why::Why;
use super::super::{Site, SiteKind};
use super::Walk;
use super::context::{Context, HostRun};

impl Walk<'_> {
    /// Yields the sites of variables that a play, a role or a file gives.
    pub(super) fn variables(&mut self, vars: &Map, file: &str, context: &Context, run: &HostRun) {
        let scope = context.scope(&self.symbolic, run, true);
        let mut sites = Sites {
            index: run.index,
            group: run.group.clone(),
            conditional: context.conditional,
            found: Vec::new(),
        };
        self.values(
            &Value::Map(Arc::new(vars.clone())),
            &mut Vec::new(),
            file,
            &scope,
            &mut sites,
        );
        for site in sites.found {
            self.yield_site(site);
        }
    }

    /// Yields every text below a value, with the keys that lead to it.
    pub(super) fn values(
        &mut self,
        value: &Value,
        path: &mut Vec<Arc<str>>,
        file: &str,
        scope: &Arc<Scope>,
        sites: &mut Sites,
    ) {
        match value {
            Value::Map(map) => {
                let neighbours = self.neighbours(map, scope);
                for (key, inner) in map.iter() {
                    path.push(key.clone());
                    match inner {
                        Value::Str(_) | Value::Unsafe(_) => self.value(inner, path, &neighbours, file, scope, sites),
                        _ => self.values(inner, path, file, scope, sites),
                    }
                    path.pop();
                }
            }
            Value::List(list) => {
                for inner in list.iter() {
                    self.values(inner, path, file, scope, sites);
                }
            }
            Value::Str(_) | Value::Unsafe(_) => self.value(value, path, &Arc::default(), file, scope, sites),
            _ => {}
        }
    }

    /// Ports and schemes that stand beside a host.
    fn neighbours(&mut self, map: &Map, scope: &Arc<Scope>) -> Arc<Vec<(Arc<str>, String)>> {
        let mut found = Vec::new();
        for (key, value) in map.iter() {
            let name = key.to_ascii_lowercase();
            if !["port", "proto", "scheme"].iter().any(|word| name.contains(word)) {
                continue;
            }
            if let Ok(value) = self.symbolic.eval(scope, value) {
                let text = match &value {
                    Value::Int(number) => number.to_string(),
                    other => other.as_str().unwrap_or_default().to_owned(),
                };
                found.push((key.clone(), text));
            }
        }
        Arc::new(found)
    }

    fn value(
        &mut self,
        value: &Value,
        path: &[Arc<str>],
        neighbours: &Arc<Vec<(Arc<str>, String)>>,
        file: &str,
        scope: &Arc<Scope>,
        sites: &mut Sites,
    ) {
        let place = format!("{file}: {}", path.join("."));
        let (result, accesses) = self.symbolic.eval_traced(scope, value);
        match result {
            Ok(Value::Unsafe(text) | Value::Str(text)) => {
                let kind = SiteKind::Value {
                    path: path.to_vec(),
                    neighbours: neighbours.clone(),
                };
                sites.push(kind, text.to_string(), accesses, place);
            }
            // A list or mapping of an expression: its texts stand for themselves.
            Ok(Value::List(list)) => {
                for text in list.iter().filter_map(Value::as_str) {
                    let kind = SiteKind::Value {
                        path: path.to_vec(),
                        neighbours: Arc::default(),
                    };
                    sites.push(kind, text.to_owned(), accesses.clone(), place.clone());
                }
            }
            Ok(_) | Err(Why::Undefined(_)) => {}
            Err(why) => self.report(&place, why.name(), why.reason()),
        }
    }
}

/// Sites of one call.
pub(super) struct Sites {
    pub index: usize,
    pub group: Option<Arc<str>>,
    pub conditional: bool,
    pub found: Vec<Site>,
}

impl Sites {
    pub fn push(&mut self, kind: SiteKind, text: String, accesses: Vec<Access>, place: String) {
        let conditional = self.conditional;
        let site = Site {
            host: self.index,
            group: self.group.clone(),
            kind,
            text,
            accesses,
            place,
            conditional,
        };
        self.found.push(site);
    }
}
