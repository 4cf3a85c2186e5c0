//! What tests of the background workers have in common.

use crate::bridge::{add_openobserve, count, enqueue};
use crate::cluster::Cluster;
use crate::openobserve::{Fault, OpenObserve, Scope};
use crate::session::Session;
use crate::telemetry::T0;
use crate::wait::wait_until;
use std::time::{Duration, Instant};

/// For work that is not itself timed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with workers whose clock stands an hour after the first window.
pub fn cluster() -> Cluster {
    Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge,timescaledb'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
    ])
}

/// As [`cluster`], with no workers but ours: TimescaleDB's come into any database, and are in the way of its copy.
pub fn cluster_of_ours() -> Cluster {
    Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
    ])
}

/// A database with the extension in which oo-agg is not scheduled, so that only what a test enqueues runs.
pub fn bridge(cluster: &Cluster, name: &str) -> Session {
    let mut db = cluster.database(name);
    db.exec(
        "CREATE EXTENSION observe_bridge; UPDATE etl_job SET run_interval = '0' WHERE name IN ('oo-agg', 'retention', 'reconcile')",
    );
    db
}

/// Waits until so many windows of oo-agg have succeeded.
#[track_caller]
pub fn wait_for_success(db: &mut Session, runs: i64) {
    wait_until(&format!("{runs} windows have succeeded"), PATIENCE, || {
        count(db, "oo-agg", "success") == runs
    });
}

/// As [`wait_for_success`], while the clock goes on by an hour again and again: a window that was taken from a dead worker
/// is due a little after that was noticed.
#[track_caller]
pub fn wait_for_success_as_time_passes(cluster: &Cluster, db: &mut Session, runs: i64) {
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
pub fn workers(db: &mut Session, kind: &str) -> Vec<i64> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'observe_bridge {kind}' AND (datname = current_database() OR datname IS NULL)"
    );
    db.column(&sql)
        .iter()
        .map(|pid| pid.parse().expect("a process id"))
        .collect()
}

/// A database whose only window hangs in its fetch, in a runner.
pub fn hanging(cluster: &Cluster, oo: &OpenObserve, name: &str) -> Session {
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, oo);
    oo.fail(Scope::Searches, Fault::Hang);
    enqueue(&mut db, T0, 1);
    wait_until("a fetch hangs", PATIENCE, || oo.stuck() > 0);
    db
}
