//! `topo_discover()`: what a run of a job of topology would find, without storing it.

use crate::backend::json::without_nul;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result, or_raise};
use crate::jobs::fetch;
use crate::jobs::topo::{self, Found, Kind, Snapshot};
use pgrx::prelude::*;
use std::time::Duration;

/// Most time that reading all sources may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A row of the result.
struct Row {
    server: String,
    source: String,
    /// `None`: the row is of the whole source.
    path: Option<String>,
    format: Option<&'static str>,
    edges: Option<i64>,
    unresolved: Option<i64>,
    would_open: Option<i64>,
    would_close: Option<i64>,
    error: Option<String>,
}

/// What a run of `job` would find now: a row for each document, and behind them one for the source as a whole, without a
/// path, that says how many edges would open and close. `error` says what would make the run fail.
///
/// Reads user mappings, hence SECURITY DEFINER; what is read is bounded by the rights of the source's owner.
#[allow(
    clippy::type_complexity,
    reason = "the columns of the result, which the macro reads from the signature"
)]
#[pg_extern(volatile, strict, security_definer)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_discover(
    tenant: &str,
    job: &str,
) -> TableIterator<
    'static,
    (
        name!(server, String),
        name!(source, String),
        name!(path, Option<String>),
        name!(format, Option<&'static str>),
        name!(edges, Option<i64>),
        name!(unresolved, Option<i64>),
        name!(would_open, Option<i64>),
        name!(would_close, Option<i64>),
        name!(error, Option<String>),
    ),
> {
    let rows = or_raise(discover(tenant, job));
    TableIterator::new(rows.into_iter().map(|row| {
        (
            row.server,
            row.source,
            row.path.map(without_nul),
            row.format,
            row.edges,
            row.unresolved,
            row.would_open,
            row.would_close,
            row.error.map(without_nul),
        )
    }))
}

fn discover(tenant: &str, job: &str) -> Result<Vec<Row>> {
    let Some(kind) = Kind::of(job) else {
        let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::job).collect();
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            "only jobs of topology can be asked what they would find",
            format!("Name one of: {}.", known.join(", ")),
        ));
    };
    let tenant_id: i64 = sql::select("SELECT etl_tenant_require($1)", &[tenant.into()], |rows| {
        required(rows.first().get_one()?, "tenant_id")
    })?;
    let plan = topo::sources::plan(tenant_id, kind)?;
    fetch::refuse_after_stop()?;
    let read = fetch::evaluate_in_background("topo_discover", TIMEOUT, move |cancel| topo::read::all(plan, cancel))?;
    let mut rows = Vec::new();
    for source in read {
        match source.outcome {
            Ok(snapshot) => {
                rows.extend(snapshot.documents.iter().map(|found| of_document(&snapshot, found)));
                rows.push(of_source(tenant, &snapshot)?);
            }
            Err(e) => rows.push(Row {
                server: source.source.server,
                source: source.source.options.source,
                path: None,
                format: None,
                edges: None,
                unresolved: None,
                would_open: None,
                would_close: None,
                error: Some(e.message()),
            }),
        }
    }
    Ok(rows)
}

fn of_document(snapshot: &Snapshot, found: &Found) -> Row {
    Row {
        server: snapshot.server.clone(),
        source: snapshot.options.source.clone(),
        path: Some(found.path.clone()),
        format: found.format,
        edges: i64::try_from(found.edges).ok(),
        unresolved: i64::try_from(found.unresolved).ok(),
        would_open: None,
        would_close: None,
        error: found.error.as_ref().map(|(message, _)| message.clone()),
    }
}

/// The source as a whole: what a load would do, or why there would be none.
fn of_source(tenant: &str, snapshot: &Snapshot) -> Result<Row> {
    let (would_open, would_close, error) = match snapshot.check(false) {
        Err(e) => (None, None, Some(e.message)),
        Ok(()) => {
            let trial = topo::would_do(tenant, snapshot)?;
            (trial.opened, trial.closed, trial.refused)
        }
    };
    Ok(Row {
        server: snapshot.server.clone(),
        source: snapshot.options.source.clone(),
        path: None,
        format: None,
        edges: i64::try_from(snapshot.edges.count).ok(),
        unresolved: i64::try_from(snapshot.open.count).ok(),
        would_open,
        would_close,
        error,
    })
}
