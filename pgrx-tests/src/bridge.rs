//! What the tests do with the extension again and again.

use crate::cluster::Cluster;
use crate::openobserve::{OpenObserve, PASSWORD, USER};
use crate::session::Session;
use crate::telemetry::{CALLS, ERROR_LOGS, FAILED_CALLS, LOGS, MINUTE, POINTS, literal};

/// The extension in this database, the first hour of all tests as its present: windows up to then are due.
pub const CLOCK: &str = "2026-01-05 11:00:00+00";

/// `CREATE EXTENSION`, in a session whose clock stands at [`CLOCK`].
#[track_caller]
pub fn install(db: &mut Session) {
    db.exec("CREATE EXTENSION observe_bridge");
    clock(db, CLOCK);
}

/// Sets the clock of the session, which stands still until it is set again.
#[track_caller]
pub fn clock(db: &mut Session, at: &str) {
    db.exec(&format!("SET observe_bridge.clock = '{at}'"));
}

/// A database with the extension and nothing else.
#[track_caller]
pub fn bridge(cluster: &Cluster, name: &str) -> Session {
    let mut db = cluster.database(name);
    install(&mut db);
    db
}

/// Makes `oo` a source of the default tenant's `oo-agg`, everything it has.
#[track_caller]
pub fn add_openobserve(db: &mut Session, oo: &OpenObserve) {
    add_http(db, &oo.endpoint(), USER, PASSWORD);
}

/// [`add_openobserve`] for any endpoint and credentials. The server is named `oo`.
#[track_caller]
pub fn add_http(db: &mut Session, endpoint: &str, user: &str, password: &str) {
    db.exec(&format!(
        "CREATE SERVER oo FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint '{endpoint}', org 'default');
         CREATE USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (username '{user}', password '{password}')"
    ));
    add_source(db, "oo", "{}");
}

/// Makes an existing server a source of the default tenant's `oo-agg`.
#[track_caller]
pub fn add_source(db: &mut Session, server: &str, options: &str) {
    db.exec(&format!(
        "SELECT etl_source_add(tenant => 'default', job => 'oo-agg', server => '{server}', options => '{options}')"
    ));
}

/// A mock server as source, named `mock`.
#[track_caller]
pub fn add_mock(db: &mut Session) {
    db.exec("CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock')");
    add_source(db, "mock", "{}");
}

/// `etl_enqueue` of `oo-agg` for `minutes` windows from `from` (UTC microseconds) on; how many were queued.
#[track_caller]
pub fn enqueue(db: &mut Session, from: i64, minutes: i64) -> i64 {
    let to = from + minutes * MINUTE;
    db.int(&format!(
        "SELECT etl_enqueue('oo-agg', 'default', {}, {})",
        literal(from),
        literal(to)
    ))
}

/// Works the queue to its end in the session.
#[track_caller]
pub fn run(db: &mut Session) {
    db.exec("CALL etl_run()");
}

/// How many runs of a job have this status.
#[track_caller]
pub fn count(db: &mut Session, job: &str, status: &str) -> i64 {
    db.int(&format!(
        "SELECT count(*) FROM etl_job_run WHERE job = '{job}' AND status = '{status}'"
    ))
}

/// All rows of the fact tables, in a form that can be compared between databases: names instead of ids.
#[track_caller]
pub fn facts(db: &mut Session) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in [
        "SELECT 'metric', extract(epoch FROM m.bucket)::bigint, r.name, m.metric, m.labels_hash, m.avg_val, m.max_val,
                m.p95_val, m.min_val, m.last_val, m.sample_count, m.labels, m.increase
           FROM metric_1m m JOIN dim_resource r USING (resource_id)",
        "SELECT 'histogram', extract(epoch FROM h.bucket)::bigint, r.name, h.metric, h.labels_hash, h.count_val, h.sum_val,
                h.p50_val, h.p95_val, h.p99_val, h.labels
           FROM metric_histogram_1m h JOIN dim_resource r USING (resource_id)",
        "SELECT 'call', extract(epoch FROM c.bucket)::bigint, s.urn, d.urn, c.calls, c.errors, c.rps, c.err_rate,
                c.p50_ms, c.p95_ms, c.inferred
           FROM service_call_5m c
           JOIN dim_resource s ON s.resource_id = c.src_resource_id JOIN dim_resource d ON d.resource_id = c.dst_resource_id",
        "SELECT 'log', extract(epoch FROM l.bucket)::bigint, r.name, l.fingerprint_id, p.pattern, l.count_total, l.count_error
           FROM log_pattern_5m l JOIN dim_resource r USING (resource_id)
           JOIN log_pattern p ON p.tenant_id = l.tenant_id AND p.fingerprint_id = l.fingerprint_id",
    ] {
        all.extend(db.rows(&format!("SELECT f.* FROM ({sql}) f ORDER BY f::text")));
    }
    all
}

/// Checks that the tables hold exactly `minutes` minutes of [`crate::telemetry::minute`].
#[track_caller]
pub fn assert_minutes(db: &mut Session, minutes: i64) {
    let found = db.rows(
        "SELECT (SELECT coalesce(sum(sample_count), 0) FROM metric_1m), (SELECT count(*) FROM metric_1m),
                (SELECT coalesce(sum(calls), 0) FROM service_call_5m), (SELECT coalesce(sum(errors), 0) FROM service_call_5m),
                (SELECT coalesce(sum(count_total), 0) FROM log_pattern_5m),
                (SELECT coalesce(sum(count_error), 0) FROM log_pattern_5m)",
    );
    let expected = [POINTS, 1, CALLS, FAILED_CALLS, LOGS, ERROR_LOGS].map(|n| (n * minutes).to_string());
    assert_eq!(
        found,
        [expected.to_vec()],
        "samples, metric rows, calls, failed calls, lines, error lines"
    );
}

/// Checks that nothing at all was written.
#[track_caller]
pub fn assert_nothing_written(db: &mut Session) {
    assert_minutes(db, 0);
    assert_eq!(
        db.int("SELECT (SELECT count(*) FROM oo_locator) + (SELECT count(*) FROM etl_partial_1m)"),
        0
    );
}
