//! Workloads whose exact aggregates are known, over HTTP and from Parquet, by workers and by `CALL etl_run`, before and
//! after a replay of every window. `tests/verify.rs` has more seeds and sizes. Needs test data that is not part of the
//! repository; see `blackbox::shared`.

use blackbox::bridge::{count, run};
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::shared::{Bench, SEED, bench};
use blackbox::truth::{self, CLOCK, minutes};
use blackbox::wait::wait_until;
use std::path::Path;
use std::time::Duration;

const DATABASE: &str = "truth";

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Workers,
    Call,
}

fn cluster(by: By) -> Cluster {
    match by {
        By::Workers => Cluster::start(&["shared_preload_libraries = 'observe_bridge,timescaledb'", CLOCK]),
        By::Call => Cluster::start(&[CLOCK]),
    }
}

/// Runs every window, verifies, replays every window, verifies again.
#[track_caller]
fn verify(cluster: &Cluster, db: &mut Session, bench: &Bench, folder: &Path, by: By, windows: i64) {
    for pass in 1..=2 {
        truth::enqueue(db, windows);
        match by {
            By::Call => run(db),
            By::Workers => wait_until("the workers have run every window", Duration::from_secs(120), || {
                assert_eq!(
                    db.column("SELECT error FROM etl_job_run WHERE error IS NOT NULL"),
                    [""; 0]
                );
                count(db, "oo-agg", "success") == windows
            }),
        }
        let errors = db.column("SELECT error FROM etl_job_run WHERE error IS NOT NULL");
        assert_eq!(count(db, "oo-agg", "success"), windows, "pass {pass}: {errors:?}");
        assert_eq!(db.int("SELECT count(*) FROM etl_reject"), 0);
        truth::compare(cluster, DATABASE, bench, folder);
    }
}

#[track_caller]
fn over_http(preset: &str, by: By) {
    let Some(bench) = bench() else { return };
    let cluster = cluster(by);
    let folder = cluster.make_folder("workload");
    bench.generate(&folder, preset, SEED, "window");
    let workload = bench.serve(&folder);
    let mut db = truth::database(&cluster, DATABASE);
    truth::from_http(&mut db, &workload);
    verify(&cluster, &mut db, &bench, &folder, by, minutes(preset));
}

#[track_caller]
fn from_files(preset: &str, layout: &str, by: By) {
    let Some(bench) = bench() else { return };
    let cluster = cluster(by);
    let folder = cluster.make_folder("workload");
    bench.generate(&folder, preset, SEED, layout);
    let mut db = truth::database(&cluster, DATABASE);
    truth::from_files(&cluster, &mut db, &folder);
    verify(&cluster, &mut db, &bench, &folder, by, minutes(preset));
}

#[test]
fn window_s_over_http_by_workers_is_exact() {
    over_http("S", By::Workers);
}

#[test]
fn window_s_over_http_by_call_is_exact() {
    over_http("S", By::Call);
}

#[test]
fn windows_m_over_http_by_workers_are_exact() {
    over_http("M", By::Workers);
}

#[test]
fn windows_m_over_http_by_call_are_exact() {
    over_http("M", By::Call);
}

#[test]
fn window_s_from_a_file_a_window_by_call_is_exact() {
    from_files("S", "window", By::Call);
}

#[test]
fn window_s_from_a_file_an_hour_by_workers_is_exact() {
    from_files("S", "hour", By::Workers);
}

#[test]
fn windows_m_from_a_file_a_window_by_workers_are_exact() {
    from_files("M", "window", By::Workers);
}

#[test]
fn windows_m_from_a_file_a_window_by_call_are_exact() {
    from_files("M", "window", By::Call);
}

#[test]
fn windows_m_from_a_file_an_hour_by_workers_are_exact() {
    from_files("M", "hour", By::Workers);
}

#[test]
fn windows_m_from_a_file_an_hour_by_call_are_exact() {
    from_files("M", "hour", By::Call);
}
