//! The jobs, one file each, and the way of one run through them.

pub mod age_refresh;
pub mod fetch;
pub mod oo_agg;
pub mod retention;
pub mod sources;

use crate::backend::latch;
use crate::backend::session::Session;
use crate::error::{Error, Result};
use crate::scheduler::ledger::{self, Claim, Run};
use pgrx::prelude::*;

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
    latch::report_activity(Some(&format!("observe_bridge: {} run {}", run.job, run.run_id)));
    let outcome = crate::error::catch(|| dispatch(session, &run));
    let settled = match outcome {
        Ok(()) | Err(Error::LostRun { .. }) => Ok(Worked::One),
        Err(e) => match ledger::finish_failure(session, &run, &e) {
            // Somebody asked for this run to be cancelled, and it is.
            Ok(Some(status)) if status == "cancelled" => Ok(Worked::One),
            // The caller's own statement was cancelled: it must see that. A worker was only asked to drop the run.
            Ok(_) if e.is_cancel() && session == Session::Procedure => Err(e),
            Ok(_) => Ok(Worked::One),
            Err(again) => Err(again),
        },
    };
    ledger::release(run.run_id);
    latch::report_activity(None);
    settled
}

fn dispatch(session: Session, run: &Run) -> Result<()> {
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
