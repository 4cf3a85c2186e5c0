//! Records that are wrong, hostile or many: the good ones count, the others are counted and sampled.

use blackbox::bridge::{add_openobserve, assert_minutes, bridge, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, Fault, OpenObserve, PASSWORD, Scope};
use blackbox::telemetry::{LOGS, SECOND, T0, log, minutes, point, span};
use serde_json::{Value, json};

#[test]
fn bad_records_are_counted_and_sampled_and_the_good_ones_count() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(1);
    let at = |n: i64| T0 + n * SECOND;
    let line = |n: i64| log(at(n), "web", "INFO", "line password=Sesame-0pen-Up");
    store.add(Dataset::Logs, "default", line(1).with("_timestamp", None));
    store.add(
        Dataset::Logs,
        "default",
        line(2).with("_timestamp", Some(json!("yesterday"))),
    );
    store.add(Dataset::Logs, "default", line(3).with("_timestamp", Some(Value::Null)));
    store.add(
        Dataset::Metrics,
        "cpu",
        point(at(4), "cpu", "web", 0.0).with("value", Some(json!("high"))),
    );
    store.add(
        Dataset::Metrics,
        "cpu",
        point(at(5), "cpu", "web", 0.0).with("value", None),
    );
    let good_span = |n: i64| {
        span(
            at(n),
            "ffffffffffffffffffffffffffffffff",
            "ffffffffffffffff",
            "",
            "web",
            5,
            false,
        )
    };
    store.add(Dataset::Traces, "default", good_span(6).with("span_id", None));
    store.add(
        Dataset::Traces,
        "default",
        good_span(7).with("duration", Some(json!(-5))),
    );
    store.add(
        Dataset::Traces,
        "default",
        good_span(8).with("duration", Some(json!(18_446_744_073_704_551_u64))),
    );
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "rejects");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(
        count(&mut db, "oo-agg", "success"),
        1,
        "bad records do not fail a window"
    );
    assert_minutes(&mut db, 1);
    let by_dataset = db.rows("SELECT dataset, sum(count) FROM etl_reject GROUP BY 1 ORDER BY 1");
    assert_eq!(by_dataset, [["logs", "3"], ["metrics", "2"], ["traces", "3"]]);
    let reasons = db.rows("SELECT dataset, reason, count FROM etl_reject WHERE dataset <> 'traces' ORDER BY 1, 2");
    assert_eq!(
        reasons,
        [
            ["logs", "bad_timestamp", "1"],
            ["logs", "missing_timestamp", "2"],
            ["metrics", "bad_value", "2"]
        ]
    );
    assert_eq!(
        db.int("SELECT count(*) FROM etl_reject WHERE sample IS NULL"),
        0,
        "every reason has a sample"
    );
    let samples = db.text("SELECT string_agg(sample::text, ' ') FROM etl_reject");
    assert!(
        samples.contains("yesterday") && !samples.contains(PASSWORD),
        "samples are masked: {samples}"
    );

    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(
        db.int("SELECT sum(count) FROM etl_reject"),
        8,
        "a replay replaces the rejects of its window"
    );
}

#[test]
fn rejects_never_grow_without_bound() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(1);
    for n in 0..2_000 {
        let line = log(T0 + n, "web", "INFO", &format!("line {n} {}", "x".repeat(5_000)));
        store.add(Dataset::Logs, "default", line.with("_timestamp", Some(json!("never"))));
    }
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "flood");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_minutes(&mut db, 1);
    assert_eq!(
        db.rows("SELECT reason, count FROM etl_reject"),
        [["bad_timestamp", "2000"]]
    );
    assert!(db.int("SELECT length(sample::text) FROM etl_reject") < 10_000);
}

#[test]
fn more_rows_than_a_page_are_all_read() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(3));
    let mut db = bridge(&cluster, "pages");
    add_openobserve(&mut db, &oo);
    // Smaller than what one second holds at equal timestamps: pages are cut by time down to a microsecond.
    db.exec("UPDATE etl_source SET options = '{\"page_rows\": 2}'");
    enqueue(&mut db, T0, 3);
    run(&mut db);
    assert_minutes(&mut db, 3);
}

#[test]
fn hostile_text_is_stored_as_text() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(0);
    let names = [
        "'; DROP TABLE metric_1m; --",
        "nul \u{0} inside",
        "zażółć 🐘",
        "\\",
        "\" \n\r\t",
        "%s %n",
        "{}",
    ];
    for (n, name) in (0..).zip(names) {
        store.add(Dataset::Logs, "default", log(T0 + n, name, "ERROR", name));
        store.add(Dataset::Metrics, "m", point(T0 + n, "m", name, n as f64));
    }
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "hostile");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    let counted = "SELECT (SELECT sum(count_total) FROM log_pattern_5m), (SELECT sum(sample_count) FROM metric_1m)";
    assert_eq!(db.rows(counted), [["7", "7"]]);
    assert_eq!(db.int("SELECT count(*) FROM dim_resource"), 7);
}

#[test]
fn a_nul_in_the_name_of_a_stream_fails_no_window_for_good() {
    const ODD: &str = "odd \u{0} one";
    let cluster = Cluster::without_workers();
    let mut store = minutes(1);
    store.add(Dataset::Logs, ODD, log(T0 + 1, "web", "INFO", "one more"));
    store.add(Dataset::Metrics, ODD, point(T0 + 1, ODD, "web", 1.0));
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "nul");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(
        db.rows("SELECT status, attempt, error FROM etl_job_run WHERE job = 'oo-agg'"),
        [["success", "1", "<null>"]]
    );
    assert_eq!(
        db.rows("SELECT (SELECT sum(count_total) FROM log_pattern_5m), (SELECT sum(sample_count) FROM metric_1m WHERE metric LIKE 'odd _ one')"),
        [[(LOGS + 1).to_string(), "1".to_string()]]
    );
    assert!(db.is("SELECT attributes -> 'streams' ? E'odd \\uFFFD one' FROM oo_locator WHERE dataset = 'logs'"));

    // An error that names it is recorded as any other.
    oo.fail(Scope::Stream(ODD), Fault::InvalidJson);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(
        db.rows("SELECT status, error ->> 'sqlstate', error ->> 'message' LIKE '%odd _ one%' FROM etl_job_run WHERE job = 'oo-agg'"),
        [["queued", "08P01", "t"]]
    );
}

#[test]
fn values_no_number_can_hold_do_not_stop_a_window() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(1);
    for (n, value) in (0..).zip([
        json!(1e308),
        json!(1e308),
        json!("NaN"),
        json!("Infinity"),
        json!("-inf"),
        json!(u64::MAX),
    ]) {
        store.add(
            Dataset::Metrics,
            "odd",
            point(T0 + n * SECOND, "odd", "web", 0.0).with("value", Some(value)),
        );
    }
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "odd");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    let odd = "SELECT coalesce(sum(sample_count), 0) FROM metric_1m WHERE metric = 'odd'";
    let refused = "SELECT coalesce(sum(count), 0) FROM etl_reject";
    assert_eq!(db.int(odd) + db.int(refused), 6, "every point is counted or refused");
}
