//! Walking plays host by host: which tasks apply, which variables they see, and the sites they yield.

mod context;
mod flow;
mod module;
mod plays;
mod roles;
mod salvage;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::jinja::{Mode, Session};
use super::super::world::World;
use super::Site;
use crate::topology::{Evidence, Reason, Unresolved};

/// Most task runs (task, host, loop item) of one extraction.
const MAX_RUNS: usize = 50_000;
/// Most bytes of texts kept for one extraction.
const MAX_TEXT: usize = 256 << 20;

/// What a play covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlaySummary {
    pub file: Arc<str>,
    pub pattern: String,
    pub hosts: Arc<Vec<Arc<str>>>,
    /// Roles in order, as they are named.
    pub roles: Vec<String>,
    /// Whether a condition of an import could not be decided.
    pub conditional: bool,
}

/// The walk over the plays of one inventory. Sites are handed to a sink as they come, so that they need not be kept.
pub struct Walk<'a> {
    pub world: Arc<World>,
    /// Ansible's values, for conditions.
    strict: Arc<Session>,
    /// Hosts as symbols, for endpoints.
    symbolic: Arc<Session>,
    sink: &'a mut dyn FnMut(Site),
    pub plays: Vec<PlaySummary>,
    /// Which role runs on which host: those of plays, what they depend on, and what tasks include.
    pub runs_on: BTreeMap<(String, Arc<str>), Evidence>,
    unresolved: BTreeSet<Unresolved>,
    runs: usize,
    bytes: usize,
}

impl<'a> Walk<'a> {
    pub fn new(world: &Arc<World>, sink: &'a mut dyn FnMut(Site)) -> Walk<'a> {
        Walk {
            world: world.clone(),
            strict: Session::new(world.clone(), Mode::Strict),
            symbolic: Session::new(world.clone(), Mode::Symbolic),
            sink,
            plays: Vec::new(),
            runs_on: BTreeMap::new(),
            unresolved: BTreeSet::new(),
            runs: 0,
            bytes: 0,
        }
    }

    /// The plays seen and what could not be resolved.
    pub fn finish(self) -> (Vec<PlaySummary>, Vec<Unresolved>) {
        let mut unresolved: Vec<Unresolved> = self.unresolved.into_iter().collect();
        unresolved.extend(self.world.vars.unresolved());
        (self.plays, unresolved)
    }

    fn report(&mut self, src: &str, reference: &str, reason: Reason) {
        self.unresolved.insert(Unresolved {
            src: src.to_owned(),
            reference: reference.to_owned(),
            reason,
            at: None,
        });
    }

    /// Counts a run; false when the extraction has done what it may.
    fn may_run(&mut self, file: &str) -> bool {
        self.runs += 1;
        if self.runs <= MAX_RUNS && self.bytes <= MAX_TEXT && !self.symbolic.is_spent() && !self.strict.is_spent() {
            return true;
        }
        self.report(file, "evaluation limit", Reason::Unsupported);
        false
    }

    fn yield_site(&mut self, site: Site) {
        self.bytes = self.bytes.saturating_add(site.text.len());
        (self.sink)(site);
    }
}
