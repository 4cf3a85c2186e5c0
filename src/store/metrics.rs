//! `metric_1m`: one row for each metric of a resource, or each of its label sets, and minute.

use crate::error::Result;
use crate::store::replace::{self, Statements};
use crate::store::timestamps;
use engine::aggregate::MetricRow;
use engine::window::Window;

const STATEMENTS: Statements = Statements {
    present: "SELECT c.n, CASE WHEN c.n = cardinality($4) THEN NOT EXISTS (
                         SELECT r.bucket, r.resource_id, r.metric, r.labels_hash, r.avg_val, r.max_val, r.p95_val,
                                r.min_val, r.last_val, r.sample_count, r.labels::jsonb, r.increase
                           FROM unnest($4::timestamptz[], $5::bigint[], $6::text[], $7::bigint[], $8::float8[], $9::float8[],
                                       $10::float8[], $11::float8[], $12::float8[], $13::bigint[], $14::text[], $15::float8[])
                                AS r (bucket, resource_id, metric, labels_hash, avg_val, max_val, p95_val,
                                      min_val, last_val, sample_count, labels, increase)
                         EXCEPT
                         SELECT m.bucket, m.resource_id, m.metric, m.labels_hash, m.avg_val, m.max_val, m.p95_val,
                                m.min_val, m.last_val, m.sample_count, m.labels, m.increase
                           FROM metric_1m m WHERE m.tenant_id = $1 AND m.bucket >= $2 AND m.bucket < $3) END
                FROM (SELECT count(*) AS n FROM metric_1m WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3) c",
    delete: "DELETE FROM metric_1m WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3",
    insert: "INSERT INTO metric_1m (bucket, tenant_id, resource_id, metric, labels_hash, avg_val, max_val, p95_val,
                                    min_val, last_val, sample_count, labels, increase)
             SELECT r.bucket, $1, r.resource_id, r.metric, r.labels_hash, r.avg_val, r.max_val, r.p95_val,
                    r.min_val, r.last_val, r.sample_count, r.labels::jsonb, r.increase
               FROM unnest($4::timestamptz[], $5::bigint[], $6::text[], $7::bigint[], $8::float8[], $9::float8[],
                           $10::float8[], $11::float8[], $12::float8[], $13::bigint[], $14::text[], $15::float8[])
                    AS r (bucket, resource_id, metric, labels_hash, avg_val, max_val, p95_val,
                          min_val, last_val, sample_count, labels, increase)",
};

/// Replaces the rows of a tenant's window. `ids` are the resources' ids by the index the rows carry.
pub fn replace(tenant: i64, window: Window, rows: &[MetricRow], ids: &[i64]) -> Result<()> {
    replace::replace(&STATEMENTS, tenant, window, rows, |rows| {
        let resource = |r: &MetricRow| ids.get(r.resource as usize).copied();
        Ok(vec![
            timestamps(rows.iter().map(|r| r.bucket))?.into(),
            rows.iter().map(resource).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.metric.as_str()).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.labels_hash).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.avg).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.max).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p95).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.min).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.last).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.count).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.labels.as_deref()).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.increase).collect::<Vec<_>>().into(),
        ])
    })
}
