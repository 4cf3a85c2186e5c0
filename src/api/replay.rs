//! `oo_replay()`: from a locator back to the raw records.

use crate::api::records::parse;
use crate::backend::clock::from_timestamptz;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result, or_raise};
use crate::guc;
use crate::jobs::{fetch, sources};
use crate::source::{self, Context, Locator, Sample};
use engine::patterns::Masker;
use engine::record::Dataset;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;
use std::time::Duration;

/// Most time a replay may take, all requests together.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The raw records behind an aggregate's `sample_ref`, at most `max_records`, of those that contain `filter`. No locator,
/// no records.
///
/// Reads user mappings, hence SECURITY DEFINER; what is read is bounded by the rights of the source's owner.
#[pg_extern(volatile, security_definer)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn oo_replay(
    locator_id: Option<i64>,
    max_records: default!(Option<i32>, 100),
    filter: default!(Option<JsonB>, "NULL"),
) -> SetOfIterator<'static, JsonB> {
    let records = match locator_id.zip(max_records) {
        Some((id, max)) => or_raise(replay(id, max, filter)),
        None => Vec::new(),
    };
    SetOfIterator::new(records.into_iter().map(|r| JsonB(or_raise(parse(&r)))))
}

fn replay(id: i64, max_records: i32, filter: Option<JsonB>) -> Result<Vec<String>> {
    let Ok(max) = usize::try_from(max_records) else {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "max_records must not be negative",
            "Ask for 1 to a few thousand records.",
        ));
    };
    let sample = match filter {
        Some(filter) => Sample::of(max, filter.0)?,
        None => Sample::first(max),
    };
    let Some((tenant, locator)) = locator(id)? else {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("there is no locator {id}"),
            "sample_ref of service_call_5m and log_pattern_5m, and oo_locator.id, are locators; old ones are removed by retention.",
        ));
    };
    let owner = owner_of(tenant, &locator.bucket)?;
    let config = sources::config(&locator.bucket, owner)?;
    let (concurrency, http_timeout) = (guc::fetch_concurrency(), guc::http_timeout());
    let records = fetch::in_background("oo_replay", TIMEOUT, move |cancel| {
        source::replay(
            &config,
            &locator,
            &sample,
            &Context {
                cancel,
                concurrency,
                http_timeout,
                masker: Masker::new(),
            },
        )
    })??;
    Ok(records)
}

fn locator(id: i64) -> Result<Option<(i64, Locator)>> {
    sql::select(
        "SELECT tenant_id, dataset, bucket, object_key, t_from, t_to, query_hint, attributes FROM oo_locator WHERE id = $1",
        &[id.into()],
        |rows| {
            let Some(row) = rows.into_iter().next() else {
                return Ok(None);
            };
            let dataset: String = required(row.get(2)?, "dataset")?;
            let instant = |i: usize| -> Result<i64> {
                Ok(from_timestamptz(required(
                    row.get::<TimestampWithTimeZone>(i)?,
                    "time",
                )?))
            };
            let locator = Locator {
                dataset: dataset.parse::<Dataset>().map_err(|()| Error::Corrupt {
                    what: "a row of oo_locator",
                    detail: format!("dataset \"{dataset}\" is not known"),
                })?,
                bucket: required(row.get(3)?, "bucket")?,
                object_key: required(row.get(4)?, "object_key")?,
                t_from: instant(5)?,
                t_to: instant(6)?,
                query_hint: row.get(7)?,
                attributes: row.get::<JsonB>(8)?.map_or(Value::Null, |j| j.0),
            };
            Ok(Some((required(row.get(1)?, "tenant_id")?, locator)))
        },
    )
}

/// Whose user mapping a tenant's source of this server uses; it may be the source's second server.
fn owner_of(tenant: i64, server: &str) -> Result<pg_sys::Oid> {
    let owner = sql::select(
        "SELECT owner::oid FROM etl_source
          WHERE tenant_id = $1 AND $2 IN (server, options ->> 'fallback')
          ORDER BY server <> $2, enabled DESC, source_id LIMIT 1",
        &[tenant.into(), server.into()],
        |rows| {
            if rows.is_empty() {
                Ok(None)
            } else {
                Ok(rows.first().get_one::<pg_sys::Oid>()?)
            }
        },
    )?;
    owner.ok_or_else(|| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("no source of this tenant reads server \"{server}\" any more"),
            "Add it again with etl_source_add() to read its records.",
        )
    })
}
