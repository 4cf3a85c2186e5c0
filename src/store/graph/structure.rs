//! `(:Resource)-[:STRUCT {relation, source, since}]->(:Resource)`: what `topo_edge_time` declares now, for the tenants
//! that want it in the graph (`dim_tenant.graph_structure`).

use super::{age, diff, set_based};
use crate::backend::sql;
use crate::error::Result;

/// What became of the declared edges of a tenant.
#[derive(Debug, Default, serde::Serialize)]
pub struct Structure {
    pub edges: usize,
    pub edges_created: usize,
    pub edges_deleted: usize,
    pub vertices_created: usize,
    pub vertices_updated: usize,
}

/// Whether the tenant wants its topology in the graph; one that is gone does not.
fn wanted(tenant: i64) -> Result<bool> {
    sql::select(
        "SELECT EXISTS (SELECT FROM dim_tenant t WHERE t.tenant_id = $1 AND t.graph_structure)",
        &[tenant.into()],
        |rows| Ok(rows.first().get_one::<bool>()? == Some(true)),
    )
}

/// Makes the edges `STRUCT` of the tenant those that are declared and open; none if it does not want them. `None`: it
/// does not, and there are none.
///
/// An edge is the same as long as its relation, its source and its beginning are.
pub(super) fn refresh(tenant: i64) -> Result<Option<Structure>> {
    let on = wanted(tenant)?;
    let any = age::fresh("SELECT EXISTS (SELECT FROM ops.\"STRUCT\")", &[], |rows| {
        Ok(rows.first().get_one::<bool>()? == Some(true))
    })?;
    if !on && !any {
        return Ok(None);
    }
    let open = "topo_edge_time t WHERE $2 AND t.tenant_id = $1 AND upper_inf(t.valid)";
    let vertices = set_based::write_vertices(
        &format!("SELECT t.src_resource_id FROM {open} UNION SELECT t.dst_resource_id FROM {open}"),
        &[tenant.into(), on.into()],
    )?;
    let statement = format!(
        "WITH {}, declared AS (
             SELECT t.src_resource_id AS src, t.dst_resource_id AS dst, ag_catalog.agtype_build_map('relation', t.relation,
                        'source', t.source, 'since', CASE WHEN isfinite(lower(t.valid)) THEN
                            to_char(lower(t.valid) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') ELSE '' END) AS properties
               FROM {open}
         ), wanted AS MATERIALIZED (
             SELECT s.id AS start_id, d.id AS end_id, t.properties, true AS wanted
               FROM declared t JOIN vertex s ON s.rid = t.src JOIN vertex d ON d.rid = t.dst
         ), present AS (
             SELECT e.* FROM vertex v
              CROSS JOIN LATERAL (SELECT s.ctid AS place, s.start_id, s.end_id, s.properties FROM ops.\"STRUCT\" s
                                   WHERE s.start_id = v.id OFFSET 0) e
         ), diff AS MATERIALIZED (
             SELECT start_id, end_id, properties, p.place
               FROM wanted w FULL JOIN present p USING (start_id, end_id, properties)
              WHERE p.place IS NULL OR w.wanted IS NULL
         ), gone AS (
             DELETE FROM ops.\"STRUCT\" s USING diff d WHERE s.ctid = d.place RETURNING 1
         ), came AS (
             INSERT INTO ops.\"STRUCT\" (start_id, end_id, properties)
             SELECT d.start_id, d.end_id, d.properties FROM diff d WHERE d.place IS NULL RETURNING 1
         )
         SELECT (SELECT count(*) FROM wanted), (SELECT count(*) FROM came), (SELECT count(*) FROM gone)",
        diff::VERTEX
    );
    let [edges, edges_created, edges_deleted] = age::write(&statement, &[tenant.into(), on.into()], age::counts)?;
    Ok(Some(Structure {
        edges,
        edges_created,
        edges_deleted,
        vertices_created: vertices.created,
        vertices_updated: vertices.set,
    }))
}
