//! `service_call_5m`: one row for each pair of resources and five minutes.

use crate::error::Result;
use crate::store::replace::{self, Statements};
use crate::store::resources::Ids;
use engine::partial::CallRow;
use engine::window::{BUCKET5_US, Window};

const STATEMENTS: Statements = Statements {
    present: "SELECT c.n, CASE WHEN c.n = cardinality($4) THEN NOT EXISTS (
                         SELECT r.src, r.dst, r.calls, r.errors, r.rps, r.err_rate, r.p50_ms, r.p95_ms, r.inferred,
                                nullif(r.sample_ref, 0)
                           FROM unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::float8[], $9::float8[],
                                       $10::float8[], $11::float8[], $12::bool[], $13::bigint[])
                                AS r (src, dst, calls, errors, rps, err_rate, p50_ms, p95_ms, inferred, sample_ref)
                         EXCEPT
                         SELECT s.src_resource_id, s.dst_resource_id, s.calls, s.errors, s.rps, s.err_rate, s.p50_ms,
                                s.p95_ms, s.inferred, s.sample_ref
                           FROM service_call_5m s WHERE s.tenant_id = $1 AND s.bucket >= $2 AND s.bucket < $3) END
                FROM (SELECT count(*) AS n FROM service_call_5m
                       WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3) c",
    delete: "DELETE FROM service_call_5m WHERE tenant_id = $1 AND bucket >= $2 AND bucket < $3",
    insert: "INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate,
                                          p50_ms, p95_ms, inferred, sample_ref)
             SELECT $2, $1, r.src, r.dst, r.calls, r.errors, r.rps, r.err_rate, r.p50_ms, r.p95_ms, r.inferred,
                    nullif(r.sample_ref, 0)
               FROM unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::float8[], $9::float8[],
                           $10::float8[], $11::float8[], $12::bool[], $13::bigint[])
                    AS r (src, dst, calls, errors, rps, err_rate, p50_ms, p95_ms, inferred, sample_ref)",
};

/// Replaces the rows of a tenant's bucket. `ids` are those of the resources by URN.
pub fn replace(tenant: i64, bucket: i64, rows: &[CallRow], ids: &Ids) -> Result<()> {
    let range = Window::new(bucket, bucket + BUCKET5_US);
    let ids_of = |urns: Vec<&String>| urns.into_iter().map(|urn| ids.id_of(urn)).collect::<Result<Vec<i64>>>();
    replace::replace(&STATEMENTS, tenant, range, rows, |rows| {
        Ok(vec![
            ids_of(rows.iter().map(|r| &r.src).collect())?.into(),
            ids_of(rows.iter().map(|r| &r.dst).collect())?.into(),
            rows.iter().map(|r| r.calls).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.errors).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.rps).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.err_rate).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p50_ms).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.p95_ms).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.inferred).collect::<Vec<_>>().into(),
            rows.iter().map(|r| r.sample_ref).collect::<Vec<_>>().into(),
        ])
    })
}
