//! More than one database, more than one server, more than one version, and fewer processes than they would like.

use blackbox::bridge::{CLOCK, add_mock, add_openobserve, assert_minutes, clock, count, enqueue, run};
use blackbox::cluster::{Cluster, Shutdown, output, pg_config};
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, minutes};
use blackbox::wait::wait_until;
use blackbox::workers::{
    PATIENCE, bridge, cluster, cluster_of_ours, hanging, wait_for_success, wait_for_success_as_time_passes, workers,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Windows of oo-agg, gaps or overlaps between them, and those that have not succeeded.
fn ledger(db: &mut Session) -> Vec<String> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE before <> window_from), count(*) FILTER (WHERE status <> 'success')
                 FROM (SELECT *, lag(window_to) OVER (ORDER BY window_from) AS before FROM etl_job_run WHERE job = 'oo-agg') w";
    db.rows(sql).swap_remove(0)
}

fn advice(db: &mut Session) -> String {
    db.text("SELECT coalesce(advice, '') FROM etl_worker_status()")
}

#[test]
fn databases_are_worked_side_by_side() {
    let cluster = cluster();
    let mut all: Vec<Session> = ["one", "two", "three"].map(|name| bridge(&cluster, name)).into();
    for (db, windows) in all.iter_mut().zip(1..) {
        add_mock(db);
        enqueue(db, T0, windows);
    }
    for (db, windows) in all.iter_mut().zip(1..) {
        wait_for_success(db, windows);
        assert_eq!(ledger(db), [windows.to_string(), "0".into(), "0".into()]);
    }
    let mut schedulers: Vec<i64> = all.iter_mut().flat_map(|db| workers(db, "scheduler")).collect();
    schedulers.sort_unstable();
    schedulers.dedup();
    assert_eq!(schedulers.len(), 3, "one scheduler each");

    all[0].exec("DROP EXTENSION observe_bridge CASCADE");
    wait_until("its workers leave", PATIENCE, || {
        workers(&mut all[0], "scheduler").is_empty() && workers(&mut all[0], "runner").is_empty()
    });
    for (db, windows) in all[1..].iter_mut().zip(2..) {
        enqueue(db, T0 + 10 * MINUTE, 1);
        wait_for_success(db, windows + 1);
    }
    // A second start in the same database.
    all[0].exec("CREATE EXTENSION observe_bridge; UPDATE etl_job SET run_interval = '0'");
    add_mock_again(&mut all[0]);
    enqueue(&mut all[0], T0, 1);
    wait_for_success(&mut all[0], 1);
}

/// The wrapper, and with it the server, went with the extension.
fn add_mock_again(db: &mut Session) {
    assert_eq!(db.int("SELECT count(*) FROM pg_foreign_server"), 0);
    add_mock(db);
}

#[test]
fn a_copy_of_a_database_is_worked_too() {
    let cluster = cluster_of_ours();
    let mut db = bridge(&cluster, "original");
    add_mock(&mut db);
    // In both of them the next three windows are due at once.
    db.exec("SELECT etl_pause('oo-agg')");
    enqueue(&mut db, T0, 3);
    drop(db);
    let mut other = cluster.session("postgres");
    other.exec("CREATE DATABASE copy TEMPLATE original");
    for name in ["copy", "original"] {
        let mut db = cluster.session(name);
        wait_until(&format!("{name} has a scheduler"), PATIENCE, || {
            !workers(&mut db, "scheduler").is_empty()
        });
        db.exec("SELECT etl_resume('oo-agg')");
        wait_for_success(&mut db, 3);
    }
}

#[test]
fn a_database_made_from_a_template_with_the_extension_is_worked() {
    let cluster = cluster_of_ours();
    let mut template = cluster.database("master_copy");
    template.exec("CREATE EXTENSION observe_bridge; UPDATE etl_job SET run_interval = '0'");
    drop(template);
    let mut other = cluster.session("postgres");
    other.exec("ALTER DATABASE master_copy IS_TEMPLATE true");
    other.exec("CREATE DATABASE made TEMPLATE master_copy");
    let mut db = cluster.session("made");
    wait_until("it has a scheduler", PATIENCE, || {
        !workers(&mut db, "scheduler").is_empty()
    });
}

#[test]
fn switched_off_schedulers_stay_only_where_the_extension_is() {
    let cluster = cluster();
    let mut db = bridge(&cluster, "here");
    wait_until("a scheduler runs", PATIENCE, || {
        !workers(&mut db, "scheduler").is_empty()
    });
    cluster.set("observe_bridge.enabled", "off");
    db.exec("CREATE DATABASE elsewhere");
    // Its look ends with a rollback; no session was ever there.
    let looks = "SELECT xact_rollback FROM pg_stat_database WHERE datname = 'elsewhere'";
    wait_until("a scheduler has looked into it", PATIENCE, || db.int(looks) > 0);
    let found = "SELECT string_agg(datname, ',') FROM pg_stat_activity WHERE backend_type = 'observe_bridge scheduler'";
    wait_until("only the one is left", PATIENCE, || db.text(found) == "here");
}

#[test]
fn a_standby_is_read_only_and_goes_on_after_its_promotion() {
    let mut primary = cluster();
    let oo = OpenObserve::serve(minutes(60));
    let mut db = primary.database("ha");
    db.exec("CREATE EXTENSION observe_bridge; UPDATE etl_job SET lookback = '10 min' WHERE name = 'oo-agg'");
    add_openobserve(&mut db, &oo);
    // 11:00 less two minutes of delay and ten of lookback, whole buckets: 10:45 to 10:58.
    wait_for_success(&mut db, 13);
    let standby = primary.standby();
    let mut read = standby.session("ha");
    assert!(read.is("SELECT pg_is_in_recovery()"));

    // Two windows are on their way when the primary dies.
    oo.fail(Scope::Searches, Fault::Hang);
    primary.set_clock("2026-01-05 11:02:00+00");
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    wait_until("the standby knows of it", PATIENCE, || {
        count(&mut read, "oo-agg", "running") > 0
    });
    assert!(
        read.column("SELECT backend_type FROM pg_stat_activity WHERE backend_type LIKE 'observe_bridge%'")
            .is_empty()
    );
    let status = read.rows("SELECT queued + running, failed, circuit FROM etl_status WHERE job = 'oo-agg'");
    assert_eq!(status, [["2", "0", "closed"]]);
    assert!(
        read.text("SELECT etl_metrics()")
            .contains("observe_bridge_window_lag_seconds")
    );
    assert!(advice(&mut read).contains("recovery"), "{}", advice(&mut read));
    assert_eq!(
        read.refused("SELECT etl_enqueue('oo-agg', 'default', now() - interval '1 h', now())")
            .sqlstate,
        "25006"
    );
    assert_eq!(read.refused("CALL etl_run()").sqlstate, "25006");
    primary.stop(Shutdown::Immediate, PATIENCE);
    drop(primary);
    oo.heal();

    assert!(read.is("SELECT pg_promote()"));
    standby.set_clock("2026-01-05 11:05:00+00");
    wait_for_success(&mut read, 18);
    assert_eq!(ledger(&mut read), ["18", "0", "0"]);
    assert_minutes(&mut read, 15);
    assert_eq!(advice(&mut read), "");
}

/// The script of an update from a version that never was; it goes with the value.
struct UpdateScript(PathBuf);

const OLD: &str = "0.0.1";

impl UpdateScript {
    /// Beside the installed scripts; `None`, after saying so, where this user may not write.
    fn write(version: &str) -> Option<UpdateScript> {
        let share = output(Command::new(pg_config()).arg("--sharedir"));
        let path = Path::new(share.trim()).join(format!("extension/observe_bridge--{OLD}--{version}.sql"));
        match fs::write(&path, "SELECT etl_wake();\n") {
            Ok(()) => Some(UpdateScript(path)),
            Err(e) => {
                println!("skipped: {} cannot be written: {e}", path.display());
                None
            }
        }
    }
}

impl Drop for UpdateScript {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the script is removed");
    }
}

#[test]
fn workers_of_another_version_wait_for_the_update() {
    let cluster = cluster();
    let oo = OpenObserve::serve(minutes(60));
    let mut db = hanging(&cluster, &oo, "old");
    let version = db.text("SELECT extversion FROM pg_extension WHERE extname = 'observe_bridge'");
    let Some(_script) = UpdateScript::write(&version) else {
        return;
    };
    db.exec(&format!(
        "UPDATE pg_extension SET extversion = '{OLD}' WHERE extname = 'observe_bridge'"
    ));
    enqueue(&mut db, T0 + MINUTE, 3);
    wait_until("the scheduler has noticed", PATIENCE, || {
        db.is("SELECT coalesce(last_error LIKE '%ALTER EXTENSION observe_bridge UPDATE%', false) FROM etl_worker_status()")
    });
    // The window that was being fetched cannot be written, and is nobody's now.
    oo.heal();
    wait_until("the runner leaves", PATIENCE, || workers(&mut db, "runner").is_empty());
    assert!(advice(&mut db).contains("ALTER EXTENSION observe_bridge UPDATE"));
    assert!(!db.is("SELECT version_match FROM etl_worker_status()"));
    let refusal = db.refused("CALL etl_run()");
    assert!(
        refusal.hint.contains("ALTER EXTENSION observe_bridge UPDATE"),
        "{refusal}"
    );
    assert_eq!(count(&mut db, "oo-agg", "success"), 0);
    assert_minutes(&mut db, 0);

    db.exec("ALTER EXTENSION observe_bridge UPDATE");
    wait_for_success_as_time_passes(&cluster, &mut db, 4);
    assert_minutes(&mut db, 4);
    assert_eq!(advice(&mut db), "");
}

/// A cluster with room for so many background workers. The launcher of logical replication and ours are two of them.
fn narrow(workers: usize) -> Cluster {
    Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
        "observe_bridge.max_runners = 1",
        &format!("max_worker_processes = {workers}"),
    ])
}

fn said(cluster: &Cluster, what: &str) -> usize {
    let line = format!("no free background worker slot for a {what}");
    cluster.log().matches(&line).count()
}

#[test]
fn a_runner_starts_when_a_slot_becomes_free() {
    // Two schedulers and no runner.
    let cluster = narrow(4);
    let mut db = bridge(&cluster, "wanting");
    db.exec("UPDATE etl_job SET enabled = false WHERE name = 'reconcile'");
    add_mock(&mut db);
    let mut other = bridge(&cluster, "in_the_way");
    wait_until("both have a scheduler", PATIENCE, || {
        !workers(&mut db, "scheduler").is_empty() && !workers(&mut other, "scheduler").is_empty()
    });
    enqueue(&mut db, T0, 1);
    wait_until("the status says so", PATIENCE, || {
        advice(&mut db).contains("max_worker_processes = 4 is used up")
    });
    let polls = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let polled = db.int(polls);
    wait_until("the scheduler has tried again and again", PATIENCE, || {
        db.int(polls) > polled + 50
    });
    assert_eq!(said(&cluster, "runner"), 1);
    clock(&mut db, CLOCK);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1, "CALL etl_run() needs no slot");

    enqueue(&mut db, T0 + MINUTE, 1);
    other.exec("DROP EXTENSION observe_bridge CASCADE");
    wait_for_success(&mut db, 2);
    assert_eq!(said(&cluster, "runner"), 1);
    assert_eq!(advice(&mut db), "");
}

#[test]
fn a_scheduler_starts_when_a_slot_becomes_free() {
    let cluster = narrow(4);
    let oo = OpenObserve::serve(minutes(1));
    // One scheduler and its runner.
    drop(hanging(&cluster, &oo, "in_the_way"));
    let mut db = bridge(&cluster, "wanting");
    add_mock(&mut db);
    wait_until("the status says so", PATIENCE, || {
        advice(&mut db).contains("max_worker_processes = 4 is used up")
    });
    // Each of these makes the launcher try.
    for minute in 0..20 {
        enqueue(&mut db, T0 + minute * MINUTE, 1);
    }
    assert_eq!(count(&mut db, "oo-agg", "queued"), 20);
    cluster.session("postgres").exec("DROP DATABASE in_the_way");
    wait_for_success(&mut db, 20);
    assert_eq!(said(&cluster, "scheduler"), 1);
    assert_eq!(advice(&mut db), "");
}
