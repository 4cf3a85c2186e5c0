//! Roles: those of a play with what they depend on, those that tasks include, and where they run.

use std::collections::HashSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::super::super::tree::{join, normalize};
use super::super::super::value::{Map, Value, is_template};
use super::super::role::{self, Role, RoleRef};
use super::Walk;
use super::context::{Context, HostRun};
use crate::topology::{Class, Evidence, MAX_PLACES, Reason};

/// Deepest chain of role dependencies.
const MAX_DEPTH: usize = 20;
/// Most roles of one play, dependencies included.
const MAX_ROLES: usize = 2_000;

/// A role of a play, its dependencies before it.
pub(super) struct Placed {
    pub name: String,
    /// `None` for a role that the checkout lacks, such as one of Galaxy's.
    pub role: Option<Role>,
    params: Map,
    when: Vec<Value>,
}

/// The roles of a play, while they are found.
pub(super) struct Roles {
    playbook: Arc<str>,
    /// Folders of those that were met, with the conditions around them.
    known: HashSet<String>,
    pub placed: Vec<Placed>,
}

impl Roles {
    /// Those of a play of this playbook: none yet.
    pub fn of(playbook: &Arc<str>) -> Roles {
        Roles {
            playbook: playbook.clone(),
            known: HashSet::new(),
            placed: Vec::new(),
        }
    }
}

impl Walk<'_> {
    /// Finds a role and, before it, those it depends on.
    pub(super) fn place(
        &mut self,
        entry: &RoleRef,
        from: Option<&str>,
        when: &[Value],
        roles: &mut Roles,
        depth: usize,
    ) {
        let Some(name) = entry.name.as_str().filter(|name| !is_template(name)) else {
            self.report(&roles.playbook, "role", Reason::Dynamic);
            return;
        };
        let mut conditions = when.to_vec();
        // Each once, or those of a circle would never end.
        for condition in &entry.when {
            if !conditions.contains(condition) {
                conditions.push(condition.clone());
            }
        }
        let Some(path) = role::find(&self.world, name, &roles.playbook, from) else {
            self.report(&roles.playbook, &format!("role: {name}"), Reason::External);
            if roles.placed.len() < MAX_ROLES {
                roles.placed.push(Placed {
                    name: name.to_owned(),
                    role: None,
                    params: Map::new(),
                    when: conditions,
                });
            }
            return;
        };
        // The same role with other parameters runs again, and where other conditions say so; in a circle of dependencies
        // it does not.
        let again = !roles.known.insert(format!("{path} {conditions:?}")) && entry.params.is_empty();
        if (again && depth > 0) || depth > MAX_DEPTH || roles.placed.len() >= MAX_ROLES {
            return;
        }
        let mut unresolved = Vec::new();
        let role = role::read(&self.world.tree, name, &path, ("main", "main"), &mut unresolved);
        self.unresolved.extend(unresolved);
        for dependency in &role.dependencies {
            self.place(dependency, Some(&path), &conditions, roles, depth + 1);
        }
        roles.placed.push(Placed {
            name: name.to_owned(),
            role: Some(role),
            params: entry.params.clone(),
            when: conditions,
        });
    }

    /// Runs a role of a play.
    pub(super) fn role(&mut self, placed: &Placed, context: &Context, run: &mut HostRun) {
        let mut inner = context.clone();
        if let Some(role) = &placed.role {
            inner = self.inside(role, &placed.params, context);
            self.variables(&placed.params, &context.file, &inner, run);
        }
        if self.skips(&placed.when, &mut inner, run) {
            return;
        }
        self.runs_on(&placed.name, &context.file, inner.conditional, run);
        let Some(role) = &placed.role else { return };
        let files = role::main_files(&self.world.tree, &join(&role.path, "tasks"), "main");
        for file in files {
            self.task_file(&file, &inner, run);
        }
        for file in role::main_files(&self.world.tree, &join(&role.path, "handlers"), "main") {
            self.task_file(&file, &inner, run);
        }
    }

    /// Notes that a role runs on a host.
    fn runs_on(&mut self, role: &str, file: &str, conditional: bool, run: &HostRun) {
        let mut evidence = Evidence::at(Class::Declared, file);
        evidence.conditional = conditional;
        match self.runs_on.entry((role.to_owned(), run.host.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(evidence);
            }
            Entry::Occupied(mut entry) => {
                let kept = entry.get_mut();
                kept.conditional &= conditional;
                // In a loop the same place comes again and again.
                let new = evidence
                    .at
                    .into_iter()
                    .filter(|at| !kept.at.contains(at))
                    .collect::<Vec<_>>();
                if kept.at.len() < MAX_PLACES {
                    kept.at.extend(new);
                }
            }
        }
    }

    /// The context inside of a role.
    fn inside(&self, role: &Role, params: &Map, context: &Context) -> Context {
        let mut inner = context.clone();
        inner.below.push(role.defaults.clone());
        inner.above.push(role.vars.clone());
        if !params.is_empty() {
            inner.top.push(Arc::new(params.clone()));
        }
        inner.play.role_path = Some(role.path.clone());
        inner.play.role_name = Some(role.name.clone());
        inner
    }

    /// `import_role` and `include_role`.
    pub(super) fn included_role(
        &mut self,
        name: &str,
        files: (&str, &str, &str),
        context: &Context,
        run: &mut HostRun,
    ) {
        let from = context.play.role_path.clone();
        self.runs_on(name, &context.file, context.conditional, run);
        let Some(path) = role::find(&self.world, name, &context.file, from.as_deref()) else {
            self.report(&context.file, &format!("role: {name}"), Reason::External);
            return;
        };
        let (tasks, defaults, vars) = files;
        let mut unresolved = Vec::new();
        let role = role::read(&self.world.tree, name, &path, (defaults, vars), &mut unresolved);
        self.unresolved.extend(unresolved);
        let mut inner = self.inside(&role, &Map::new(), context);
        inner.depth += 1;
        let stem = tasks
            .strip_suffix(".yml")
            .or_else(|| tasks.strip_suffix(".yaml"))
            .unwrap_or(tasks);
        let Some(stem) = normalize("", stem) else { return };
        for file in role::main_files(&self.world.tree, &join(&path, "tasks"), &stem) {
            self.task_file(&file, &inner, run);
        }
    }
}
