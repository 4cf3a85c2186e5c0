//! What a task sees: its host, its role, the variables around it.

use std::sync::Arc;

use super::super::super::jinja::{PlayFacts, Scope, Session};
use super::super::super::value::Map;

/// One host in one play, with what its tasks have set so far.
pub(super) struct HostRun {
    pub host: Arc<str>,
    pub index: usize,
    /// The group that the play names, if it names one.
    pub group: Option<Arc<str>>,
    /// Values that tasks set, by Ansible's rules; unknown ones are marked as such.
    pub strict_facts: Map,
    /// The same with hosts as symbols.
    pub symbolic_facts: Map,
}

/// Variables and files around a task.
#[derive(Clone, Default)]
pub(super) struct Context {
    /// The file of the task, as a path of the tree.
    pub file: Arc<str>,
    pub play: PlayFacts,
    /// Under the host's variables: role defaults.
    pub below: Vec<Arc<Map>>,
    /// Over them: play, role, block, task.
    pub above: Vec<Arc<Map>>,
    /// Over what tasks set: role parameters, include parameters, loop items.
    pub top: Vec<Arc<Map>>,
    /// Whether a condition around could not be decided.
    pub conditional: bool,
    /// Blocks and includes around.
    pub depth: usize,
    /// Files of tasks around.
    pub files: Vec<Arc<str>>,
}

impl Context {
    pub fn scope(&self, session: &Arc<Session>, run: &HostRun, symbolic: bool) -> Arc<Scope> {
        let facts = if symbolic {
            &run.symbolic_facts
        } else {
            &run.strict_facts
        };
        let mut above = self.above.clone();
        if !facts.is_empty() {
            above.push(Arc::new(facts.clone()));
        }
        above.extend(self.top.iter().cloned());
        Scope::play(session, &run.host, &self.below, &above, self.play.clone())
    }

    /// The same with more variables at the place of task variables.
    pub fn with_vars(&self, vars: Option<&Map>) -> Context {
        let mut inner = self.clone();
        if let Some(vars) = vars.filter(|vars| !vars.is_empty()) {
            inner.above.push(Arc::new(vars.clone()));
        }
        inner
    }

    /// The same with more variables on top of all.
    pub fn with_top(&self, vars: Map) -> Context {
        let mut inner = self.clone();
        if !vars.is_empty() {
            inner.top.push(Arc::new(vars));
        }
        inner
    }
}
