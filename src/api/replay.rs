//! `oo_replay()`: from a locator back to the raw records of its window.

use crate::api::records::parse;
use crate::backend::clock::from_timestamptz;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result, or_raise};
use crate::guc;
use crate::jobs::{fetch, sources};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::replay::{Replayed, through};
use crate::source::{self, Context, Locator, Sample, SourceConfig};
use engine::patterns::Masker;
use engine::record::Dataset;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;

/// Most time a replay may take, all requests together.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The raw records behind an aggregate's `sample_ref`, at most `max_records`, of those that contain `filter`. No locator,
/// no records.
///
/// An aggregate refers to one of the locators of its dataset and window, and its records may lie behind any of them: the
/// others are looked through as well, after that one. A WARNING says how many records are gone.
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
    let (tenant, locators) = locators(id)?;
    let Some(superseded) = locators.first().map(|first| first.attributes.get(SUPERSEDED).is_some()) else {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("there is no locator {id}"),
            "sample_ref of service_call_5m and log_pattern_5m, and oo_locator.id, are locators; old ones are removed by retention.",
        ));
    };
    let (mut asked, unreadable) = by_server(tenant, locators)?;
    let mut instead = Vec::new();
    if superseded {
        // Its records lie behind the others, too: those are for when it leads to none any more.
        let alone = asked.iter_mut().take(1).map(|(config, of)| {
            let others = of.split_off(of.len().min(1));
            (config.clone(), std::mem::replace(of, others))
        });
        let alone = alone.collect();
        instead = std::mem::replace(&mut asked, alone);
        instead.retain(|(_, of)| !of.is_empty());
    }
    let (concurrency, http_timeout) = (guc::fetch_concurrency(), guc::http_timeout());
    let replayed = fetch::in_background("oo_replay", TIMEOUT, move |cancel| {
        let context = Context {
            cancel,
            concurrency,
            http_timeout,
            masker: Masker::new(),
        };
        match look(&asked, &sample, &context) {
            Err(e) if e.kind == ErrorKind::Gone && !instead.is_empty() => look(&instead, &sample, &context),
            done => done,
        }
    })??;
    // Of one that was superseded nobody misses the others.
    let gone = replayed.gone + if superseded { 0 } else { unreadable };
    if gone > 0 && replayed.rows.len() < max {
        ereport!(
            PgLogLevel::WARNING,
            PgSqlErrorCode::ERRCODE_WARNING,
            format!("records of this window that are gone: at least {gone}"),
            "They were there when the window was read. What is shown is what can still be read."
        );
    }
    Ok(replayed.rows)
}

/// The attribute of locators that a later reading of their window did not find again.
const SUPERSEDED: &str = "superseded";

/// Locators of one server, and how to read from it.
type Server = (SourceConfig, Vec<Locator>);

/// The records of one server after the other.
fn look(servers: &[Server], sample: &Sample, context: &Context) -> std::result::Result<Replayed, SourceError> {
    let parts = servers.iter().map(|(config, locators)| {
        let records = locators.iter().map(Locator::records).sum();
        (records, (config, locators))
    });
    through(parts, sample, |(config, locators), sample| {
        source::replay(config, locators, sample, context)
    })
}

/// The servers in the order in which the locators name them, and how many records there were on those that no source
/// reads any more. The first must still be read.
fn by_server(tenant: i64, locators: Vec<Locator>) -> Result<(Vec<Server>, u64)> {
    let (mut servers, mut unreadable): (Vec<Server>, u64) = (Vec::new(), 0);
    let mut dropped = HashSet::new();
    for locator in locators {
        let mut known = servers.iter_mut();
        if let Some((_, of)) = known.find(|(_, of)| of.iter().any(|l| l.bucket == locator.bucket)) {
            of.push(locator);
        } else if dropped.contains(&locator.bucket) {
            unreadable += locator.records();
        } else {
            match owner_of(tenant, &locator.bucket).and_then(|owner| sources::config(&locator.bucket, owner)) {
                Ok(config) => servers.push((config, vec![locator])),
                Err(e) if servers.is_empty() => return Err(e),
                Err(_) => {
                    unreadable += locator.records();
                    dropped.insert(locator.bucket);
                }
            }
        }
    }
    Ok((servers, unreadable))
}

/// The tenant of a locator, that locator and then those with which it shares dataset and window; none if it is not there.
fn locators(id: i64) -> Result<(i64, Vec<Locator>)> {
    sql::select(
        "SELECT l.tenant_id, l.dataset, l.bucket, l.object_key, l.t_from, l.t_to, l.query_hint, l.attributes
           FROM oo_locator a JOIN oo_locator l USING (tenant_id, dataset, t_from, t_to)
          WHERE a.id = $1 AND (l.id = a.id OR l.attributes -> $2 IS NULL)
          ORDER BY l.id <> a.id, l.bucket <> a.bucket, l.id",
        &[id.into(), SUPERSEDED.into()],
        |rows| {
            let (mut tenant, mut locators) = (0, Vec::with_capacity(rows.len()));
            for row in rows {
                let dataset: String = required(row.get(2)?, "dataset")?;
                let instant = |i: usize| -> Result<i64> {
                    Ok(from_timestamptz(required(
                        row.get::<TimestampWithTimeZone>(i)?,
                        "time",
                    )?))
                };
                tenant = required(row.get(1)?, "tenant_id")?;
                locators.push(Locator {
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
                });
            }
            Ok((tenant, locators))
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
