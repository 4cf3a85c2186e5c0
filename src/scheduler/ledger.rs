//! The ledger `etl_job_run` from the runner's side: plan, claim, finish, rescue.
//!
//! The rules themselves (what is due, backoff, breaker, dependents) are SQL, in sql/: here is who may call them when.
//! Every claim holds its batch's session lock from inside its own transaction until after the final commit; that lock,
//! not the row's status, says that somebody works on the windows.

use crate::backend::clock;
use crate::backend::fault::{self, Point};
use crate::backend::json::jsonb;
use crate::backend::locks::{self, Kind, Scope};
use crate::backend::session::{End, Session};
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use engine::window::Window;
use pgrx::prelude::*;
use pgrx::spi::SpiTupleTable;
use serde_json::Value;
use std::time::Duration;

/// One claimed window.
#[derive(Clone, Debug)]
pub struct Run {
    pub run_id: i64,
    pub window: Window,
    /// The fencing token: checked in the transaction that writes the result.
    pub attempt: i32,
}

/// What a job is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Part of this library.
    Builtin,
    /// A function or statement of a user.
    Sql,
}

/// Contiguous windows of one job and tenant that were claimed together, in the order of time; never empty. Dropping it
/// does not release its lock: see [`release`].
#[derive(Clone, Debug)]
pub struct Batch {
    /// Key of the lock that says somebody works on these windows.
    pub batch_id: i64,
    pub job: String,
    pub kind: JobKind,
    pub tenant_id: i64,
    pub runs: Vec<Run>,
    pub timeout: Duration,
}

impl Batch {
    /// From the start of the first window to the end of the last.
    pub fn range(&self) -> Window {
        let from = self.runs.first().map_or(0, |r| r.window.from);
        let to = self.runs.last().map_or(from, |r| r.window.to);
        Window::new(from, to)
    }
}

/// What a look for work found.
pub enum Claim {
    Batch(Batch),
    Nothing,
    /// The extension is not there.
    Gone,
}

/// Which runner asks for work: its place among so many. A runner prefers the tenants whose hash is its place.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub place: usize,
    pub places: usize,
}

/// Plans every window that has become due; returns how many. Burns no transaction id when there is none.
pub fn tick() -> Result<i64> {
    sql::select("SELECT etl_tick()", &[], |rows| {
        required(rows.first().get_one()?, "etl_tick")
    })
}

/// Lets backfills go on, and queues what was invalidated; returns how many windows were enqueued. Burns no transaction
/// id when there is nothing to do.
pub fn feed() -> Result<i64> {
    sql::select("SELECT etl_invalidations_apply() + etl_backfill_feed()", &[], |rows| {
        required(rows.first().get_one()?, "etl_backfill_feed")
    })
}

/// What a look at the queue shows.
pub struct Queue {
    /// How many (job, tenant) pairs have a window that could be claimed now.
    pub claimable: usize,
    /// The batches marked running.
    pub running: Vec<i64>,
}

/// Looks at the queue; reads only.
pub fn look() -> Result<Queue> {
    // Hops from batch to batch: one may be of thousands of windows.
    sql::select(
        "WITH RECURSIVE batch AS (
             (SELECT r.batch_id FROM etl_job_run r WHERE r.status = 'running' ORDER BY r.batch_id LIMIT 1)
             UNION ALL
             SELECT n.batch_id FROM batch b
             CROSS JOIN LATERAL (SELECT r.batch_id FROM etl_job_run r WHERE r.status = 'running' AND r.batch_id > b.batch_id
                                 ORDER BY r.batch_id LIMIT 1) n)
         SELECT (SELECT count(*) FROM etl_claimable()), ARRAY(SELECT batch_id FROM batch)",
        &[],
        |rows| {
            let row = rows.first();
            let claimable: i64 = required(row.get(1)?, "count")?;
            Ok(Queue {
                claimable: usize::try_from(claimable).unwrap_or(0),
                running: required(row.get(2)?, "running")?,
            })
        },
    )
}

/// Claims the next windows, of a built-in job at most `limit`: status running, attempt one up, the batch's lock held.
/// Commits before it returns.
pub fn claim(session: Session, place: Option<Place>, limit: Option<usize>) -> Result<Claim> {
    let number = |n: Option<usize>| n.map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    let (place, places) = (number(place.map(|p| p.place)), number(place.map(|p| p.places)));
    claim_by(session, || {
        // Through `select`, since a look that finds nothing must not burn a transaction id; a claim takes one by itself.
        sql::select(
            "SELECT run_id, window_from, window_to, attempt, batch_id, job, kind, tenant_id, (extract(epoch FROM timeout) * 1000)::bigint
               FROM etl_claim(pg_backend_pid(), $1, $2, $3)",
            &[place.into(), places.into(), number(limit).into()],
            read_batch,
        )
    })
}

/// Claims the first windows of a range that have not succeeded and that nobody works on.
pub fn claim_range(session: Session, job: &str, tenant_id: i64, range: Window) -> Result<Claim> {
    claim_by(session, || {
        sql::update(
            "SELECT run_id, window_from, window_to, attempt, batch_id, job, kind, tenant_id, (extract(epoch FROM timeout) * 1000)::bigint
               FROM etl_claim_range($1, $2, $3, $4, pg_backend_pid())",
            &[
                job.into(),
                tenant_id.into(),
                clock::to_timestamptz(range.from)?.into(),
                clock::to_timestamptz(range.to)?.into(),
            ],
            read_batch,
        )
    })
}

fn claim_by(session: Session, next: impl FnOnce() -> Result<Option<Batch>>) -> Result<Claim> {
    let mut locked = None;
    let claimed = session.transaction(|| {
        // One claim at a time: the caps on concurrency are counted, and must not be counted twice.
        locks::acquire(Kind::Claim, 0);
        let Some(batch) = next()? else {
            return Ok(End::Rollback(None));
        };
        if !locks::try_acquire(Kind::Run, batch.batch_id, Scope::Session) {
            // Its former runner has lost it but is not yet gone: let it end first, and take another now.
            put_off(&batch)?;
            return Ok(End::Commit(None));
        }
        locked = Some(batch.batch_id);
        fault::point(Point::ClaimedBeforeCommit)?;
        Ok(End::Commit(Some(batch)))
    });
    match claimed {
        Ok(Some(Some(batch))) => Ok(Claim::Batch(batch)),
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

/// Queues a batch that was just claimed again, for a little later.
fn put_off(batch: &Batch) -> Result<()> {
    sql::execute(
        "UPDATE etl_job_run
            SET status = 'queued', started_at = NULL, max_attempts = max_attempts + 1, next_attempt_at = etl_now() + interval '2 s'
          WHERE run_id = ANY ($1)",
        &[ids(&batch.runs).into()],
    )?;
    Ok(())
}

fn ids(runs: &[Run]) -> Vec<i64> {
    runs.iter().map(|r| r.run_id).collect()
}

fn attempts(runs: &[Run]) -> Vec<i32> {
    runs.iter().map(|r| r.attempt).collect()
}

/// Rows of windows in the order of time, the same batch in each.
fn read_batch(rows: SpiTupleTable<'_>) -> Result<Option<Batch>> {
    let mut batch: Option<Batch> = None;
    for row in rows {
        let instant = |i: usize, name| -> Result<i64> {
            let at = required(row.get::<TimestampWithTimeZone>(i)?, name)?;
            Ok(clock::from_timestamptz(at))
        };
        let run = Run {
            run_id: required(row.get(1)?, "run_id")?,
            window: Window::new(instant(2, "window_from")?, instant(3, "window_to")?),
            attempt: required(row.get(4)?, "attempt")?,
        };
        if let Some(batch) = &mut batch {
            batch.runs.push(run);
            continue;
        }
        batch = Some(Batch {
            batch_id: required(row.get(5)?, "batch_id")?,
            job: required(row.get(6)?, "job")?,
            kind: if row.get::<&str>(7)? == Some("sql") {
                JobKind::Sql
            } else {
                JobKind::Builtin
            },
            tenant_id: required(row.get(8)?, "tenant_id")?,
            runs: vec![run],
            timeout: Duration::from_millis(
                row.get::<i64>(9)?
                    .and_then(|ms| u64::try_from(ms).ok())
                    .unwrap_or(u64::from(u32::MAX)),
            ),
        });
    }
    Ok(batch)
}

/// Gives the batch's lock back: after the final commit, and on every way an error takes.
pub fn release(batch_id: i64) {
    locks::release(Kind::Run, batch_id);
}

/// Marks windows of a batch successful, in the order of time, and queues what depends on them. The last one gets the
/// stats. Call it last in the transaction that writes the result: an error (one was lost) takes the result with it.
pub fn finish_success(runs: &[Run], stats: Value) -> Result<()> {
    let ours: bool = sql::update(
        "SELECT etl_finish_success($1, $2, $3)",
        &[ids(runs).into(), attempts(runs).into(), jsonb(stats).into()],
        |rows| required(rows.first().get_one()?, "etl_finish_success"),
    )?;
    if ours {
        Ok(())
    } else {
        Err(Error::LostRun {
            run_id: runs.last().map_or(0, |r| r.run_id),
        })
    }
}

/// What became of windows whose failure was to be recorded.
pub enum Failed {
    /// queued, failed or cancelled
    Recorded(String),
    /// They belong to somebody else.
    Lost,
    /// The extension is not there, or being changed: nothing was recorded.
    NotRecorded,
}

/// Records a failed attempt at those windows of a batch that have not succeeded, in a transaction of its own.
pub fn finish_failure(session: Session, runs: &[Run], error: &Error) -> Result<Failed> {
    let retry_after = match error {
        Error::Source(e) => e.retry_after.map(|d| d.as_secs_f64()),
        _ => None,
    };
    let status = session.transaction(|| {
        let status = sql::update(
            "SELECT etl_finish_failure($1, $2, $3, $4, make_interval(secs => $5))",
            &[
                ids(runs).into(),
                attempts(runs).into(),
                jsonb(error.to_json()).into(),
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

/// Queues again what is marked running though nobody works on it; returns how many batches. `running` are those that a
/// [`look`] showed.
pub fn rescue_orphans(session: Session, running: &[i64]) -> Result<usize> {
    let mut rescued = 0;
    for batch_id in running {
        if !locks::held_by_me(Kind::Run, *batch_id) && rescue(session, *batch_id)? {
            rescued += 1;
        }
    }
    Ok(rescued)
}

/// Takes the batch's lock, and only then looks what of it is still running: a runner commits its claim with the lock
/// held, so what runs while we hold it has no runner.
fn rescue(session: Session, batch_id: i64) -> Result<bool> {
    let rescued = session.transaction(|| {
        if !locks::try_acquire(Kind::Run, batch_id, Scope::Transaction) {
            return Ok(End::Rollback(false));
        }
        let done = sql::update("SELECT etl_rescue($1)", &[batch_id.into()], |rows| {
            required(rows.first().get_one()?, "etl_rescue")
        })?;
        fault::point(Point::RescueBeforeCommit)?;
        Ok(End::Commit(done))
    })?;
    Ok(rescued.unwrap_or(false))
}
