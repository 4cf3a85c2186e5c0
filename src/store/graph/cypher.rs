//! Writes few changes, as cypher.
//!
//! No MERGE: on AGE 1.5 it creates vertices and edges without their properties. What is missing was decided before.

use super::age;
use super::diff::Changes;
use crate::error::Result;

/// Creates and changes vertices.
pub(super) fn write_vertices(changes: &Changes) -> Result<()> {
    apply(
        "UNWIND $rows AS r
         CREATE (:Resource {rid: r.rid, urn: r.urn, name: r.name, type: r.type, tenant: r.tenant, tenant_id: r.tenant_id})",
        &changes.create,
    )?;
    apply(
        "UNWIND $rows AS r
         MATCH (a:Resource) WHERE a.rid = r.rid
         SET a = {rid: r.rid, urn: r.urn, name: r.name, type: r.type, tenant: r.tenant, tenant_id: r.tenant_id}",
        &changes.set,
    )
}

/// Deletes, creates and changes edges.
pub(super) fn write_edges(changes: &Changes) -> Result<()> {
    apply(
        "UNWIND $rows AS r
         MATCH (a:Resource)-[c:CALLS]->(b:Resource) WHERE a.rid = r.s AND b.rid = r.d
         DELETE c",
        &changes.delete,
    )?;
    apply(
        "UNWIND $rows AS r
         MATCH (a:Resource), (b:Resource) WHERE a.rid = r.s AND b.rid = r.d
         CREATE (a)-[:CALLS {last_seen: r.last_seen, rps: r.rps, err_rate: r.err_rate, p95: r.p95}]->(b)",
        &changes.create,
    )?;
    apply(
        "UNWIND $rows AS r
         MATCH (a:Resource)-[c:CALLS]->(b:Resource) WHERE a.rid = r.s AND b.rid = r.d
         SET c = {last_seen: r.last_seen, rps: r.rps, err_rate: r.err_rate, p95: r.p95}",
        &changes.set,
    )
}

/// Runs a cypher statement that changes the graph, over all rows at once.
fn apply(cypher: &str, rows: &[String]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let parameter = age::agtype(format!("{{\"rows\": [{}]}}", rows.join(", ")))?;
    age::write(
        &format!("SELECT * FROM ag_catalog.cypher('ops', $$ {cypher} $$, $1) AS (done ag_catalog.agtype)"),
        &[parameter],
        |_| Ok(()),
    )
}
