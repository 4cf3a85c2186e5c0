//! The background workers: they come by themselves, do the work, survive what happens to them, and are in nobody's way.

use blackbox::bridge::{
    add_mock, add_openobserve, assert_minutes, assert_nothing_written, count, enqueue, facts, install, run,
};
use blackbox::cluster::{Cluster, Shutdown, signal};
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, minutes};
use blackbox::wait::{wait_until, within};
use std::time::{Duration, Instant};

/// For work that is not itself timed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The promise: whatever hangs, these commands go through.
const PROMPT: Duration = Duration::from_secs(2);

/// A cluster with workers whose clock stands an hour after the first window.
fn cluster() -> Cluster {
    Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge,timescaledb'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
    ])
}

/// A database with the extension in which oo-agg is not scheduled, so that only what a test enqueues runs.
fn bridge(cluster: &Cluster, name: &str) -> Session {
    let mut db = cluster.database(name);
    db.exec(
        "CREATE EXTENSION observe_bridge; UPDATE etl_job SET run_interval = '0' WHERE name IN ('oo-agg', 'retention')",
    );
    db
}

#[track_caller]
fn wait_for_success(db: &mut Session, runs: i64) {
    wait_until(&format!("{runs} windows have succeeded"), PATIENCE, || {
        count(db, "oo-agg", "success") == runs
    });
}

/// As [`wait_for_success`], while the clock goes on by an hour again and again: a window that was taken from a dead worker
/// is due a little after that was noticed.
#[track_caller]
fn wait_for_success_as_time_passes(cluster: &Cluster, db: &mut Session, runs: i64) {
    let mut hours = 0;
    wait_until(&format!("{runs} windows have succeeded"), PATIENCE, || {
        hours += 1;
        cluster.set_clock(&format!("2026-01-{:02} {:02}:00:00+00", 6 + hours / 24, hours % 24));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) && count(db, "oo-agg", "success") < runs {
            std::thread::sleep(Duration::from_millis(20));
        }
        count(db, "oo-agg", "success") == runs
    });
}

/// Process ids of this database's workers of a kind.
fn workers(db: &mut Session, kind: &str) -> Vec<i64> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'observe_bridge {kind}' AND (datname = current_database() OR datname IS NULL)"
    );
    db.column(&sql)
        .iter()
        .map(|pid| pid.parse().expect("a process id"))
        .collect()
}

/// A database whose only window hangs in its fetch, in a runner.
fn hanging(cluster: &Cluster, oo: &OpenObserve, name: &str) -> Session {
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, oo);
    oo.fail(Scope::Searches, Fault::Hang);
    enqueue(&mut db, T0, 1);
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    db
}

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
fn drop_extension_does_not_wait_for_a_fetch() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = hanging(&cluster, &oo, "drop_extension");
    within("DROP EXTENSION", PROMPT, || {
        db.exec("DROP EXTENSION observe_bridge CASCADE")
    });
    wait_until("the workers leave", PATIENCE, || {
        workers(&mut db, "scheduler").is_empty() && workers(&mut db, "runner").is_empty()
    });
    db.exec("CREATE EXTENSION observe_bridge");
    assert_nothing_written(&mut db);
}

#[test]
fn drop_database_does_not_wait_for_a_fetch() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(1));
    drop(hanging(&cluster, &oo, "drop_plain"));
    let mut db = cluster.session("postgres");
    within("DROP DATABASE", PROMPT, || db.exec("DROP DATABASE drop_plain"));
}

#[test]
fn drop_database_with_force_does_not_wait_for_a_fetch() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(1));
    let left_open = hanging(&cluster, &oo, "drop_force");
    let mut db = cluster.session("postgres");
    within("DROP DATABASE", PROMPT, || {
        db.exec("DROP DATABASE drop_force WITH (FORCE)")
    });
    drop(left_open);
}

#[test]
fn a_fast_shutdown_does_not_wait_for_a_fetch() {
    let mut cluster = cluster();
    let oo = OpenObserve::serve(minutes(1));
    drop(hanging(&cluster, &oo, "shutdown"));
    within("pg_ctl stop -m fast", PROMPT, || cluster.stop(Shutdown::Fast, PATIENCE));
}

#[test]
fn a_fast_shutdown_does_not_wait_for_a_call_that_fetches() {
    let mut cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = blackbox::bridge::bridge(&cluster, "called");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::Searches, Fault::Hang);
    enqueue(&mut db, T0, 1);
    let calling = std::thread::spawn(move || db.refused("CALL etl_run()"));
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    within("pg_ctl stop -m fast", PROMPT, || cluster.stop(Shutdown::Fast, PATIENCE));
    calling.join().expect("an answer");
}

#[test]
fn a_hanging_fetch_holds_no_snapshot_no_transaction_id_and_no_table_lock() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = hanging(&cluster, &oo, "bare_handed");
    let runner = db.int("SELECT worker_pid FROM etl_job_run WHERE status = 'running'");
    let activity = format!(
        "SELECT backend_xid IS NULL, backend_xmin IS NULL, xact_start IS NULL FROM pg_stat_activity WHERE pid = {runner}"
    );
    assert_eq!(db.rows(&activity), [["t", "t", "t"]]);
    let locks = format!("SELECT locktype FROM pg_locks WHERE pid = {runner} AND locktype <> 'virtualxid'");
    assert_eq!(db.column(&locks), ["userlock"], "the run's own lock and nothing else");
}

#[test]
fn a_hanging_call_holds_no_snapshot_no_transaction_id_and_no_table_lock() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = blackbox::bridge::bridge(&cluster, "call");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::Searches, Fault::Hang);
    enqueue(&mut db, T0, 1);
    let mut caller = cluster.session("call");
    let pid = caller.pid();
    caller.exec(&format!("SET observe_bridge.clock = '{}'", blackbox::bridge::CLOCK));
    let calling = std::thread::spawn(move || caller.refused("CALL etl_run()"));
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    let activity = format!("SELECT backend_xid IS NULL, backend_xmin IS NULL FROM pg_stat_activity WHERE pid = {pid}");
    assert_eq!(db.rows(&activity), [["t", "t"]]);
    let locks = format!("SELECT locktype FROM pg_locks WHERE pid = {pid} AND locktype <> 'virtualxid'");
    assert_eq!(db.column(&locks), ["userlock"]);
    db.exec(&format!("SELECT pg_cancel_backend({pid})"));
    calling.join().expect("an answer");
}

#[test]
fn databases_with_workers_can_be_renamed_and_copied() {
    let cluster = cluster();
    let mut db = bridge(&cluster, "first_name");
    wait_until("a scheduler runs", PATIENCE, || {
        !workers(&mut db, "scheduler").is_empty()
    });
    drop(db);
    let mut other = cluster.session("postgres");
    within("ALTER DATABASE RENAME", PROMPT, || {
        other.exec("ALTER DATABASE first_name RENAME TO second_name")
    });
    within("CREATE DATABASE TEMPLATE", PROMPT, || {
        other.exec("CREATE DATABASE copy TEMPLATE second_name")
    });
    let mut db = cluster.session("second_name");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    wait_for_success(&mut db, 1);
}

#[test]
fn a_refused_drop_database_leaves_the_workers_at_work() {
    let cluster = cluster();
    let mut db = bridge(&cluster, "kept");
    db.exec("CREATE ROLE nobody_much LOGIN");
    wait_until("a scheduler runs", PATIENCE, || {
        !workers(&mut db, "scheduler").is_empty()
    });
    let before = workers(&mut db, "scheduler");
    let mut stranger = cluster.session_as("nobody_much", "postgres");
    assert_eq!(stranger.refused("DROP DATABASE kept").sqlstate, "42501");
    assert_eq!(
        workers(&mut db, "scheduler"),
        before,
        "who may not drop does not disturb"
    );
    // This session is in the way of its owner, too: the workers stop, and come back.
    assert_eq!(
        cluster.session("postgres").refused("DROP DATABASE kept").sqlstate,
        "55006"
    );
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    wait_for_success(&mut db, 1);
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
fn idle_workers_burn_no_transaction_ids() {
    // Autovacuum has transactions of its own.
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
        "observe_bridge.poll_interval = 100ms",
        "autovacuum = off",
    ]);
    let mut db = bridge(&cluster, "idle");
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET run_interval = '1 min', lookback = '5 min' WHERE name = 'oo-agg'");
    wait_until("the scheduler has nothing left to do", PATIENCE, || {
        let open = "SELECT count(*) FROM etl_job_run WHERE status IN ('queued', 'running')";
        count(&mut db, "oo-agg", "success") > 0 && db.int(open) == 0
    });
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
    let queries = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let mut polls = |n: i64| {
        let polled = db.int(queries);
        wait_until("the scheduler has polled many times", PATIENCE, || {
            db.int(queries) > polled + n
        });
        db.text(next)
    };
    // First the runners find that there is nothing left.
    let before = polls(50);
    assert_eq!(polls(200), before);
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
