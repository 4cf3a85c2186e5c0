//! What counters and histograms grow by, across windows, resets, labels and formats.

use blackbox::bridge::{add_openobserve, bridge, enqueue, facts, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Record, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, SECOND, T0, point};
use serde_json::json;

const MONOTONIC: &str = "is_monotonic";
const TEMPORALITY: &str = "aggregation_temporality";

fn cumulative(record: Record, series: u64) -> Record {
    record
        .with("__hash__", Some(json!(series)))
        .with(MONOTONIC, Some(json!("true")))
        .with(TEMPORALITY, Some(json!("AGGREGATION_TEMPORALITY_CUMULATIVE")))
}

fn reading(cluster: &Cluster, name: &str, store: Store) -> (OpenObserve, Session) {
    let oo = OpenObserve::serve(store);
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, &oo);
    (oo, db)
}

fn increases(db: &mut Session, metric: &str) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT to_char(bucket AT TIME ZONE 'UTC', 'HH24:MI'), increase, sample_count FROM metric_1m
          WHERE metric = '{metric}' ORDER BY 1"
    ))
}

/// Two series of one counter, each a sample every 40 seconds from 50 seconds before [`T0`] on; the second starts anew.
fn store() -> Store {
    let mut store = Store::default();
    for (n, (first, second)) in (0..).zip([(10, 500), (15, 540), (18, 3), (30, 4), (31, 9)]) {
        let at = T0 - 50 * SECOND + n * 40 * SECOND;
        for (series, value) in [(u64::MAX, first), (7, second)] {
            let sample = cumulative(point(at, "hits", "web", f64::from(value)), series);
            store.add(
                Dataset::Metrics,
                "hits",
                sample.with("pod", Some(json!(series.to_string()))),
            );
        }
    }
    for n in 0..3 {
        let gauge = point(T0 + n * 40 * SECOND, "depth", "web", n as f64);
        store.add(Dataset::Metrics, "depth", gauge.with("__hash__", Some(json!(1))));
    }
    store
}

#[test]
fn a_counter_grows_from_the_minute_before_and_from_zero_after_a_reset() {
    let cluster = Cluster::without_workers();
    let (_oo, mut db) = reading(&cluster, "counter", store());
    enqueue(&mut db, T0, 2);
    run(&mut db);
    // 10:00 has one sample of each: 15 to 18, and 3 since the reset. 10:01 has two: 18 to 30 to 31, and 3 to 4 to 9.
    let want = [["10:00", "6", "2"], ["10:01", "19", "4"]];
    assert_eq!(increases(&mut db, "hits"), want);
    assert_eq!(
        db.int("SELECT count(*) FROM metric_1m WHERE metric = 'depth' AND increase IS NULL"),
        2
    );
    let expected = facts(&mut db);
    for minute in [1, 0] {
        enqueue(&mut db, T0 + minute * MINUTE, 1);
        run(&mut db);
    }
    assert_eq!(facts(&mut db), expected, "each window by itself gives the same");
}

#[test]
fn samples_that_are_there_twice_count_once() {
    let cluster = Cluster::without_workers();
    let mut twice = store();
    for record in [
        point(T0, "depth", "web", 0.0),
        point(T0 + 40 * SECOND, "depth", "web", 1.0),
    ] {
        twice.add(Dataset::Metrics, "depth", record.with("__hash__", Some(json!(1))));
    }
    let (_oo, mut db) = reading(&cluster, "twice", twice);
    enqueue(&mut db, T0, 2);
    run(&mut db);
    let row = "SELECT sample_count, avg_val FROM metric_1m WHERE metric = 'depth' ORDER BY bucket LIMIT 1";
    assert_eq!(db.rows(row), [["2", "0.5"]]);
}

#[test]
fn numbers_that_mean_none_are_rejected_and_the_rest_is_kept() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (n, value) in (0..).zip([
        json!(1.5),
        json!(f64::MAX),
        json!(f64::MIN),
        json!("NaN"),
        json!("+Inf"),
    ]) {
        let sample = point(T0 + n * SECOND, "m", "web", 0.0).with("value", Some(value));
        store.add(Dataset::Metrics, "m", sample);
    }
    let (_oo, mut db) = reading(&cluster, "numbers", store);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(db.rows("SELECT sample_count, max_val FROM metric_1m"), [["1", "1.5"]]);
    assert_eq!(
        db.rows("SELECT reason, sum(count) FROM etl_reject GROUP BY 1"),
        [["bad_value", "4"]]
    );
}

#[test]
fn a_stream_without_values_is_rejected_and_the_others_are_kept() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for n in 0..3 {
        let at = T0 + n * SECOND;
        store.add(
            Dataset::Metrics,
            "told",
            point(at, "told", "web", 1.0).with("value", None),
        );
        store.add(Dataset::Metrics, "m", point(at, "m", "web", n as f64));
    }
    store.add_empty(Dataset::Metrics, "base");
    let (_oo, mut db) = reading(&cluster, "values", store);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(db.rows("SELECT metric, sample_count FROM metric_1m"), [["m", "3"]]);
    assert_eq!(
        db.rows("SELECT dataset, reason, sum(count) FROM etl_reject GROUP BY 1, 2"),
        [["metrics", "bad_value", "3"]]
    );
    assert_eq!(
        db.text("SELECT status FROM etl_job_run WHERE job = 'oo-agg'"),
        "success"
    );
}

#[test]
fn histograms_have_quantiles_within_their_buckets() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    // Observations up to 0.1, 0.5 and in all: 10 in 10:00 of which the last three seconds alone are of the window before.
    for (n, counts) in (0..).zip([[100.0, 100.0, 100.0], [105.0, 109.0, 110.0]]) {
        let at = T0 - 3 * SECOND + n * 30 * SECOND;
        for (series, (le, count)) in (1..).zip(["0.1", "0.5", "inf"].into_iter().zip(counts)) {
            let bucket = cumulative(point(at, "latency_bucket", "web", count), series);
            let bucket = bucket
                .with("le", Some(json!(le)))
                .with(MONOTONIC, None)
                .with("route", Some(json!("/a")));
            store.add(Dataset::Metrics, "latency_bucket", bucket);
        }
        let sum = cumulative(point(at, "latency_sum", "web", 2.0 + 1.5 * n as f64), 9);
        store.add(
            Dataset::Metrics,
            "latency_sum",
            sum.with(MONOTONIC, None).with("route", Some(json!("/a"))),
        );
    }
    let (_oo, mut db) = reading(&cluster, "histogram", store);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let row = "SELECT metric, count_val, sum_val, p50_val, p95_val, p99_val, labels FROM metric_histogram_1m";
    assert_eq!(db.rows(row), [["latency", "10", "1.5", "0.1", "0.5", "0.5", "<null>"]]);
    db.exec("UPDATE etl_source SET options = '{\"metrics\":[\"*\"],\"metric_labels\":\"*\"}'");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let row = "SELECT count_val, sum_val, labels, labels_hash <> 0 FROM metric_histogram_1m";
    assert_eq!(db.rows(row), [["10", "1.5", "{\"route\": \"/a\"}", "t"]]);
    assert_eq!(
        db.int("SELECT count(*) FROM metric_1m WHERE metric = 'latency_bucket'"),
        3
    );
}
