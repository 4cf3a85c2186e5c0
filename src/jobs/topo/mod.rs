//! The jobs `topo-iac` and `topo-ansible`: what sources declare now becomes intervals in `topo_edge_time`.
//!
//! Three steps, as in `oo-agg`: a transaction that reads what to fetch; reading and extracting, with no transaction open;
//! one transaction that hands every source to `topo_load`, which refuses what looks cut off, and marks the run
//! successful. All sources of a tenant or none: one that cannot be read fails the run, and every edge stays.

mod edges;
mod extract;
mod identities;
mod load;
pub mod options;
pub mod read;
mod snapshot;
pub mod sources;

use crate::backend::fault::{self, Point};
use crate::backend::session::{End, Session};
use crate::error::Result;
use crate::jobs::fetch;
use crate::scheduler::ledger::{self, Batch};
use serde_json::json;

pub use load::would_do;
pub use snapshot::{Found, Snapshot};

/// Which of the two jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Iac,
    Ansible,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Iac, Kind::Ansible];

    /// The job's name in `etl_job`.
    pub fn job(self) -> &'static str {
        match self {
            Kind::Iac => "topo-iac",
            Kind::Ansible => "topo-ansible",
        }
    }

    /// The inverse of [`Kind::job`].
    pub fn of(job: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.job() == job)
    }
}

/// Works on a batch, which is one window: older ones that wait are done with it.
pub fn run(session: Session, batch: &Batch, kind: Kind) -> Result<()> {
    let outcome = read_and_load(session, batch, kind);
    if outcome.is_err() {
        // Of the two errors the first one counts.
        let _ = session.transact(|| {
            sources::forget(batch.tenant_id, kind)?;
            Ok(End::Commit(()))
        });
    }
    outcome
}

fn read_and_load(session: Session, batch: &Batch, kind: Kind) -> Result<()> {
    let tenant = batch.tenant_id;
    let (plan, accept) = session.transact(|| {
        let mut plan = sources::plan(tenant, kind)?;
        for source in &mut plan.sources {
            source.known = sources::known(tenant, source)?;
        }
        Ok(End::Rollback((plan, load::accepts_shrink(batch)?)))
    })?;
    fault::point(Point::Planned)?;
    let read = fetch::evaluate_in_background(kind.job(), batch.timeout, move |cancel| read::all(plan, cancel))?;
    fault::point(Point::Fetched)?;
    let mut ready = Vec::new();
    for source in read {
        let snapshot = source.outcome?;
        snapshot.check(accept)?;
        ready.push(snapshot);
    }
    session.transact(|| {
        fault::point(Point::Writing)?;
        let tenant = load::code(tenant)?;
        let mut stats = Vec::new();
        for snapshot in &ready {
            stats.push(load::store(&tenant, kind, snapshot, accept)?);
        }
        fault::point(Point::Written)?;
        ledger::finish_success(&batch.runs, json!({ "sources": stats }))?;
        fault::point(Point::FinishedBeforeCommit)?;
        Ok(End::Commit(()))
    })
}
