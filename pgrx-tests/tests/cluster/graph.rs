//! The graph `ops`: exactly the calls of the last ten minutes of `service_call_5m`, in cypher.

use blackbox::bridge::{CLOCK, add_openobserve, count, enqueue, install, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, SECOND, T0, span};
use blackbox::wait::wait_until;
use std::time::Duration;

/// A database with AGE, loaded in the session, and the extension.
fn graph_bridge(cluster: &Cluster, name: &str) -> Session {
    let mut db = cluster.database(name);
    db.exec("CREATE EXTENSION age");
    install(&mut db);
    db.exec("LOAD 'age'; SET search_path = public, ag_catalog");
    db
}

/// Calls between services, so many a minute, from `from` on: each `(source, destination)` with its own duration.
fn calls(store: &mut Store, from: i64, pairs: &[(&str, &str)]) {
    for (n, (source, destination)) in (0..).zip(pairs) {
        let (trace, at) = (format!("{:032x}", from + n), from + n * SECOND);
        let root = span(at, &trace, "00000000000000a1", "", source, 90_000, false);
        let child = span(
            at + 10,
            &trace,
            "00000000000000a2",
            "00000000000000a1",
            destination,
            1_000 * (n + 1),
            n == 0,
        );
        store.add(Dataset::Traces, "default", root);
        store.add(Dataset::Traces, "default", child);
    }
}

/// What cypher sees, in a new statement: the stored properties.
fn edges(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT trim(both '\"' FROM s::text), trim(both '\"' FROM d::text), rps::float8, err_rate::float8, p95::float8,
                trim(both '\"' FROM seen::text)
           FROM cypher('ops', $$ MATCH (a:Resource)-[c:CALLS]->(b:Resource)
                                 RETURN a.name, b.name, c.rps, c.err_rate, c.p95, c.last_seen $$)
                AS (s agtype, d agtype, rps agtype, err_rate agtype, p95 agtype, seen agtype)
          ORDER BY 1, 2",
    )
}

/// What cypher should see.
fn expected(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT s.name, d.name, avg(rps), avg(err_rate), avg(p95_ms), to_char(max(bucket) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
           FROM service_call_5m
           JOIN dim_resource s ON s.resource_id = src_resource_id JOIN dim_resource d ON d.resource_id = dst_resource_id
          WHERE bucket >= etl_now() - interval '10 minutes'
          GROUP BY 1, 2 ORDER BY 1, 2",
    )
}

/// Identity and content of everything in the graph, as it is stored.
fn stored(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT format('%s', id), format('%s', properties) FROM ops.\"Resource\" UNION ALL
         SELECT format('%s %s %s', id, start_id, end_id), format('%s', properties) FROM ops.\"CALLS\" ORDER BY 1",
    )
}

fn refresh(db: &mut Session, clock: &str) {
    db.exec(&format!("SET observe_bridge.clock = '{clock}'"));
    db.exec(
        "SELECT etl_enqueue('age-refresh', 'default', etl_now() - interval '10 min', etl_now() - interval '5 min')",
    );
    run(db);
}

#[test]
fn cypher_returns_the_calls_of_the_last_ten_minutes_with_their_properties() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    calls(&mut store, T0 + 30 * MINUTE, &[("web", "old")]);
    calls(
        &mut store,
        T0 + 50 * MINUTE,
        &[("web", "cart"), ("web", "pay"), ("cart", "db")],
    );
    calls(&mut store, T0 + 57 * MINUTE, &[("web", "cart"), ("pay", "bank")]);
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "calls");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 25 * MINUTE, 33);
    run(&mut db);
    let wanted = expected(&mut db);
    assert_eq!(wanted.len(), 4);
    assert_eq!(edges(&mut db), wanted);
    let names = db.rows("SELECT count(*), count(DISTINCT format('%s', properties)) FROM ops.\"Resource\"");
    assert_eq!(names, [["5", "5"]], "every vertex once, none without properties");
}

#[test]
fn refreshing_twice_changes_nothing() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    calls(&mut store, T0 + 52 * MINUTE, &[("web", "cart"), ("cart", "db")]);
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "twice");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 50 * MINUTE, 5);
    run(&mut db);
    let before = stored(&mut db);
    assert_eq!(before.len(), 5);
    refresh(&mut db, CLOCK);
    assert_eq!(stored(&mut db), before);
    assert_eq!(
        db.rows("SELECT (stats -> 'graph' ->> 'edges')::int, (stats -> 'graph' ->> 'edges_created')::int + (stats -> 'graph' ->> 'edges_updated')::int
                   FROM etl_job_run WHERE job = 'age-refresh' AND status = 'success' ORDER BY finished_at DESC, run_id DESC LIMIT 1"),
        [["2", "0"]]
    );
}

#[test]
fn edges_change_with_their_calls_and_expire_by_the_clock() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    calls(&mut store, T0 + 46 * MINUTE, &[("web", "cart"), ("web", "pay")]);
    calls(
        &mut store,
        T0 + 51 * MINUTE,
        &[("web", "cart"), ("web", "cart"), ("web", "cart")],
    );
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "expire");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 45 * MINUTE, 10);
    db.exec("SET observe_bridge.clock = '2026-01-05 10:55:00+00'");
    run(&mut db);
    assert_eq!(edges(&mut db), expected(&mut db));
    assert_eq!(edges(&mut db).len(), 2);
    let before = edges(&mut db);
    refresh(&mut db, "2026-01-05 10:58:00+00");
    let after = edges(&mut db);
    assert_eq!(after, expected(&mut db));
    assert_eq!(after.len(), 1, "web -> pay was last seen 13 minutes ago");
    assert_ne!(after[0], before[0], "the averages of web -> cart have changed");
    refresh(&mut db, "2026-01-05 11:30:00+00");
    assert_eq!(edges(&mut db), [[""; 0]; 0]);
}

#[test]
fn a_replay_of_an_old_window_leaves_the_graph_alone() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    calls(&mut store, T0 + MINUTE, &[("web", "old")]);
    calls(&mut store, T0 + 55 * MINUTE, &[("web", "cart")]);
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "old");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 55 * MINUTE, 1);
    run(&mut db);
    let before = stored(&mut db);
    enqueue(&mut db, T0, 5);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 6);
    assert_eq!(stored(&mut db), before);
}

#[test]
fn tenants_share_the_graph_without_touching_each_other() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    calls(&mut store, T0 + 55 * MINUTE, &[("web", "cart")]);
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "tenants");
    add_openobserve(&mut db, &oo);
    db.exec("INSERT INTO dim_tenant (code) VALUES ('second'); SELECT etl_source_add('second', 'oo-agg', 'oo')");
    enqueue(&mut db, T0 + 55 * MINUTE, 1);
    db.exec("SELECT etl_enqueue('oo-agg', 'second', '2026-01-05 10:55Z', '2026-01-05 10:56Z')");
    run(&mut db);
    assert_eq!(edges(&mut db).len(), 2);
    db.exec("UPDATE dim_tenant SET enabled = false WHERE code = 'default'");
    db.exec("SELECT etl_enqueue('age-refresh', 'second', '2026-01-05 10:50Z', '2026-01-05 10:55Z')");
    run(&mut db);
    assert_eq!(
        edges(&mut db).len(),
        2,
        "a refresh of one tenant keeps the edges of the other"
    );
}

#[test]
fn many_edges_at_once_are_the_same_edges() {
    const SERVICES: usize = 40;
    let cluster = Cluster::without_workers();
    let names: Vec<String> = (0..SERVICES).map(|n| format!("service-{n}")).collect();
    let pairs: Vec<(&str, &str)> = (0..SERVICES)
        .flat_map(|a| (0..SERVICES).filter(move |b| a != *b).map(move |b| (a, b)))
        .map(|(a, b)| (names[a].as_str(), names[b].as_str()))
        .collect();
    let mut store = Store::default();
    for (n, chunk) in (0..).zip(pairs.chunks(50)) {
        calls(&mut store, T0 + 55 * MINUTE + n * 1000, chunk);
    }
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "many");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 55 * MINUTE, 1);
    run(&mut db);
    let wanted = expected(&mut db);
    assert_eq!(wanted.len(), SERVICES * (SERVICES - 1));
    assert_eq!(edges(&mut db), wanted);
}

#[test]
fn workers_expire_edges_though_no_window_comes() {
    let mut cluster = Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
    ]);
    let mut store = Store::default();
    calls(&mut store, T0 + 55 * MINUTE, &[("web", "cart")]);
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "quiet");
    db.exec("UPDATE etl_job SET run_interval = '0' WHERE name = 'oo-agg'");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 55 * MINUTE, 1);
    wait_until("the edge is there", Duration::from_secs(30), || {
        edges(&mut db).len() == 1
    });
    cluster.set_clock("2026-01-05 12:00:00+00");
    // Housekeeping goes by real minutes, and begins when the scheduler does.
    cluster.restart();
    let mut db = cluster.session("quiet");
    db.exec("LOAD 'age'; SET search_path = public, ag_catalog");
    wait_until("the edge has expired", Duration::from_secs(30), || {
        edges(&mut db).is_empty()
    });
}

#[test]
fn readers_may_ask_the_graph() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    calls(&mut store, T0 + 55 * MINUTE, &[("web", "cart")]);
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "readers");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 55 * MINUTE, 1);
    run(&mut db);
    db.exec("CREATE ROLE rita LOGIN IN ROLE observe_bridge_reader");
    let mut rita = cluster.session_as("rita", "readers");
    // LOAD is for superusers; any function of AGE loads its library as well.
    rita.exec("SET search_path = public, ag_catalog; SELECT agtype_build_map()");
    assert_eq!(edges(&mut rita).len(), 1);
}

#[test]
fn setup_rebuilds_a_graph_that_a_restore_broke() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    calls(&mut store, T0 + 55 * MINUTE, &[("web", "cart")]);
    let oo = OpenObserve::serve(store);
    let mut db = graph_bridge(&cluster, "broken");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0 + 55 * MINUTE, 1);
    run(&mut db);
    let before = edges(&mut db);
    // What a dump leaves: the catalog names an oid that no schema has.
    db.exec("SET session_replication_role = replica; UPDATE ag_catalog.ag_graph SET graphid = 1, namespace = namespace WHERE name = 'ops'; UPDATE ag_catalog.ag_label SET graph = 1; RESET session_replication_role");
    let mut db = cluster.session("broken");
    assert_eq!(
        db.text("SELECT status FROM observe_bridge_setup() WHERE component = 'age'"),
        "created"
    );
    db.exec("LOAD 'age'; SET search_path = public, ag_catalog");
    refresh(&mut db, CLOCK);
    assert_eq!(edges(&mut db), before);
}
