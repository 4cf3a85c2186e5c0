//! `etl_partial_1m` and what is recomputed from it: `service_call_5m` and `log_pattern_5m`.
//!
//! A 5-minute row is never added to: it is computed from the partials of its minutes, so a minute that is replayed
//! counts once, and the bucket is fresh every minute.

use crate::backend::clock::{from_timestamptz, to_timestamptz};
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use crate::store::locators::References;
use crate::store::resources::Ids;
use crate::store::{CHUNK, log_counts, timestamps};
use engine::partial::{self, Bucket5, CallRow, MinutePartial};
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
    let minutes = sql::select(
        "SELECT m FROM generate_series($2::timestamptz, $3::timestamptz - interval '1 minute', interval '1 minute') AS m
           CROSS JOIN LATERAL (SELECT date_bin('5 minutes', m, 'epoch') AS bucket) b
           LEFT JOIN etl_job_run r
                  ON r.job = 'oo-agg' AND r.tenant_id = $1 AND r.window_from = m AND r.window_to = m + interval '1 minute'
          WHERE (m < $4 OR m >= $5)
            AND m + interval '1 minute' <= etl_now() - (SELECT e.delay FROM etl_job_effective e
                                                         WHERE e.job = 'oo-agg' AND e.tenant_id = $1)
            AND NOT EXISTS (SELECT FROM etl_partial_1m p WHERE p.tenant_id = $1 AND p.bucket = m AND p.format = $6)
            AND (r.status = 'success'
                 OR r.status = 'queued' AND r.attempt > 0 AND r.error IS NULL
                 OR EXISTS (SELECT FROM etl_partial_1m p WHERE p.tenant_id = $1 AND p.bucket = m)
                 OR NOT EXISTS (SELECT FROM etl_partial_1m p
                                 WHERE p.tenant_id = $1 AND p.bucket >= b.bucket AND p.bucket < b.bucket + interval '5 minutes')
                    AND (EXISTS (SELECT FROM log_pattern_5m l WHERE l.tenant_id = $1 AND l.bucket = b.bucket)
                         OR EXISTS (SELECT FROM service_call_5m c WHERE c.tenant_id = $1 AND c.bucket = b.bucket)))
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
            let mut minutes = Vec::new();
            for row in rows {
                minutes.push(from_timestamptz(required(row.get::<TimestampWithTimeZone>(1)?, "m")?));
            }
            Ok(minutes)
        },
    )?;
    let mut ranges: Vec<Window> = Vec::new();
    for m in minutes {
        match ranges.last_mut() {
            Some(last) if last.to == m => last.to += MINUTE_US,
            _ => ranges.push(Window::new(m, m + MINUTE_US)),
        }
    }
    Ok(ranges)
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
    sql::execute(
        "DELETE FROM service_call_5m WHERE tenant_id = $1 AND bucket = $2",
        &[tenant.into(), to_timestamptz(bucket)?.into()],
    )?;
    for chunk in merged.calls.chunks(CHUNK) {
        insert_calls(tenant, bucket, chunk, ids)?;
    }
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

fn insert_calls(tenant: i64, bucket: i64, rows: &[CallRow], ids: &Ids) -> Result<()> {
    sql::execute(
        "INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate,
                                      p50_ms, p95_ms, inferred, sample_ref)
         SELECT $2, $1, r.src, r.dst, r.calls, r.errors, r.rps, r.err_rate, r.p50_ms, r.p95_ms, r.inferred,
                nullif(r.sample_ref, 0)
           FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::float8[], $8::float8[],
                       $9::float8[], $10::float8[], $11::bool[], $12::bigint[])
                AS r (src, dst, calls, errors, rps, err_rate, p50_ms, p95_ms, inferred, sample_ref)",
        &[
            tenant.into(),
            to_timestamptz(bucket)?.into(),
            ids_of(rows.iter().map(|r| &r.src), ids)?.into(),
            ids_of(rows.iter().map(|r| &r.dst), ids)?.into(),
            rows.iter().map(|r| r.calls).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.errors).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.rps).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.err_rate).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p50_ms).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p95_ms).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.inferred).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.sample_ref).collect::<Vec<_>>().into(),
        ],
    )?;
    Ok(())
}

/// The column of ids for a column of URNs.
fn ids_of<'a>(urns: impl Iterator<Item = &'a String>, ids: &Ids) -> Result<Vec<i64>> {
    urns.map(|urn| ids.id_of(urn)).collect()
}
