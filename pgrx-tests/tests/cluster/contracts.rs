//! What the tables promise: which window a record belongs to, where calls come from, what a replay rebuilds, what is
//! kept apart and for how long.

use blackbox::bridge::{add_openobserve, add_source, assert_minutes, bridge, count, enqueue, facts, install, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, SECOND, T0, log, minutes, point, span};
use serde_json::json;

/// A database that reads this store, with nothing run yet.
fn reading(cluster: &Cluster, name: &str, oo: &OpenObserve) -> Session {
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, oo);
    db
}

#[test]
fn a_record_on_the_border_belongs_to_the_later_window() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for at in [T0, T0 + MINUTE - 1, T0 + MINUTE, T0 + 2 * MINUTE] {
        store.add(Dataset::Metrics, "m", point(at, "m", "web", 1.0));
    }
    let oo = OpenObserve::serve(store);
    let mut db = reading(&cluster, "border", &oo);
    enqueue(&mut db, T0, 2);
    run(&mut db);
    let rows = db.rows("SELECT to_char(bucket AT TIME ZONE 'UTC', 'HH24:MI'), sample_count FROM metric_1m ORDER BY 1");
    assert_eq!(rows, [["10:00", "2"], ["10:01", "1"]]);
}

#[test]
fn values_of_a_minute_are_exact() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (n, value) in (0..).zip([4.0, 1.0, 3.0, 2.0]) {
        store.add(Dataset::Metrics, "m", point(T0 + n * SECOND, "m", "web", value));
    }
    let oo = OpenObserve::serve(store);
    let mut db = reading(&cluster, "exact", &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let row =
        db.rows("SELECT avg_val, max_val, min_val, last_val, p95_val, labels_hash, labels IS NULL FROM metric_1m");
    let p95 =
        db.text("SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY v) FROM unnest(ARRAY[4, 1, 3, 2]::float8[]) v");
    assert_eq!(row, [["2.5", "4", "1", "2", &p95, "0", "t"]]);
}

#[test]
fn label_sets_are_kept_apart_where_the_source_says_so() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (n, code) in (0..).zip(["200", "200", "500"]) {
        let labelled = point(T0 + n * SECOND, "m", "web", 1.0)
            .with("code", Some(json!(code)))
            .with("pod", Some(json!(format!("p{n}"))));
        store.add(Dataset::Metrics, "m", labelled);
    }
    let oo = OpenObserve::serve(store);
    let mut db = reading(&cluster, "labels", &oo);
    db.exec("UPDATE etl_source SET options = '{\"metrics\":[\"*\"],\"metric_labels\":[\"code\"]}'");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let rows =
        db.rows("SELECT labels ->> 'code', sample_count, labels ? 'pod', labels_hash <> 0 FROM metric_1m ORDER BY 1");
    assert_eq!(rows, [["200", "2", "f", "t"], ["500", "1", "f", "t"]]);
}

#[test]
fn a_call_finds_its_parent_in_an_earlier_window_and_a_skewed_one_in_the_next() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    let child = |at, trace: &str, service| {
        span(
            at,
            trace,
            "00000000000000c1",
            "00000000000000b1",
            service,
            10_000,
            false,
        )
    };
    let parent = |at, trace: &str| span(at, trace, "00000000000000b1", "", "web", 90_000, false);
    let window = T0 + 10 * MINUTE;
    // Just before the window, four minutes before it, two seconds after it, and nowhere.
    for (trace, parent_at, service) in [
        ("a", window - SECOND, "near"),
        ("b", window - 4 * MINUTE, "far"),
        ("c", window + MINUTE + 2 * SECOND, "skewed"),
    ] {
        store.add(Dataset::Traces, "default", parent(parent_at, trace));
        store.add(Dataset::Traces, "default", child(window + 30 * SECOND, trace, service));
    }
    store.add(Dataset::Traces, "default", child(window + 30 * SECOND, "d", "orphan"));
    let oo = OpenObserve::serve(store);
    let mut db = reading(&cluster, "parents", &oo);
    enqueue(&mut db, window, 1);
    run(&mut db);
    let calls = db.rows(
        "SELECT s.name, d.name, calls, rps FROM service_call_5m
           JOIN dim_resource s ON s.resource_id = src_resource_id JOIN dim_resource d ON d.resource_id = dst_resource_id ORDER BY 2",
    );
    let rps = db.text("SELECT 1 / 300::float8");
    assert_eq!(
        calls,
        [
            ["web", "far", "1", &rps],
            ["web", "near", "1", &rps],
            ["web", "skewed", "1", &rps]
        ]
    );
    let missed = "SELECT stats #> '{records,orphan_spans}' FROM etl_job_run WHERE job = 'oo-agg'";
    assert_eq!(db.int(missed), 1, "what is missed is counted");
}

#[test]
fn a_bucket_is_right_in_whatever_order_its_minutes_come() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(5));
    let mut forward = reading(&cluster, "forward", &oo);
    enqueue(&mut forward, T0, 5);
    run(&mut forward);
    let expected = facts(&mut forward);
    let mut backward = reading(&cluster, "backward", &oo);
    for minute in [3, 0, 4, 2, 1] {
        enqueue(&mut backward, T0 + minute * MINUTE, 1);
        run(&mut backward);
    }
    assert_eq!(facts(&mut backward), expected);
}

#[test]
fn a_replay_without_partials_rebuilds_the_whole_bucket() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(5));
    let mut db = reading(&cluster, "partials", &oo);
    enqueue(&mut db, T0, 5);
    run(&mut db);
    let expected = facts(&mut db);
    db.exec("DELETE FROM etl_partial_1m");
    enqueue(&mut db, T0 + 2 * MINUTE, 1);
    run(&mut db);
    assert_eq!(facts(&mut db), expected);
    assert_minutes(&mut db, 5);
}

#[test]
fn a_bucket_whose_history_is_gone_is_not_recomputed_from_fewer_minutes() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(5));
    let mut db = reading(&cluster, "restored", &oo);
    enqueue(&mut db, T0, 5);
    run(&mut db);
    let expected = facts(&mut db);
    // As after a restore: facts, but neither partials nor the ledger of what succeeded.
    db.exec("DELETE FROM etl_partial_1m; DELETE FROM etl_job_run");
    enqueue(&mut db, T0 + 2 * MINUTE, 1);
    run(&mut db);
    assert_eq!(facts(&mut db), expected);
}

#[test]
fn a_broken_partial_fails_its_windows_and_says_what_to_do() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(2));
    let mut db = reading(&cluster, "corrupt", &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    db.exec("UPDATE etl_partial_1m SET payload = '\\x00112233'");
    enqueue(&mut db, T0 + MINUTE, 1);
    run(&mut db);
    let error = db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg' AND status <> 'success'");
    assert_eq!(error["sqlstate"], json!("XX001"), "{error}");
    assert!(
        error["hint"].as_str().is_some_and(|h| h.contains("etl_enqueue")),
        "{error}"
    );
    assert_minutes(&mut db, 1);
}

#[test]
fn sources_of_one_tenant_add_up_all_or_nothing() {
    let cluster = Cluster::without_workers();
    let (one, mut two) = (OpenObserve::serve(minutes(1)), OpenObserve::serve(minutes(1)));
    let mut db = reading(&cluster, "sum", &one);
    db.exec(&format!(
        "CREATE SERVER second FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint '{}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (username '{}', password '{}')",
        two.endpoint(),
        blackbox::openobserve::USER,
        blackbox::openobserve::PASSWORD
    ));
    add_source(&mut db, "second", "{}");
    two.close();
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_minutes(&mut db, 0);
    two.open();
    db.exec("SET observe_bridge.clock = '2026-01-06 00:00:00+00'");
    run(&mut db);
    let sums = db.rows("SELECT (SELECT sum(sample_count) FROM metric_1m), (SELECT sum(calls) FROM service_call_5m), (SELECT sum(count_total) FROM log_pattern_5m)");
    assert_eq!(sums, [["8", "12", "24"]]);
}

#[test]
fn tenants_never_see_each_other() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = reading(&cluster, "tenants", &oo);
    db.exec("INSERT INTO dim_tenant (code) VALUES ('other'); SELECT etl_source_add('other', 'oo-agg', 'oo')");
    for tenant in ["default", "other"] {
        db.exec(&format!(
            "SELECT etl_enqueue('oo-agg', '{tenant}', '2026-01-05 10:00Z', '2026-01-05 10:01Z')"
        ));
    }
    run(&mut db);
    let per_tenant =
        "SELECT tenant_id, sum(sample_count), count(DISTINCT resource_id) FROM metric_1m GROUP BY 1 ORDER BY 1";
    let both = db.rows(per_tenant);
    assert_eq!(both.len(), 2);
    assert_eq!(both[0][1..], both[1][1..]);
    oo.replace(Store::default());
    db.exec("SELECT etl_enqueue('oo-agg', 'other', '2026-01-05 10:00Z', '2026-01-05 10:01Z')");
    run(&mut db);
    assert_eq!(
        db.rows(per_tenant),
        both[..1],
        "a replay of one tenant touches no row of the other"
    );
    assert_eq!(db.int("SELECT count(*) FROM (SELECT resource_id FROM dim_resource GROUP BY 1 HAVING count(DISTINCT tenant_id) > 1) r"), 0);
}

#[test]
fn secrets_in_log_lines_are_masked_before_they_are_stored() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    store.add(
        Dataset::Logs,
        "default",
        log(
            T0,
            "web",
            "INFO",
            "login ok password=hunter2-secret token=abcdef0123456789abcdef user bob",
        ),
    );
    let oo = OpenObserve::serve(store);
    let mut db = reading(&cluster, "secrets", &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let stored = db.text("SELECT p::text FROM log_pattern p");
    assert!(
        !stored.contains("hunter2") && !stored.contains("abcdef0123456789"),
        "{stored}"
    );
}

#[track_caller]
fn retention_drops_what_is_old(db: &mut Session) {
    db.exec(
        "INSERT INTO metric_1m (bucket, tenant_id, resource_id, metric, sample_count)
         SELECT etl_now() - make_interval(days => d), 1, 1, 'm', 1 FROM unnest(ARRAY[0, 100, 179, 190, 400]) d;
         INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate)
         SELECT etl_now() - make_interval(days => d), 1, 1, 2, 1, 0, 0, 0 FROM unnest(ARRAY[0, 360, 400]) d",
    );
    db.exec("SELECT etl_enqueue('retention', 'default', etl_now() - interval '2 h', etl_now() - interval '1 h')");
    run(db);
    assert_eq!(count(db, "retention", "failed") + count(db, "retention", "queued"), 0);
    let ages =
        |table: &str| format!("SELECT (extract(epoch FROM etl_now() - bucket) / 86400)::int FROM {table} ORDER BY 1");
    let metrics = db.column(&ages("metric_1m"));
    assert_eq!(metrics[..3], ["0", "100", "179"]);
    assert!(!metrics.contains(&"400".to_string()), "{metrics:?}");
    assert_eq!(db.column(&ages("service_call_5m")), ["0", "360"]);
}

#[test]
fn retention_drops_old_native_partitions() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "native");
    retention_drops_what_is_old(&mut db);
}

#[test]
fn retention_drops_old_chunks() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.database("chunks");
    db.exec("CREATE EXTENSION timescaledb");
    install(&mut db);
    retention_drops_what_is_old(&mut db);
}

#[test]
fn a_runner_that_lost_its_run_cannot_finish_it() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "fencing");
    db.exec(
        "SELECT etl_enqueue('retention', 'default', etl_now() - interval '2 hours', etl_now() - interval '1 hour')",
    );
    let claim = "SELECT run_id || ' ' || attempt FROM etl_claim(pg_backend_pid())";
    let (run, first) = run_and_attempt(&db.text(claim));
    // Its worker is taken for dead, and another claims the run.
    assert!(db.is(&format!("SELECT etl_rescue({run})")));
    db.exec("UPDATE etl_job_run SET next_attempt_at = NULL");
    let (again, second) = run_and_attempt(&db.text(claim));
    assert_eq!((again, second > first), (run, true));
    // The first is not dead, only late.
    assert!(!db.is(&format!(
        "SELECT etl_finish_success('{{{run}}}', '{{{first}}}', '{{}}')"
    )));
    assert_eq!(
        db.text(&format!(
            "SELECT coalesce(etl_finish_failure('{{{run}}}', '{{{first}}}', '{{}}', false), 'lost')"
        )),
        "lost"
    );
    assert_eq!(
        db.text(&format!("SELECT status FROM etl_job_run WHERE run_id = {run}")),
        "running"
    );
    assert!(db.is(&format!(
        "SELECT etl_finish_success('{{{run}}}', '{{{second}}}', '{{}}')"
    )));
}

fn run_and_attempt(text: &str) -> (i64, i64) {
    let mut numbers = text.split(' ').map(|n| n.parse().expect("a number"));
    match (numbers.next(), numbers.next()) {
        (Some(run), Some(attempt)) => (run, attempt),
        _ => panic!("run and attempt were expected, not {text}"),
    }
}
