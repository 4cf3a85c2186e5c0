//! What can be wrong with a server and its answers: the window waits or fails with an error that helps, nothing half
//! written stays behind, no password shows anywhere, and when the fault is gone the window has its exact counts.

use blackbox::bridge::{
    add_http, add_openobserve, assert_minutes, assert_nothing_written, bridge, count, enqueue, run,
};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, PASSWORD, Scope, USER};
use blackbox::session::Session;
use blackbox::telemetry::{T0, minutes};
use serde_json::json;

/// What a window does after a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// It waits and is tried again by itself.
    Waits,
    /// It has failed, until somebody retries it.
    Fails,
}

/// How a window must end under a fault.
struct Expected {
    after: After,
    sqlstate: &'static str,
    /// Part of the message.
    says: &'static str,
}

const fn waits(sqlstate: &'static str, says: &'static str) -> Expected {
    Expected {
        after: After::Waits,
        sqlstate,
        says,
    }
}

const fn fails(sqlstate: &'static str, says: &'static str) -> Expected {
    Expected {
        after: After::Fails,
        sqlstate,
        says,
    }
}

/// A server with one minute, a bridge that reads it, and its window in the queue.
struct Scene {
    cluster: Cluster,
    oo: OpenObserve,
    db: Session,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(&[])
    }

    fn with(settings: &[&str]) -> Scene {
        let cluster = Cluster::start(settings);
        let oo = OpenObserve::serve(minutes(1));
        let mut db = bridge(&cluster, "faults");
        add_openobserve(&mut db, &oo);
        enqueue(&mut db, T0, 1);
        Scene { cluster, oo, db }
    }

    /// Runs the window and checks how it ended, and that nothing was written.
    #[track_caller]
    fn ends(&mut self, expected: &Expected) {
        run(&mut self.db);
        let status = self.db.text("SELECT status FROM etl_job_run WHERE job = 'oo-agg'");
        let error = self.db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg'");
        assert_eq!(
            status,
            if expected.after == After::Waits {
                "queued"
            } else {
                "failed"
            },
            "{error}"
        );
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_string();
        assert_eq!(text("sqlstate"), expected.sqlstate, "{error}");
        assert!(
            text("message").contains(expected.says),
            "the message says nothing of \"{}\": {error}",
            expected.says
        );
        assert!(
            text("message").contains("\"oo\""),
            "the message names no server: {error}"
        );
        assert!(
            !text("detail").is_empty() && !text("hint").is_empty(),
            "detail and hint are empty: {error}"
        );
        assert!(
            !error.to_string().contains(".rs:"),
            "build paths are nobody's business: {error}"
        );
        assert_nothing_written(&mut self.db);
        self.assert_no_secret();
    }

    /// Neither the tables an operator reads nor the server's log show the password.
    #[track_caller]
    fn assert_no_secret(&mut self) {
        let ledger = self.db.text("SELECT string_agg(r::text, ' ') FROM etl_job_run r");
        let rejects = self
            .db
            .text("SELECT coalesce(string_agg(r::text, ' '), '') FROM etl_reject r");
        let source = self.db.text("SELECT string_agg(s::text, ' ') FROM etl_source s");
        for text in [ledger, rejects, source] {
            assert!(!text.contains(PASSWORD), "the password is in {text}");
        }
        // The log has the statements that set it, when they are logged; these tests log none.
        assert!(
            !self.cluster.log().contains(PASSWORD),
            "the password is in the server's log"
        );
    }

    /// All is well again, and a day has passed: the window succeeds and has exactly its records.
    #[track_caller]
    fn recovers(&mut self) {
        self.oo.heal();
        self.db.exec("SET observe_bridge.clock = '2026-01-06 11:00:00+00'");
        self.db
            .exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE status = 'failed'");
        run(&mut self.db);
        assert_eq!(
            self.db.text("SELECT status FROM etl_job_run WHERE job = 'oo-agg'"),
            "success"
        );
        assert_eq!(
            self.db.text("SELECT circuit FROM etl_status WHERE job = 'oo-agg'"),
            "closed"
        );
        assert_minutes(&mut self.db, 1);
        assert_eq!(self.db.int("SELECT count(*) FROM etl_reject"), 0);
    }
}

/// The whole story of one fault.
#[track_caller]
fn fault(scope: Scope, fault: Fault, expected: Expected) {
    let mut scene = Scene::new();
    scene.oo.fail(scope, fault);
    scene.ends(&expected);
    scene.recovers();
}

#[test]
fn a_refused_connection_waits() {
    let mut scene = Scene::new();
    scene.oo.close();
    scene.ends(&waits("08001", "refused the connection"));
    scene.oo.open();
    scene.recovers();
}

#[test]
fn a_host_that_does_not_exist_waits() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "nowhere");
    add_http(&mut db, "http://observe.invalid:5080", USER, PASSWORD);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let error = db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg' AND status = 'queued'");
    assert_eq!(error["sqlstate"], json!("08001"), "{error}");
}

#[test]
fn wrong_credentials_fail_at_once() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "credentials");
    add_http(&mut db, &oo.endpoint(), USER, "guessed-wrong");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let run_row = db.rows("SELECT status, attempt, error ->> 'sqlstate' FROM etl_job_run WHERE job = 'oo-agg'");
    assert_eq!(run_row, [["failed", "1", "28000"]]);
    assert!(
        !db.text("SELECT error FROM etl_job_run WHERE job = 'oo-agg'")
            .contains("guessed-wrong")
    );
    db.exec(&format!(
        "ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (SET password '{PASSWORD}')"
    ));
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run");
    run(&mut db);
    assert_minutes(&mut db, 1);
}

#[test]
fn a_401_fails_at_once() {
    fault(Scope::All, Fault::Status(401, None), fails("28000", "credentials"));
}

#[test]
fn a_403_fails_at_once() {
    fault(Scope::All, Fault::Status(403, None), fails("28000", "may not read"));
}

#[test]
fn an_unknown_organization_fails_at_once() {
    fault(Scope::All, Fault::UnknownOrg, fails("42704", "organization"));
}

#[test]
fn a_refused_search_fails_after_its_attempts() {
    let mut scene = Scene::new();
    scene.oo.fail(Scope::Searches, Fault::Status(400, None));
    for hour in 12..15 {
        run(&mut scene.db);
        assert_eq!(count(&mut scene.db, "oo-agg", "queued"), 1);
        scene
            .db
            .exec(&format!("SET observe_bridge.clock = '2026-01-05 {hour}:00:00+00'"));
    }
    scene.ends(&fails("HV000", "refuses"));
    scene.recovers();
}

#[test]
fn a_429_waits_as_long_as_the_server_asks() {
    let mut scene = Scene::new();
    scene.oo.fail(Scope::Searches, Fault::Status(429, Some(120)));
    scene.ends(&waits("53400", "cannot answer now"));
    let wait = "SELECT extract(epoch FROM next_attempt_at - etl_now())::bigint FROM etl_job_run WHERE job = 'oo-agg'";
    assert_eq!(scene.db.int(wait), 120);
    scene.recovers();
}

#[test]
fn a_500_waits() {
    fault(
        Scope::All,
        Fault::Status(500, None),
        waits("HV000", "cannot answer now"),
    );
}

#[test]
fn a_503_of_one_stream_takes_the_whole_window_back() {
    fault(Scope::Stream("cpu"), Fault::Status(503, None), waits("HV000", "cpu"));
}

#[test]
fn a_408_waits() {
    fault(
        Scope::Searches,
        Fault::Status(408, None),
        waits("HV000", "cannot answer now"),
    );
}

#[test]
fn a_body_cut_in_the_middle_waits() {
    fault(Scope::Searches, Fault::Cut, waits("08P01", ""));
}

#[test]
fn a_cut_list_of_streams_waits() {
    fault(Scope::All, Fault::Cut, waits("08P01", "streams"));
}

#[test]
fn invalid_json_waits() {
    fault(Scope::Searches, Fault::InvalidJson, waits("08P01", ""));
}

#[test]
fn an_invalid_list_of_streams_waits() {
    fault(Scope::All, Fault::InvalidJson, waits("08P01", "streams"));
}

#[test]
fn a_200_that_admits_to_be_partial_waits() {
    fault(Scope::Searches, Fault::Partial, waits("HV000", "incomplete"));
}

#[test]
fn a_partial_answer_of_one_stream_takes_the_whole_window_back() {
    fault(Scope::Stream("cpu"), Fault::Partial, waits("HV000", "cpu"));
}

#[test]
fn a_server_that_drips_bytes_runs_into_the_timeout() {
    let mut scene = Scene::with(&["observe_bridge.http_timeout = 400ms"]);
    scene.oo.fail(Scope::Searches, Fault::Drip(1));
    scene.ends(&waits("08006", "in time"));
    scene.recovers();
}

#[test]
fn a_server_that_never_answers_runs_into_the_timeout() {
    let mut scene = Scene::with(&["observe_bridge.http_timeout = 400ms"]);
    scene.oo.fail(Scope::Searches, Fault::Hang);
    scene.ends(&waits("08006", "in time"));
    scene.recovers();
}

#[test]
fn a_run_over_its_timeout_fails_after_its_attempts() {
    let mut scene = Scene::new();
    scene
        .db
        .exec("UPDATE etl_job SET timeout = '300 ms' WHERE name = 'oo-agg'");
    scene.oo.fail(Scope::Searches, Fault::Hang);
    for hour in 12..=15 {
        run(&mut scene.db);
        scene
            .db
            .exec(&format!("SET observe_bridge.clock = '2026-01-05 {hour}:00:00+00'"));
    }
    let found = scene
        .db
        .rows("SELECT status, attempt, error ->> 'sqlstate' FROM etl_job_run WHERE job = 'oo-agg'");
    assert_eq!(found, [["failed", "4", "57014"]], "four attempts, then it has failed");
    assert_nothing_written(&mut scene.db);
    scene
        .db
        .exec("UPDATE etl_job SET timeout = '1 min' WHERE name = 'oo-agg'");
    scene.recovers();
}

#[test]
fn a_stream_that_does_not_exist_is_empty() {
    let mut scene = Scene::new();
    scene.oo.fail(Scope::Stream("cpu"), Fault::NoStream);
    run(&mut scene.db);
    assert_eq!(count(&mut scene.db, "oo-agg", "success"), 1);
    assert_eq!(scene.db.int("SELECT count(*) FROM metric_1m"), 0);
    assert!(
        scene.db.int("SELECT count(*) FROM log_pattern_5m") > 0,
        "the other streams count"
    );
}

#[test]
fn a_source_that_names_a_missing_stream_is_empty() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "missing");
    add_openobserve(&mut db, &oo);
    db.exec("UPDATE etl_source SET options = '{\"logs\":[\"not_there\"]}'");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    assert_minutes(&mut db, 0);
}
