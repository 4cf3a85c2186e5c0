//! `etl_partial_1m` and what is recomputed from it: `service_call_5m` and `log_pattern_5m`.
//!
//! A 5-minute row is never added to: it is computed from the partials of its minutes, so a minute that is replayed
//! counts once, and the bucket is fresh every minute.

use crate::backend::clock::{from_timestamptz, to_timestamptz};
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use crate::store::locators::References;
use crate::store::resources::Ids;
use crate::store::{calls, log_counts, timestamps};
use engine::partial::{self, Bucket5, MinutePartial};
use engine::window::{BUCKET5_US, MINUTE_US, Window, floor};
use pgrx::prelude::*;

/// Minutes outside the window, but of its buckets, that must be fetched along with it, as contiguous ranges: a bucket is
/// never recomputed from fewer minutes than it had.
///
/// A partial that another version wrote in another format is none. A minute without a partial had been counted, and its
/// partial was pruned or was not in a dump, if the ledger says that it succeeded or that it was queued again after it had
/// ended, or if the bucket has rows but no partial at all. Any other is left alone: its own run is still to come, or
/// nobody ever asked for it.
pub fn missing_ranges(tenant: i64, window: Window) -> Result<Vec<Window>> {
    let (from, to) = (
        floor(window.from, BUCKET5_US),
        floor(window.to + BUCKET5_US - 1, BUCKET5_US),
    );
    if window == Window::new(from, to) {
        return Ok(Vec::new());
    }
    let candidates = sql::select(
        "SELECT m, bucket, counted
           FROM generate_series($2::timestamptz, $3::timestamptz - interval '1 minute', interval '1 minute') AS m
           CROSS JOIN LATERAL (SELECT date_bin('5 minutes', m, 'epoch') AS bucket) b
           LEFT JOIN etl_job_run r
                  ON r.job = 'oo-agg' AND r.tenant_id = $1 AND r.window_from = m AND r.window_to = m + interval '1 minute'
          CROSS JOIN LATERAL (
                SELECT coalesce(r.status = 'success' OR r.status = 'queued' AND r.attempt > 0 AND r.error IS NULL, false)
                       OR EXISTS (SELECT FROM etl_partial_1m p WHERE p.tenant_id = $1 AND p.bucket = m) AS counted) c
          WHERE (m < $4 OR m >= $5)
            AND m + interval '1 minute' <= etl_now() - (SELECT e.delay FROM etl_job_effective e
                                                         WHERE e.job = 'oo-agg' AND e.tenant_id = $1)
            AND NOT EXISTS (SELECT FROM etl_partial_1m p WHERE p.tenant_id = $1 AND p.bucket = m AND p.format = $6)
            AND (counted
                 OR NOT EXISTS (SELECT FROM etl_partial_1m p
                                 WHERE p.tenant_id = $1 AND p.bucket >= b.bucket AND p.bucket < b.bucket + interval '5 minutes'))
          ORDER BY m",
        &[
            tenant.into(),
            to_timestamptz(from)?.into(),
            to_timestamptz(to)?.into(),
            to_timestamptz(window.from)?.into(),
            to_timestamptz(window.to)?.into(),
            partial::FORMAT.into(),
        ],
        |rows| {
            let mut found = Vec::new();
            for row in rows {
                let instant = |i| required(row.get::<TimestampWithTimeZone>(i)?, "m, bucket");
                let counted: bool = required(row.get(3)?, "counted")?;
                found.push((from_timestamptz(instant(1)?), from_timestamptz(instant(2)?), counted));
            }
            Ok(found)
        },
    )?;
    let mut ranges: Vec<Window> = Vec::new();
    // The last bucket that was asked for, and whether it has rows.
    let mut asked: Option<(i64, bool)> = None;
    for (m, bucket, counted) in candidates {
        let counted = counted
            || match asked {
                Some((of, known)) if of == bucket => known,
                _ => asked.insert((bucket, has_rows(tenant, bucket)?)).1,
            };
        if !counted {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if last.to == m => last.to += MINUTE_US,
            _ => ranges.push(Window::new(m, m + MINUTE_US)),
        }
    }
    Ok(ranges)
}

/// Whether the 5-minute tables have rows of a bucket.
fn has_rows(tenant: i64, bucket: i64) -> Result<bool> {
    sql::select(
        "SELECT EXISTS (SELECT FROM log_pattern_5m WHERE tenant_id = $1 AND bucket = $2)
                OR EXISTS (SELECT FROM service_call_5m WHERE tenant_id = $1 AND bucket = $2)",
        &[tenant.into(), to_timestamptz(bucket)?.into()],
        |rows| required(rows.first().get_one()?, "exists"),
    )
}

/// Replaces the partials of the run's own minutes.
pub fn replace(tenant: i64, minutes: &[MinutePartial], references: &References) -> Result<()> {
    insert(
        "INSERT INTO etl_partial_1m AS p (tenant_id, bucket, format, payload, written_at)
         SELECT $1, r.bucket, $4, r.payload, etl_now() FROM unnest($2::timestamptz[], $3::bytea[]) AS r (bucket, payload)
         ON CONFLICT (tenant_id, bucket)
         DO UPDATE SET format = excluded.format, payload = excluded.payload, written_at = excluded.written_at",
        tenant,
        minutes,
        references,
    )
}

/// Brings back partials that were gone or of another format; one that its own run has written meanwhile is the better.
pub fn restore(tenant: i64, minutes: &[MinutePartial], references: &References) -> Result<()> {
    insert(
        "INSERT INTO etl_partial_1m AS p (tenant_id, bucket, format, payload, written_at)
         SELECT $1, r.bucket, $4, r.payload, etl_now() FROM unnest($2::timestamptz[], $3::bytea[]) AS r (bucket, payload)
         ON CONFLICT (tenant_id, bucket)
         DO UPDATE SET format = excluded.format, payload = excluded.payload, written_at = excluded.written_at
         WHERE p.format <> excluded.format",
        tenant,
        minutes,
        references,
    )
}

fn insert(statement: &'static str, tenant: i64, minutes: &[MinutePartial], references: &References) -> Result<()> {
    let payloads: Vec<Vec<u8>> = minutes
        .iter()
        .map(|m| {
            let mut m = m.clone();
            (m.log_ref, m.trace_ref) = (references.logs, references.traces);
            m.encode()
        })
        .collect();
    sql::execute(
        statement,
        &[
            tenant.into(),
            timestamps(minutes.iter().map(|m| m.minute))?.into(),
            payloads.into(),
            partial::FORMAT.into(),
        ],
    )?;
    Ok(())
}

/// Replaces the 5-minute rows of a bucket by what its partials give.
///
/// Partials keep the names that records have. What the tenant's rules call them is applied here, so that a bucket has
/// today's names throughout, and before the minutes are added up: two names of one thing become one row. Partials outlive
/// changes of `dim_resource`, too: what is missing is entered again.
pub fn recompute(tenant: i64, bucket: i64, ids: &mut Ids) -> Result<()> {
    let partials = load(tenant, bucket)?;
    ids.enter(partials.iter().flat_map(MinutePartial::urns))?;
    let ids = &*ids;
    let merged = Bucket5::from_partials_named(bucket, &partials, |urn| ids.name(urn)).map_err(|e| Error::Corrupt {
        what: "partials of a 5-minute bucket",
        detail: e.to_string(),
    })?;
    calls::replace(tenant, bucket, &merged.calls, ids)?;
    log_counts::replace(tenant, bucket, &merged.logs, ids)
}

fn load(tenant: i64, bucket: i64) -> Result<Vec<MinutePartial>> {
    sql::select(
        "SELECT format, payload FROM etl_partial_1m
          WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3 AND format = $4",
        &[
            tenant.into(),
            to_timestamptz(bucket)?.into(),
            to_timestamptz(bucket + BUCKET5_US)?.into(),
            partial::FORMAT.into(),
        ],
        |rows| {
            let mut found = Vec::with_capacity(5);
            for row in rows {
                let format: i16 = required(row.get(1)?, "format")?;
                let payload: Vec<u8> = required(row.get(2)?, "payload")?;
                found.push(MinutePartial::decode(format, &payload).map_err(|e| Error::Corrupt {
                    what: "a row of etl_partial_1m",
                    detail: e.to_string(),
                })?);
            }
            Ok(found)
        },
    )
}
