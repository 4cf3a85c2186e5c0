//! The workers are in nobody's way: not of DROP, not of a shutdown, not of vacuum, whatever hangs.

use blackbox::bridge::{add_mock, add_openobserve, assert_nothing_written, count, enqueue};
use blackbox::cluster::{Cluster, Shutdown};
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::telemetry::{T0, minutes};
use blackbox::wait::{wait_until, within};
use blackbox::workers::{PATIENCE, bridge, cluster, cluster_of_ours, hanging, wait_for_success, workers};
use std::time::Duration;

/// The promise: whatever hangs, these commands go through.
const PROMPT: Duration = Duration::from_secs(2);

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
    let cluster = cluster_of_ours();
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
    // The session of the owner is in the way, too: the workers stop, and come back.
    assert_eq!(
        cluster.session("postgres").refused("DROP DATABASE kept").sqlstate,
        "55006"
    );
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    wait_for_success(&mut db, 1);
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
