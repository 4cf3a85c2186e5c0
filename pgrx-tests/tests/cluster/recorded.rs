//! What a real OpenObserve server wrote and answered, loaded whole: the totals are those its recordings state.
//! Needs test data that is not part of the repository; see `blackbox::shared`.

use blackbox::bridge::{add_openobserve, add_source, bridge, count, enqueue, facts, install, run};
use blackbox::cluster::{Cluster, output};
use blackbox::openobserve::OpenObserve;
use blackbox::session::Session;
use blackbox::shared::shared;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Start of the recorded window, UTC microseconds. It is three minutes long.
const FROM: i64 = 1_795_216_260_000_000;
const MINUTES: i64 = 3;
const AFTER: &str = "2026-11-21 12:00:00+00";

/// Rows of each metrics stream, as the README of the recordings states them.
const METRICS: [(&str, i64); 10] = [
    ("http_server_duration_bucket", 1296),
    ("http_server_duration_count", 144),
    ("http_server_duration_max", 144),
    ("http_server_duration_min", 144),
    ("http_server_duration_sum", 144),
    ("http_server_requests_total", 576),
    ("process_cpu_usage", 288),
    ("process_memory_usage", 144),
    ("queue_depth", 36),
    ("up", 36),
];
const LOGS: i64 = 15_000 + 600;
const SPANS: i64 = 3_017;
/// Of the stream `default`; the access log of the other stream has a level of its own.
const ERROR_LOGS: i64 = 482;

#[track_caller]
fn load(db: &mut Session) {
    db.exec(&format!("SET observe_bridge.clock = '{AFTER}'"));
    assert_eq!(enqueue(db, FROM, MINUTES), MINUTES);
    run(db);
    let errors = db.column("SELECT error FROM etl_job_run WHERE error IS NOT NULL");
    assert_eq!(count(db, "oo-agg", "success"), MINUTES, "{errors:?}");
}

#[track_caller]
fn assert_totals(db: &mut Session) {
    assert_eq!(db.int("SELECT sum(count_total) FROM log_pattern_5m"), LOGS);
    let app_errors = "SELECT sum((stats #>> '{fetch,spans}')::bigint) FROM etl_job_run WHERE job = 'oo-agg'";
    assert_eq!(db.int(app_errors), SPANS);
    let metrics = db.rows("SELECT metric, sum(sample_count) FROM metric_1m GROUP BY 1 ORDER BY 1");
    let wanted: Vec<Vec<String>> = METRICS
        .iter()
        .map(|(m, n)| vec![m.to_string(), n.to_string()])
        .collect();
    assert_eq!(metrics, wanted);
    assert_eq!(
        db.int("SELECT count(*) FROM etl_reject"),
        0,
        "nothing of a real server is refused"
    );
}

/// A copy of recorded objects that the server may read.
fn objects(cluster: &Cluster, from: &Path) -> PathBuf {
    let folder = cluster.make_folder("objects");
    output(Command::new("cp").arg("-R").arg(from.join(".")).arg(&folder));
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(&folder));
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    folder
}

fn add_files(db: &mut Session, folder: &Path, options: &str) {
    db.exec(&format!(
        "CREATE SERVER files FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}', layout 'openobserve')",
        folder.display()
    ));
    add_source(db, "files", options);
}

#[test]
fn recorded_answers_load_with_the_totals_of_the_recordings() {
    let Some(data) = shared() else { return };
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::recorded(&data.join("openobserve"));
    let mut db = bridge(&cluster, "http");
    add_openobserve(&mut db, &oo);
    load(&mut db);
    assert_totals(&mut db);
    let errors = "SELECT sum(l.count_error) FROM log_pattern_5m l JOIN dim_resource r USING (resource_id)
                   WHERE r.name <> 'edge-nginx' AND r.name <> 'edge_nginx'";
    assert!(db.int(errors) >= ERROR_LOGS);
}

#[test]
fn recorded_objects_load_with_the_totals_of_the_recordings() {
    let Some(data) = shared() else { return };
    let cluster = Cluster::without_workers();
    let folder = objects(&cluster, &data.join("openobserve/objects/disk"));
    let mut db = cluster.database("files");
    install(&mut db);
    // The later, odd streams of the same server are not part of the stated totals.
    add_files(
        &mut db,
        &folder,
        "{\"logs\":[\"default\",\"edge_nginx\"],\"metrics\":[\"*\"],\"traces\":[\"default\"]}",
    );
    load(&mut db);
    assert_totals(&mut db);
}

#[test]
fn objects_and_answers_give_the_same_tables() {
    let Some(data) = shared() else { return };
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::recorded(&data.join("openobserve"));
    let mut answered = bridge(&cluster, "answered");
    add_openobserve(&mut answered, &oo);
    load(&mut answered);
    let folder = objects(&cluster, &data.join("openobserve/objects/disk"));
    let mut read = cluster.database("read");
    install(&mut read);
    add_files(
        &mut read,
        &folder,
        "{\"logs\":[\"default\",\"edge_nginx\"],\"metrics\":[\"*\"],\"traces\":[\"default\"]}",
    );
    load(&mut read);
    assert_eq!(facts(&mut read), facts(&mut answered));
}
