//! `CALL etl_run()`: the queue worked in the calling session, for pg_cron or a server without the preloaded library.

use crate::backend::catalog;
use crate::backend::session::{self, End, Session};
use crate::backend::settings;
use crate::error::{Error, Result, or_raise};
use crate::jobs::{self, Worked};
use crate::scheduler::{housekeeping, ledger};
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// Works the queue until it is empty, `max_runs` runs are done, or `deadline` has passed; commits after each step.
#[pg_extern(sql = "
CREATE PROCEDURE etl_run(max_runs integer DEFAULT NULL, deadline interval DEFAULT '55 s')
    LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn etl_run(max_runs: Option<i32>, deadline: Option<Interval>, fcinfo: pg_sys::FunctionCallInfo) {
    or_raise(can_run("etl_run", fcinfo));
    let runs = max_runs.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
    let until = deadline.and_then(|d| Instant::now().checked_add(as_duration(&d)));
    let outcome = session::in_procedure(|session| {
        let mut done = 0usize;
        rescue(session)?;
        while done < runs && until.is_none_or(|t| Instant::now() < t) {
            match jobs::work_next(session, None, Some(runs - done))? {
                Worked::On(n) => done += n,
                // Another session may have died meanwhile; a backfill may have come to its next slice.
                Worked::Nothing if rescue(session)? > 0 || feed(session)? > 0 => {}
                Worked::Nothing | Worked::Gone => break,
            }
        }
        // Without workers nobody else does what goes by the clock. It fails no CALL whose runs are done.
        if let Err(e) = session.transaction(|| housekeeping::run().map(End::Commit)) {
            e.log("housekeeping");
        }
        Ok(())
    });
    or_raise(outcome);
}

/// Queues again what dead sessions and workers left behind; returns how many batches.
fn rescue(session: Session) -> Result<usize> {
    let queue = session.transaction(|| Ok(End::Rollback(ledger::look()?)))?;
    queue.map_or(Ok(0), |q| ledger::rescue_orphans(session, &q.running))
}

/// Enqueues what backfills and invalidations have next; returns how many windows.
fn feed(session: Session) -> Result<i64> {
    let enqueued = session.transaction(|| Ok(End::Commit(ledger::feed()?)))?;
    Ok(enqueued.unwrap_or(0))
}

/// Says why a procedure that commits would do nothing.
pub fn can_run(procedure: &str, fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    if is_atomic(fcinfo) {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_INVALID_TRANSACTION_TERMINATION,
            format!("{procedure}() cannot run inside a transaction block"),
            "It commits after every run. Call it on its own, without BEGIN, and not from a function.",
        ));
    }
    if catalog::restoring() {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "a dump is being restored",
            "Wait until observe_bridge.restoring and timescaledb.restoring are off.",
        ));
    }
    // SAFETY: reads the state of the server.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            format!("{procedure}() cannot run on a standby"),
            "Call it on the primary. Here it works after the promotion; workers, where preloaded, then start by themselves.",
        ));
    }
    settings::set_local(c"search_path", "pg_catalog, pg_temp")?;
    if catalog::current()?.is_none() {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "the extension is not of version {}, as the library is",
                catalog::LIBRARY_VERSION
            ),
            "Run ALTER EXTENSION observe_bridge UPDATE, or start a new session with the newer library.",
        ));
    }
    Ok(())
}

/// Whether the CALL may not commit: in a transaction block, or called from a function.
fn is_atomic(fcinfo: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: a procedure gets a CallContext node as its context; anything else counts as atomic.
    unsafe {
        let context = (*fcinfo).context;
        context.is_null()
            || (*context).type_ != pg_sys::NodeTag::T_CallContext
            || (*context.cast::<pg_sys::CallContext>()).atomic
    }
}

/// A negative interval is none; one beyond all bounds, infinity included, is very long.
pub fn as_duration(interval: &Interval) -> Duration {
    Duration::from_micros(u64::try_from(interval.as_micros().max(0)).unwrap_or(u64::MAX))
}
