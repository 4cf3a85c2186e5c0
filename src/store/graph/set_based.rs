//! Writes any number of changes, as SQL on the tables of AGE's labels. Cypher reads what is written here: the id of a row
//! is the column's default, which is how AGE makes it.

use super::{age, diff};
use crate::error::Result;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};

/// How many rows a statement wrote.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub created: usize,
    pub set: usize,
    pub deleted: usize,
}

impl Written {
    /// What writing these changes will have done.
    pub(super) fn of(changes: &diff::Changes) -> Self {
        Written {
            created: changes.create.len(),
            set: changes.set.len(),
            deleted: changes.delete.len(),
        }
    }
}

/// Creates and changes the vertices of what `ends` selects; `parameters` are those of `ends`, the first is the tenant.
pub(super) fn write_vertices(ends: &str, parameters: &[DatumWithOid<'_>]) -> Result<Written> {
    let statement = format!(
        "{}, changed AS (
             UPDATE ops.\"Resource\" v SET properties = d.properties FROM diff d WHERE v.ctid = d.place RETURNING 1
         ), came AS (
             INSERT INTO ops.\"Resource\" (properties) SELECT d.properties FROM diff d WHERE d.place IS NULL RETURNING 1
         )
         SELECT (SELECT count(*) FROM came), (SELECT count(*) FROM changed)",
        diff::vertices(ends)
    );
    let [created, set] = age::write(&statement, parameters, age::counts)?;
    Ok(Written {
        created,
        set,
        deleted: 0,
    })
}

/// Deletes, creates and changes the edges of calls; their vertices are there.
pub(super) fn write_edges(tenant: i64, since: TimestampWithTimeZone) -> Result<Written> {
    let statement = format!(
        "{}, gone AS (
             DELETE FROM ops.\"CALLS\" c USING diff d WHERE c.ctid = d.place AND d.properties IS NULL RETURNING 1
         ), changed AS (
             UPDATE ops.\"CALLS\" c SET properties = d.properties FROM diff d
              WHERE c.ctid = d.place AND d.properties IS NOT NULL RETURNING 1
         ), came AS (
             INSERT INTO ops.\"CALLS\" (start_id, end_id, properties)
             SELECT d.start_id, d.end_id, d.properties FROM diff d WHERE d.place IS NULL RETURNING 1
         )
         SELECT (SELECT count(*) FROM came), (SELECT count(*) FROM changed), (SELECT count(*) FROM gone)",
        diff::edges()
    );
    let [created, set, deleted] = age::write(&statement, &diff::parameters(tenant, since), age::counts)?;
    Ok(Written { created, set, deleted })
}
