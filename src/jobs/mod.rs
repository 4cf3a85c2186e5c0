//! The jobs, one file each, and the way of one run through them.

pub mod age_refresh;
pub mod fetch;
pub mod oo_agg;
pub mod retention;
pub mod sources;

use crate::backend::fault::{self, Point};
use crate::backend::session::Session;
use crate::backend::{catalog, latch};
use crate::error::{Error, Result, catch};
use crate::scheduler::ledger::{self, Claim, Failed, Run};
use pgrx::prelude::*;
use std::time::Duration;

/// Time between two tries while somebody holds the extension's lock.
const BUSY_WAIT: Duration = Duration::from_millis(100);

/// What [`work_next`] did.
pub enum Worked {
    /// It worked on one run, which succeeded or failed.
    One,
    /// Nothing could be claimed.
    Nothing,
    /// The extension is not there.
    Gone,
}

/// Claims the next run and works on it. A failure of the run is recorded in the ledger, not returned; `Err` is a
/// failure of the machinery, or a cancel of the calling session.
pub fn work_next(session: Session) -> Result<Worked> {
    let run = match ledger::claim(session)? {
        Claim::Run(run) => run,
        Claim::Nothing => return Ok(Worked::Nothing),
        Claim::Gone => return Ok(Worked::Gone),
    };
    if session == Session::Worker {
        latch::report_activity(Some(&format!("observe_bridge: {} run {}", run.job, run.run_id)));
    }
    // Whatever happens, the lock goes back: an error that escapes even the recording of the failure included.
    let settled = catch(|| {
        let worked = settle(session, &run, catch(|| dispatch(session, &run)))?;
        fault::point(Point::Committed)?;
        Ok(worked)
    });
    ledger::release(run.run_id);
    fault::point(Point::Released)?;
    if session == Session::Worker {
        latch::report_activity(None);
    }
    settled
}

/// Records how a run ended.
fn settle(session: Session, run: &Run, outcome: Result<()>) -> Result<Worked> {
    let e = match outcome {
        Ok(()) | Err(Error::LostRun { .. }) => return Ok(Worked::One),
        Err(e) => e,
    };
    loop {
        match ledger::finish_failure(session, run, &e)? {
            // Somebody asked for this run to be cancelled, and it is.
            Failed::Recorded(status) if status == "cancelled" => return Ok(Worked::One),
            // The caller's own statement was cancelled: it must see that. A worker was only asked to drop the run.
            Failed::Recorded(_) if e.is_cancel() && session == Session::Procedure => return Err(e),
            Failed::Recorded(_) | Failed::Lost => return Ok(Worked::One),
            Failed::NotRecorded => {
                if session.bare_transaction(catalog::current)?.is_none() {
                    return Ok(Worked::Gone);
                }
                // Somebody is dropping the extension and may yet change their mind.
                latch::wait(BUSY_WAIT, -1);
            }
        }
    }
}

fn dispatch(session: Session, run: &Run) -> Result<()> {
    fault::point(Point::Claimed)?;
    match run.job.as_str() {
        oo_agg::NAME => oo_agg::run(session, run),
        age_refresh::NAME => age_refresh::run(session, run),
        retention::NAME => retention::run(session, run),
        other => Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!("job \"{other}\" cannot be run by this version"),
            "This version runs oo-agg, age-refresh and retention.",
        )),
    }
}
