//! The way to a server: a source behind it, and windows that end well or say what is wrong. No secret may show.

use crate::bridge::{add_source, assert_minutes, assert_nothing_written, count, enqueue, run};
use crate::cluster::Cluster;
use crate::openobserve::{PASSWORD, TOKEN};
use crate::s3::SECRET_KEY;
use crate::session::Session;
use crate::telemetry::T0;
use crate::wire::LOGIN;

/// A server `oo` with these options, its mapping with those, and one window in the queue.
#[track_caller]
pub fn add(db: &mut Session, server: &[(&str, &str)], mapping: &[(&str, &str)]) {
    let list = |options: &[(&str, &str)]| {
        let pairs: Vec<String> = options
            .iter()
            .map(|(name, value)| format!("{name} '{value}'"))
            .collect();
        pairs.join(", ")
    };
    db.exec(&format!(
        "CREATE SERVER oo FOREIGN DATA WRAPPER observe_bridge OPTIONS ({});
         CREATE USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS ({})",
        list(server),
        list(mapping)
    ));
    add_source(db, "oo", "{}");
    enqueue(db, T0, 1);
}

/// Runs the window, which must end like that, and gives its error.
#[track_caller]
pub fn ends(db: &mut Session, cluster: &Cluster, status: &str, sqlstate: &str, says: &str) -> serde_json::Value {
    run(db);
    let error = db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg'");
    assert_eq!(
        db.text("SELECT status FROM etl_job_run WHERE job = 'oo-agg'"),
        status,
        "{error}"
    );
    assert_eq!(error["sqlstate"], sqlstate, "{error}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(says) && message.contains("\"oo\""), "{error}");
    assert_nothing_written(db);
    for secret in [PASSWORD, TOKEN, SECRET_KEY, LOGIN.1] {
        assert!(!error.to_string().contains(secret), "a secret is in {error}");
        assert!(!cluster.log().contains(secret), "a secret is in the log");
    }
    error
}

/// Runs the window, now that all is well.
#[track_caller]
pub fn succeeds(db: &mut Session) {
    db.exec("SET observe_bridge.clock = '2026-01-06 11:00:00+00'");
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE status = 'failed'");
    run(db);
    let runs = db.rows("SELECT status, error ->> 'message' FROM etl_job_run WHERE job = 'oo-agg'");
    assert_eq!(count(db, "oo-agg", "success"), 1, "{runs:?}");
    assert_minutes(db, 1);
}
