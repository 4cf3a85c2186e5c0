//! The ledger `etl_job_run` from the runner's side: plan, claim, finish, rescue.
//!
//! The rules themselves (what is due, backoff, breaker, dependents) are SQL, in sql/: here is who may call them when.
//! Every claim holds the run's session lock from inside its own transaction until after the final commit; that lock,
//! not the row's status, says that somebody works on the run.

use crate::backend::clock;
use crate::backend::fault::{self, Point};
use crate::backend::locks::{self, Kind, Scope};
use crate::backend::session::{End, Session};
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use engine::window::Window;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;
use std::time::Duration;

/// A claimed run. Dropping it does not release its lock: see [`release`].
#[derive(Clone, Debug)]
pub struct Run {
    pub run_id: i64,
    pub job: String,
    pub tenant_id: i64,
    pub window: Window,
    /// The fencing token: checked in the transaction that writes the result.
    pub attempt: i32,
    pub timeout: Duration,
}

/// What a look for work found.
pub enum Claim {
    Run(Run),
    Nothing,
    /// The extension is not there.
    Gone,
}

/// Plans every window that has become due; returns how many. Burns no transaction id when there is none.
pub fn tick() -> Result<i64> {
    sql::select("SELECT etl_tick()", &[], |rows| {
        required(rows.first().get_one()?, "etl_tick")
    })
}

/// How many (job, tenant) pairs have a window that could be claimed now.
pub fn claimable() -> Result<usize> {
    let n: i64 = sql::select("SELECT count(*) FROM etl_claimable()", &[], |rows| {
        required(rows.first().get_one()?, "count")
    })?;
    Ok(usize::try_from(n).unwrap_or(0))
}

/// Claims the next run: status running, attempt one up, the run's lock held. Commits before it returns.
pub fn claim(session: Session) -> Result<Claim> {
    let mut locked = None;
    let claimed = session.transaction(|| {
        // One claim at a time: the caps on concurrency are counted, and must not be counted twice.
        locks::acquire(Kind::Claim, 0);
        let Some(run) = next_run()? else {
            return Ok(End::Rollback(None));
        };
        if !locks::try_acquire(Kind::Run, run.run_id, Scope::Session) {
            // Its former runner has lost it but is not yet gone: let it end first, and take another now.
            put_off(run.run_id)?;
            return Ok(End::Commit(None));
        }
        locked = Some(run.run_id);
        fault::point(Point::ClaimedBeforeCommit)?;
        Ok(End::Commit(Some(run)))
    });
    match claimed {
        Ok(Some(Some(run))) => Ok(Claim::Run(run)),
        Ok(found) => {
            locked.into_iter().for_each(release);
            Ok(if found.is_some() { Claim::Nothing } else { Claim::Gone })
        }
        Err(e) => {
            locked.into_iter().for_each(release);
            Err(e)
        }
    }
}

/// Queues a run that was just claimed again, for a little later.
fn put_off(run_id: i64) -> Result<()> {
    sql::execute(
        "UPDATE etl_job_run
            SET status = 'queued', started_at = NULL, max_attempts = max_attempts + 1, next_attempt_at = etl_now() + interval '2 s'
          WHERE run_id = $1",
        &[run_id.into()],
    )?;
    Ok(())
}

/// Through `select`, since a look that finds nothing must not burn a transaction id; a claim takes one by itself.
fn next_run() -> Result<Option<Run>> {
    sql::select(
        "SELECT run_id, job, tenant_id, window_from, window_to, attempt, (extract(epoch FROM timeout) * 1000)::bigint
           FROM etl_claim(pg_backend_pid())",
        &[],
        |rows| {
            let Some(row) = rows.into_iter().next() else {
                return Ok(None);
            };
            let instant = |i: usize, name| -> Result<i64> {
                Ok(clock::from_timestamptz(required(
                    row.get::<TimestampWithTimeZone>(i)?,
                    name,
                )?))
            };
            Ok(Some(Run {
                run_id: required(row.get(1)?, "run_id")?,
                job: required(row.get(2)?, "job")?,
                tenant_id: required(row.get(3)?, "tenant_id")?,
                window: Window::new(instant(4, "window_from")?, instant(5, "window_to")?),
                attempt: required(row.get(6)?, "attempt")?,
                timeout: Duration::from_millis(
                    row.get::<i64>(7)?
                        .and_then(|ms| u64::try_from(ms).ok())
                        .unwrap_or(u64::from(u32::MAX)),
                ),
            }))
        },
    )
}

/// Gives the run's lock back: after the final commit, and on every way an error takes.
pub fn release(run_id: i64) {
    locks::release(Kind::Run, run_id);
}

/// Marks the run successful and queues what depends on it. Call it last in the transaction that writes the result:
/// an error (the run was lost) takes the result with it.
pub fn finish_success(run: &Run, stats: Value) -> Result<()> {
    let ours: bool = sql::update(
        "SELECT etl_finish_success($1, $2, $3)",
        &[run.run_id.into(), run.attempt.into(), JsonB(stats).into()],
        |rows| required(rows.first().get_one()?, "etl_finish_success"),
    )?;
    if ours {
        Ok(())
    } else {
        Err(Error::LostRun { run_id: run.run_id })
    }
}

/// What became of a run whose failure was to be recorded.
pub enum Failed {
    /// queued, failed or cancelled
    Recorded(String),
    /// It belongs to somebody else.
    Lost,
    /// The extension is not there, or being changed: nothing was recorded.
    NotRecorded,
}

/// Records a failed attempt in a transaction of its own.
pub fn finish_failure(session: Session, run: &Run, error: &Error) -> Result<Failed> {
    let retry_after = match error {
        Error::Source(e) => e.retry_after.map(|d| d.as_secs_f64()),
        _ => None,
    };
    let status = session.transaction(|| {
        let status = sql::update(
            "SELECT etl_finish_failure($1, $2, $3, $4, make_interval(secs => $5))",
            &[
                run.run_id.into(),
                run.attempt.into(),
                JsonB(error.to_json()).into(),
                error.is_transient().into(),
                retry_after.into(),
            ],
            |rows| Ok(rows.first().get_one::<String>()?),
        )?;
        Ok(End::Commit(status))
    })?;
    Ok(match status {
        Some(Some(status)) => Failed::Recorded(status),
        Some(None) => Failed::Lost,
        None => Failed::NotRecorded,
    })
}

/// Queues again what is marked running though nobody works on it; returns how many.
pub fn rescue_orphans(session: Session) -> Result<usize> {
    let running = session.transaction(|| {
        let rows = sql::select(
            "SELECT run_id, attempt FROM etl_job_run WHERE status = 'running'",
            &[],
            |rows| {
                let mut found = Vec::new();
                for row in rows {
                    found.push((
                        required(row.get::<i64>(1)?, "run_id")?,
                        required(row.get::<i32>(2)?, "attempt")?,
                    ));
                }
                Ok(found)
            },
        )?;
        Ok(End::Commit(rows))
    })?;
    let mut rescued = 0;
    for (run_id, attempt) in running.unwrap_or_default() {
        if !locks::held_by_me(Kind::Run, run_id) && rescue(session, run_id, attempt)? {
            rescued += 1;
        }
    }
    Ok(rescued)
}

/// Takes the run's lock, and only then looks whether the row is still as it was seen.
fn rescue(session: Session, run_id: i64, attempt: i32) -> Result<bool> {
    let rescued = session.transaction(|| {
        if !locks::try_acquire(Kind::Run, run_id, Scope::Transaction) {
            return Ok(End::Rollback(false));
        }
        let done = sql::update("SELECT etl_rescue($1, $2)", &[run_id.into(), attempt.into()], |rows| {
            required(rows.first().get_one()?, "etl_rescue")
        })?;
        fault::point(Point::RescueBeforeCommit)?;
        Ok(End::Commit(done))
    })?;
    Ok(rescued.unwrap_or(false))
}
