//! The background workers: they come by themselves, do the work, and survive what happens to them.

use blackbox::bridge::{
    add_mock, add_openobserve, assert_minutes, assert_nothing_written, count, enqueue, facts, install, run,
};
use blackbox::cluster::{Cluster, Shutdown, signal};
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::telemetry::{MINUTE, T0, minutes};
use blackbox::wait::wait_until;
use blackbox::workers::{
    PATIENCE, bridge, cluster, hanging, wait_for_success, wait_for_success_as_time_passes, workers,
};
use std::time::Duration;

#[test]
fn create_extension_is_noticed_without_a_restart() {
    let cluster = cluster();
    let mut db = bridge(&cluster, "noticed");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    wait_until(
        "a scheduler and a runner did the window",
        Duration::from_secs(10),
        || count(&mut db, "oo-agg", "success") == 1,
    );
    let status = db.rows("SELECT preloaded, launcher_pid > 0, scheduler_pid > 0, version_match, last_error IS NULL, advice IS NULL FROM etl_worker_status()");
    assert_eq!(status, [["t"; 6]]);
}

#[test]
fn after_a_restart_the_workers_find_their_databases() {
    let mut cluster = cluster();
    drop(bridge(&cluster, "one"));
    drop(bridge(&cluster, "two"));
    cluster.restart();
    for name in ["one", "two"] {
        let mut db = cluster.session(name);
        add_mock(&mut db);
        enqueue(&mut db, T0, 1);
        wait_for_success(&mut db, 1);
    }
    // Probing leaves nobody behind where the extension is not.
    let mut db = cluster.session("postgres");
    wait_until("no worker stays in other databases", PATIENCE, || {
        workers(&mut db, "scheduler").is_empty()
    });
}

#[test]
fn workers_plan_by_themselves() {
    let cluster = cluster();
    let mut db = cluster.database("plan");
    db.exec("CREATE EXTENSION observe_bridge; UPDATE etl_job SET lookback = '10 min' WHERE name = 'oo-agg'");
    add_mock(&mut db);
    // 11:00 less two minutes of delay and ten of lookback, whole buckets: 10:45 to 10:58.
    wait_for_success(&mut db, 13);
    cluster.set_clock("2026-01-05 11:05:00+00");
    wait_for_success(&mut db, 18);
    assert_eq!(db.int("SELECT max(attempt) FROM etl_job_run WHERE job = 'oo-agg'"), 1);
}

#[test]
fn workers_and_call_etl_run_give_the_same_tables() {
    const WINDOWS: i64 = 10;
    let cluster = cluster();
    let mut worked = bridge(&cluster, "worked");
    add_mock(&mut worked);
    enqueue(&mut worked, T0, WINDOWS);
    wait_for_success(&mut worked, WINDOWS);

    let mut called = cluster.database("called");
    cluster.set("observe_bridge.enabled", "off");
    install(&mut called);
    add_mock(&mut called);
    enqueue(&mut called, T0, WINDOWS);
    run(&mut called);
    let expected = facts(&mut called);
    assert!(expected.iter().any(|r| r[0] == "call") && expected.iter().any(|r| r[0] == "log"));
    assert_eq!(facts(&mut worked), expected);
    assert_eq!(
        worked.int("SELECT sum(count_total) FROM log_pattern_5m"),
        5_000 * WINDOWS
    );
    assert_eq!(worked.int("SELECT sum(sample_count) FROM metric_1m"), 500 * WINDOWS);
}

#[test]
fn a_terminated_runner_leaves_its_window_to_another() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = hanging(&cluster, &oo, "terminated");
    let runner = db.int("SELECT worker_pid FROM etl_job_run WHERE status = 'running'");
    oo.heal();
    oo.fail(Scope::Searches, Fault::Hang);
    signal(runner, libc::SIGTERM);
    wait_until("the runner is gone", PATIENCE, || {
        !workers(&mut db, "runner").contains(&runner)
    });
    oo.heal();
    wait_for_success_as_time_passes(&cluster, &mut db, 1);
    assert_minutes(&mut db, 1);
}

#[test]
fn a_terminated_scheduler_and_launcher_come_back() {
    let cluster = cluster();
    let mut db = bridge(&cluster, "back");
    add_mock(&mut db);
    wait_until("a scheduler runs", PATIENCE, || {
        !workers(&mut db, "scheduler").is_empty()
    });
    let before = [workers(&mut db, "scheduler"), workers(&mut db, "launcher")].concat();
    before.iter().for_each(|pid| signal(*pid, libc::SIGTERM));
    wait_until("others have taken their places", PATIENCE, || {
        let now = [workers(&mut db, "scheduler"), workers(&mut db, "launcher")].concat();
        now.len() == 2 && now.iter().all(|pid| !before.contains(pid))
    });
    enqueue(&mut db, T0, 1);
    wait_for_success(&mut db, 1);
}

#[test]
fn kill_9_of_a_runner_loses_nothing_and_doubles_nothing() {
    const WINDOWS: i64 = 6;
    let mut cluster = cluster();
    let oo = OpenObserve::serve(minutes(WINDOWS));
    let mut db = bridge(&cluster, "killed");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, WINDOWS);
    // Once while windows are being fetched, once somewhere in the middle of the rest.
    oo.fail(Scope::Stream("cpu"), Fault::Hang);
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    let runner = db.int("SELECT max(worker_pid) FROM etl_job_run WHERE status = 'running'");
    signal(runner, libc::SIGKILL);
    wait_until("the server drops every session", PATIENCE, || {
        db.try_rows("SELECT 1").is_err()
    });
    oo.heal();
    cluster.wait_for_connections();
    let mut db = cluster.session("killed");
    wait_for_success_as_time_passes(&cluster, &mut db, WINDOWS);
    assert_minutes(&mut db, WINDOWS);
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg'"), WINDOWS);
}

#[test]
fn an_immediate_shutdown_loses_nothing() {
    let mut cluster = cluster();
    let oo = OpenObserve::serve(minutes(1));
    let db = hanging(&cluster, &oo, "immediate");
    drop(db);
    cluster.stop(Shutdown::Immediate, PATIENCE);
    oo.heal();
    cluster.up();
    let mut db = cluster.session("immediate");
    wait_for_success_as_time_passes(&cluster, &mut db, 1);
    assert_minutes(&mut db, 1);
}

#[test]
fn a_running_window_can_be_cancelled_and_the_runner_goes_on() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(2));
    let mut db = hanging(&cluster, &oo, "cancelled");
    let id = db.int("SELECT run_id FROM etl_job_run WHERE status = 'running'");
    assert!(db.is(&format!("SELECT etl_cancel({id})")));
    wait_until("the run is cancelled", PATIENCE, || {
        count(&mut db, "oo-agg", "cancelled") == 1
    });
    assert_nothing_written(&mut db);
    oo.heal();
    enqueue(&mut db, T0 + MINUTE, 1);
    wait_for_success(&mut db, 1);
    assert_minutes(&mut db, 1);
}

#[test]
fn switched_off_workers_run_nothing() {
    let cluster = cluster();
    let mut db = bridge(&cluster, "off");
    add_mock(&mut db);
    wait_until("a scheduler runs", PATIENCE, || {
        !workers(&mut db, "scheduler").is_empty()
    });
    cluster.set("observe_bridge.enabled", "off");
    enqueue(&mut db, T0, 1);
    let advice = "SELECT coalesce(advice, '') FROM etl_worker_status()";
    wait_until("the status says why", PATIENCE, || db.text(advice).contains("enabled"));
    assert_eq!(count(&mut db, "oo-agg", "queued"), 1);
    cluster.set("observe_bridge.enabled", "on");
    wait_for_success(&mut db, 1);
}

#[test]
fn too_few_worker_slots_are_said_and_survived() {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
        // The launcher of logical replication, ours, one scheduler; no runner.
        "max_worker_processes = 3",
    ]);
    let mut db = bridge(&cluster, "starved");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    let advice = "SELECT coalesce(advice, '') FROM etl_worker_status()";
    wait_until("the status says so", PATIENCE, || {
        db.text(advice).contains("max_worker_processes")
    });
    db.exec(&format!("SET observe_bridge.clock = '{}'", blackbox::bridge::CLOCK));
    run(&mut db);
    assert_eq!(
        count(&mut db, "oo-agg", "success"),
        1,
        "CALL etl_run() works beside them"
    );
}
