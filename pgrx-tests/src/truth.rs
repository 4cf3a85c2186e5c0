//! Workloads whose exact aggregates are known: bring one into a database over HTTP or from Parquet, compare what is in
//! its tables. Needs test data that is not part of the repository; see [`crate::shared`].

use crate::bridge::{add_http, add_source};
use crate::cluster::Cluster;
use crate::session::Session;
use crate::shared::{Bench, Workload};
use std::fs;
use std::path::Path;

/// The credentials the stand-in server of the workloads expects.
const USER: &str = "root@example.com";
const PASSWORD: &str = "Complexpass#123";

const METRICS: &str = "SELECT m.bucket, r.name, m.metric, m.avg_val, m.max_val, m.p95_val
    FROM metric_1m m JOIN dim_resource r USING (resource_id)";
const CALLS: &str = "SELECT c.bucket, s.name, d.name, c.rps, c.err_rate, c.p50_ms, c.p95_ms FROM service_call_5m c
    JOIN dim_resource s ON s.resource_id = c.src_resource_id JOIN dim_resource d ON d.resource_id = c.dst_resource_id
    WHERE NOT c.inferred";
const PATTERNS: &str =
    "SELECT l.bucket, r.name, p.class_id::text, sum(l.count_total), sum(l.count_error), min(p.sample_message)
    FROM log_pattern_5m l JOIN dim_resource r USING (resource_id)
    JOIN log_pattern p ON p.tenant_id = l.tenant_id AND p.fingerprint_id = l.fingerprint_id GROUP BY 1, 2, 3";

/// The least share of lines in rightly grouped templates.
const GROUPING: &str = "0.95";

/// A clock for the workloads, an hour after they begin.
pub const CLOCK: &str = "observe_bridge.clock = '2026-01-05 11:00:00+00'";

/// A workload starts at 2026-01-05 10:00 UTC and has so many minutes.
pub fn minutes(preset: &str) -> i64 {
    if preset == "M" { 10 } else { 1 }
}

/// A database where only what a test enqueues runs.
#[track_caller]
pub fn database(cluster: &Cluster, name: &str) -> Session {
    let mut db = cluster.database(name);
    db.exec(
        "CREATE EXTENSION observe_bridge; UPDATE etl_job SET run_interval = '0' WHERE name IN ('oo-agg', 'retention')",
    );
    db
}

/// Makes the stand-in server of a workload the source.
#[track_caller]
pub fn from_http(db: &mut Session, workload: &Workload) {
    add_http(db, &format!("http://127.0.0.1:{}", workload.port), USER, PASSWORD);
}

/// Makes the Parquet files of a workload the source.
#[track_caller]
pub fn from_files(cluster: &Cluster, db: &mut Session, folder: &Path) {
    readable(folder);
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    db.exec(&format!(
        "CREATE SERVER files FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}', layout 'openobserve')",
        folder.display()
    ));
    add_source(db, "files", "{}");
}

/// Queues every minute of a workload.
#[track_caller]
pub fn enqueue(db: &mut Session, windows: i64) {
    let range = format!("'2026-01-05 10:00Z', timestamptz '2026-01-05 10:00Z' + interval '{windows} min'");
    let queued = db.int(&format!("SELECT etl_enqueue('oo-agg', 'default', {range})"));
    assert_eq!(queued, windows);
}

/// Compares the tables of a database with the truth in `folder`; gives the verifier's report, which is JSON. Metrics and
/// calls must be exact, every line counted, and lines grouped as in the truth but for a few.
#[track_caller]
pub fn compare(cluster: &Cluster, database: &str, bench: &Bench, folder: &Path) -> String {
    let truth = folder.join("truth.json");
    bench.run(
        "verify.py",
        &[
            "--truth",
            &truth.to_string_lossy(),
            "--dsn",
            &cluster.dsn(database),
            "--min-ga",
            GROUPING,
            "--metric-sql",
            METRICS,
            "--call-sql",
            CALLS,
            "--pattern-sql",
            PATTERNS,
        ],
    )
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
