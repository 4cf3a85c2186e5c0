//! Fault points of a test build of the extension: where a process can be stopped, and how it is (`src/backend/fault.rs`).

use crate::cluster::Cluster;
use crate::session::{NULL, Session};

/// First key of the advisory locks of the points.
const CLASS: i64 = 1_329_743_440;

/// The points, with the numbers the extension gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Point {
    ClaimedBeforeCommit = 1,
    Claimed = 2,
    Planned = 3,
    Fetched = 4,
    Writing = 5,
    Written = 6,
    FinishedBeforeCommit = 7,
    Committed = 8,
    Released = 9,
    TickBeforeCommit = 10,
    RescueBeforeCommit = 11,
}

impl Point {
    /// All of them, in the order in which a window passes them.
    pub const ALL: [Point; 11] = [
        Point::TickBeforeCommit,
        Point::ClaimedBeforeCommit,
        Point::Claimed,
        Point::Planned,
        Point::Fetched,
        Point::Writing,
        Point::Written,
        Point::FinishedBeforeCommit,
        Point::Committed,
        Point::Released,
        Point::RescueBeforeCommit,
    ];

    fn key(self) -> String {
        format!("{CLASS}, {}", self as i32)
    }
}

/// Whether the installed library is a test build; the session's cluster has it preloaded. Says so where it is not.
pub fn built_in(db: &mut Session) -> bool {
    let found = db.text("SELECT current_setting('observe_bridge.fault_points', true)") != NULL;
    if !found {
        println!(
            "skipped: observe_bridge is built without fault points; `make test` and `make chaos` build it with them"
        );
    }
    found
}

/// A point that is closed: every process that comes there stops, until this value is dropped.
pub struct Closed {
    point: Point,
    /// It holds the lock; with the session the lock goes.
    holder: Session,
}

impl Closed {
    /// Closes a point in a database.
    #[track_caller]
    pub fn close(cluster: &Cluster, database: &str, point: Point) -> Closed {
        let mut holder = cluster.session(database);
        holder.exec(&format!("SELECT pg_advisory_lock({})", point.key()));
        Closed { point, holder }
    }

    /// Processes that stand there.
    #[track_caller]
    pub fn stopped(&mut self) -> Vec<i64> {
        let pids = self.holder.column(&format!(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                AND classid = {CLASS} AND objid = {} AND objsubid = 2
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY waitstart, pid",
            self.point as i32
        ));
        pids.iter().map(|pid| pid.parse().expect("a process id")).collect()
    }

    /// The point.
    pub fn point(&self) -> Point {
        self.point
    }

    /// Whether the session that closes the point has ended: then it is open again.
    pub fn is_lost(&mut self) -> bool {
        self.holder.try_rows("SELECT 1").is_err()
    }
}
