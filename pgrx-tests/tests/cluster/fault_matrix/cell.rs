//! One cell of the matrix: a window runs into a fault, the fault goes, the window runs again, and everything is there
//! exactly once.

use super::kind::{Kind, Server};
use super::records::{LOGS, POINTS, SPANS};
use super::wire::Wire;
use blackbox::bridge::{CLOCK, bridge, clock, enqueue, facts, run};
use blackbox::cluster::{Cluster, signal};
use blackbox::session::Session;
use blackbox::telemetry::T0;
use blackbox::wait::wait_until;
use std::time::Duration;

/// When a window that waits is due again, whatever it waits for.
const LATER: &str = "2026-01-06 11:00:00+00";

/// Everything a window leaves behind.
const TABLES: [&str; 12] = [
    "metric_1m",
    "metric_histogram_1m",
    "service_call_5m",
    "log_pattern_5m",
    "log_pattern",
    "oo_locator",
    "etl_partial_1m",
    "etl_reject",
    "etl_job_run",
    "etl_job_circuit",
    "etl_cursor",
    "etl_coverage",
];

/// What a window did when the fault struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// It went on and succeeded.
    WentOn,
    /// It waits, to be run again by itself.
    Waited(String),
    /// It failed for good, with this SQLSTATE.
    Failed(String),
    /// Its process was killed; the next run took it over.
    Rescued,
    /// Nothing: the fault did not strike, or changed nothing.
    Nothing,
    /// There is no such place: the fault was not tried.
    NoPlace,
}

/// What came of a cell.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub did: Did,
    pub lost: i64,
    pub doubled: i64,
    /// What else is not as it must be.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// A cell that was not tried.
    pub fn none() -> Outcome {
        Outcome {
            did: Did::NoPlace,
            lost: 0,
            doubled: 0,
            wrong: Vec::new(),
        }
    }
}

/// A kind of source in a database of its own, and what it must come to.
pub struct Scene {
    pub kind: Kind,
    pub server: Server,
    pub wire: Option<Wire>,
    truth: Vec<Vec<String>>,
}

impl Scene {
    /// Sets the source up and runs the window once without a fault; the records are counted.
    pub fn new(kind: Kind, cluster: &Cluster) -> Scene {
        let (server, wire) = Server::start(kind, cluster);
        let mut db = bridge(cluster, kind.database());
        server.add(kind, &mut db, wire.as_ref());
        drop(db);
        let mut scene = Scene {
            kind,
            server,
            wire,
            truth: Vec::new(),
        };
        let mut db = scene.session(cluster);
        enqueue(&mut db, T0, 1);
        run(&mut db);
        let error = db.text("SELECT coalesce(error::text, '') FROM etl_job_run WHERE job = 'oo-agg'");
        assert_eq!(
            records(&mut db),
            expected(),
            "{kind:?}: logs, points, spans, rejects; {error}"
        );
        scene.truth = facts(&mut db);
        let calls = db.int("SELECT coalesce(sum(calls), 0)::bigint FROM service_call_5m");
        assert_eq!(calls, 31, "{kind:?}: calls");
        scene
    }

    /// A session that remembers nothing of earlier ones.
    fn session(&self, cluster: &Cluster) -> Session {
        let mut db = cluster.session(self.kind.database());
        clock(&mut db, CLOCK);
        db.exec("SET client_min_messages = warning");
        db
    }

    /// Runs the window while the fault that `strike` causes is on, then `mend`s it and runs the window again. `kill`: the
    /// process is killed while it waits for the answer.
    pub fn cell(
        &mut self,
        cluster: &mut Cluster,
        kill: bool,
        strike: impl FnOnce(&mut Scene),
        mend: impl FnOnce(&mut Scene),
    ) -> Outcome {
        let mut db = self.session(cluster);
        // So few rows are deleted faster than files are made anew.
        db.exec(&TABLES.map(|table| format!("DELETE FROM {table}")).join("; "));
        enqueue(&mut db, T0, 1);
        strike(self);
        let mut wrong = Vec::new();
        let mut did = if kill {
            // What cells before did to the tables is not to be done again when the server recovers.
            db.exec("CHECKPOINT");
            self.killed(cluster, &mut db);
            db = self.session(cluster);
            // Finds that nobody works on the window any more.
            run(&mut db);
            match did(&mut db) {
                Did::Waited(state) if state == "57P01" => Did::Rescued,
                other => other,
            }
        } else {
            run(&mut db);
            did(&mut db)
        };
        if self.wire.as_ref().is_some_and(Wire::missed) {
            did = Did::Nothing;
        }
        if !matches!(did, Did::WentOn | Did::Nothing) {
            wrong.extend(left_behind(&mut db));
        }
        mend(self);
        clock(&mut db, LATER);
        db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE status = 'failed'");
        run(&mut db);
        let status =
            db.column("SELECT status || coalesce(' ' || error::text, '') FROM etl_job_run WHERE job = 'oo-agg'");
        if !status.iter().all(|s| s.starts_with("success")) || status.len() != 1 {
            wrong.push(format!("after the fault: {status:?}"));
        }
        let (got, want) = (records(&mut db), expected());
        let parts = || got.iter().zip(&want).take(3);
        let lost = parts().map(|(got, want)| (want - got).max(0)).sum();
        let doubled = parts().map(|(got, want)| (got - want).max(0)).sum();
        if got[3] != 0 {
            wrong.push(format!("{} records refused", got[3]));
        }
        if facts(&mut db) != self.truth {
            wrong.push("the facts differ from the truth".to_string());
        }
        let located = located(&mut db);
        if located[..] != want[..3] {
            wrong.push(format!(
                "locators know of {located:?} records instead of {:?}",
                &want[..3]
            ));
        }
        Outcome {
            did,
            lost,
            doubled,
            wrong,
        }
    }

    /// Kills the process that runs the window when it waits for the answer that is held back. `other` is lost with it.
    fn killed(&self, cluster: &mut Cluster, other: &mut Session) {
        let mut caller = self.session(cluster);
        let pid = caller.pid();
        let calling = std::thread::spawn(move || caller.try_rows("CALL etl_run()").is_ok());
        let wire = self
            .wire
            .as_ref()
            .expect("only what comes over a wire can be held back");
        wait_until(
            "the answer is held back or the run has ended",
            Duration::from_secs(30),
            || wire.struck() || calling.is_finished(),
        );
        if wire.struck() {
            signal(pid, libc::SIGKILL);
            assert!(!calling.join().expect("an answer"), "the process was killed");
            // The server takes all sessions down, then recovers.
            wait_until("the server saw it", Duration::from_secs(30), || {
                other.try_rows("SELECT 1").is_err()
            });
            cluster.wait_for_connections();
        }
    }
}

/// How the window stands after its first run.
fn did(db: &mut Session) -> Did {
    let row = db.rows("SELECT status, error ->> 'sqlstate' FROM etl_job_run WHERE job = 'oo-agg'");
    match row.as_slice() {
        [row] if row[0] == "success" => Did::WentOn,
        [row] if row[0] == "queued" => Did::Waited(row[1].clone()),
        [row] => Did::Failed(row[1].clone()),
        rows => Did::Failed(format!("{} runs", rows.len())),
    }
}

/// What a window wrote that did not succeed.
fn left_behind(db: &mut Session) -> Option<String> {
    let got = records(db);
    let located = located(db);
    (got.iter().chain(&located).any(|n| *n != 0)).then(|| format!("wrote {got:?} and did not succeed"))
}

/// Lines, points, spans in the tables, and refused records.
fn records(db: &mut Session) -> Vec<i64> {
    let row = db.rows(&format!(
        "SELECT (SELECT coalesce(sum(count_total), 0)::bigint FROM log_pattern_5m),
                (SELECT coalesce(sum(sample_count), 0)::bigint FROM metric_1m), {}, (SELECT count(*) FROM etl_reject)",
        located_of("traces")
    ));
    numbers(&row)
}

fn numbers(rows: &[Vec<String>]) -> Vec<i64> {
    rows[0].iter().map(|n| n.parse().expect("a number")).collect()
}

fn expected() -> Vec<i64> {
    vec![LOGS, POINTS, SPANS, 0]
}

/// Lines, points and spans that locators know of.
fn located(db: &mut Session) -> Vec<i64> {
    let each = ["logs", "metrics", "traces"].map(located_of).join(", ");
    numbers(&db.rows(&format!("SELECT {each}")))
}

/// SQL for the number of a dataset's records that locators know of: of an object, or of each stream of a query.
fn located_of(dataset: &str) -> String {
    format!(
        "(SELECT coalesce(sum(coalesce((attributes ->> 'records')::bigint,
                     (SELECT sum(value::bigint) FROM jsonb_each_text(attributes -> 'streams')))), 0)::bigint
            FROM oo_locator WHERE dataset = '{dataset}')"
    )
}
