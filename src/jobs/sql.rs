//! SQL jobs: a function or statement of a user, called as that user inside the run's transaction.
//!
//! What it wrote and the success of its windows commit together. However many windows were claimed as one batch, they
//! are one call over their whole range.

use crate::backend::clock;
use crate::backend::role::{self, Rights};
use crate::backend::session::{End, Session};
use crate::backend::sql::{self, required};
use crate::backend::sqlstate;
use crate::backend::timeout;
use crate::error::{Error, Result};
use crate::jobs::definition::{self, Definition};
use crate::scheduler::ledger::{self, Batch};
use engine::window::Window;
use pgrx::prelude::*;
use pgrx::spi::SpiTupleTable;
use serde_json::json;
use std::cell::Cell;

thread_local! {
    /// Something of a user's was run in this process and not yet cleared away.
    static DIRTY: Cell<bool> = const { Cell::new(false) };
}

/// Works on a batch of a SQL job, in one transaction.
///
/// # Errors
/// Those of the job's function, its timeout, [`Error::SkippedLocked`] when somebody else holds its lock_key.
pub fn run(session: Session, batch: &Batch) -> Result<()> {
    session.transact(|| {
        let job = definition::load(&batch.job)?;
        if let Some(key) = job.lock_key
            && !try_lock(key)?
        {
            return Err(Error::SkippedLocked { key });
        }
        let rows = call(session, &job, batch)?;
        ledger::finish_success(&batch.runs, json!({ "rows": rows }))?;
        Ok(End::Commit(()))
    })
}

/// Calls the job's function over the range of a batch and returns the number it gave, as the job's owner.
///
/// To be called in a transaction, which must be rolled back after an error.
///
/// # Errors
/// Those of the function; [`Error::TimedOut`].
pub fn call(session: Session, job: &Definition, batch: &Batch) -> Result<i64> {
    if session == Session::Worker {
        DIRTY.set(true);
    }
    let called = timeout::within(&batch.job, batch.timeout, || {
        sqlstate::keeping(|| {
            role::act_as(job.owner, Rights::Write, &job.path, || {
                let rows = statement(job, batch.tenant_id, batch.range())?;
                // What is deferred runs now, to the last: at commit it would run as somebody else. SET CONSTRAINTS ALL
                // IMMEDIATE would not do, for a trigger may defer again what it queues.
                // SAFETY: on the main thread, in a transaction; no query is running.
                unsafe { pg_sys::AfterTriggerFireDeferred() };
                Ok(rows)
            })
        })
    });
    let rows = called.map_err(permanent)?;
    role::close_held_cursors()?;
    // SAFETY: reads the id of the user who logged in.
    if session == Session::Procedure && job.owner != unsafe { pg_sys::GetSessionUserId() } {
        role::leave_as_found()?;
    }
    Ok(rows)
}

/// A missing right or function will be missing the next time too: somebody must do something. All else may pass.
fn permanent(e: Error) -> Error {
    match e {
        Error::Postgres {
            sqlstate:
                sqlstate @ (PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE | PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION),
            message,
            detail,
            hint,
            ..
        } => Error::Invalid {
            sqlstate,
            message,
            detail,
            hint,
        },
        e => e,
    }
}

/// Clears away what functions of users left in a worker, so that the next job, of another owner, does not meet it. In a
/// procedure the session is the caller's own.
///
/// # Errors
/// The transaction failed: nothing of a user may run in this process before it succeeds.
pub fn clean(session: Session) -> Result<()> {
    if !DIRTY.get() {
        return Ok(());
    }
    session.transact(|| {
        role::forget();
        Ok(End::Commit(()))
    })?;
    DIRTY.set(false);
    Ok(())
}

/// Whether something of a user's is still in this process: then it must take no other job.
pub fn is_dirty() -> bool {
    DIRTY.get()
}

/// Waits for the lock_key of a job, until the end of the transaction.
pub fn lock(key: i64) -> Result<()> {
    sql::select("SELECT pg_advisory_xact_lock($1)", &[key.into()], |_| Ok(()))
}

fn try_lock(key: i64) -> Result<bool> {
    sql::select("SELECT pg_try_advisory_xact_lock($1)", &[key.into()], |rows| {
        required(rows.first().get_one()?, "pg_try_advisory_xact_lock")
    })
}

fn statement(job: &Definition, tenant_id: i64, range: Window) -> Result<i64> {
    let (from, to) = (clock::to_timestamptz(range.from)?, clock::to_timestamptz(range.to)?);
    Spi::connect_mut(|client| {
        let rows = client.update(
            job.statement.as_str(),
            None,
            &[tenant_id.into(), from.into(), to.into()],
        )?;
        number(rows)
    })
}

/// The one number a command returns; no row or NULL is 0.
fn number(rows: SpiTupleTable<'_>) -> Result<i64> {
    if rows.len() > 1 {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_CARDINALITY_VIOLATION,
            format!("the command of the job returned {} rows", rows.len()),
            "It must return one number: aggregate, or call a function that does.",
        ));
    }
    if rows.is_empty() {
        return Ok(0);
    }
    let rows = rows.first();
    let number = match rows.column_type_oid(1)?.value() {
        pg_sys::INT8OID => rows.get::<i64>(1)?,
        pg_sys::INT4OID => rows.get::<i32>(1)?.map(i64::from),
        pg_sys::INT2OID => rows.get::<i16>(1)?.map(i64::from),
        pg_sys::NUMERICOID => rows.get::<AnyNumeric>(1)?.map(i64::try_from).transpose().map_err(|e| {
            Error::invalid(
                PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
                format!("the command of the job did not return a whole number: {e}"),
                "It must return one number: how many rows it wrote.",
            )
        })?,
        _ => {
            return Err(Error::invalid(
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                "the command of the job does not return a number",
                "It must return one number: how many rows it wrote. Its function may have been replaced; etl_job_alter checks it.",
            ));
        }
    };
    Ok(number.unwrap_or(0))
}
