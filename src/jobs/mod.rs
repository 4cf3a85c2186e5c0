//! The jobs, one file each, and the way of one run through them.

pub mod age_refresh;
pub mod catch_up;
pub mod definition;
pub mod fetch;
pub mod flow;
pub mod oo_agg;
pub mod reconcile;
pub mod retention;
pub mod sources;
pub mod sql;
pub mod topo;

use crate::backend::fault::{self, Point};
use crate::backend::session::Session;
use crate::backend::{catalog, latch};
use crate::error::{Error, Result, catch};
use crate::memory;
use crate::scheduler::ledger::{self, Batch, Claim, Failed, JobKind, Place, Run};
use pgrx::prelude::*;
use std::time::Duration;

/// Time between two tries while somebody holds the extension's lock.
const BUSY_WAIT: Duration = Duration::from_millis(100);

/// What [`work_next`] did.
pub enum Worked {
    /// It worked on so many runs, which succeeded or failed: windows, or slices of a SQL job.
    On(usize),
    /// Nothing could be claimed.
    Nothing,
    /// The extension is not there.
    Gone,
}

/// Claims the next windows, of a built-in job at most `limit`, and works on them. A failure is recorded in the ledger, not returned; `Err` is a failure of
/// the machinery, or a cancel of the calling session.
pub fn work_next(session: Session, place: Option<Place>, limit: Option<usize>) -> Result<Worked> {
    if memory::stopped_threads() > 0 {
        // A thread of this process holds memory for good: a new process has all of its own.
        return match session {
            Session::Worker => Ok(Worked::Gone),
            Session::Procedure => fetch::refuse_after_stop().map(|()| Worked::Nothing),
        };
    }
    // What a job left behind goes before the next is claimed, or nothing is.
    sql::clean(session)?;
    let batch = match ledger::claim(session, place, limit)? {
        Claim::Batch(batch) => batch,
        Claim::Nothing => return Ok(Worked::Nothing),
        Claim::Gone => return Ok(Worked::Gone),
    };
    if session == Session::Worker {
        latch::report_activity(Some(&format!("observe_bridge: {} run {}", batch.job, batch.batch_id)));
    }
    // Whatever happens, the lock goes back: an error that escapes even the recording of the failure included.
    let settled = catch(|| {
        let mut done = 0;
        let outcome = catch(|| dispatch(session, &batch, &mut done));
        let worked = settle(session, batch.runs.get(done..).unwrap_or_default(), outcome)?;
        fault::point(Point::Committed)?;
        Ok(worked)
    });
    ledger::release(batch.batch_id);
    fault::point(Point::Released)?;
    sql::clean(session)?;
    if session == Session::Worker {
        latch::report_activity(None);
    }
    Ok(match settled? {
        false => Worked::Gone,
        true if batch.kind == JobKind::Sql => Worked::On(1),
        true => Worked::On(batch.runs.len()),
    })
}

/// Records how the windows of a batch that have not succeeded ended; false: the extension is gone.
fn settle(session: Session, rest: &[Run], outcome: Result<()>) -> Result<bool> {
    let e = match outcome {
        Ok(()) => return Ok(true),
        Err(e) => e,
    };
    loop {
        // Also after LostRun: of a batch, one window may be lost and the others still be ours.
        match ledger::finish_failure(session, rest, &e)? {
            // Somebody asked for this run to be cancelled, and it is.
            Failed::Recorded(status) if status == "cancelled" => return Ok(true),
            // The caller's own statement was cancelled: it must see that. A worker was only asked to drop the run.
            Failed::Recorded(_) if e.is_cancel() && session == Session::Procedure => return Err(e),
            Failed::Recorded(_) | Failed::Lost => return Ok(true),
            Failed::NotRecorded => {
                if session.bare_transaction(catalog::current)?.is_none() {
                    return Ok(false);
                }
                // Somebody is dropping the extension and may yet change their mind.
                latch::wait(BUSY_WAIT, -1);
            }
        }
    }
}

/// Runs the windows of a batch; `done` counts those that are committed, from the first on.
fn dispatch(session: Session, batch: &Batch, done: &mut usize) -> Result<()> {
    fault::point(Point::Claimed)?;
    if batch.kind == JobKind::Sql {
        return sql::run(session, batch);
    }
    if let Some(kind) = topo::Kind::of(&batch.job) {
        return topo::run(session, batch, kind);
    }
    match batch.job.as_str() {
        oo_agg::NAME => oo_agg::run(session, batch, done),
        age_refresh::NAME => age_refresh::run(session, batch),
        retention::NAME => retention::run(session, batch),
        reconcile::NAME => reconcile::run(session, batch),
        other => Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!("job \"{other}\" cannot be run by this version"),
            "This version runs oo-agg, age-refresh, topo-iac, topo-ansible, reconcile and retention.",
        )),
    }
}
