//! Who runs which window, in which order, how many at once, and what follows. The tests call `etl_run()` themselves.

use blackbox::bridge::{
    CLOCK, add_mock, add_openobserve, add_source, assert_minutes, bridge, clock, count, enqueue, facts, run,
};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::telemetry::{MINUTE, T0, minutes};
use blackbox::wait::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_replay_runs_a_finished_window_again_and_changes_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "replay");
    add_mock(&mut db);
    assert_eq!(enqueue(&mut db, T0, 3), 3);
    run(&mut db);
    let first = facts(&mut db);
    let locators = db.rows("SELECT * FROM oo_locator ORDER BY id");
    assert_eq!(enqueue(&mut db, T0, 3), 3);
    run(&mut db);
    assert_eq!(facts(&mut db), first);
    assert_eq!(
        db.rows("SELECT * FROM oo_locator ORDER BY id"),
        locators,
        "locators are found again, not added"
    );
    assert_eq!(
        db.column("SELECT attempt FROM etl_job_run WHERE job = 'oo-agg'"),
        ["2", "2", "2"]
    );
    assert_eq!(count(&mut db, "oo-agg", "success"), 3);
}

#[test]
fn a_replay_writes_only_what_differs() {
    // Which versions of the rows are there.
    const VERSIONS: &str = "SELECT tableoid::regclass, ctid, xmin FROM metric_1m
        UNION ALL SELECT tableoid::regclass, ctid, xmin FROM metric_histogram_1m
        UNION ALL SELECT tableoid::regclass, ctid, xmin FROM service_call_5m
        UNION ALL SELECT tableoid::regclass, ctid, xmin FROM log_pattern_5m
        ORDER BY 1, 2";
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "differs");
    add_mock(&mut db);
    enqueue(&mut db, T0, 2);
    run(&mut db);
    let (first, versions) = (facts(&mut db), db.rows(VERSIONS));
    enqueue(&mut db, T0, 2);
    run(&mut db);
    assert_eq!(db.rows(VERSIONS), versions, "nothing is written twice");
    for damage in [
        "UPDATE metric_1m SET max_val = max_val + 1 WHERE ctid = (SELECT min(ctid) FROM metric_1m)",
        "UPDATE metric_1m SET labels = '{\"a\":\"b\"}' WHERE ctid = (SELECT min(ctid) FROM metric_1m)",
        "DELETE FROM metric_1m WHERE ctid = (SELECT max(ctid) FROM metric_1m)",
        "UPDATE service_call_5m SET p95_ms = NULL WHERE ctid = (SELECT min(ctid) FROM service_call_5m)",
        "UPDATE service_call_5m SET calls = calls + 1 WHERE ctid = (SELECT min(ctid) FROM service_call_5m)",
        "UPDATE log_pattern_5m SET count_total = count_total + 1 WHERE ctid = (SELECT min(ctid) FROM log_pattern_5m)",
    ] {
        db.exec(damage);
        assert_ne!(db.rows(VERSIONS), versions, "{damage}");
        enqueue(&mut db, T0, 2);
        run(&mut db);
        assert_eq!(facts(&mut db), first, "{damage}");
    }
    db.exec("INSERT INTO metric_1m SELECT bucket, tenant_id, resource_id, 'another', 0, 1, 1, 1, 1, 1, 1 FROM metric_1m LIMIT 1");
    enqueue(&mut db, T0, 2);
    run(&mut db);
    assert_eq!(facts(&mut db), first, "what no record gives goes");
}

#[test]
fn a_replay_takes_away_what_vanished_from_the_source() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(2));
    let mut db = bridge(&cluster, "vanished");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 2);
    run(&mut db);
    assert_minutes(&mut db, 2);
    oo.replace(minutes(1));
    enqueue(&mut db, T0 + MINUTE, 1);
    run(&mut db);
    assert_minutes(&mut db, 1);
}

#[test]
fn a_run_inside_a_transaction_is_refused_with_a_hint() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "block");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    db.exec("CREATE FUNCTION wrapped() RETURNS void LANGUAGE plpgsql AS 'BEGIN CALL etl_run(); END'");
    for (before, statement) in [("BEGIN", "CALL etl_run()"), ("SELECT 1", "SELECT wrapped()")] {
        db.exec(before);
        let refusal = db.refused(statement);
        assert!(
            refusal.message.contains("transaction") && !refusal.hint.is_empty(),
            "{refusal}"
        );
        db.exec("ROLLBACK");
    }
    assert_eq!(count(&mut db, "oo-agg", "queued"), 1);
}

#[test]
fn a_run_does_no_more_than_it_was_told() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "limits");
    add_mock(&mut db);
    enqueue(&mut db, T0, 5);
    db.exec("CALL etl_run(max_runs => 2)");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE status = 'success'"), 2);
    db.exec("CALL etl_run(deadline => '0 s')");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE status = 'success'"), 2);
    db.exec("CALL etl_run(NULL, NULL)");
    assert_eq!(count(&mut db, "oo-agg", "success"), 5);
}

#[test]
fn two_sessions_share_the_queue_and_each_window_runs_once() {
    const WINDOWS: i64 = 24;
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(WINDOWS));
    let mut db = bridge(&cluster, "shared");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, WINDOWS);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut worker = cluster.session("shared");
                clock(&mut worker, CLOCK);
                run(&mut worker);
            });
        }
    });
    // Whichever session left last may have met a window that the other still held.
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), WINDOWS);
    assert_eq!(db.int("SELECT max(attempt) FROM etl_job_run WHERE job = 'oo-agg'"), 1);
    assert_eq!(
        db.int("SELECT count(DISTINCT worker_pid) FROM etl_job_run WHERE job = 'oo-agg'"),
        2
    );
    assert_minutes(&mut db, WINDOWS);
}

#[test]
fn no_more_windows_of_a_tenant_run_at_once_than_its_job_allows() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(8));
    let mut db = bridge(&cluster, "capped");
    add_openobserve(&mut db, &oo);
    db.exec("UPDATE etl_job SET concurrency = 2 WHERE name = 'oo-agg'");
    // Far apart, so that no two of them are fetched as one range.
    for window in 0..4 {
        enqueue(&mut db, T0 + 2 * window * MINUTE, 1);
    }
    oo.fail(Scope::Searches, Fault::Hang);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut worker = cluster.session("capped");
                clock(&mut worker, CLOCK);
                run(&mut worker);
            });
        }
        wait_until("two windows run", PATIENCE, || count(&mut db, "oo-agg", "running") == 2);
        wait_until("both of them fetch", PATIENCE, || oo.stuck() >= 2);
        run(&mut db);
        assert_eq!(
            count(&mut db, "oo-agg", "running"),
            2,
            "a third session finds nothing it may run"
        );
        oo.heal();
    });
}

#[test]
fn age_refresh_follows_and_says_that_it_was_skipped_without_age() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "follows");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let found = db.rows("SELECT origin, status, stats ->> 'skipped' FROM etl_job_run WHERE job = 'age-refresh'");
    assert_eq!(found, [["dependency", "success", "age is not installed"]]);
}

#[test]
fn a_backfill_leaves_at_most_one_refresh_waiting() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "backfill");
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET enabled = false WHERE name = 'retention'");
    enqueue(&mut db, T0, 30);
    for _ in 0..30 {
        db.exec("CALL etl_run(max_runs => 1)");
        assert!(count(&mut db, "age-refresh", "queued") <= 1);
    }
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 30);
    assert_eq!(count(&mut db, "age-refresh", "queued"), 0);
}

#[test]
fn a_paused_job_waits_and_a_resumed_one_goes_on() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "paused");
    add_mock(&mut db);
    enqueue(&mut db, T0, 2);
    db.exec("SELECT etl_pause('oo-agg', 'default')");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 2);
    db.exec("SELECT etl_resume('oo-agg', 'default')");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 2);
    assert!(db.refused("SELECT etl_pause('nope')").message.contains("nope"));
}

#[test]
fn live_windows_go_first_and_a_backfill_is_not_starved() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "order");
    db.exec("CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock', logs_per_minute '1', metrics_per_minute '1', spans_per_minute '1')");
    add_source(&mut db, "mock", "{}");
    db.exec("UPDATE etl_job SET enabled = name = 'oo-agg'");
    enqueue(&mut db, T0 - 1000 * MINUTE, 20);
    db.exec("INSERT INTO etl_job_tenant (job, tenant_id, lookback) VALUES ('oo-agg', 1, '15 min'); SELECT etl_tick()");
    db.exec("CALL etl_run(max_runs => 16)");
    let by_origin = "SELECT count(*) FILTER (WHERE origin = 'schedule'), count(*) FILTER (WHERE origin = 'backfill') FROM etl_job_run WHERE status = 'success'";
    let done = db.rows(by_origin).swap_remove(0);
    let backfilled: i64 = done[1].parse().expect("a number");
    assert!(
        (1..=4).contains(&backfilled),
        "of 16 runs {done:?} were (live, backfill)"
    );
}
