//! `etl_reject`: what could not be used of a window, counted and sampled.

use crate::backend::sql;
use crate::error::Result;
use engine::aggregate::RejectRow;

/// Replaces what earlier attempts of the run kept.
pub fn replace(tenant: i64, run_id: i64, rows: &[RejectRow]) -> Result<()> {
    sql::execute("DELETE FROM etl_reject WHERE run_id = $1", &[run_id.into()])?;
    if rows.is_empty() {
        return Ok(());
    }
    sql::execute(
        "INSERT INTO etl_reject (run_id, tenant_id, dataset, reason, count, sample)
         SELECT $1, $2, r.dataset, r.reason, r.count, r.sample
           FROM unnest($3::text[], $4::text[], $5::bigint[], $6::text[]) AS r (dataset, reason, count, sample)",
        &[
            run_id.into(),
            tenant.into(),
            rows.iter().map(|r| r.dataset.as_str()).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.reason.as_str()).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.count).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.samples.join("\n")).collect::<Vec<_>>().into(),
        ],
    )?;
    Ok(())
}
