//! A SQL job as `etl_job` defines it.

use crate::backend::role::{self, Rights};
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// What a SQL job runs, and as whom.
pub struct Definition {
    pub job: String,
    /// The statement, with $1 tenant_id, $2 window_from, $3 window_to.
    pub statement: String,
    pub owner: pg_sys::Oid,
    /// The search_path at its creation.
    pub path: String,
    /// The advisory lock it shares with others who write the same.
    pub lock_key: Option<i64>,
    /// The statement that gives the first and last event, with $1 tenant_id.
    pub source_range: Option<String>,
}

/// Reads the definition of a SQL job.
///
/// # Errors
/// The job is not there or not a SQL job; its owner was dropped.
pub fn load(job: &str) -> Result<Definition> {
    let found = sql::select(
        "SELECT etl_command_statement(j.command), j.owner::oid, coalesce(j.search_path, ''), j.lock_key, j.source_range,
                EXISTS (SELECT FROM pg_roles r WHERE r.oid = j.owner)
           FROM etl_job j WHERE j.name = $1 AND j.kind = 'sql'",
        &[job.into()],
        |rows| {
            let Some(row) = rows.into_iter().next() else {
                return Ok(None);
            };
            let definition = Definition {
                job: job.to_string(),
                statement: required(row.get(1)?, "command")?,
                owner: required(row.get(2)?, "owner")?,
                path: required(row.get(3)?, "search_path")?,
                lock_key: row.get(4)?,
                source_range: row.get(5)?,
            };
            Ok(Some((definition, required(row.get::<bool>(6)?, "owner")?)))
        },
    )?;
    match found {
        Some((definition, true)) => Ok(definition),
        Some((definition, false)) => Err(Error::Invalid {
            sqlstate: PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            message: format!("the owner of job \"{job}\" does not exist any more"),
            detail: Some(format!("It was the role with oid {}, which was dropped.", definition.owner)),
            hint: Some(
                "A superuser may give the job to another role: UPDATE etl_job SET owner = 'role' WHERE name = .. ; then etl_retry(run_id).".into(),
            ),
        }),
        None => Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("there is no SQL job \"{job}\""),
            "Jobs are the rows of etl_job; etl_job_create makes one.",
        )),
    }
}

impl Definition {
    /// The first and the last event of a tenant, as the owner sees them; `None` when there are none. In UTC, as they are.
    ///
    /// # Errors
    /// Those of the statement; it gives no row of two times.
    pub fn source_range(&self, tenant_id: i64) -> Result<Option<(TimestampWithTimeZone, TimestampWithTimeZone)>> {
        let Some(statement) = &self.source_range else {
            return Err(Error::invalid(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("job \"{}\" has no source_range", self.job),
                "Tell the job where its events are: etl_job_alter(name, source_range => 'SELECT min(at), max(at) FROM events WHERE tenant_id = $1').",
            ));
        };
        role::act_as(self.owner, Rights::Read, &self.path, || {
            Spi::connect(|client| {
                let rows = client.select(statement.as_str(), Some(1), &[tenant_id.into()])?;
                let types = (rows.columns()? == 2)
                    .then(|| Ok::<_, Error>((rows.column_type_oid(1)?.value(), rows.column_type_oid(2)?.value())))
                    .transpose()?;
                if types != Some((pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID)) {
                    return Err(Error::invalid(
                        PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                        format!("source_range of job \"{}\" does not give two times", self.job),
                        "It must give two columns of type timestamptz: the first and the last event.",
                    ));
                }
                if rows.is_empty() {
                    return Ok(None);
                }
                let (first, last) = rows.first().get_two()?;
                Ok(first.zip(last))
            })
        })
    }
}
