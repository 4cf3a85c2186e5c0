//! What separates the graph from `service_call_5m`: one definition, as SQL over the tables of AGE's labels, for both
//! writers.
//!
//! A statement begins with [`VERTICES`] or [`EDGES`], whose last table `diff` has the rows that differ. `place` is the
//! ctid of what is stored, NULL where nothing is; `properties` is what should be, NULL where nothing should.
//! Parameters: `$1` the tenant, `$2` the instant from which buckets count.

use super::age;
use crate::backend::sql::required;
use crate::error::Result;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};

/// Up to so many changes are made by cypher, which costs 0.2 ms an edge (AGE 1.5); a set-based statement costs some 10 ms
/// whatever it changes, and 0.01 ms an edge. A usual minute, in which averages of a few dozen edges move, stays with the
/// interface that AGE documents; a fleet that restarts does not hold up the queue.
pub(super) const FEW: usize = 100;

/// The ends of calls, for [`vertices`].
pub(super) const CALL_ENDS: &str = "
    SELECT DISTINCT e.rid
      FROM service_call_5m c CROSS JOIN LATERAL (VALUES (c.src_resource_id), (c.dst_resource_id)) AS e (rid)
     WHERE c.tenant_id = $1 AND c.bucket >= $2";

/// Vertices that are missing or say something else than `dim_resource`, of the resources that `ends` gives. What belongs
/// to another tenant is not among them.
pub(super) fn vertices(ends: &str) -> String {
    format!(
        "WITH ends (rid) AS ({ends}), wanted AS (
             SELECT r.resource_id AS rid, ag_catalog.agtype_build_map('rid', r.resource_id, 'urn', r.urn, 'name', r.name,
                        'type', r.type, 'tenant', t.code, 'tenant_id', r.tenant_id) AS properties
               FROM ends e
              CROSS JOIN LATERAL (SELECT * FROM dim_resource d WHERE d.resource_id = e.rid OFFSET 0) r
               JOIN dim_tenant t ON t.tenant_id = r.tenant_id
              WHERE r.tenant_id = $1
         ), diff AS MATERIALIZED (
             SELECT v.place, w.properties
               FROM wanted w
               LEFT JOIN LATERAL (SELECT n.ctid AS place, n.properties FROM ops.\"Resource\" n
                                   WHERE ag_catalog.agtype_access_operator(n.properties, '\"rid\"'::ag_catalog.agtype)
                                         = w.rid::ag_catalog.agtype OFFSET 0) v ON true
              WHERE v.properties IS DISTINCT FROM w.properties
         )"
    )
}

/// The vertices of the tenant, by resource_id.
pub(super) const VERTEX: &str = "
    vertex AS MATERIALIZED (
        SELECT v.id, ag_catalog.agtype_access_operator(v.properties, '\"rid\"'::ag_catalog.agtype)::bigint AS rid
          FROM ops.\"Resource\" v
         WHERE ag_catalog.agtype_access_operator(v.properties, '\"tenant_id\"'::ag_catalog.agtype) = $1::ag_catalog.agtype
    )";

/// Edges that are missing, left over, or say something else than the calls; their vertices are there. Averages are over
/// buckets in their order, so that the same rows always give the same number.
pub(super) fn edges() -> String {
    format!(
        "WITH {VERTEX}, calls AS (
             SELECT c.src_resource_id AS src, c.dst_resource_id AS dst,
                    to_char(max(c.bucket) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS last_seen,
                    avg(c.rps ORDER BY c.bucket) AS rps, avg(c.err_rate ORDER BY c.bucket) AS err_rate,
                    coalesce(avg(c.p95_ms ORDER BY c.bucket), 0) AS p95
               FROM service_call_5m c
              WHERE c.tenant_id = $1 AND c.bucket >= $2
              GROUP BY 1, 2
         ), wanted AS MATERIALIZED (
             SELECT s.id AS start_id, d.id AS end_id, ag_catalog.agtype_build_map('last_seen', c.last_seen, 'rps', c.rps,
                        'err_rate', c.err_rate, 'p95', c.p95) AS properties
               FROM calls c JOIN vertex s ON s.rid = c.src JOIN vertex d ON d.rid = c.dst
         ), present AS (
             SELECT e.* FROM vertex v
              CROSS JOIN LATERAL (SELECT c.ctid AS place, c.start_id, c.end_id, c.properties FROM ops.\"CALLS\" c
                                   WHERE c.start_id = v.id OFFSET 0) e
         ), diff AS MATERIALIZED (
             SELECT start_id, end_id, p.place, w.properties
               FROM wanted w FULL JOIN present p USING (start_id, end_id)
              WHERE w.properties IS DISTINCT FROM p.properties
         )"
    )
}

/// Changes as cypher takes them: objects in AGE's notation, by what is to be done.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub create: Vec<String>,
    pub set: Vec<String>,
    pub delete: Vec<String>,
}

impl Changes {
    fn add(&mut self, operation: &str, row: String) {
        match operation {
            "create" => self.create.push(row),
            "set" => self.set.push(row),
            _ => self.delete.push(row),
        }
    }

    fn len(&self) -> usize {
        self.create.len() + self.set.len() + self.delete.len()
    }
}

/// A diff, if it is short enough to be read.
#[derive(Debug)]
pub(super) enum Extent {
    Few(Changes),
    Many,
}

const OPERATION: &str =
    "CASE WHEN d.place IS NULL THEN 'create' WHEN d.properties IS NULL THEN 'delete' ELSE 'set' END";

/// The vertices that differ; the objects are their properties.
pub(super) fn read_vertices(tenant: i64, since: TimestampWithTimeZone) -> Result<Extent> {
    let statement = format!(
        "{} SELECT {OPERATION}, format('%s', d.properties) FROM diff d LIMIT {}",
        vertices(CALL_ENDS),
        FEW + 1
    );
    age::fresh(&statement, &parameters(tenant, since), |rows| {
        let mut changes = Changes::default();
        for row in rows {
            let operation: String = required(row.get(1)?, "operation")?;
            changes.add(&operation, required(row.get(2)?, "properties")?);
        }
        Ok(extent(changes))
    })
}

/// The edges that differ, as their properties with `s` and `d`, the resource_ids of caller and callee; and how many there
/// should be in all.
pub(super) fn read_edges(tenant: i64, since: TimestampWithTimeZone) -> Result<(usize, Extent)> {
    let rid = |end: &str| {
        format!(
            "(SELECT ag_catalog.agtype_access_operator(v.properties, '\"rid\"'::ag_catalog.agtype)::bigint
                FROM ops.\"Resource\" v WHERE v.id = d.{end})"
        )
    };
    let statement = format!(
        "{} SELECT (SELECT count(*) FROM wanted), f.*
              FROM (SELECT 1) AS one
              LEFT JOIN (SELECT {OPERATION}, format('%s', d.properties), {}, {} FROM diff d LIMIT {}) f ON true",
        edges(),
        rid("start_id"),
        rid("end_id"),
        FEW + 1
    );
    age::fresh(&statement, &parameters(tenant, since), |rows| {
        let (mut wanted, mut changes, mut nameless) = (0, Changes::default(), false);
        for row in rows {
            wanted = required(row.get::<i64>(1)?, "count")?;
            let (operation, properties): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
            match (operation, row.get::<i64>(4)?, row.get::<i64>(5)?) {
                (None, ..) => {}
                (Some(operation), Some(s), Some(d)) => {
                    let rest = properties.as_deref().and_then(|p| p.strip_prefix('{'));
                    let row = match rest {
                        Some(rest) => format!("{{\"s\": {s}, \"d\": {d}, {rest}"),
                        None => format!("{{\"s\": {s}, \"d\": {d}}}"),
                    };
                    changes.add(&operation, row);
                }
                // An edge that somebody left behind without its vertex: cypher cannot reach it.
                _ => nameless = true,
            }
        }
        let extent = if nameless { Extent::Many } else { extent(changes) };
        Ok((usize::try_from(wanted).unwrap_or(0), extent))
    })
}

fn extent(changes: Changes) -> Extent {
    if changes.len() > FEW {
        Extent::Many
    } else {
        Extent::Few(changes)
    }
}

/// Of the statements above.
pub(super) fn parameters(tenant: i64, since: TimestampWithTimeZone) -> [DatumWithOid<'static>; 2] {
    [tenant.into(), since.into()]
}
