//! `metric_histogram_1m`: one row for each histogram of a resource, or each of its label sets, and minute.

use crate::error::Result;
use crate::store::replace::{self, Statements};
use crate::store::timestamps;
use engine::aggregate::HistogramRow;
use engine::window::Window;

const STATEMENTS: Statements = Statements {
    present: "SELECT c.n, CASE WHEN c.n = cardinality($4) THEN NOT EXISTS (
                         SELECT r.bucket, r.resource_id, r.metric, r.labels_hash, r.count_val, r.sum_val, r.p50_val,
                                r.p95_val, r.p99_val, r.labels::jsonb
                           FROM unnest($4::timestamptz[], $5::bigint[], $6::text[], $7::bigint[], $8::float8[], $9::float8[],
                                       $10::float8[], $11::float8[], $12::float8[], $13::text[])
                                AS r (bucket, resource_id, metric, labels_hash, count_val, sum_val, p50_val, p95_val,
                                      p99_val, labels)
                         EXCEPT
                         SELECT h.bucket, h.resource_id, h.metric, h.labels_hash, h.count_val, h.sum_val, h.p50_val,
                                h.p95_val, h.p99_val, h.labels
                           FROM metric_histogram_1m h WHERE h.tenant_id = $1 AND h.bucket >= $2 AND h.bucket < $3) END
                FROM (SELECT count(*) AS n FROM metric_histogram_1m
                       WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3) c",
    delete: "DELETE FROM metric_histogram_1m WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3",
    insert: "INSERT INTO metric_histogram_1m (bucket, tenant_id, resource_id, metric, labels_hash, count_val, sum_val,
                                              p50_val, p95_val, p99_val, labels)
             SELECT r.bucket, $1, r.resource_id, r.metric, r.labels_hash, r.count_val, r.sum_val, r.p50_val, r.p95_val,
                    r.p99_val, r.labels::jsonb
               FROM unnest($4::timestamptz[], $5::bigint[], $6::text[], $7::bigint[], $8::float8[], $9::float8[],
                           $10::float8[], $11::float8[], $12::float8[], $13::text[])
                    AS r (bucket, resource_id, metric, labels_hash, count_val, sum_val, p50_val, p95_val, p99_val, labels)",
};

/// Replaces the rows of a tenant's window. `ids` are the resources' ids by the index the rows carry.
pub fn replace(tenant: i64, window: Window, rows: &[HistogramRow], ids: &[i64]) -> Result<()> {
    replace::replace(&STATEMENTS, tenant, window, rows, |rows| {
        let resource = |r: &HistogramRow| ids.get(r.resource as usize).copied();
        Ok(vec![
            timestamps(rows.iter().map(|r| r.bucket))?.into(),
            rows.iter().map(resource).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.metric.as_str()).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.labels_hash).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.count).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.sum).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p50).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p95).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p99).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.labels.as_deref()).collect::<Vec<_>>().into(),
        ])
    })
}
