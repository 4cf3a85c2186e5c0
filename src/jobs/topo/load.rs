//! Handing a snapshot to `topo_load`, for good or on trial.

use super::Kind;
use super::snapshot::Snapshot;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result, catch};
use crate::scheduler::ledger::Batch;
use pgrx::JsonB;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;
use serde_json::{Value, json};

/// What a load would do.
pub struct Trial {
    pub opened: Option<i64>,
    pub closed: Option<i64>,
    /// Why it would be refused.
    pub refused: Option<String>,
}

/// Whether whoever enqueued the window, or an older one that is done with it, says that edges may go.
pub fn accepts_shrink(batch: &Batch) -> Result<bool> {
    sql::select(
        "SELECT coalesce(bool_or(r.args -> 'accept_shrink' = 'true'), false)
           FROM etl_job_run h JOIN etl_job_run r ON r.job = h.job AND r.tenant_id = h.tenant_id
          WHERE h.run_id = $1 AND (r.run_id = h.run_id OR r.status = 'queued' AND r.window_from < h.window_from)",
        &[batch.runs.last().map(|run| run.run_id).into()],
        |rows| required(rows.first().get_one()?, "accept_shrink"),
    )
}

/// The code of a tenant.
///
/// # Errors
/// It is not there any more.
pub fn code(tenant: i64) -> Result<String> {
    let found: Option<String> = sql::select(
        "SELECT max(code) FROM dim_tenant WHERE tenant_id = $1",
        &[tenant.into()],
        |rows| Ok(rows.first().get_one()?),
    )?;
    found.ok_or_else(|| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("tenant {tenant} does not exist any more"),
            "Tenants are the rows of dim_tenant.",
        )
    })
}

/// Loads a snapshot as of now; its stats.
///
/// # Errors
/// What `topo_load` refuses, for good: trying again would not help. Another load of the source came between asking the
/// server and now: trying again does.
pub fn store(tenant: &str, kind: Kind, snapshot: &Snapshot, accept: bool) -> Result<Value> {
    let counts = match snapshot.gathered.not_modified {
        true => (0, 0, confirm(tenant, snapshot)?),
        false => load(tenant, kind, snapshot, accept)?,
    };
    let mut stats = snapshot.stats();
    if snapshot.gathered.not_modified {
        stats["edges"] = json!(counts.2);
    }
    for (key, count) in [("opened", counts.0), ("closed", counts.1), ("unchanged", counts.2)] {
        stats[key] = json!(count);
    }
    Ok(stats)
}

/// What its server says is not modified stays as it is; how many edges that are.
fn confirm(tenant: &str, snapshot: &Snapshot) -> Result<i64> {
    sql::update(
        "SELECT topo_source_confirm($1, $2, $3, $4)",
        &[
            tenant.into(),
            snapshot.options.source.as_str().into(),
            snapshot.reading.into(),
            validator(snapshot)?.into(),
        ],
        |rows| required(rows.first().get_one()?, "edges"),
    )
}

fn validator(snapshot: &Snapshot) -> Result<Option<JsonB>> {
    let kept = snapshot.gathered.validator.as_ref().map(serde_json::to_value);
    let kept = kept.transpose().map_err(|e| Error::Internal(e.to_string()))?;
    Ok(kept.map(JsonB))
}

/// How many edges opened, closed and stayed.
fn load(tenant: &str, kind: Kind, snapshot: &Snapshot, accept: bool) -> Result<(i64, i64, i64)> {
    let options = &snapshot.options;
    let validator = validator(snapshot)?;
    let loaded = catch(|| {
        sql::update(
            "SELECT opened, closed, unchanged FROM topo_source_load($1, $2, $3::jsonb, $4, $5, $6, $7, $8::jsonb)",
            &[
                tenant.into(),
                options.source.as_str().into(),
                snapshot.edges.json().into(),
                options.shrink.into(),
                (accept || options.accept_shrink).into(),
                snapshot.reading.into(),
                validator.into(),
                snapshot.identities.json().into(),
            ],
            |rows| {
                let row = rows.first();
                Ok((
                    required(row.get(1)?, "opened")?,
                    required(row.get(2)?, "closed")?,
                    required(row.get(3)?, "unchanged")?,
                ))
            },
        )
    });
    loaded.map_err(|e| match e {
        Error::Postgres {
            sqlstate: PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
            message,
            detail,
            ..
        } => Error::Invalid {
            sqlstate: PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
            message,
            detail,
            hint: Some(format!(
                "Check what is read: SELECT * FROM topo_discover({tenant}, {job}). If it is right, take it once: SELECT etl_enqueue({job}, {tenant}, now() - interval '1 minute', now(), '{{\"accept_shrink\": true}}').",
                tenant = quote_literal(tenant),
                job = quote_literal(kind.job()),
            )),
        },
        e => e,
    })
}

/// What loading a snapshot now would do. Nothing stays of it.
pub fn would_do(tenant: &str, snapshot: &Snapshot) -> Result<Trial> {
    let options = &snapshot.options;
    sql::update(
        "SELECT opened, closed, refused FROM topo_load_try($1, $2, $3::jsonb, $4, $5, $6::jsonb)",
        &[
            tenant.into(),
            options.source.as_str().into(),
            snapshot.edges.json().into(),
            options.shrink.into(),
            options.accept_shrink.into(),
            snapshot.identities.json().into(),
        ],
        |rows| {
            let row = rows.first();
            Ok(Trial {
                opened: row.get(1)?,
                closed: row.get(2)?,
                refused: row.get(3)?,
            })
        },
    )
}
