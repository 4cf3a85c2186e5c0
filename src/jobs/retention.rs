//! The job `retention`: old rows, chunks, partials and ledger entries go; partitions are made ahead of time.

use crate::backend::clock;
use crate::backend::session::{End, Session};
use crate::backend::sql::{self, required};
use crate::error::Result;
use crate::scheduler::ledger::{self, Batch};
use pgrx::JsonB;

/// The job's name in `etl_job`.
pub const NAME: &str = "retention";

/// Runs the retention of one tenant, in one transaction.
pub fn run(session: Session, batch: &Batch) -> Result<()> {
    let now = clock::to_timestamptz(clock::now()?)?;
    session.transact(|| {
        let stats: JsonB = sql::update(
            "SELECT etl_retention_run($1, $2)",
            &[batch.tenant_id.into(), now.into()],
            |rows| required(rows.first().get_one()?, "etl_retention_run"),
        )?;
        ledger::finish_success(&batch.runs, stats.0)?;
        Ok(End::Commit(()))
    })
}
