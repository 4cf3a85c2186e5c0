//! `metric_histogram_1m`: as for `metric_1m`, a window's rows are deleted and written anew.

use crate::backend::clock::to_timestamptz;
use crate::backend::sql;
use crate::error::Result;
use crate::store::{CHUNK, timestamps};
use engine::aggregate::HistogramRow;
use engine::window::Window;

/// Replaces the rows of a tenant's window. `ids` are the resources' ids by the index the rows carry.
pub fn replace(tenant: i64, window: Window, rows: &[HistogramRow], ids: &[i64]) -> Result<()> {
    sql::execute(
        "DELETE FROM metric_histogram_1m WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3",
        &[
            tenant.into(),
            to_timestamptz(window.from)?.into(),
            to_timestamptz(window.to)?.into(),
        ],
    )?;
    for chunk in rows.chunks(CHUNK) {
        let resource = |r: &HistogramRow| ids.get(r.resource as usize).copied();
        sql::execute(
            "INSERT INTO metric_histogram_1m (bucket, tenant_id, resource_id, metric, labels_hash, count_val, sum_val,
                                              p50_val, p95_val, p99_val, labels)
             SELECT r.bucket, $1, r.resource_id, r.metric, r.labels_hash, r.count_val, r.sum_val, r.p50_val, r.p95_val,
                    r.p99_val, r.labels::jsonb
               FROM unnest($2::timestamptz[], $3::bigint[], $4::text[], $5::bigint[], $6::float8[], $7::float8[],
                           $8::float8[], $9::float8[], $10::float8[], $11::text[])
                    AS r (bucket, resource_id, metric, labels_hash, count_val, sum_val, p50_val, p95_val, p99_val, labels)",
            &[
                tenant.into(),
                timestamps(chunk.iter().map(|r| r.bucket))?.into(),
                chunk.iter().map(resource).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.metric.as_str()).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.labels_hash).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.count).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.sum).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.p50).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.p95).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.p99).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.labels.as_deref()).collect::<Vec<_>>().into(),
            ],
        )?;
    }
    Ok(())
}
