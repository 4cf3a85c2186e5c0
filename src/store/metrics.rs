//! `metric_1m`: a window's rows are deleted and written anew, so that what vanished from the source vanishes here.

use crate::backend::clock::to_timestamptz;
use crate::backend::sql;
use crate::error::Result;
use crate::store::{CHUNK, timestamps};
use engine::aggregate::MetricRow;
use engine::window::Window;

/// Replaces the rows of a tenant's window. `ids` are the resources' ids by the index the rows carry.
pub fn replace(tenant: i64, window: Window, rows: &[MetricRow], ids: &[i64]) -> Result<()> {
    sql::execute(
        "DELETE FROM metric_1m WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3",
        &[
            tenant.into(),
            to_timestamptz(window.from)?.into(),
            to_timestamptz(window.to)?.into(),
        ],
    )?;
    for chunk in rows.chunks(CHUNK) {
        let resource = |r: &MetricRow| ids.get(r.resource as usize).copied();
        sql::execute(
            "INSERT INTO metric_1m (bucket, tenant_id, resource_id, metric, labels_hash, avg_val, max_val, p95_val,
                                    min_val, last_val, sample_count, labels, increase)
             SELECT r.bucket, $1, r.resource_id, r.metric, r.labels_hash, r.avg_val, r.max_val, r.p95_val,
                    r.min_val, r.last_val, r.sample_count, r.labels::jsonb, r.increase
               FROM unnest($2::timestamptz[], $3::bigint[], $4::text[], $5::bigint[], $6::float8[], $7::float8[],
                           $8::float8[], $9::float8[], $10::float8[], $11::bigint[], $12::text[], $13::float8[])
                    AS r (bucket, resource_id, metric, labels_hash, avg_val, max_val, p95_val,
                          min_val, last_val, sample_count, labels, increase)",
            &[
                tenant.into(),
                timestamps(chunk.iter().map(|r| r.bucket))?.into(),
                chunk.iter().map(resource).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.metric.as_str()).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.labels_hash).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.avg).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.max).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.p95).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.min).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.last).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.count).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.labels.as_deref()).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.increase).collect::<Vec<_>>().into(),
            ],
        )?;
    }
    Ok(())
}
