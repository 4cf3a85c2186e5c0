//! What leaves the graph: calls by the clock, everything of a tenant that is gone, vertices that no edge needs.

use super::{ACTIVE_US, age};
use crate::backend::clock::to_timestamptz;
use crate::error::Result;

/// Deletes the calls, of every tenant, that have not been seen for ten minutes, and all edges of tenants that are gone;
/// returns how many.
pub(super) fn edges(now: i64) -> Result<usize> {
    let [old] = age::write(
        "WITH gone AS (
             DELETE FROM ops.\"CALLS\" c
              WHERE coalesce(ag_catalog.agtype_access_operator(c.properties, '\"last_seen\"'::ag_catalog.agtype)::text, '') COLLATE \"C\"
                    < to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
             RETURNING 1
         )
         SELECT count(*) FROM gone",
        &[to_timestamptz(now - ACTIVE_US)?.into()],
        age::counts,
    )?;
    // The tenants of the graph one by one, each found in the index behind the one before.
    let [left] = age::write(
        "WITH RECURSIVE tenant (id) AS (
             SELECT (SELECT ag_catalog.agtype_access_operator(v.properties, '\"tenant_id\"'::ag_catalog.agtype)
                       FROM ops.\"Resource\" v ORDER BY 1 LIMIT 1)
             UNION ALL
             SELECT (SELECT ag_catalog.agtype_access_operator(v.properties, '\"tenant_id\"'::ag_catalog.agtype)
                       FROM ops.\"Resource\" v
                      WHERE ag_catalog.agtype_access_operator(v.properties, '\"tenant_id\"'::ag_catalog.agtype) > t.id
                      ORDER BY 1 LIMIT 1)
               FROM tenant t WHERE t.id IS NOT NULL
         ), vertex AS MATERIALIZED (
             SELECT v.id FROM tenant t
               JOIN ops.\"Resource\" v ON ag_catalog.agtype_access_operator(v.properties, '\"tenant_id\"'::ag_catalog.agtype) = t.id
              WHERE NOT EXISTS (SELECT FROM dim_tenant d WHERE d.tenant_id::ag_catalog.agtype = t.id)
         ), calls AS (
             DELETE FROM ops.\"CALLS\" c USING vertex v WHERE c.start_id = v.id RETURNING 1
         ), structure AS (
             DELETE FROM ops.\"STRUCT\" s USING vertex v WHERE s.start_id = v.id RETURNING 1
         )
         SELECT (SELECT count(*) FROM calls) + (SELECT count(*) FROM structure)",
        &[],
        age::counts,
    )?;
    Ok(old + left)
}

/// Deletes the vertices of resources (those with a rid) that no edge of any label touches, of one tenant or of all;
/// returns how many.
pub(super) fn vertices(tenant: Option<i64>) -> Result<usize> {
    let [gone] = age::write(
        "WITH gone AS (
             DELETE FROM ops.\"Resource\" v
              WHERE ag_catalog.agtype_access_operator(v.properties, '\"rid\"'::ag_catalog.agtype) IS NOT NULL
                AND ($1 IS NULL OR ag_catalog.agtype_access_operator(v.properties, '\"tenant_id\"'::ag_catalog.agtype) = $1::ag_catalog.agtype)
                AND NOT EXISTS (SELECT FROM ops._ag_label_edge e WHERE e.start_id = v.id)
                AND NOT EXISTS (SELECT FROM ops._ag_label_edge e WHERE e.end_id = v.id)
             RETURNING 1
         )
         SELECT count(*) FROM gone",
        &[tenant.into()],
        age::counts,
    )?;
    Ok(gone)
}
