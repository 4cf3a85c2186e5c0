//! The job `retention`: old rows, chunks, partials and ledger entries go, and then the log patterns that are out of use;
//! partitions are made ahead of time.

use crate::backend::clock;
use crate::backend::session::{End, Session};
use crate::backend::sql::{self, required};
use crate::error::Result;
use crate::scheduler::ledger::{self, Batch};
use crate::store::forget;
use pgrx::JsonB;
use serde_json::json;

/// The job's name in `etl_job`.
pub const NAME: &str = "retention";

/// Runs the retention of one tenant, in two transactions: [`forget::patterns`] needs one of its own, and goes by what is
/// left of the counts. Whoever is interrupted between them does no harm and removes the rest the next time.
pub fn run(session: Session, batch: &Batch) -> Result<()> {
    let tenant = batch.tenant_id;
    let now = clock::now()?;
    let removed = session.transact(|| {
        let removed: JsonB = sql::update(
            "SELECT etl_retention_run($1, $2)",
            &[tenant.into(), clock::to_timestamptz(now)?.into()],
            |rows| required(rows.first().get_one()?, "etl_retention_run"),
        )?;
        Ok(End::Commit(removed.0))
    })?;
    session.transact(|| {
        let mut removed = removed;
        if let Some(removed) = removed.as_object_mut() {
            removed.insert("log_pattern".into(), json!(forget::patterns(tenant, now)?));
        }
        ledger::finish_success(&batch.runs, removed)?;
        Ok(End::Commit(()))
    })
}
