//! Random histories of calls: after each refresh the graph is what the tables say, whichever way it was written, and a
//! graph that is built anew is the same.

use blackbox::bridge::{install, run};
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

const TENANTS: [&str; 2] = ["default", "second"];
const SERVICES: i64 = 5;
/// More than a refresh writes as cypher.
const FILLERS: i64 = 150;

/// What a tenant's bucket holds from now on: calls by (source, destination), with their rate.
#[derive(Clone, Debug)]
struct Step {
    tenant: usize,
    /// Minutes that pass before.
    after: i64,
    /// How many buckets ago.
    bucket: i64,
    calls: BTreeMap<(i64, i64), u8>,
    renamed: Option<i64>,
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let calls = prop::collection::btree_map((1..=SERVICES, 1..=SERVICES), 0..4u8, 0..8);
    let renamed = prop::option::weighted(0.3, 1..=SERVICES);
    let step =
        (0..TENANTS.len(), 0..6i64, 0..3i64, calls, renamed).prop_map(|(tenant, after, bucket, calls, renamed)| Step {
            tenant,
            after,
            bucket,
            calls,
            renamed,
        });
    prop::collection::vec(step, 1..8)
}

/// A database with the graph, both tenants and all their resources; ids say whose they are.
fn graph_database(cluster: &Cluster, name: &str) -> Session {
    let mut db = cluster.database(name);
    db.exec("CREATE EXTENSION age");
    install(&mut db);
    db.exec(&format!(
        "LOAD 'age'; SET search_path = public, ag_catalog; INSERT INTO dim_tenant (tenant_id, code) VALUES (2, 'second');
         INSERT INTO dim_resource (resource_id, tenant_id, urn, type, name)
         SELECT t * 1000 + n, t, 'urn:svc:' || n, 'service', 's' || n FROM generate_series(1, 2) t, generate_series(1, {SERVICES}) n"
    ));
    db
}

/// Enough calls beside those of the history that every refresh has much to write: vertices, and edges of each kind.
fn fill(db: &mut Session, tenant: usize, step: usize) {
    let id = tenant + 1;
    db.exec(&format!(
        "INSERT INTO dim_resource (resource_id, tenant_id, urn, type, name)
         SELECT {id} * 1000 + 500 + n, {id}, 'urn:filler:' || n, 'service', 'filler {step}' FROM generate_series(0, {FILLERS}) n
         ON CONFLICT (resource_id) DO UPDATE SET name = excluded.name;
         DELETE FROM service_call_5m WHERE src_resource_id BETWEEN {id} * 1000 + 500 AND {id} * 1000 + 999;
         INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate)
         SELECT date_bin('5 min', etl_now(), 'epoch'), {id}, {id} * 1000 + 500 + n, {id} * 1000 + 500 + (n * {step} + 1) % {FILLERS}, 1, 0, {step}, 0
           FROM generate_series(0, {FILLERS}) n"
    ));
}

fn write(db: &mut Session, step: &Step) {
    let id = step.tenant + 1;
    let rows: String = step
        .calls
        .iter()
        .map(|((s, d), rate)| {
            // A third and a seventh are no short numbers: all their digits must arrive. Every fourth has no p95.
            let p95 = if *rate == 3 { "NULL".into() } else { format!("{rate} / 7.0::float8 * 1e-9") };
            format!(", (date_bin('5 min', etl_now(), 'epoch') - {} * interval '5 min', {id}, {id} * 1000 + {s}, {id} * 1000 + {d}, 1, 0, {rate} / 3.0::float8, 0.1::float8, {p95})", step.bucket)
        })
        .collect();
    db.exec(&format!(
        "DELETE FROM service_call_5m WHERE tenant_id = {id} AND src_resource_id < {id} * 1000 + 500
            AND bucket = date_bin('5 min', etl_now(), 'epoch') - {} * interval '5 min'",
        step.bucket
    ));
    if let Some(rows) = rows.strip_prefix(", ") {
        db.exec(&format!(
            "INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate, p95_ms) VALUES {rows}"
        ));
    }
    if let Some(renamed) = step.renamed {
        db.exec(&format!(
            "UPDATE dim_resource SET name = name || '\"é\\' WHERE resource_id = {id} * 1000 + {renamed}"
        ));
    }
}

/// Refreshes a tenant; how many changes were made.
fn refresh(db: &mut Session, tenant: usize) -> i64 {
    db.exec(&format!(
        "SELECT etl_enqueue('age-refresh', '{}', etl_now() - interval '1 min', etl_now())",
        TENANTS[tenant]
    ));
    run(db);
    db.int(&format!(
        "SELECT (stats -> 'graph' ->> 'edges_created')::int + (stats -> 'graph' ->> 'edges_updated')::int
                + (stats -> 'graph' ->> 'edges_deleted')::int
           FROM etl_job_run WHERE tenant_id = {} AND status = 'success' ORDER BY finished_at DESC, run_id DESC LIMIT 1",
        tenant + 1
    ))
}

/// Everything of a tenant as it is stored, but the fillers: vertices, and edges with their ends.
fn stored(db: &mut Session, tenant: usize) -> Vec<String> {
    db.column(&format!(
        "WITH v AS (SELECT id, format('%s', properties) AS p FROM ops.\"Resource\"
                     WHERE agtype_access_operator(properties, '\"tenant_id\"') = '{id}'
                       AND agtype_access_operator(properties, '\"urn\"')::text !~ 'filler')
         SELECT p FROM v UNION ALL
         SELECT format('%s %s %s', s.p, c.properties, d.p) FROM ops.\"CALLS\" c JOIN v s ON s.id = start_id JOIN v d ON d.id = end_id
          ORDER BY 1",
        id = tenant + 1
    ))
}

/// What cypher returns of the tenant's edges, but the fillers.
fn asked(db: &mut Session, tenant: usize) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT s::bigint, d::bigint, n::text, rps::float8, err_rate::float8, p95::float8, seen::text
           FROM cypher('ops', $$ MATCH (a:Resource {{tenant: '{}'}})-[c:CALLS]->(b:Resource) WHERE a.rid % 1000 < 500
                                 RETURN a.rid, b.rid, a.name, c.rps, c.err_rate, c.p95, c.last_seen $$)
                AS (s agtype, d agtype, n agtype, rps agtype, err_rate agtype, p95 agtype, seen agtype)
          ORDER BY 1, 2",
        TENANTS[tenant]
    ))
}

/// What it should return.
fn expected(db: &mut Session, tenant: usize) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT src_resource_id, dst_resource_id, s.name, avg(rps ORDER BY bucket), avg(err_rate ORDER BY bucket),
                coalesce(avg(p95_ms ORDER BY bucket), 0), to_char(max(bucket) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
           FROM service_call_5m c JOIN dim_resource s ON s.resource_id = src_resource_id
          WHERE c.tenant_id = {} AND bucket >= etl_now() - interval '10 minutes' AND src_resource_id % 1000 < 500
          GROUP BY 1, 2, 3 ORDER BY 1, 2",
        tenant + 1
    ))
}

/// Ends of edges, and vertices: none without the other, none twice.
fn vertices(db: &mut Session) -> [Vec<String>; 2] {
    [
        db.column("SELECT format('%s', start_id) FROM ops.\"CALLS\" UNION SELECT format('%s', end_id) FROM ops.\"CALLS\" ORDER BY 1"),
        db.column("SELECT format('%s', id) FROM ops.\"Resource\" ORDER BY 1"),
    ]
}

fn empty(db: &mut Session) {
    db.exec("TRUNCATE service_call_5m, etl_job_run");
    db.exec(&format!(
        "UPDATE dim_resource SET name = 's' || (resource_id % 1000) WHERE resource_id % 1000 <= {SERVICES}"
    ));
    for tenant in 0..TENANTS.len() {
        refresh(db, tenant);
    }
    assert_eq!(vertices(db), [[""; 0]; 2], "nothing is called, nothing is there");
    // The next history begins at an earlier time.
    db.exec("TRUNCATE etl_job_run");
}

fn follows(few: &mut Session, many: &mut Session, history: &[Step]) -> Result<(), TestCaseError> {
    let mut minute = 0;
    for (n, step) in (1..).zip(history) {
        minute += step.after;
        let other = 1 - step.tenant;
        for db in [&mut *few, &mut *many] {
            db.exec(&format!(
                "SET observe_bridge.clock = '{}'",
                format_args!("2026-01-05 {:02}:{:02}:30+00", 11 + minute / 60, minute % 60)
            ));
            write(db, step);
        }
        fill(many, step.tenant, n);
        // Calls of the other tenant may leave by the clock, but not by the refresh.
        run(few);
        let before = stored(few, other);
        refresh(few, step.tenant);
        prop_assert!(refresh(many, step.tenant) > FILLERS, "the second way was not taken");

        let wanted = expected(few, step.tenant);
        prop_assert_eq!(&asked(few, step.tenant), &wanted);
        prop_assert_eq!(&asked(many, step.tenant), &wanted);
        prop_assert_eq!(
            stored(few, step.tenant),
            stored(many, step.tenant),
            "one way and the other"
        );
        prop_assert_eq!(stored(few, other), before, "another tenant");
        let [ends, all] = vertices(few);
        prop_assert_eq!(ends, all);
        let [ends, all] = vertices(many);
        prop_assert_eq!(ends, all);
        prop_assert_eq!(refresh(few, step.tenant), 0, "once more");
        prop_assert_eq!(refresh(many, step.tenant), 0, "once more");
    }
    let kept: Vec<Vec<String>> = (0..TENANTS.len())
        .map(|tenant| {
            refresh(few, tenant);
            stored(few, tenant)
        })
        .collect();
    few.exec("SELECT drop_graph('ops', true)");
    for (tenant, kept) in kept.iter().enumerate() {
        // The first refresh makes the graph.
        refresh(few, tenant);
        prop_assert_eq!(&stored(few, tenant), kept, "built anew");
    }
    Ok(())
}

#[test]
fn both_ways_of_writing_give_the_graph_that_the_tables_say() {
    let cluster = Cluster::without_workers();
    let few = RefCell::new(graph_database(&cluster, "few"));
    let many = RefCell::new(graph_database(&cluster, "many"));
    let mut runner = TestRunner::new(Config {
        cases: 12,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&history(), |history| {
        let (mut few, mut many) = (few.borrow_mut(), many.borrow_mut());
        empty(&mut few);
        empty(&mut many);
        follows(&mut few, &mut many, &history)
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_graph_that_others_wrote_to_is_put_right() {
    let cluster = Cluster::without_workers();
    let mut db = graph_database(&cluster, "foreign");
    let calls = BTreeMap::from([((1, 2), 1), ((2, 3), 2), ((3, 3), 3)]);
    let step = Step {
        tenant: 0,
        after: 0,
        bucket: 0,
        calls,
        renamed: None,
    };
    write(&mut db, &step);
    refresh(&mut db, 0);
    let right = stored(&mut db, 0);
    assert_eq!(right.len(), 6);
    for damage in [
        "DELETE FROM ops.\"CALLS\"",
        "UPDATE ops.\"CALLS\" SET properties = agtype_build_map('rps', 'much'::text, 'extra', 1)",
        "UPDATE ops.\"Resource\" SET properties = agtype_build_map('rid', agtype_access_operator(properties, '\"rid\"'), 'extra', 1)",
        // A resource whose id was another tenant's.
        "UPDATE ops.\"Resource\" SET properties = agtype_build_map('rid', agtype_access_operator(properties, '\"rid\"'), 'tenant_id', 2)",
        // An edge without one of its ends.
        "DELETE FROM ops.\"Resource\" WHERE agtype_access_operator(properties, '\"rid\"') = '1003'",
    ] {
        db.exec(damage);
        refresh(&mut db, 0);
        assert_eq!(stored(&mut db, 0), right, "{damage}");
    }
}

#[test]
fn a_vertex_stays_while_somebody_elses_edge_needs_it() {
    let cluster = Cluster::without_workers();
    let mut db = graph_database(&cluster, "owned");
    let mut step = Step {
        tenant: 0,
        after: 0,
        bucket: 0,
        calls: BTreeMap::from([((1, 2), 1)]),
        renamed: None,
    };
    write(&mut db, &step);
    refresh(&mut db, 0);
    db.rows(
        "SELECT * FROM cypher('ops', $$ MATCH (a:Resource {rid: 1002}) CREATE (:Team {name: 'shop'})-[:OWNS]->(a) $$) AS (a agtype)",
    );
    step.calls.clear();
    write(&mut db, &step);
    refresh(&mut db, 0);
    let left = "SELECT rid::text FROM cypher('ops', $$ MATCH (a:Resource) RETURN a.rid $$) AS (rid agtype)";
    assert_eq!(db.column(left), ["1002"]);
}
