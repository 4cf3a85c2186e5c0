//! Backfills under background workers: seen from other sessions, stopped, killed, and gone on with.

use blackbox::bridge::{add_mock, add_openobserve, assert_minutes, count};
use blackbox::cluster::{Cluster, Shutdown, signal};
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::Session;
use blackbox::telemetry::minutes;
use blackbox::wait::wait_until;
use blackbox::workers::{PATIENCE, bridge, cluster, wait_for_success_as_time_passes};
use std::time::Duration;

/// The column of the only backfill's progress.
#[track_caller]
fn progress(db: &mut Session, column: &str) -> String {
    db.text(&format!("SELECT {column} FROM etl_backfill_progress"))
}

/// Waits until the only backfill has come to this state.
#[track_caller]
fn wait_for_state(db: &mut Session, state: &str) {
    wait_until(&format!("the backfill is {state}"), PATIENCE, || {
        progress(db, "state") == state
    });
}

/// A database with a backfill of the first `windows` minutes in slices of two, whose first fetch hangs.
fn hanging(cluster: &Cluster, oo: &OpenObserve, name: &str, windows: i64) -> Session {
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, oo);
    oo.fail(Scope::Searches, Fault::Hang);
    db.exec(&format!(
        "SELECT etl_backfill('oo-agg', 'default', '2026-01-05 10:00Z', '2026-01-05 10:00Z'::timestamptz + {windows} * interval '1 min', '2 min')"
    ));
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    db
}

#[test]
fn workers_go_from_slice_to_slice() {
    let cluster = cluster();
    let mut db = bridge(&cluster, "slices");
    add_mock(&mut db);
    db.exec("SELECT etl_backfill('oo-agg', 'default', '2026-01-05 10:00Z', '2026-01-05 10:12Z', '3 min', newest_first => true)");
    wait_for_state(&mut db, "done");
    assert_eq!(count(&mut db, "oo-agg", "success"), 12);
    assert_eq!(progress(&mut db, "rows"), (12 * 6_500).to_string());
}

#[test]
fn a_backfill_is_seen_paused_resumed_and_cancelled_while_it_runs() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(8));
    let mut db = hanging(&cluster, &oo, "control", 8);
    let mut other = cluster.session("control");
    assert_eq!(
        other.rows("SELECT state, slices, windows, windows_done FROM etl_backfill_progress"),
        [["running", "4", "8", "0"]]
    );
    assert!(other.is("SELECT etl_backfill_pause(1)"));
    oo.heal();
    // What runs goes on; nothing else does.
    cluster.set_clock("2026-01-05 12:00:00+00");
    wait_until("nothing runs any more", PATIENCE, || {
        count(&mut db, "oo-agg", "running") == 0
    });
    assert_eq!(progress(&mut other, "state"), "paused");
    assert!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND slice_no > 1") == 0);

    oo.fail(Scope::Searches, Fault::Hang);
    assert!(other.is("SELECT etl_backfill_resume(1)"));
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    assert!(other.is("SELECT etl_backfill_cancel(1)"));
    wait_until("the runs are cancelled", PATIENCE, || {
        count(&mut db, "oo-agg", "running") == 0 && count(&mut db, "oo-agg", "queued") == 0
    });
    oo.heal();
    wait_until("every slice is closed", PATIENCE, || {
        db.int("SELECT count(*) FROM etl_backfill_slice WHERE state <> 'cancelled' AND state <> 'done'") == 0
    });
    assert_eq!(progress(&mut other, "state"), "cancelled");
    assert!(count(&mut db, "oo-agg", "cancelled") > 0);
}

#[test]
fn kill_9_of_a_runner_in_the_middle_of_a_backfill() {
    const WINDOWS: i64 = 6;
    let mut cluster = cluster();
    let oo = OpenObserve::serve(minutes(WINDOWS));
    let mut db = hanging(&cluster, &oo, "killed", WINDOWS);
    signal(
        db.int("SELECT max(worker_pid) FROM etl_job_run WHERE status = 'running'"),
        libc::SIGKILL,
    );
    wait_until("the server drops every session", PATIENCE, || {
        db.try_rows("SELECT 1").is_err()
    });
    oo.heal();
    cluster.wait_for_connections();
    goes_on(&cluster, "killed", WINDOWS);
}

#[test]
fn an_immediate_shutdown_in_the_middle_of_a_backfill() {
    const WINDOWS: i64 = 6;
    let mut cluster = cluster();
    let oo = OpenObserve::serve(minutes(WINDOWS));
    drop(hanging(&cluster, &oo, "stopped", WINDOWS));
    cluster.stop(Shutdown::Immediate, Duration::from_secs(30));
    oo.heal();
    cluster.up();
    goes_on(&cluster, "stopped", WINDOWS);
}

/// A backfill of so many windows goes on after a crash and comes to its end.
#[track_caller]
fn goes_on(cluster: &Cluster, name: &str, windows: i64) {
    let mut db = cluster.session(name);
    wait_for_success_as_time_passes(cluster, &mut db, windows);
    wait_for_state(&mut db, "done");
    assert_minutes(&mut db, windows);
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg'"), windows);
    let sums =
        "SELECT sum(windows), sum(windows_failed), count(*) FILTER (WHERE state = 'done') FROM etl_backfill_slice";
    assert_eq!(
        db.rows(sums),
        [[windows.to_string(), "0".into(), (windows / 2).to_string()]]
    );
}
