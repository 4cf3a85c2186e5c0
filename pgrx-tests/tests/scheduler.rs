//! Which windows there are, who runs them, and what becomes of those that fail. Nothing runs by itself here: the tests
//! call `etl_tick()` and `etl_run()`, at times they choose.

use blackbox::bridge::{
    add_mock, add_openobserve, assert_minutes, assert_nothing_written, bridge, count, enqueue, facts, run,
};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::{NULL, Session};
use blackbox::telemetry::{MINUTE, T0, literal, minutes};
use blackbox::wait::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn clock(db: &mut Session, at: &str) {
    db.exec(&format!("SET observe_bridge.clock = '{at}'"));
}

/// (windows, gaps or overlaps between neighbours, first start, last end) of oo-agg, times in UTC.
fn windows(db: &mut Session) -> Vec<String> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE before <> window_from),
                      to_char(min(window_from) AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), to_char(max(window_to) AT TIME ZONE 'UTC', 'MM-DD HH24:MI')
                 FROM (SELECT *, lag(window_to) OVER (ORDER BY window_from) AS before FROM etl_job_run WHERE job = 'oo-agg') w";
    db.rows(sql).swap_remove(0)
}

/// The only run of oo-agg.
fn the_run(db: &mut Session) -> i64 {
    db.int("SELECT run_id FROM etl_job_run WHERE job = 'oo-agg'")
}

#[test]
fn a_tick_enqueues_every_due_window_once() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "tick");
    add_mock(&mut db);
    db.exec("INSERT INTO etl_job_tenant (job, tenant_id, lookback) VALUES ('oo-agg', 1, '1 h')");
    clock(&mut db, "2026-01-05 10:07:30+00");
    // upper = floor(now - 2 min) = 10:05; the first bucket of five minutes is whole.
    assert!(db.int("SELECT etl_tick()") >= 60);
    assert_eq!(windows(&mut db), ["60", "0", "01-05 09:05", "01-05 10:05"]);
    assert_eq!(db.int("SELECT etl_tick()"), 0);
    clock(&mut db, "2026-01-05 10:12:00+00");
    db.exec("SELECT etl_tick()");
    assert_eq!(windows(&mut db), ["65", "0", "01-05 09:05", "01-05 10:10"]);
}

#[test]
fn ticks_follow_their_argument() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "argument");
    add_mock(&mut db);
    db.exec("INSERT INTO etl_job_tenant (job, tenant_id, lookback) VALUES ('oo-agg', 1, '10 min')");
    db.exec("SELECT etl_tick('2026-01-05 10:02:00+00')");
    db.exec("SELECT etl_tick('2026-01-05 10:03:00+00')");
    assert_eq!(windows(&mut db), ["11", "0", "01-05 09:50", "01-05 10:01"]);
}

#[test]
fn a_clock_that_goes_back_does_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "back");
    add_mock(&mut db);
    db.exec("SELECT etl_tick()");
    let before = windows(&mut db);
    clock(&mut db, "2026-01-01 00:00:00+00");
    assert_eq!(db.int("SELECT etl_tick()"), 0);
    assert_eq!(windows(&mut db), before);
}

#[test]
fn a_pruned_history_opens_no_gap() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "pruned");
    add_mock(&mut db);
    db.exec("SELECT etl_tick(); DELETE FROM etl_job_run");
    assert_eq!(
        db.int("SELECT etl_tick()"),
        0,
        "what was enqueued once is not enqueued again"
    );
    db.exec("DELETE FROM etl_cursor");
    assert!(db.int("SELECT etl_tick()") > 0, "deleting the cursor starts anew");
}

#[test]
fn buckets_do_not_depend_on_the_time_zone_of_the_session() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "zone");
    add_mock(&mut db);
    db.exec("SET TimeZone = 'Asia/Kathmandu'");
    clock(&mut db, "2026-01-05 10:07:30+00");
    db.exec("SELECT etl_tick()");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND extract(epoch FROM window_from)::bigint % 60 <> 0"), 0);
    assert_eq!(
        db.int("SELECT extract(epoch FROM min(window_from))::bigint % 300 FROM etl_job_run WHERE job = 'oo-agg'"),
        0
    );
}

#[test]
fn a_tenant_without_a_source_has_no_windows() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "idle");
    db.exec("SELECT etl_tick()");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg'"), 0);
}

#[test]
fn enqueue_aligns_outward_and_splits() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "split");
    let queued = db.int("SELECT etl_enqueue('oo-agg', 'default', '2026-01-05 10:00:30Z', '2026-01-05 10:03:10Z')");
    assert_eq!(queued, 4);
    assert_eq!(windows(&mut db), ["4", "0", "01-05 10:00", "01-05 10:04"]);
    assert_eq!(enqueue(&mut db, T0, 4), 0, "what is queued already is left alone");
}

#[test]
fn enqueue_says_what_is_wrong() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "wrong");
    for (arguments, said) in [
        ("'nope', 'default', now() - interval '1 h', now()", "nope"),
        ("'oo-agg', 'nobody', now() - interval '1 h', now()", "nobody"),
        ("'oo-agg', 'default', now(), now()", "empty"),
        ("'oo-agg', 'default', now(), now() - interval '1 h'", "empty"),
        ("'oo-agg', 'default', NULL, now()", "two finite times"),
        ("'oo-agg', 'default', '-infinity', now()", "two finite times"),
        ("'oo-agg', 'default', '1900-01-01', now()", "windows of job"),
        (
            "'oo-agg', 'default', now() - interval '1 h', now(), '[]'",
            "JSON object",
        ),
    ] {
        let refusal = db.refused(&format!("SELECT etl_enqueue({arguments})"));
        assert!(
            refusal.message.contains(said) && !refusal.hint.is_empty(),
            "{arguments}: {refusal}"
        );
    }
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run"), 0);
}

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
fn windows_of_the_future_wait_for_their_end_and_delay() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "future");
    add_mock(&mut db);
    clock(&mut db, "2026-01-05 10:00:10+00");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    clock(&mut db, "2026-01-05 10:02:59+00");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 1);
    clock(&mut db, "2026-01-05 10:03:00+00");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
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
                clock(&mut worker, blackbox::bridge::CLOCK);
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
                clock(&mut worker, blackbox::bridge::CLOCK);
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
fn an_outage_opens_the_breaker_and_loses_no_window() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(5));
    let mut db = bridge(&cluster, "outage");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::All, Fault::Status(503, None));
    enqueue(&mut db, T0, 5);
    run(&mut db);
    // Three windows were tried, then the breaker opened; none has failed, all wait.
    let state = |db: &mut Session| {
        db.rows("SELECT circuit, queued, failed FROM etl_status WHERE job = 'oo-agg'")
            .swap_remove(0)
    };
    assert_eq!(state(&mut db), ["open", "5", "0"]);
    let asked = oo.requests();
    run(&mut db);
    assert_eq!(oo.requests(), asked, "an open breaker spares the server");

    // A day of probes later.
    for hour in 0..24 {
        clock(&mut db, &format!("2026-01-06 {hour:02}:00:00+00"));
        run(&mut db);
        assert_eq!(state(&mut db), ["open", "5", "0"], "after {hour} hours");
    }
    assert_nothing_written(&mut db);
    oo.heal();
    clock(&mut db, "2026-01-07 00:00:00+00");
    run(&mut db);
    assert_eq!(state(&mut db), ["closed", "0", "0"]);
    assert_eq!(count(&mut db, "oo-agg", "success"), 5);
    assert_minutes(&mut db, 5);
}

#[test]
fn retries_wait_two_seconds_and_twice_as_long_each_time() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "backoff");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::All, Fault::Status(500, None));
    enqueue(&mut db, T0, 1);
    for expected in [2.0, 4.0, 8.0, 16.0] {
        run(&mut db);
        let wait =
            "SELECT extract(epoch FROM next_attempt_at - etl_now())::float8 FROM etl_job_run WHERE job = 'oo-agg'";
        let seconds: f64 = db.text(wait).parse().expect("seconds");
        assert!(
            (expected * 0.875..=expected * 1.125).contains(&seconds),
            "{seconds} s instead of about {expected}"
        );
        let next = db.text("SELECT to_char(next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00\"') FROM etl_job_run WHERE job = 'oo-agg'");
        clock(&mut db, &next);
    }
}

#[test]
fn a_probe_in_half_open_state_is_alone() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(4));
    let mut db = bridge(&cluster, "probe");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::All, Fault::Status(503, None));
    enqueue(&mut db, T0, 4);
    run(&mut db);
    oo.heal();
    oo.fail(Scope::Searches, Fault::Hang);
    std::thread::scope(|scope| {
        let probing = scope.spawn(|| {
            let mut probe = cluster.session("probe");
            clock(&mut probe, "2026-01-06 00:00:00+00");
            run(&mut probe);
        });
        wait_until("the probe hangs", PATIENCE, || oo.stuck() > 0);
        clock(&mut db, "2026-01-06 00:00:00+00");
        assert_eq!(
            db.text("SELECT circuit FROM etl_status WHERE job = 'oo-agg'"),
            "half_open"
        );
        run(&mut db);
        assert_eq!(
            count(&mut db, "oo-agg", "running"),
            1,
            "nobody else goes near the server"
        );
        oo.heal();
        probing.join().expect("the probe ends");
    });
    clock(&mut db, "2026-01-07 00:00:00+00");
    run(&mut db);
    assert_minutes(&mut db, 4);
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
fn a_queued_run_can_be_cancelled_and_retried() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "cancelled");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    let id = the_run(&mut db);
    assert!(db.is(&format!("SELECT etl_cancel({id})")));
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "cancelled"), 1);
    assert!(!db.is(&format!("SELECT etl_cancel({id})")), "it has ended already");
    assert!(db.is(&format!("SELECT etl_retry({id})")));
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    assert!(db.refused("SELECT etl_cancel(0)").message.contains("does not exist"));
}

#[test]
fn a_running_fetch_can_be_cancelled() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "stopped");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::Searches, Fault::Hang);
    enqueue(&mut db, T0, 1);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut runner = cluster.session("stopped");
            clock(&mut runner, blackbox::bridge::CLOCK);
            // Whether the call goes on to the next window or ends with the cancelled one is its own affair.
            let _ = runner.try_rows("CALL etl_run()");
        });
        wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
        let id = the_run(&mut db);
        assert!(db.is(&format!("SELECT etl_cancel({id})")));
        wait_until("the run is cancelled", Duration::from_secs(5), || {
            count(&mut db, "oo-agg", "cancelled") == 1
        });
        oo.heal();
        running.join().expect("the runner goes on");
    });
    assert_nothing_written(&mut db);
}

#[test]
fn a_cancelled_session_gives_its_run_back() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "returned");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    // More often than a window may fail: being cancelled is not its failure.
    for round in 1..=5 {
        oo.fail(Scope::Searches, Fault::Hang);
        let mut runner = cluster.session("returned");
        clock(&mut runner, &format!("2026-01-05 {}:00:00+00", 11 + round));
        let pid = runner.pid();
        std::thread::scope(|scope| {
            let refused = scope.spawn(move || runner.refused("CALL etl_run()"));
            wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
            db.exec(&format!("SELECT pg_cancel_backend({pid})"));
            assert_eq!(refused.join().expect("an answer").sqlstate, "57014");
        });
        oo.heal();
        assert_eq!(count(&mut db, "oo-agg", "queued"), 1, "round {round}");
    }
    assert_nothing_written(&mut db);
    clock(&mut db, "2026-01-06 00:00:00+00");
    run(&mut db);
    assert_eq!(
        db.text("SELECT coalesce(error::text, 'none') FROM etl_job_run WHERE job = 'oo-agg'"),
        "none"
    );
    assert_minutes(&mut db, 1);
}

#[test]
fn a_session_that_is_killed_leaves_its_window_to_the_next() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "orphan");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    oo.fail(Scope::Searches, Fault::Hang);
    let mut runner = cluster.session("orphan");
    clock(&mut runner, blackbox::bridge::CLOCK);
    let pid = runner.pid();
    std::thread::scope(|scope| {
        let killed = scope.spawn(move || runner.refused("CALL etl_run()"));
        wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
        run(&mut db);
        assert_eq!(
            count(&mut db, "oo-agg", "running"),
            1,
            "nobody takes a window from a session that lives"
        );
        db.exec(&format!("SELECT pg_terminate_backend({pid}, 5000)"));
        killed.join().expect("an answer");
    });
    oo.heal();
    run(&mut db);
    clock(&mut db, "2026-01-06 00:00:00+00");
    run(&mut db);
    assert_eq!(
        db.rows("SELECT status, attempt FROM etl_job_run WHERE job = 'oo-agg'"),
        [["success", "2"]]
    );
    assert_minutes(&mut db, 1);
}

#[test]
fn a_window_that_is_asked_for_while_it_runs_runs_again() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "requeued");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    oo.fail(Scope::Searches, Fault::Hang);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut runner = cluster.session("requeued");
            clock(&mut runner, blackbox::bridge::CLOCK);
            // A hang that is let go ends as a broken connection: the next attempt is due a little later.
            run(&mut runner);
            clock(&mut runner, "2026-01-06 00:00:00+00");
            run(&mut runner);
        });
        wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
        assert_eq!(enqueue(&mut db, T0, 1), 1);
        oo.heal();
        running.join().expect("the runner goes on");
    });
    assert_eq!(
        db.rows("SELECT status, requeue, attempt >= 2 FROM etl_job_run WHERE job = 'oo-agg'"),
        [["success", "f", "t"]]
    );
    assert_minutes(&mut db, 1);
}

#[test]
fn the_lag_is_the_age_of_the_oldest_unfinished_window() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "lag");
    add_mock(&mut db);
    enqueue(&mut db, T0, 3);
    let status = |db: &mut Session| {
        let sql = "SELECT extract(epoch FROM lag)::bigint, queued, running, failed, circuit,
                          extract(epoch FROM last_window_to)::bigint FROM etl_status WHERE job = 'oo-agg'";
        db.rows(sql).swap_remove(0)
    };
    // The clock stands an hour after T0; the first window ended a minute after it.
    assert_eq!(status(&mut db), [&(59 * 60).to_string(), "3", "0", "0", "closed", NULL]);
    let metrics = db.text("SELECT etl_metrics()");
    let lag = metrics
        .lines()
        .find(|l| l.starts_with("observe_bridge_window_lag_seconds{job=\"oo-agg\""));
    let lag: Option<f64> = lag.and_then(|l| l.rsplit(' ').next()).and_then(|v| v.parse().ok());
    assert_eq!(lag, Some(3540.0), "{metrics}");
    run(&mut db);
    let end = (T0 + 3 * MINUTE) / 1_000_000;
    assert_eq!(status(&mut db), ["0", "0", "0", "0", "closed", &end.to_string()]);
}

#[test]
fn live_windows_go_first_and_a_backfill_is_not_starved() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "order");
    db.exec("CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock', logs_per_minute '1', metrics_per_minute '1', spans_per_minute '1')");
    blackbox::bridge::add_source(&mut db, "mock", "{}");
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

#[test]
fn literal_times_are_what_they_say() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.session("postgres");
    assert!(db.is(&format!("SELECT {} = '2026-01-05 10:00:00+00'", literal(T0))));
}
