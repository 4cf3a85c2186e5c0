//! `log_pattern_5m`: the rows of a bucket are made those that its partials give.
//!
//! The bucket is computed anew with every minute, and with every replay. Most of its rows are there by then, so what is
//! there is read first, and only what differs is written: a row that says the same is not touched.

use crate::backend::clock::to_timestamptz;
use crate::backend::sql::{self, required};
use crate::error::Result;
use crate::store::CHUNK;
use crate::store::resources::Ids;
use engine::partial::LogRow;
use std::collections::HashMap;

/// (resource_id, fingerprint_id).
type Key = (i64, i64);

/// What a row says beside its key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Counts {
    total: i64,
    errors: i64,
    /// 0 for none.
    sample_ref: i64,
}

/// Replaces the rows of a tenant's bucket. `ids` are those of the resources by URN. The caller holds the bucket's lock.
pub fn replace(tenant: i64, bucket: i64, rows: &[LogRow], ids: &Ids) -> Result<()> {
    let mut vanished = present(tenant, bucket)?;
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for row in rows {
        let key = (ids.id_of(&row.resource)?, row.fingerprint);
        let counts = Counts {
            total: row.total,
            errors: row.errors,
            sample_ref: row.sample_ref,
        };
        match vanished.remove(&key) {
            None => new.push((key, counts)),
            Some(there) if there != counts => changed.push((key, counts)),
            Some(_) => {}
        }
    }
    delete(tenant, bucket, &vanished.into_keys().collect::<Vec<_>>())?;
    write(
        "UPDATE log_pattern_5m p
            SET count_total = r.count_total, count_error = r.count_error, sample_ref = nullif(r.sample_ref, 0)
           FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                AS r (resource_id, fingerprint_id, count_total, count_error, sample_ref)
          WHERE p.bucket = $2 AND p.tenant_id = $1 AND p.resource_id = r.resource_id
            AND p.fingerprint_id = r.fingerprint_id",
        tenant,
        bucket,
        &changed,
    )?;
    write(
        "INSERT INTO log_pattern_5m (bucket, tenant_id, resource_id, fingerprint_id, count_total, count_error, sample_ref)
         SELECT $2, $1, r.resource_id, r.fingerprint_id, r.count_total, r.count_error, nullif(r.sample_ref, 0)
           FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                AS r (resource_id, fingerprint_id, count_total, count_error, sample_ref)",
        tenant,
        bucket,
        &new,
    )
}

/// The bucket's rows as they are. They come as arrays: to hand over a row for each would cost more than to find them.
fn present(tenant: i64, bucket: i64) -> Result<HashMap<Key, Counts>> {
    sql::select(
        "SELECT array_agg(resource_id), array_agg(fingerprint_id), array_agg(count_total), array_agg(count_error),
                array_agg(coalesce(sample_ref, 0))
           FROM log_pattern_5m WHERE tenant_id = $1 AND bucket = $2",
        &[tenant.into(), to_timestamptz(bucket)?.into()],
        |rows| {
            let row = rows.first();
            let Some(resources) = row.get::<Vec<i64>>(1)? else {
                return Ok(HashMap::new());
            };
            let column = |i, name| required(row.get::<Vec<i64>>(i)?, name);
            let keys = resources.into_iter().zip(column(2, "fingerprint_id")?);
            let totals = column(3, "count_total")?.into_iter().zip(column(4, "count_error")?);
            let counts = totals.zip(column(5, "sample_ref")?);
            let counts = counts.map(|((total, errors), sample_ref)| Counts {
                total,
                errors,
                sample_ref,
            });
            Ok(keys.zip(counts).collect())
        },
    )
}

fn delete(tenant: i64, bucket: i64, keys: &[Key]) -> Result<()> {
    for chunk in keys.chunks(CHUNK) {
        sql::execute(
            "DELETE FROM log_pattern_5m p
              USING unnest($3::bigint[], $4::bigint[]) AS r (resource_id, fingerprint_id)
              WHERE p.bucket = $2 AND p.tenant_id = $1 AND p.resource_id = r.resource_id
                AND p.fingerprint_id = r.fingerprint_id",
            &[
                tenant.into(),
                to_timestamptz(bucket)?.into(),
                chunk.iter().map(|k| k.0).collect::<Vec<_>>().into(),
                chunk.iter().map(|k| k.1).collect::<Vec<_>>().into(),
            ],
        )?;
    }
    Ok(())
}

/// Runs a statement over rows: $1 the tenant, $2 the bucket, $3 and $4 the key, then the counts.
fn write(statement: &'static str, tenant: i64, bucket: i64, rows: &[(Key, Counts)]) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        let column = |of: fn(&(Key, Counts)) -> i64| chunk.iter().map(of).collect::<Vec<_>>();
        sql::execute(
            statement,
            &[
                tenant.into(),
                to_timestamptz(bucket)?.into(),
                column(|r| r.0.0).into(),
                column(|r| r.0.1).into(),
                column(|r| r.1.total).into(),
                column(|r| r.1.errors).into(),
                column(|r| r.1.sample_ref).into(),
            ],
        )?;
    }
    Ok(())
}
