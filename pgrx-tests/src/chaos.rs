//! Rounds of crashes: a few windows fall due, a process is stopped on its way and something is killed; then all must be
//! as if nothing had happened.

use crate::bridge::{add_openobserve, assert_minutes};
use crate::cluster::{Cluster, Shutdown, signal};
use crate::fault::{Closed, Point};
use crate::openobserve::{OpenObserve, Store};
use crate::session::Session;
use crate::telemetry::{CALLS, LOGS, MINUTE, POINTS, SECOND, T0, literal, minute};
use crate::wait::wait_until;
use crate::workers::{PATIENCE, workers};
use std::fmt;

/// Windows that fall due in a round.
const WINDOWS: i64 = 4;
/// `etl_job.delay` of oo-agg.
const DELAY: i64 = 2 * MINUTE;
/// Minutes the server has before and after the present; nothing may need older ones again.
const MARGIN: i64 = 30;
const DATABASE: &str = "chaos";

/// What is killed while a process stands at a fault point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kill {
    /// kill -9 of the process that stands there.
    Stopped,
    /// SIGTERM of it: no other process is disturbed.
    Terminated,
    /// kill -9 of the scheduler.
    Scheduler,
    /// kill -9 of the launcher.
    Launcher,
    /// `pg_ctl stop -m immediate` and a start.
    Server,
}

impl Kill {
    pub const ALL: [Kill; 5] = [
        Kill::Stopped,
        Kill::Terminated,
        Kill::Scheduler,
        Kill::Launcher,
        Kill::Server,
    ];
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kill::Stopped => "kill -9 of the stopped process",
            Kill::Terminated => "SIGTERM of the stopped process",
            Kill::Scheduler => "kill -9 of the scheduler",
            Kill::Launcher => "kill -9 of the launcher",
            Kill::Server => "immediate shutdown",
        })
    }
}

/// A cluster with workers that plan and run oo-agg from a server, on a virtual clock.
pub struct Chaos {
    pub cluster: Cluster,
    oo: OpenObserve,
    /// UTC microseconds.
    now: i64,
}

impl Chaos {
    /// Windows fall due from [`T0`] on; none is yet.
    pub fn start() -> Chaos {
        let now = T0 + DELAY;
        let cluster = Cluster::start(&[
            "shared_preload_libraries = 'observe_bridge'",
            &format!("observe_bridge.clock = '{}'", timestamp(now)),
        ]);
        let oo = OpenObserve::serve(Store::default());
        let mut db = cluster.database(DATABASE);
        db.exec(
            "CREATE EXTENSION observe_bridge;
             UPDATE etl_job SET lookback = '0' WHERE name = 'oo-agg';
             UPDATE etl_job SET run_interval = '0' WHERE name IN ('retention', 'reconcile')",
        );
        add_openobserve(&mut db, &oo);
        db.exec("SELECT etl_tick()");
        Chaos { cluster, oo, now }
    }

    /// A session in its database.
    #[track_caller]
    pub fn session(&self) -> Session {
        self.cluster.session(DATABASE)
    }

    /// Windows that have fallen due so far.
    pub fn due(&self) -> i64 {
        (self.now - DELAY - T0) / MINUTE
    }

    /// One round: windows fall due, a process stops at `point`, `kill` strikes, all recovers; then everything is checked.
    #[track_caller]
    pub fn round(&mut self, point: Point, kill: Kill) {
        let mut closed = Closed::close(&self.cluster, DATABASE, point);
        let mut store = Store::default();
        for minutes in (self.due() - MARGIN).max(0)..self.due() + MARGIN {
            minute(&mut store, T0 + minutes * MINUTE);
        }
        self.oo.replace(store);
        if point == Point::RescueBeforeCommit {
            // There must be something to rescue.
            let mut running = Closed::close(&self.cluster, DATABASE, Point::Claimed);
            self.pass(WINDOWS * MINUTE);
            signal(standing(&mut running), libc::SIGTERM);
        } else {
            self.pass(WINDOWS * MINUTE);
        }
        let stopped = standing(&mut closed);
        self.strike(kill, stopped, &mut closed);
        drop(closed);
        self.recover();
        self.check();
    }

    /// The clock goes on.
    #[track_caller]
    pub fn pass(&mut self, time: i64) {
        self.now += time;
        self.cluster.set_clock(&timestamp(self.now));
    }

    /// Kills; returns when the server accepts connections again, if they were dropped.
    #[track_caller]
    fn strike(&mut self, kill: Kill, stopped: i64, closed: &mut Closed) {
        let one = |role: &str| {
            let found = workers(&mut self.session(), role);
            *found.first().unwrap_or_else(|| panic!("there is no {role}"))
        };
        match kill {
            Kill::Stopped => signal(stopped, libc::SIGKILL),
            Kill::Scheduler => signal(one("scheduler"), libc::SIGKILL),
            Kill::Launcher => signal(one("launcher"), libc::SIGKILL),
            Kill::Terminated => {
                signal(stopped, libc::SIGTERM);
                wait_until("the stopped process is gone", PATIENCE, || {
                    !closed.stopped().contains(&stopped)
                });
                return;
            }
            Kill::Server => {
                self.cluster.stop(Shutdown::Immediate, PATIENCE);
                self.cluster.up();
                return;
            }
        }
        wait_until("the server drops every session", PATIENCE, || closed.is_lost());
        self.cluster.wait_for_connections();
    }

    /// Lets time pass until every window has succeeded: one that was taken from a dead process waits a little.
    #[track_caller]
    fn recover(&mut self) {
        let mut db = self.session();
        wait_until("every window has succeeded", PATIENCE, || {
            let done = db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND status = 'success'");
            if done < self.due() {
                self.pass(SECOND);
            }
            done >= self.due()
        });
        let open = "SELECT (SELECT count(*) FROM etl_job_run WHERE status = 'running') +
                           (SELECT count(*) FROM pg_locks WHERE locktype = 'userlock' AND objsubid = 2817)";
        wait_until("nothing runs, and no run is locked", PATIENCE, || db.int(open) == 0);
    }

    /// Each window is there once and has succeeded, and the tables hold exactly what the server has.
    #[track_caller]
    pub fn check(&self) {
        let mut db = self.session();
        let ledger = db.rows(
            "SELECT count(*), count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE before <> window_from),
                    extract(epoch FROM min(window_from))::bigint, extract(epoch FROM max(window_to))::bigint
               FROM (SELECT *, lag(window_to) OVER (ORDER BY window_from) AS before
                       FROM etl_job_run WHERE job = 'oo-agg') w",
        );
        let (due, end) = (self.due(), T0 + self.due() * MINUTE);
        let expected = [due, due, 0, T0 / SECOND, end / SECOND].map(|n| n.to_string());
        assert_eq!(ledger, [expected], "windows, succeeded, gaps or overlaps, start, end");
        assert_minutes(&mut db, due);
        // A lost minute and a doubled one would be right in the sum.
        let minutes = format!("least(5, extract(epoch FROM {} - bucket) / 60)", literal(end));
        let wrong = db.rows(&format!(
            "SELECT 'metric', bucket FROM metric_1m WHERE sample_count <> {POINTS}
             UNION ALL
             SELECT 'call', bucket FROM service_call_5m GROUP BY bucket HAVING sum(calls) <> {CALLS} * {minutes}
             UNION ALL
             SELECT 'log', bucket FROM log_pattern_5m GROUP BY bucket HAVING sum(count_total) <> {LOGS} * {minutes}"
        ));
        assert!(wrong.is_empty(), "buckets that are not exact: {wrong:?}");
    }
}

/// Waits until a process stands at the point, and returns it.
#[track_caller]
pub fn standing(closed: &mut Closed) -> i64 {
    let mut found = Vec::new();
    wait_until(&format!("a process stands at {:?}", closed.point()), PATIENCE, || {
        found = closed.stopped();
        !found.is_empty()
    });
    found[0]
}

/// UTC microseconds as the setting `observe_bridge.clock` takes them.
fn timestamp(at: i64) -> String {
    let seconds = at / SECOND;
    let (days, time) = ((seconds - T0 / SECOND + 10 * 3600) / 86_400, seconds % 86_400);
    // Days since 2026-01-05; the rounds end long before the month does.
    assert!(days < 27, "the clock of these tests ends with January");
    format!(
        "2026-01-{:02} {:02}:{:02}:{:02}+00",
        5 + days,
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}
