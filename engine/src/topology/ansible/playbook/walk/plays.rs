//! Plays: hosts, variables, roles and lists of tasks.

use std::sync::Arc;

use super::super::super::inventory::select;
use super::super::super::jinja::{PlayFacts, Scope};
use super::super::super::tree::{join, parent};
use super::super::super::value::{Map, Value, is_template};
use super::super::super::vars::load_vars;
use super::super::load::Play;
use super::super::role;
use super::context::{Context, HostRun};
use super::roles::{Placed, Roles};
use super::{PlaySummary, Walk};
use crate::topology::Reason;

impl Walk<'_> {
    /// Yields what the inventory itself gives to single groups and hosts. Variables of `all` are left out: they are there
    /// for whoever needs them.
    pub fn inventory_variables(&mut self) {
        let world = self.world.clone();
        for (index, host) in world.inventory.hosts.keys().enumerate() {
            if !self.may_run("inventory") {
                return;
            }
            let mut run = HostRun {
                host: host.clone(),
                index,
                group: None,
                strict_facts: Map::new(),
                symbolic_facts: Map::new(),
            };
            let context = Context::default();
            for group in world
                .inventory
                .groups_of(host)
                .iter()
                .filter(|group| group.as_ref() != "ungrouped")
            {
                run.group = Some(group.clone());
                self.variables(&world.vars.of_group(group), &format!("group {group}"), &context, &run);
            }
            run.group = None;
            self.variables(&world.vars.of_host_alone(host), &format!("host {host}"), &context, &run);
        }
    }

    /// Walks one play on all its hosts.
    pub fn play(&mut self, play: &Play) {
        let Some(pattern) = self.pattern(play) else { return };
        let world = self.world.clone();
        let hosts = match select(&world.inventory, &world.members, &pattern) {
            Ok(hosts) => hosts,
            Err(_) => {
                self.report(&play.file, &format!("hosts: {pattern}"), Reason::Unsupported);
                return;
            }
        };
        if hosts.is_empty() {
            self.report(&play.file, &format!("hosts: {pattern}"), Reason::NoInstance);
        }
        let named = role::refs(play.body.get("roles"));
        let all = Arc::new(hosts);
        let summary = PlaySummary {
            file: play.file.clone(),
            pattern: pattern.clone(),
            hosts: all.clone(),
            roles: named
                .iter()
                .filter_map(|role| role.name.as_str())
                .map(str::to_owned)
                .collect(),
            conditional: !play.when.is_empty(),
        };
        self.plays.push(summary);
        let mut roles = Roles::of(&play.file);
        for entry in &named {
            self.place(entry, None, &[], &mut roles, 0);
        }
        let group = world
            .inventory
            .groups
            .get_key_value(pattern.trim())
            .map(|(name, _)| name.clone());
        let group = group.filter(|group| group.as_ref() != "all");
        for host in all.iter() {
            // `localhost` outside of the inventory runs the deployment; it is no part of what is deployed.
            let Some(index) = world.host_index(host) else { continue };
            let mut run = HostRun {
                host: host.clone(),
                index,
                group: group.clone(),
                strict_facts: Map::new(),
                symbolic_facts: Map::new(),
            };
            self.on_host(play, &all, &roles.placed, &mut run);
        }
    }

    /// The pattern of a play, as text.
    fn pattern(&mut self, play: &Play) -> Option<String> {
        let parts: Vec<Value> = play.body.get("hosts").map(Value::listed).unwrap_or_default();
        let mut texts = Vec::new();
        for part in parts {
            let text = part.as_str().map_or_else(|| part.to_json().to_string(), str::to_owned);
            if !is_template(&text) {
                texts.push(text);
                continue;
            }
            // Only play variables and those of `all` count here: there is no host yet.
            let everyone = Arc::new(self.world.vars.of_group(&Arc::from("all")));
            let mut vars = play.vars.clone();
            vars.extend(
                play.body
                    .get("vars")
                    .and_then(Value::as_map)
                    .cloned()
                    .unwrap_or_default(),
            );
            let scope = Scope::play(
                &self.strict,
                &Arc::from(""),
                &[everyone, Arc::new(vars)],
                &[],
                PlayFacts::default(),
            );
            match self.strict.eval(&scope, &part) {
                Ok(Value::Unsafe(text) | Value::Str(text)) => texts.push(text.to_string()),
                Ok(Value::List(list)) => texts.extend(list.iter().filter_map(Value::as_str).map(str::to_owned)),
                _ => {
                    self.report(&play.file, "hosts", Reason::Dynamic);
                    return None;
                }
            }
        }
        Some(texts.join(","))
    }

    fn on_host(&mut self, play: &Play, hosts: &Arc<Vec<Arc<str>>>, placed: &[Placed], run: &mut HostRun) {
        let roles = || placed.iter().filter_map(|placed| placed.role.as_ref());
        let mut context = Context {
            file: play.file.clone(),
            play: PlayFacts {
                hosts: hosts.clone(),
                ..PlayFacts::default()
            },
            below: roles().map(|role| role.defaults.clone()).collect(),
            ..Context::default()
        };
        let mut vars = play.vars.clone();
        vars.extend(
            play.body
                .get("vars")
                .and_then(Value::as_map)
                .cloned()
                .unwrap_or_default(),
        );
        let vars = Arc::new(vars);
        context.above.push(vars.clone());
        self.variables(&vars, &play.file, &context, run);
        self.vars_files(play, &mut context, run);
        context.above.extend(roles().map(|role| role.vars.clone()));
        if self.skips(&play.when, &mut context, run) {
            return;
        }
        let tasks = |key: &str| play.body.get(key).map(Value::listed).unwrap_or_default();
        self.tasks(&tasks("pre_tasks"), &context, run);
        for one in placed {
            self.role(one, &context, run);
        }
        self.tasks(&tasks("tasks"), &context, run);
        self.tasks(&tasks("post_tasks"), &context, run);
        self.tasks(&tasks("handlers"), &context, run);
    }

    fn vars_files(&mut self, play: &Play, context: &mut Context, run: &HostRun) {
        for entry in play.body.get("vars_files").map(Value::listed).unwrap_or_default() {
            // A list holds alternatives: the first that exists.
            for choice in entry.listed() {
                let scope = context.scope(&self.strict, run, false);
                let path = match self.strict.eval(&scope, &choice) {
                    Ok(value) => value
                        .as_str()
                        .and_then(|path| self.near(parent(&play.file), "vars", path)),
                    Err(why) => {
                        self.report(&play.file, "vars_files", why.reason());
                        continue;
                    }
                };
                let Some(path) = path else { continue };
                match load_vars(&self.world.tree, &path) {
                    Ok(vars) => {
                        let vars = Arc::new(vars);
                        context.above.push(vars.clone());
                        self.variables(&vars, &path, context, run);
                    }
                    Err(entry) => {
                        self.unresolved.insert(entry);
                    }
                }
                break;
            }
        }
    }

    /// A file in a folder's subfolder, in the folder, or in those of the playbook.
    pub(super) fn near(&self, dir: &str, sub: &str, path: &str) -> Option<String> {
        let tree = &self.world.tree;
        let bases = [
            join(dir, sub),
            dir.to_owned(),
            join(&self.world.playbook_dir, sub),
            self.world.playbook_dir.clone(),
        ];
        bases
            .iter()
            .filter_map(|base| self.world.tree_path(base, path))
            .find(|path| tree.is_file(path))
    }
}
