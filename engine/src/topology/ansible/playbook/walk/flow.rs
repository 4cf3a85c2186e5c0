//! Lists of tasks: conditions, loops, blocks, includes.

use std::sync::Arc;

use super::super::super::tree::{join, parent};
use super::super::super::value::{Map, Value};
use super::super::super::yaml;
use super::super::task::{Call, call};
use super::Walk;
use super::context::{Context, HostRun};
use crate::topology::Reason;

/// Deepest nesting of blocks and includes.
const MAX_DEPTH: usize = 24;
/// Most items of one loop.
const MAX_ITEMS: usize = 2_000;

impl Walk<'_> {
    /// Runs a file of tasks.
    pub(super) fn task_file(&mut self, file: &str, context: &Context, run: &mut HostRun) {
        let Some(bytes) = self.world.tree.clone().bytes(file).map(<[u8]>::to_vec) else {
            return;
        };
        if yaml::is_vault(&bytes) {
            return self.report(file, "tasks", Reason::Vault);
        }
        // A file may include itself once, to try again; more than that has no end that can be seen from here.
        if context.files.iter().filter(|around| around.as_ref() == file).count() > 1 {
            return self.report(file, "tasks that include themselves", Reason::Unsupported);
        }
        match yaml::load(&bytes) {
            Ok(Value::List(tasks)) => {
                let mut inner = context.clone();
                inner.file = Arc::from(file);
                inner.files.push(inner.file.clone());
                self.tasks(&tasks, &inner, run);
            }
            Ok(Value::Null) => {}
            _ => self.report(file, "tasks", Reason::Broken),
        }
    }

    pub(super) fn tasks(&mut self, tasks: &[Value], context: &Context, run: &mut HostRun) {
        if context.depth > MAX_DEPTH {
            return self.report(&context.file, "nested tasks", Reason::Unsupported);
        }
        for task in tasks {
            if let Value::Map(task) = task
                && self.may_run(&context.file)
            {
                self.task(task, context, run);
            }
        }
    }

    /// Whether conditions say no. One that cannot be decided makes the rest conditional.
    pub(super) fn skips(&mut self, conditions: &[Value], context: &mut Context, run: &HostRun) -> bool {
        for condition in conditions {
            let scope = context.scope(&self.strict, run, false);
            match self.strict.test(&scope, condition) {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => context.conditional = true,
            }
        }
        false
    }

    fn task(&mut self, task: &Arc<Map>, context: &Context, run: &mut HostRun) {
        let mut context = context.with_vars(task.get("vars").and_then(Value::as_map));
        let conditions = task.get("when").map(Value::listed).unwrap_or_default();
        if let Some(block) = task.get("block") {
            if self.skips(&conditions, &mut context, run) {
                return;
            }
            context.depth += 1;
            for key in ["block", "rescue", "always"] {
                let inner = if key == "block" { Some(block) } else { task.get(key) };
                let tasks = inner.map(Value::listed).unwrap_or_default();
                let conditional = context.conditional || key == "rescue";
                self.tasks(
                    &tasks,
                    &Context {
                        conditional,
                        ..context.clone()
                    },
                    run,
                );
            }
            return;
        }
        let Some(call) = call(task) else { return };
        for (symbolic, strict) in self.items(task, &context, run) {
            let mut each = context.with_top(symbolic);
            let mut tested = context.with_top(strict);
            if self.skips(&conditions, &mut tested, run) {
                continue;
            }
            each.conditional = tested.conditional;
            self.call(task, &call, &each, &tested, run);
        }
        // Results are made while running: whatever had the name before is not it.
        if let Some(name) = task.get("register").and_then(Value::as_str) {
            run.strict_facts.insert(Arc::from(name), Value::Vault);
            run.symbolic_facts.insert(Arc::from(name), Value::Null);
        }
    }

    /// The items of a task's loop, as variables: with hosts as symbols, and plain. One empty item without a loop; a loop
    /// that cannot be evaluated runs once, with an unknown item.
    fn items(&mut self, task: &Map, context: &Context, run: &HostRun) -> Vec<(Map, Map)> {
        let Some((key, list)) = task
            .iter()
            .find(|(key, _)| key.as_ref() == "loop" || key.starts_with("with_"))
        else {
            return vec![(Map::new(), Map::new())];
        };
        let name = task
            .get("loop_control")
            .and_then(|control| control.get("loop_var"))
            .and_then(Value::as_str);
        let name: Arc<str> = Arc::from(name.unwrap_or("item"));
        let plain = context.scope(&self.strict, run, false);
        let marked = context.scope(&self.symbolic, run, true);
        let symbolic = self
            .symbolic
            .eval(&marked, list)
            .ok()
            .and_then(|value| items_of(key, &value));
        let strict = self
            .strict
            .eval(&plain, list)
            .ok()
            .and_then(|value| items_of(key, &value));
        let one = |value: Value| -> Map { std::iter::once((name.clone(), value)).collect() };
        match (symbolic, strict) {
            (Some(symbolic), Some(strict)) if symbolic.len() == strict.len() => symbolic
                .into_iter()
                .zip(strict)
                .take(MAX_ITEMS)
                .map(|(a, b)| (one(a), one(b)))
                .collect(),
            (Some(symbolic), None) if !symbolic.is_empty() => symbolic
                .into_iter()
                .take(MAX_ITEMS)
                .map(|a| (one(a), one(Value::Vault)))
                .collect(),
            _ => vec![(one(Value::Null), one(Value::Vault))],
        }
    }

    /// Includes; everything else is a module.
    fn call(&mut self, task: &Arc<Map>, call: &Call, context: &Context, strict: &Context, run: &mut HostRun) {
        match call.module.as_str() {
            "import_tasks" | "include_tasks" | "include" => {
                let file = call.free.as_ref().or_else(|| call.args.get("file"));
                if let Some(file) = self.text(file, strict, run, "include_tasks") {
                    self.include(&file, context, run);
                }
            }
            "import_role" | "include_role" => {
                let name = call.args.get("name").or_else(|| call.args.get("role"));
                let Some(name) = self.text(name, strict, run, "include_role") else {
                    return;
                };
                let from = |key: &str| call.args.get(key).and_then(Value::as_str).unwrap_or("main");
                let files = (from("tasks_from"), from("defaults_from"), from("vars_from"));
                if context.depth <= MAX_DEPTH {
                    self.included_role(&name, files, context, run);
                }
            }
            "include_vars" => {
                let file = call.free.as_ref().or_else(|| call.args.get("file"));
                if let Some(file) = self.text(file, strict, run, "include_vars") {
                    self.include_vars(&file, context, run);
                }
            }
            "add_host" | "group_by" => self.report(&context.file, &call.module, Reason::Dynamic),
            _ => self.module(task, call, context, strict, run),
        }
    }

    /// An argument that must be known: its text, or a report.
    fn text(&mut self, value: Option<&Value>, context: &Context, run: &HostRun, what: &str) -> Option<String> {
        let scope = context.scope(&self.strict, run, false);
        match self.strict.eval(&scope, value?) {
            Ok(value) => value.as_str().map(str::to_owned),
            Err(_) => {
                self.report(&context.file, what, Reason::Dynamic);
                None
            }
        }
    }

    /// Tasks beside the including file, in the role, or beside the playbook.
    fn include(&mut self, file: &str, context: &Context, run: &mut HostRun) {
        let mut bases = vec![parent(&context.file).to_owned()];
        bases.extend(context.play.role_path.iter().map(|role| join(role, "tasks")));
        bases.extend([self.world.playbook_dir.clone(), join(&self.world.playbook_dir, "tasks")]);
        let tree = self.world.tree.clone();
        let found = bases
            .iter()
            .filter_map(|base| self.world.tree_path(base, file))
            .find(|path| tree.is_file(path));
        match found {
            Some(path) if context.depth <= MAX_DEPTH => {
                let inner = Context {
                    depth: context.depth + 1,
                    ..context.clone()
                };
                self.task_file(&path, &inner, run);
            }
            Some(path) => self.report(&path, "nested tasks", Reason::Unsupported),
            None => self.report(&context.file, "include_tasks", Reason::External),
        }
    }

    fn include_vars(&mut self, file: &str, context: &Context, run: &mut HostRun) {
        let dir = context
            .play
            .role_path
            .clone()
            .unwrap_or_else(|| parent(&context.file).to_owned());
        let Some(path) = self.near(&dir, "vars", file) else {
            return self.report(&context.file, "include_vars", Reason::External);
        };
        match super::super::super::vars::load_vars(&self.world.tree, &path) {
            Ok(vars) => {
                self.variables(&vars, &path, context, run);
                for (key, value) in &vars {
                    run.strict_facts.insert(key.clone(), value.clone());
                    run.symbolic_facts.insert(key.clone(), value.clone());
                }
            }
            Err(entry) => {
                self.unresolved.insert(entry);
            }
        }
    }
}

/// What a loop goes over. `None` for plugins that need more than lists and mappings.
fn items_of(key: &str, value: &Value) -> Option<Vec<Value>> {
    let pair = |a: (&str, Value), b: (&str, Value)| -> Value {
        Value::Map(Arc::new(
            [(Arc::from(a.0), a.1), (Arc::from(b.0), b.1)].into_iter().collect(),
        ))
    };
    match (key, value) {
        ("loop" | "with_list", Value::List(list)) => Some(list.to_vec()),
        ("with_items" | "with_flattened", Value::List(list)) => Some(
            list.iter()
                .flat_map(|item| match item {
                    Value::List(inner) => inner.to_vec(),
                    other => vec![other.clone()],
                })
                .collect(),
        ),
        ("with_items", single) => Some(vec![single.clone()]),
        ("with_dict", Value::Map(map)) => Some(
            map.iter()
                .map(|(key, value)| pair(("key", Value::Unsafe(key.clone())), ("value", value.clone())))
                .collect(),
        ),
        ("with_indexed_items", Value::List(list)) => Some(
            list.iter()
                .enumerate()
                .map(|(at, item)| Value::List(Arc::new(vec![Value::Int(at as i64), item.clone()])))
                .collect(),
        ),
        _ => None,
    }
}
