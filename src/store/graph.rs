//! The Apache AGE graph `ops`: `(:Resource)-[:CALLS]->(:Resource)`, the calls of the last ten minutes.
//!
//! What has to change is decided here, from a read of both sides; cypher then only creates, sets or deletes what it is
//! told. No MERGE: on AGE 1.5 it creates vertices and edges without their properties.

use crate::backend::clock::to_timestamptz;
use crate::backend::locks::{self, Kind};
use crate::backend::session::set_local;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::CString;

/// An edge is active while its newest bucket starts no longer ago than this (microseconds).
pub const ACTIVE_US: i64 = 600_000_000;
/// Edges of one cypher call.
const CHUNK: usize = 1_000;

/// What a refresh did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Refreshed {
    pub vertices_created: usize,
    pub edges_created: usize,
    pub edges_updated: usize,
    pub edges_deleted: usize,
    pub edges: usize,
}

/// Averages over the buckets of the last ten minutes; `last_seen` is the newest bucket, as UTC text.
#[derive(Debug, Clone, PartialEq)]
struct Edge {
    last_seen: String,
    rps: f64,
    err_rate: f64,
    p95: f64,
}

/// (resource_id of the caller, of the callee).
type Key = (i64, i64);

/// What there is to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Ready,
    /// AGE is installed, the graph is not there.
    NoGraph,
    NoAge,
}

/// Whether AGE and the graph are there.
pub fn presence() -> Result<Presence> {
    let installed = sql::select("SELECT count(*) FROM pg_extension WHERE extname = 'age'", &[], |rows| {
        Ok(rows.first().get_one::<i64>()? == Some(1))
    })?;
    if !installed {
        return Ok(Presence::NoAge);
    }
    let graph = dynamic(
        "SELECT count(*) FROM ag_catalog.ag_graph WHERE name = 'ops'",
        &[],
        |rows| Ok(rows.first().get_one::<i64>()? == Some(1)),
    )?;
    Ok(if graph { Presence::Ready } else { Presence::NoGraph })
}

/// As [`presence`], but creates a graph that is missing: AGE may have been installed after this extension, and inside
/// CREATE EXTENSION its labels cannot always be made.
pub fn ensure() -> Result<Presence> {
    match presence()? {
        Presence::NoGraph => {
            sql::update("SELECT observe_bridge_setup()", &[], |_| Ok(()))?;
            presence()
        }
        found => Ok(found),
    }
}

/// Makes the graph's edges of one tenant those of `service_call_5m` at `now` (UTC microseconds). The graph
/// must be there. Doing it twice changes nothing.
pub fn refresh(tenant: i64, now: i64) -> Result<Refreshed> {
    locks::acquire(Kind::Graph, 0);
    let wanted = wanted_edges(tenant, now)?;
    let resources = resources_of(&wanted)?;
    enter_age()?;
    let present = present_edges(Some(tenant))?;
    let mut done = Refreshed {
        edges: wanted.len(),
        ..Refreshed::default()
    };

    let known = present_vertices(tenant)?;
    let missing: Vec<Value> = resources
        .into_iter()
        .filter(|(rid, _)| !known.contains(rid))
        .map(|(_, vertex)| vertex)
        .collect();
    done.vertices_created = missing.len();
    apply(
        "UNWIND $rows AS r
         CREATE (:Resource {rid: r.rid, urn: r.urn, name: r.name, type: r.type, tenant: r.tenant, tenant_id: r.tenant_id})",
        &missing,
    )?;

    let row = |(key, e): (&Key, &Edge)| json!({ "s": key.0, "d": key.1, "last_seen": e.last_seen, "rps": e.rps, "err_rate": e.err_rate, "p95": e.p95 });
    let vanished: Vec<Value> = present
        .keys()
        .filter(|k| !wanted.contains_key(k))
        .map(|k| json!({ "s": k.0, "d": k.1 }))
        .collect();
    let created: Vec<Value> = wanted
        .iter()
        .filter(|(k, _)| !present.contains_key(k))
        .map(row)
        .collect();
    let changed: Vec<Value> = wanted
        .iter()
        .filter(|(k, e)| present.get(k).is_some_and(|p| p != *e))
        .map(row)
        .collect();
    delete_edges(&vanished)?;
    apply(
        "UNWIND $rows AS r
         MATCH (a:Resource), (b:Resource) WHERE a.rid = r.s AND b.rid = r.d
         CREATE (a)-[:CALLS {last_seen: r.last_seen, rps: r.rps, err_rate: r.err_rate, p95: r.p95}]->(b)",
        &created,
    )?;
    apply(
        "UNWIND $rows AS r
         MATCH (a:Resource)-[c:CALLS]->(b:Resource) WHERE a.rid = r.s AND b.rid = r.d
         SET c.last_seen = r.last_seen, c.rps = r.rps, c.err_rate = r.err_rate, c.p95 = r.p95",
        &changed,
    )?;
    (done.edges_deleted, done.edges_created, done.edges_updated) = (vanished.len(), created.len(), changed.len());
    Ok(done)
}

/// Deletes the edges of every tenant that have not been seen for ten minutes; by the clock, whatever upstream does.
pub fn expire(now: i64) -> Result<usize> {
    let cutoff = utc_text(now - ACTIVE_US)?;
    // Before looking: a refresh may be about to renew what seems to have expired.
    locks::acquire(Kind::Graph, 0);
    enter_age()?;
    let expired: Vec<Value> = present_edges(None)?
        .iter()
        .filter(|(_, e)| e.last_seen < cutoff)
        .map(|(k, _)| json!({ "s": k.0, "d": k.1 }))
        .collect();
    delete_edges(&expired)?;
    Ok(expired.len())
}

fn delete_edges(keys: &[Value]) -> Result<()> {
    apply(
        "UNWIND $rows AS r
         MATCH (a:Resource)-[c:CALLS]->(b:Resource) WHERE a.rid = r.s AND b.rid = r.d
         DELETE c",
        keys,
    )
}

fn wanted_edges(tenant: i64, now: i64) -> Result<BTreeMap<Key, Edge>> {
    sql::select(
        "SELECT src_resource_id, dst_resource_id, avg(rps), avg(err_rate), coalesce(avg(p95_ms), 0),
                to_char(max(bucket) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
           FROM service_call_5m
          WHERE tenant_id = $1 AND bucket >= $2
          GROUP BY 1, 2",
        &[tenant.into(), to_timestamptz(now - ACTIVE_US)?.into()],
        |rows| {
            let mut edges = BTreeMap::new();
            for row in rows {
                edges.insert(
                    (
                        required(row.get(1)?, "src_resource_id")?,
                        required(row.get(2)?, "dst_resource_id")?,
                    ),
                    Edge {
                        rps: required(row.get(3)?, "rps")?,
                        err_rate: required(row.get(4)?, "err_rate")?,
                        p95: required(row.get(5)?, "p95_ms")?,
                        last_seen: required(row.get(6)?, "bucket")?,
                    },
                );
            }
            Ok(edges)
        },
    )
}

/// The vertices the edges need, by resource_id.
fn resources_of(edges: &BTreeMap<Key, Edge>) -> Result<BTreeMap<i64, Value>> {
    let ids: Vec<i64> = edges.keys().flat_map(|k| [k.0, k.1]).collect();
    sql::select(
        "SELECT r.resource_id, r.urn, r.name, r.type, t.code, r.tenant_id
           FROM dim_resource r JOIN dim_tenant t USING (tenant_id)
          WHERE r.resource_id = ANY ($1)",
        &[ids.into()],
        |rows| {
            let mut found = BTreeMap::new();
            for row in rows {
                let rid: i64 = required(row.get(1)?, "resource_id")?;
                let text = |i: usize| -> Result<Option<String>> { Ok(row.get(i)?) };
                let tenant_id: Option<i64> = row.get(6)?;
                found.insert(
                    rid,
                    json!({ "rid": rid, "urn": text(2)?, "name": text(3)?, "type": text(4)?, "tenant": text(5)?,
                            "tenant_id": tenant_id }),
                );
            }
            Ok(found)
        },
    )
}

fn present_vertices(tenant: i64) -> Result<std::collections::BTreeSet<i64>> {
    dynamic(
        "SELECT rid::bigint FROM ag_catalog.cypher('ops', $$
             MATCH (a:Resource) WHERE a.tenant_id = $tenant RETURN a.rid $$, $1) AS (rid agtype)",
        &[agtype(&json!({ "tenant": tenant }))?],
        |rows| {
            let mut found = std::collections::BTreeSet::new();
            for row in rows {
                found.insert(required(row.get(1)?, "rid")?);
            }
            Ok(found)
        },
    )
}

fn present_edges(tenant: Option<i64>) -> Result<BTreeMap<Key, Edge>> {
    dynamic(
        "SELECT s::bigint, d::bigint, rps::float8, err_rate::float8, p95::float8, last_seen::text
           FROM ag_catalog.cypher('ops', $$
             MATCH (a:Resource)-[c:CALLS]->(b:Resource) WHERE $tenant IS NULL OR a.tenant_id = $tenant
             RETURN a.rid, b.rid, c.rps, c.err_rate, c.p95, c.last_seen $$, $1)
             AS (s agtype, d agtype, rps agtype, err_rate agtype, p95 agtype, last_seen agtype)",
        &[agtype(&json!({ "tenant": tenant }))?],
        |rows| {
            let mut edges = BTreeMap::new();
            for row in rows {
                let seen: Option<String> = row.get(6)?;
                edges.insert(
                    (required(row.get(1)?, "s")?, required(row.get(2)?, "d")?),
                    Edge {
                        rps: row.get(3)?.unwrap_or(f64::NAN),
                        err_rate: row.get(4)?.unwrap_or(f64::NAN),
                        p95: row.get(5)?.unwrap_or(f64::NAN),
                        last_seen: seen.unwrap_or_default().trim_matches('"').to_string(),
                    },
                );
            }
            Ok(edges)
        },
    )
}

/// Runs a cypher statement that changes the graph over chunks of rows.
fn apply(cypher: &str, rows: &[Value]) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        let statement = format!("SELECT * FROM ag_catalog.cypher('ops', $$ {cypher} $$, $1) AS (done agtype)");
        let parameter = agtype(&json!({ "rows": chunk }))?;
        Spi::connect_mut(|client| client.update(statement.as_str(), None, &[parameter]).map(|_| ()))?;
    }
    Ok(())
}

/// Loads AGE into the session and puts its schema on the search_path until the transaction ends.
fn enter_age() -> Result<()> {
    // Any C function of AGE loads its library; LOAD itself is for superusers.
    dynamic("SELECT ag_catalog.agtype_build_map() IS NULL", &[], |_| Ok(()))?;
    let path: String = sql::select("SELECT current_setting('search_path')", &[], |rows| {
        required(rows.first().get_one()?, "search_path")
    })?;
    if path.contains("ag_catalog") {
        Ok(())
    } else {
        set_local(c"search_path", &format!("{path}, ag_catalog"))
    }
}

/// A reading statement whose plan is not kept: AGE's plans hold state of one execution.
fn dynamic<T>(
    statement: &str,
    args: &[DatumWithOid<'_>],
    read: impl FnOnce(pgrx::spi::SpiTupleTable<'_>) -> Result<T>,
) -> Result<T> {
    Spi::connect(|client| {
        let plan = client.prepare_mut(
            statement,
            &args.iter().map(|a| PgOid::from(a.oid())).collect::<Vec<_>>(),
        )?;
        read(client.select(&plan, None, args)?)
    })
}

/// A value of AGE's type, as `cypher()` wants its parameters.
fn agtype(value: &Value) -> Result<DatumWithOid<'static>> {
    let oid: pg_sys::Oid = dynamic("SELECT 'ag_catalog.agtype'::regtype::oid", &[], |rows| {
        required(rows.first().get_one()?, "agtype")
    })?;
    let text = CString::new(value.to_string()).map_err(|e| Error::Internal(e.to_string()))?;
    // SAFETY: the type exists; its input function reads the NUL-terminated text and raises on what it cannot read. The
    // datum lives in the current memory context, that is at least as long as the statement.
    unsafe {
        let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::getTypeInputInfo(oid, &mut input, &mut parameter);
        let datum = pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1);
        Ok(DatumWithOid::new(datum, oid))
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`, as `last_seen` has it: sorts as the instants do.
fn utc_text(us: i64) -> Result<String> {
    sql::select(
        "SELECT to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
        &[to_timestamptz(us)?.into()],
        |rows| required(rows.first().get_one()?, "to_char"),
    )
}
