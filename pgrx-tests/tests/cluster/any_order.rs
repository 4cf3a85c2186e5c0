//! Windows in any order, any of them again and again: the tables are those of one pass.

use blackbox::bridge::{add_source, bridge, count, enqueue, facts, run};
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;

/// Two whole 5-minute buckets. (Of a bucket that was run in part and lost all its partials, a replay fetches all minutes:
/// it cannot tell it from one whose history is gone.)
const WINDOWS: i64 = 10;

/// A small system whose calls cross the borders of minutes, with databases, queues and counters that start anew.
fn database(cluster: &Cluster, name: &str) -> Session {
    let mut db = bridge(cluster, name);
    db.exec(
        "CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock', services '12', logs_per_minute '60',
                 metrics_per_minute '1300', spans_per_minute '60')",
    );
    add_source(&mut db, "mock", "{}");
    db
}

const NONE: [Vec<String>; 0] = [];

/// The rows that are in the tables or expected to be there, but not both.
fn differences(db: &mut Session, expected: &[Vec<String>]) -> Vec<Vec<String>> {
    let found = facts(db);
    let only = |some: &[Vec<String>], others: &[Vec<String>]| -> Vec<Vec<String>> {
        let others: BTreeSet<&Vec<String>> = others.iter().collect();
        some.iter().filter(|row| !others.contains(row)).cloned().collect()
    };
    [only(&found, expected), only(expected, &found)].concat()
}

#[test]
fn replays_of_any_windows_in_any_order_change_nothing() {
    let cluster = Cluster::without_workers();
    let mut once = database(&cluster, "once");
    enqueue(&mut once, T0, WINDOWS);
    run(&mut once);
    let expected = facts(&mut once);
    assert!(once.is("SELECT bool_or(inferred) AND NOT bool_and(inferred) FROM service_call_5m"));
    assert!(
        once.is("SELECT count(increase) > 100 FROM metric_1m")
            && once.is("SELECT count(*) > 10 FROM metric_histogram_1m")
    );

    let ranges = prop::collection::vec((0..WINDOWS, 1..4i64), 0..5);
    let orders = (
        Just((0..WINDOWS).collect::<Vec<_>>()).prop_shuffle(),
        ranges,
        any::<bool>(),
    );
    let mut runner = TestRunner::new(Config::with_cases(4));
    let databases = std::cell::Cell::new(0);
    let result = runner.run(&orders, |(order, again, lose_partials)| {
        databases.set(databases.get() + 1);
        let mut db = database(&cluster, &format!("order_{}", databases.get()));
        for window in &order {
            enqueue(&mut db, T0 + window * MINUTE, 1);
            run(&mut db);
        }
        prop_assert_eq!(differences(&mut db, &expected), NONE, "in the order {:?}", &order);
        for (first, length) in &again {
            if lose_partials {
                db.exec("DELETE FROM etl_partial_1m WHERE random() < 0.3");
            }
            enqueue(&mut db, T0 + first * MINUTE, (*length).min(WINDOWS - first));
            run(&mut db);
        }
        prop_assert_eq!(differences(&mut db, &expected), NONE, "after replays of {:?}", &again);
        prop_assert_eq!(count(&mut db, "oo-agg", "success"), WINDOWS);
        Ok(())
    });
    if let Err(broken) = result {
        panic!("{broken}");
    }
}

#[test]
fn partials_of_another_format_are_fetched_again() {
    let cluster = Cluster::without_workers();
    let mut db = database(&cluster, "format");
    enqueue(&mut db, T0, 5);
    run(&mut db);
    let expected = facts(&mut db);
    // As an older version left them: a format of its own, and payloads that mean something else.
    db.exec("UPDATE etl_partial_1m SET format = 1, payload = '\\x00'");
    enqueue(&mut db, T0 + MINUTE, 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 5);
    assert_eq!(differences(&mut db, &expected), NONE);
    assert_eq!(db.int("SELECT count(*) FROM etl_partial_1m WHERE format > 1"), 5);
}
