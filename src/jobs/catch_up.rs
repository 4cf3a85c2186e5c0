//! A SQL job brought up to its source in the calling session: what `CALL etl_ensure_current()` does.

use crate::backend::clock;
use crate::backend::latch;
use crate::backend::locks::{self, Kind};
use crate::backend::session::{End, Session};
use crate::backend::settings::set_local;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result, catch};
use crate::jobs::definition::{self, Definition};
use crate::jobs::sql as sql_job;
use crate::scheduler::ledger::{self, Batch, Claim};
use engine::window::Window;
use pgrx::prelude::*;
use serde_json::json;
use std::time::{Duration, Instant};

/// Time between two looks at windows that somebody else has locked for a moment.
const LOCKED_WAIT: Duration = Duration::from_millis(100);

/// 0001-01-01 in UTC microseconds: no job has windows before.
const YEAR_ONE_US: i64 = -62_135_596_800_000_000;

/// What is asked for.
pub struct Request {
    pub job: String,
    pub tenant: String,
    pub max_lag: Option<Interval>,
    pub pause: Duration,
    /// The caller's own `lock_timeout`.
    pub lock_timeout: String,
}

/// What was done.
#[derive(Default)]
pub struct Outcome {
    /// Why there was nothing to do.
    pub skipped: Option<&'static str>,
    /// Calendar months in which the job's function was called.
    pub slices: i64,
    /// The sum of what it returned.
    pub rows: i64,
    pub range: Option<Window>,
    pub stamped: bool,
}

/// Where a job stands.
enum Standing {
    StateMissing,
    SourceEmpty,
    UpToDate,
    Behind(Task),
}

/// What is to be done; the end is fixed before anything is.
struct Task {
    definition: Definition,
    tenant_id: i64,
    range: Window,
    slices: Vec<Window>,
}

/// Runs every window up to now that has not succeeded, one call of the job's function for those of a calendar month
/// that follow each other, each in a transaction of its own.
///
/// # Errors
/// Those of the function, which are recorded in the ledger too; a lock that was not got in `lock_timeout`; a cancel.
pub fn run(session: Session, request: &Request) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let task = match session.transact(|| Ok(End::Commit(standing(request)?)))? {
        Standing::StateMissing => return Ok(skipped(outcome, "state_missing")),
        Standing::UpToDate => return Ok(skipped(outcome, "within_threshold")),
        Standing::SourceEmpty => {
            outcome.stamped = true;
            return Ok(skipped(outcome, "source_empty"));
        }
        Standing::Behind(task) => task,
    };
    for (n, slice) in task.slices.iter().enumerate() {
        if n > 0 {
            pause(request.pause);
        }
        let (calls, rows) = run_slice(session, request, &task, *slice)?;
        outcome.slices += i64::from(calls > 0);
        outcome.rows += rows;
        notice!(
            "{}: slice {} of {} done, {} calls, {} rows",
            request.job,
            n + 1,
            task.slices.len(),
            calls,
            rows
        );
    }
    session.transact(|| {
        let (from, to) = times(task.range)?;
        sql::update(
            "SELECT etl_stamp($1, $2, $3, $4)",
            &[
                request.job.as_str().into(),
                task.tenant_id.into(),
                from.into(),
                to.into(),
            ],
            |_| Ok(()),
        )?;
        Ok(End::Commit(()))
    })?;
    outcome.range = Some(task.range);
    outcome.stamped = true;
    Ok(outcome)
}

fn skipped(outcome: Outcome, why: &'static str) -> Outcome {
    Outcome {
        skipped: Some(why),
        ..outcome
    }
}

fn times(range: Window) -> Result<(TimestampWithTimeZone, TimestampWithTimeZone)> {
    Ok((clock::to_timestamptz(range.from)?, clock::to_timestamptz(range.to)?))
}

fn standing(request: &Request) -> Result<Standing> {
    let job = request.job.as_str();
    let exists: bool = sql::select(
        "SELECT EXISTS (SELECT FROM etl_job j WHERE j.name = $1)",
        &[job.into()],
        |rows| required(rows.first().get_one()?, "exists"),
    )?;
    if !exists {
        return Ok(Standing::StateMissing);
    }
    // The end first, then a look at the source: what arrives in between is left to the schedule.
    let (tenant_id, upper) = sql::select(
        "SELECT t.tenant_id, etl_upper($1, t.tenant_id) FROM etl_tenant_require($2) AS t (tenant_id)",
        &[job.into(), request.tenant.as_str().into()],
        |rows| {
            let (tenant_id, upper) = rows.first().get_two::<i64, TimestampWithTimeZone>()?;
            Ok((required(tenant_id, "tenant_id")?, required(upper, "etl_upper")?))
        },
    )?;
    let definition = definition::load(job)?;
    // Windows that are to run again because of a change are among those that have not succeeded.
    sql::select("SELECT etl_invalidations_apply()", &[], |_| Ok(()))?;
    let Some((first, last)) = definition.source_range(tenant_id)? else {
        sql::update(
            "SELECT etl_stamp($1, $2, NULL, $3)",
            &[job.into(), tenant_id.into(), upper.into()],
            |_| Ok(()),
        )?;
        return Ok(Standing::SourceEmpty);
    };
    if clock::from_timestamptz(first) < YEAR_ONE_US {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
            format!("the first event of the source of job \"{job}\" lies before the year 1"),
            "Let source_range leave out events without a real time.",
        ));
    }
    let from = sql::select(
        "SELECT CASE WHEN NOT s.up_to_date THEN s.watermark END FROM etl_standing($1, $2, $3, $4, $5) s",
        &[
            job.into(),
            tenant_id.into(),
            first.into(),
            last.into(),
            request.max_lag.into(),
        ],
        |rows| Ok(rows.first().get_one::<TimestampWithTimeZone>()?),
    )?;
    let Some(from) = from else {
        return Ok(Standing::UpToDate);
    };
    let range = Window::new(clock::from_timestamptz(from), clock::from_timestamptz(upper));
    let slices = sql::select(
        "SELECT m.slice_from, m.slice_to FROM etl_job j, etl_months($1, $2, j.align) m WHERE j.name = $3",
        &[from.into(), upper.into(), job.into()],
        |rows| {
            rows.into_iter()
                .map(|row| {
                    let at = |i| required(row.get::<TimestampWithTimeZone>(i)?, "slice").map(clock::from_timestamptz);
                    Ok(Window::new(at(1)?, at(2)?))
                })
                .collect::<Result<Vec<_>>>()
        },
    )?;
    Ok(Standing::Behind(Task {
        definition,
        tenant_id,
        range,
        slices,
    }))
}

/// Runs what of a slice has not succeeded and waits for what somebody else runs; returns the number of calls and the
/// sum of what they returned.
fn run_slice(session: Session, request: &Request, task: &Task, slice: Window) -> Result<(usize, i64)> {
    let (mut calls, mut rows) = (0, 0);
    loop {
        match ledger::claim_range(session, &request.job, task.tenant_id, slice)? {
            Claim::Batch(batch) => {
                let outcome = catch(|| run_batch(session, request, &task.definition, &batch));
                if let Err(e) = &outcome
                    && let Err(unrecorded) = catch(|| ledger::finish_failure(session, &batch.runs, e).map(|_| ()))
                {
                    unrecorded.log("etl_ensure_current");
                }
                ledger::release(batch.batch_id);
                rows += outcome?;
                calls += 1;
            }
            Claim::Nothing => match unfinished(session, task, &request.job, slice)? {
                None => return Ok((calls, rows)),
                Some(running) => wait_for(session, request, running)?,
            },
            Claim::Gone => return Err(Error::Busy),
        }
    }
}

fn run_batch(session: Session, request: &Request, definition: &Definition, batch: &Batch) -> Result<i64> {
    session.transact(|| {
        set_local(c"lock_timeout", &request.lock_timeout)?;
        if let Some(key) = definition.lock_key {
            sql_job::lock(key)?;
        }
        let rows = sql_job::call(session, definition, batch)?;
        ledger::finish_success(&batch.runs, json!({ "rows": rows }))?;
        Ok(End::Commit(rows))
    })
}

/// The batch that somebody else runs in a slice, 0 when windows are only locked for a moment; `None`: all have succeeded.
fn unfinished(session: Session, task: &Task, job: &str, slice: Window) -> Result<Option<i64>> {
    let (from, to) = times(slice)?;
    session.transact(|| {
        let found = sql::select(
            "SELECT max(CASE r.status WHEN 'running' THEN r.batch_id ELSE 0 END) FROM etl_job_run r
              WHERE r.job = $1 AND r.tenant_id = $2 AND r.window_from >= $3 AND r.window_to <= $4 AND r.status <> 'success'",
            &[job.into(), task.tenant_id.into(), from.into(), to.into()],
            |rows| Ok(rows.first().get_one()?),
        )?;
        Ok(End::Rollback(found))
    })
}

/// Waits until a batch that somebody else runs has ended; one whose runner died is queued again.
fn wait_for(session: Session, request: &Request, batch_id: i64) -> Result<()> {
    if batch_id == 0 {
        latch::wait(LOCKED_WAIT, -1);
        return Ok(());
    }
    session.transact(|| {
        set_local(c"lock_timeout", &request.lock_timeout)?;
        locks::acquire(Kind::Run, batch_id);
        Ok(End::Rollback(()))
    })?;
    ledger::rescue_orphans(session, &[batch_id])?;
    Ok(())
}

/// Sleeps between two slices, with no snapshot, transaction id or lock.
fn pause(time: Duration) {
    let begun = Instant::now();
    while let Some(rest) = time.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero()) {
        latch::wait(rest, -1);
    }
}
