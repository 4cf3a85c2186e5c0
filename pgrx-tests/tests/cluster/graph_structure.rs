//! Edges `STRUCT`: what is declared, in the graph, for tenants that want it.

use blackbox::bridge::{bridge, count, install, run};
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::wait::wait_until;
use serde_json::json;
use std::time::Duration;

fn graph_bridge(cluster: &Cluster, name: &str) -> Session {
    let mut db = cluster.database(name);
    db.exec("CREATE EXTENSION age");
    install(&mut db);
    age(&mut db);
    db
}

fn age(db: &mut Session) {
    db.exec("LOAD 'age'; SET search_path = public, ag_catalog");
}

fn wish(db: &mut Session, tenant: &str, on: bool) {
    db.exec(&format!(
        "UPDATE dim_tenant SET graph_structure = {on} WHERE code = '{tenant}'"
    ));
    run(db);
}

/// Loads edges `(source, destination, relation)` between services as everything that `source` declares.
fn load(db: &mut Session, tenant: &str, source: &str, edges: &[(&str, &str, &str)]) {
    let edges: serde_json::Value = edges
        .iter()
        .map(|(s, d, relation)| json!({ "src": format!("urn:svc:{s}"), "dst": format!("urn:svc:{d}"), "relation": relation }))
        .collect();
    db.exec(&format!(
        "SELECT topo_load('{tenant}', '{source}', '{edges}', etl_now(), force => true)"
    ));
}

/// What cypher sees of a tenant, in a new statement.
fn structure(db: &mut Session, tenant: &str) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT s::text, d::text, relation::text, source::text, since::text
           FROM cypher('ops', $$ MATCH (a:Resource {{tenant: '{tenant}'}})-[e:STRUCT]->(b:Resource {{tenant: '{tenant}'}})
                                 RETURN a.urn, b.urn, e.relation, e.source, e.since $$)
                AS (s agtype, d agtype, relation agtype, source agtype, since agtype) ORDER BY 1, 2, 3, 4"
    ))
}

/// What it should see.
fn declared(db: &mut Session, tenant: &str) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT src_urn, dst_urn, relation, source, to_char(valid_from AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
           FROM topology_at('{tenant}', etl_now()) WHERE valid_to IS NULL ORDER BY 1, 2, 3, 4"
    ))
}

fn clock(db: &mut Session, minute: u8) {
    db.exec(&format!("SET observe_bridge.clock = '2026-01-05 11:{minute:02}:00+00'"));
}

fn vertices(db: &mut Session) -> Vec<String> {
    db.column("SELECT urn::text FROM cypher('ops', $$ MATCH (a:Resource) RETURN a.urn $$) AS (urn agtype) ORDER BY 1")
}

#[test]
fn declared_edges_are_in_the_graph_where_they_are_wanted_and_follow_each_load() {
    let cluster = Cluster::without_workers();
    let mut db = graph_bridge(&cluster, "follow");
    load(&mut db, "default", "tf", &[("web", "cart", "DEPENDS_ON")]);
    assert_eq!(count(&mut db, "age-refresh", "queued"), 0, "nobody asked for it");
    run(&mut db);
    assert!(structure(&mut db, "default").is_empty());

    wish(&mut db, "default", true);
    let first = structure(&mut db, "default");
    assert_eq!(first.len(), 1);
    assert_eq!(first, declared(&mut db, "default"));

    clock(&mut db, 1);
    // Two relations of one pair, two sources of one edge.
    load(
        &mut db,
        "default",
        "tf",
        &[
            ("web", "cart", "DEPENDS_ON"),
            ("web", "cart", "RUNS_ON"),
            ("cart", "db", "DEPENDS_ON"),
        ],
    );
    load(
        &mut db,
        "default",
        "k8s",
        &[("web", "cart", "DEPENDS_ON"), ("q\"uote", "é\\", "DEPENDS_ON")],
    );
    assert_eq!(count(&mut db, "age-refresh", "queued"), 1, "one refresh for both");
    run(&mut db);
    let second = structure(&mut db, "default");
    assert_eq!(second.len(), 5);
    assert_eq!(second, declared(&mut db, "default"));
    assert!(second.contains(&first[0]), "what did not change is as old as it was");

    clock(&mut db, 2);
    load(&mut db, "default", "tf", &[("web", "cart", "RUNS_ON")]);
    run(&mut db);
    assert_eq!(structure(&mut db, "default").len(), 3);
    assert_eq!(structure(&mut db, "default"), declared(&mut db, "default"));
    assert!(!vertices(&mut db).contains(&"urn:svc:db".into()), "no edge needs it");

    let queued = count(&mut db, "age-refresh", "queued");
    load(&mut db, "default", "tf", &[("web", "cart", "RUNS_ON")]);
    assert_eq!(
        count(&mut db, "age-refresh", "queued"),
        queued,
        "the same load changes nothing"
    );

    wish(&mut db, "default", false);
    assert!(structure(&mut db, "default").is_empty());
    assert!(vertices(&mut db).is_empty());
}

#[test]
fn calls_and_declarations_share_vertices_and_keep_each_others() {
    let cluster = Cluster::without_workers();
    let mut db = graph_bridge(&cluster, "shared");
    load(
        &mut db,
        "default",
        "tf",
        &[("web", "cart", "DEPENDS_ON"), ("cart", "db", "DEPENDS_ON")],
    );
    db.exec(
        "INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate)
         SELECT '2026-01-05 10:55Z', 1, s.resource_id, d.resource_id, 300, 0, 1, 0
           FROM dim_resource s, dim_resource d WHERE s.name = 'web' AND d.name = 'cart'",
    );
    wish(&mut db, "default", true);
    assert_eq!(vertices(&mut db), ["urn:svc:cart", "urn:svc:db", "urn:svc:web"]);
    // Declared and never called, as the README asks it.
    let silent = "SELECT b::text FROM cypher('ops', $$
                      MATCH (a:Resource)-[d:STRUCT {relation: 'DEPENDS_ON'}]->(b:Resource)
                      WHERE NOT exists((a)-[:CALLS]->(b)) RETURN b.name $$) AS (b agtype)";
    assert_eq!(db.column(silent), ["db"]);

    wish(&mut db, "default", false);
    assert_eq!(vertices(&mut db), ["urn:svc:cart", "urn:svc:web"], "called still");
    wish(&mut db, "default", true);
    clock(&mut db, 30);
    db.exec("SELECT etl_enqueue('age-refresh', 'default', etl_now() - interval '5 min', etl_now())");
    run(&mut db);
    assert_eq!(db.int("SELECT count(*) FROM ops.\"CALLS\""), 0);
    assert_eq!(
        vertices(&mut db),
        ["urn:svc:cart", "urn:svc:db", "urn:svc:web"],
        "declared still"
    );
    assert_eq!(structure(&mut db, "default"), declared(&mut db, "default"));
}

#[test]
fn tenants_wish_for_themselves() {
    let cluster = Cluster::without_workers();
    let mut db = graph_bridge(&cluster, "wishes");
    db.exec("INSERT INTO dim_tenant (code) VALUES ('second')");
    for tenant in ["default", "second"] {
        load(&mut db, tenant, "tf", &[("web", "cart", "DEPENDS_ON")]);
        wish(&mut db, tenant, true);
    }
    assert_eq!(structure(&mut db, "default"), declared(&mut db, "default"));
    assert_eq!(structure(&mut db, "second"), declared(&mut db, "second"));
    assert_eq!(db.int("SELECT count(*) FROM ops.\"STRUCT\""), 2);
    assert_eq!(vertices(&mut db).len(), 4, "the same names are not the same resources");
    load(&mut db, "second", "tf", &[]);
    run(&mut db);
    assert_eq!(structure(&mut db, "default").len(), 1);
    assert!(structure(&mut db, "second").is_empty());
    wish(&mut db, "default", false);
    assert!(vertices(&mut db).is_empty());
}

#[test]
fn a_graph_after_a_restore_is_built_with_its_declarations_and_its_indexes() {
    let cluster = Cluster::without_workers();
    let mut db = graph_bridge(&cluster, "restored");
    let indexes = "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'ops'";
    let before = db.text(indexes);
    for wanted in [
        "resource_properties_idx",
        "resource_rid_idx",
        "resource_tenant_idx",
        "calls_edge_idx",
        "calls_end_idx",
        "struct_edge_idx",
        "struct_end_idx",
    ] {
        assert!(before.contains(wanted), "{wanted}");
    }
    load(&mut db, "default", "tf", &[("web", "cart", "DEPENDS_ON")]);
    wish(&mut db, "default", true);
    let wanted = structure(&mut db, "default");
    // What a dump leaves: the catalog names an oid that no schema has.
    db.exec("SET session_replication_role = replica; UPDATE ag_catalog.ag_graph SET graphid = 1 WHERE name = 'ops'; UPDATE ag_catalog.ag_label SET graph = 1; RESET session_replication_role");
    let mut db = cluster.session("restored");
    clock(&mut db, 0);
    assert_eq!(
        db.text("SELECT status FROM observe_bridge_setup() WHERE component = 'age'"),
        "created"
    );
    run(&mut db);
    age(&mut db);
    assert_eq!(structure(&mut db, "default"), wanted);
    assert_eq!(db.text(indexes), before);
}

#[test]
fn without_age_a_wish_changes_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "plain");
    wish(&mut db, "default", true);
    load(&mut db, "default", "tf", &[("web", "cart", "DEPENDS_ON")]);
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run"), 0);
    // Installed later, it is there at once.
    db.exec("CREATE EXTENSION age; SELECT observe_bridge_setup()");
    run(&mut db);
    age(&mut db);
    assert_eq!(structure(&mut db, "default"), declared(&mut db, "default"));
    assert_eq!(structure(&mut db, "default").len(), 1);
}

#[test]
fn loads_in_open_transactions_do_not_wait_for_each_other() {
    let cluster = Cluster::without_workers();
    let mut db = graph_bridge(&cluster, "open");
    // The resources are known: those wait for each other, too.
    load(
        &mut db,
        "default",
        "one",
        &[("web", "cart", "DEPENDS_ON"), ("cart", "db", "DEPENDS_ON")],
    );
    wish(&mut db, "default", true);
    let mut other = cluster.session("open");
    for session in [&mut db, &mut other] {
        clock(session, 1);
        session.exec("SET lock_timeout = '5s'");
    }
    db.exec("BEGIN");
    load(&mut db, "default", "one", &[("web", "cart", "DEPENDS_ON")]);
    load(&mut other, "default", "two", &[("cart", "db", "DEPENDS_ON")]);
    load(&mut db, "default", "two", &[("cart", "db", "RUNS_ON")]);
    db.exec("COMMIT");
    run(&mut db);
    assert_eq!(structure(&mut db, "default"), declared(&mut db, "default"));
    assert_eq!(structure(&mut db, "default").len(), 2);
}

#[test]
fn what_a_tenant_leaves_behind_goes_by_the_clock() {
    let mut cluster = Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
    ]);
    let mut db = graph_bridge(&cluster, "dropped");
    db.exec("INSERT INTO dim_tenant (code, graph_structure) VALUES ('second', true); UPDATE dim_tenant SET graph_structure = true");
    for tenant in ["default", "second"] {
        load(&mut db, tenant, "tf", &[("web", "cart", "DEPENDS_ON")]);
    }
    wait_until("both are in the graph", Duration::from_secs(30), || {
        db.int("SELECT count(*) FROM ops.\"STRUCT\"") == 2
            && db.int("SELECT count(*) FROM etl_job_run WHERE status IN ('queued', 'running')") == 0
    });
    db.exec("SELECT etl_tenant_drop('second')");
    // Housekeeping goes by real minutes, and begins when the scheduler does.
    cluster.restart();
    let mut db = cluster.session("dropped");
    age(&mut db);
    wait_until("one has left", Duration::from_secs(30), || vertices(&mut db).len() == 2);
    assert_eq!(structure(&mut db, "default"), declared(&mut db, "default"));
}
