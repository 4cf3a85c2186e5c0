//! Workloads whose exact aggregates are known, over HTTP and from Parquet, by workers and by `CALL etl_run`, before and
//! after a replay of every window. Needs test data that is not part of the repository; see `blackbox::shared`.

use blackbox::bridge::{add_http, add_source, count, run};
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::shared::{Bench, bench};
use blackbox::wait::wait_until;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The credentials the stand-in server of the workloads expects.
const USER: &str = "root@example.com";
const PASSWORD: &str = "Complexpass#123";

const METRICS: &str = "SELECT m.bucket, r.name, m.metric, m.avg_val, m.max_val, m.p95_val
    FROM metric_1m m JOIN dim_resource r USING (resource_id)";
const CALLS: &str = "SELECT c.bucket, s.name, d.name, c.rps, c.err_rate, c.p50_ms, c.p95_ms FROM service_call_5m c
    JOIN dim_resource s ON s.resource_id = c.src_resource_id JOIN dim_resource d ON d.resource_id = c.dst_resource_id
    WHERE NOT c.inferred";
const PATTERNS: &str =
    "SELECT l.bucket, r.name, p.fingerprint_id::text, sum(l.count_total), sum(l.count_error), min(p.sample_message)
    FROM log_pattern_5m l JOIN dim_resource r USING (resource_id) 
    JOIN log_pattern p ON p.tenant_id = l.tenant_id AND p.fingerprint_id = l.fingerprint_id GROUP BY 1, 2, 3";

/// The least share of lines in rightly grouped templates; the alias stage of pattern mining will raise it.
const GROUPING: &str = "0.5";

/// A workload starts at 2026-01-05 10:00 UTC and has so many minutes.
fn minutes(preset: &str) -> i64 {
    if preset == "S" { 1 } else { 10 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Workers,
    Call,
}

fn cluster(by: By) -> Cluster {
    match by {
        By::Workers => Cluster::start(&[
            "shared_preload_libraries = 'observe_bridge,timescaledb'",
            "observe_bridge.clock = '2026-01-05 11:00:00+00'",
        ]),
        By::Call => Cluster::start(&["observe_bridge.clock = '2026-01-05 11:00:00+00'"]),
    }
}

fn database(cluster: &Cluster) -> Session {
    let mut db = cluster.database("truth");
    // Only what the test enqueues runs.
    db.exec(
        "CREATE EXTENSION observe_bridge; UPDATE etl_job SET run_interval = '0' WHERE name IN ('oo-agg', 'retention')",
    );
    db
}

/// Runs every window, verifies, replays every window, verifies again.
#[track_caller]
fn verify(cluster: &Cluster, db: &mut Session, bench: &Bench, folder: &Path, by: By, windows: i64) {
    for pass in 1..=2 {
        let range = format!("'2026-01-05 10:00Z', timestamptz '2026-01-05 10:00Z' + interval '{windows} min'");
        assert_eq!(
            db.int(&format!("SELECT etl_enqueue('oo-agg', 'default', {range})")),
            windows
        );
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
        let truth = folder.join("truth.json");
        bench.run(
            "verify.py",
            &[
                "--truth",
                &truth.to_string_lossy(),
                "--dsn",
                &cluster.dsn("truth"),
                "--min-ga",
                GROUPING,
                "--metric-sql",
                METRICS,
                "--call-sql",
                CALLS,
                "--pattern-sql",
                PATTERNS,
            ],
        );
    }
}

#[track_caller]
fn over_http(preset: &str, by: By) {
    let Some(bench) = bench() else { return };
    let cluster = cluster(by);
    let folder = cluster.make_folder("workload");
    bench.generate(&folder, preset, "window");
    let workload = bench.serve(&folder);
    let mut db = database(&cluster);
    add_http(&mut db, &format!("http://127.0.0.1:{}", workload.port), USER, PASSWORD);
    verify(&cluster, &mut db, &bench, &folder, by, minutes(preset));
}

#[track_caller]
fn from_files(preset: &str, layout: &str, by: By) {
    let Some(bench) = bench() else { return };
    let cluster = cluster(by);
    let folder = cluster.make_folder("workload");
    bench.generate(&folder, preset, layout);
    readable(&folder);
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = database(&cluster);
    db.exec(&format!(
        "CREATE SERVER files FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}', layout 'openobserve')",
        folder.display()
    ));
    add_source(&mut db, "files", "{}");
    verify(&cluster, &mut db, &bench, &folder, by, minutes(preset));
}

/// Lets the server read what the generator wrote.
fn readable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder).expect("the folder").flatten() {
        let directory = entry.path().is_dir();
        fs::set_permissions(
            entry.path(),
            fs::Permissions::from_mode(if directory { 0o755 } else { 0o644 }),
        )
        .expect("its rights");
        if directory {
            readable(&entry.path());
        }
    }
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
