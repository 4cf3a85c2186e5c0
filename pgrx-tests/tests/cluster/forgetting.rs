//! What is out of use leaves the dictionary of patterns and the history of topology, and nothing else does.

use blackbox::bridge::{add_openobserve, bridge, clock, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, literal, log};
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;

/// 200 days after the first window; counts are kept for 180.
const LATER: i64 = T0 + 200 * 24 * 60 * MINUTE;

fn topic(name: &str) -> String {
    format!("consumer for topic {name} is up and waits for messages")
}

/// Many patterns once, of which two are logged 200 days later, too, and after these two others.
fn store() -> Store {
    let mut store = Store::default();
    let mut add = |at, line: &str| store.add(Dataset::Logs, "default", log(at, "shop", "error", line));
    for (n, name) in (0..).zip(["orders", "carts", "users", "stock", "prices"]) {
        add(T0 + n, &topic(name));
    }
    add(T0 + 10, "payment was refused by bank");
    for at in [T0, LATER] {
        add(at + 20, "all is well in every shop");
    }
    add(LATER + 1, &topic("orders"));
    add(LATER + 5 * MINUTE, "archive lost its disk again");
    add(LATER + 10 * MINUTE, "payment was refused by bank");
    store
}

fn ingest(db: &mut Session, at: i64) {
    enqueue(db, at, 1);
    run(db);
}

/// The patterns that the lines of five minutes count under.
fn counted(db: &mut Session, bucket: i64) -> Vec<String> {
    db.column(&format!(
        "SELECT pattern FROM log_pattern_5m JOIN log_pattern USING (tenant_id, fingerprint_id) WHERE bucket = {} ORDER BY 1",
        literal(bucket)
    ))
}

const ENQUEUE: &str =
    "SELECT etl_enqueue('retention', 'default', etl_now() - interval '2 h', etl_now() - interval '1 h')";

/// What the job says it has removed from a table.
fn retain(db: &mut Session, table: &str) -> i64 {
    db.exec(ENQUEUE);
    run(db);
    db.int(&format!(
        "SELECT stats ->> '{table}' FROM etl_job_run WHERE job = 'retention' AND status = 'success' ORDER BY window_from DESC LIMIT 1"
    ))
}

#[test]
fn patterns_that_nobody_sees_make_room_for_new_ones() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(store());
    let mut db = bridge(&cluster, "patterns");
    add_openobserve(&mut db, &oo);
    ingest(&mut db, T0);
    let class = db.int("SELECT DISTINCT class_id FROM log_pattern_alias");
    assert_eq!(db.int("SELECT count(*) FROM log_pattern"), 8, "seven and a class");
    assert_eq!(retain(&mut db, "log_pattern"), 0);

    clock(&mut db, "2026-07-24 12:00:00+00");
    db.exec("UPDATE dim_tenant SET max_patterns = 6");
    ingest(&mut db, LATER);
    ingest(&mut db, LATER + 5 * MINUTE);
    assert_eq!(counted(&mut db, LATER + 5 * MINUTE), ["archive lost <*>"], "no room");

    // For ever is for ever.
    db.exec("UPDATE etl_retention SET keep = 'infinity' WHERE table_name = 'log_pattern_5m'");
    assert_eq!(retain(&mut db, "log_pattern"), 0);
    db.exec("UPDATE etl_retention SET keep = '180 days' WHERE table_name = 'log_pattern_5m'");
    clock(&mut db, "2026-07-24 14:00:00+00");
    assert_eq!(retain(&mut db, "log_pattern"), 5, "four topics and a refusal");
    assert_eq!(db.int("SELECT count(*) FROM log_pattern"), 4);
    assert_eq!(
        db.rows("SELECT class_id, count(*) FROM log_pattern_alias GROUP BY 1"),
        [[class.to_string(), "1".into()]],
        "a class stays with its last pattern"
    );
    assert_eq!(
        db.int("SELECT count(*) FROM log_pattern_5m l WHERE NOT EXISTS (SELECT FROM log_pattern p WHERE p.fingerprint_id = l.fingerprint_id)"),
        0
    );

    ingest(&mut db, LATER + 5 * MINUTE);
    assert_eq!(counted(&mut db, LATER + 5 * MINUTE), ["archive lost its disk again"]);
    ingest(&mut db, LATER + 10 * MINUTE);
    assert_eq!(
        db.rows(&format!(
            "SELECT fingerprint_id = log_fingerprint('payment was refused by bank'), is_new
               FROM log_patterns('default', {}, {}, 'fingerprint')",
            literal(LATER + 10 * MINUTE),
            literal(LATER + 15 * MINUTE)
        )),
        [["t", "t"]],
        "it comes back as what it was, and as new"
    );
}

#[test]
fn a_pattern_that_a_window_is_about_to_count_is_not_forgotten() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(store());
    let mut db = bridge(&cluster, "windows");
    add_openobserve(&mut db, &oo);
    ingest(&mut db, T0);
    clock(&mut db, "2026-07-24 12:00:00+00");

    // The transaction of a window, from where it has taken the patterns' lock and renewed them to its commit.
    let mut window = cluster.session("windows");
    window.exec(
        "BEGIN; SELECT log_patterns_remask('default');
         UPDATE log_pattern SET last_seen = '2026-07-24 10:00:00+00' WHERE pattern = 'payment was refused by bank'",
    );
    db.exec(ENQUEUE);
    std::thread::scope(|threads| {
        let retention = threads.spawn(|| run(&mut db));
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'userlock' AND NOT granted)";
        let mut looking = cluster.session("windows");
        wait_until("retention waits for the window", PATIENCE, || looking.is(waits));
        window.exec("COMMIT");
        assert!(retention.join().is_ok());
    });
    assert!(db.is("SELECT count(*) = 1 FROM log_pattern WHERE pattern = 'payment was refused by bank'"));
    assert!(db.is("SELECT count(*) = 0 FROM log_pattern WHERE pattern = 'all is well in every shop'"));
}

#[test]
fn history_of_topology_goes_only_when_it_is_said() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "topology");
    db.exec(
        "INSERT INTO topo_edge_time (tenant_id, src_resource_id, dst_resource_id, relation, source, valid)
         SELECT 1, 1, n, 'USES', 'iac', tstzrange(etl_now() - interval '900 days', etl_now() - ended)
           FROM unnest(ARRAY[interval '500 days', '300 days', NULL]) WITH ORDINALITY AS u (ended, n)",
    );
    assert_eq!(retain(&mut db, "topo_edge_time"), 0);
    db.exec("INSERT INTO etl_retention VALUES ('topo_edge_time', '400 days')");
    clock(&mut db, "2026-01-05 13:00:00+00");
    assert_eq!(retain(&mut db, "topo_edge_time"), 1);
    assert_eq!(
        db.column("SELECT dst_resource_id FROM topo_edge_time ORDER BY 1"),
        ["2", "3"]
    );
}
