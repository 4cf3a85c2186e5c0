//! The launcher: one process a cluster, connected to no database, which keeps one scheduler running in each database
//! that has the extension.
//!
//! It finds them in two ways: at its own start it probes every database once, one after the other (a scheduler started
//! where the extension is not installed leaves at once); later a commit of CREATE EXTENSION or of CREATE DATABASE asks
//! through shared memory.

use crate::backend::latch;
use crate::worker::process::{self, Role};
use crate::worker::shmem::{self, SlotState};
use pgrx::bgworkers::DynamicBackgroundWorker;
use pgrx::prelude::*;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Time between two looks when nobody wakes us.
const IDLE: Duration = Duration::from_secs(5);
/// A scheduler that ended is not started again before this.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A scheduler this launcher started.
struct Child {
    handle: DynamicBackgroundWorker,
    started: Instant,
}

#[derive(Default)]
struct Launcher {
    children: HashMap<u32, Child>,
    /// Databases still to be probed.
    unprobed: VecDeque<u32>,
    probing: Option<u32>,
    /// Whether the lack of worker slots has been said since the last start that worked.
    starvation_said: bool,
}

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn observe_bridge_launcher_main(_argument: pg_sys::Datum) {
    process::install_signals(Role::Launcher);
    process::connect(None);
    if !shmem::enroll(Role::Launcher, 0) {
        process::leave();
    }
    process::report_name(Role::Launcher.backend_type());
    let mut launcher = Launcher {
        unprobed: connectable_databases().into(),
        ..Launcher::default()
    };
    loop {
        process::reload_if_asked();
        let next = launcher.step();
        latch::wait(next, -1);
    }
}

impl Launcher {
    /// Starts what is wanted and not there; returns how long nothing will change by itself.
    fn step(&mut self) -> Duration {
        let wanted = self.wanted();
        let mut next = IDLE;
        let mut existing: Option<HashSet<u32>> = None;
        for database in wanted {
            match self.children.get(&database) {
                Some(child) if !process::stopped(&child.handle) => continue,
                Some(child) if child.started.elapsed() < RESTART_AFTER => {
                    next = RESTART_AFTER;
                    continue;
                }
                _ => {}
            }
            // A database may have been dropped meanwhile: connecting would only fill the log.
            if !existing
                .get_or_insert_with(|| connectable_databases().into_iter().collect())
                .contains(&database)
            {
                self.children.remove(&database);
                shmem::free(pg_sys::Oid::from(database));
                continue;
            }
            if !self.start(database) {
                next = next.min(RESTART_AFTER);
            }
        }
        if self.probe() { Duration::from_millis(200) } else { next }
    }

    /// Databases whose slot asks for a scheduler and has none.
    fn wanted(&self) -> Vec<u32> {
        shmem::with(|r| {
            for slot in &mut r.slots {
                // A backend that blocked a database and ended without lifting that.
                if slot.state == SlotState::Blocked && !shmem::alive(slot.blocker) {
                    slot.state = SlotState::Wanted;
                }
            }
            r.slots
                .iter()
                .filter(|s| s.state == SlotState::Wanted && s.scheduler == 0)
                .map(|s| s.database.to_u32())
                .collect()
        })
        .unwrap_or_default()
    }

    fn start(&mut self, database: u32) -> bool {
        let scheduler = process::start(Role::Scheduler, pg_sys::Oid::from(database), 0);
        shmem::count_start(pg_sys::Oid::from(database), scheduler.is_some());
        match scheduler {
            Some(handle) => {
                self.starvation_said = false;
                self.children.insert(
                    database,
                    Child {
                        handle,
                        started: Instant::now(),
                    },
                );
                true
            }
            None => {
                if !self.starvation_said {
                    self.starvation_said = true;
                    ereport!(
                        PgLogLevel::WARNING,
                        PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                        "observe_bridge: no free background worker slot for a scheduler",
                        "Raise max_worker_processes (each database needs one slot, each runner one more) and restart."
                    );
                }
                false
            }
        }
    }

    /// Goes on probing databases; whether there is more to do.
    fn probe(&mut self) -> bool {
        if let Some(database) = self.probing {
            let settled = self.children.get(&database).is_none_or(|c| process::stopped(&c.handle))
                || shmem::with(|r| r.slot(pg_sys::Oid::from(database)).is_none_or(|s| s.scheduler != 0))
                    .unwrap_or(true);
            if !settled {
                return true;
            }
            self.probing = None;
        }
        let Some(database) = self.unprobed.pop_front() else {
            return false;
        };
        let known = shmem::with(|r| r.slot(pg_sys::Oid::from(database)).is_some()).unwrap_or(true);
        if !known {
            shmem::want(pg_sys::Oid::from(database));
            if self.start(database) {
                self.probing = Some(database);
            }
        }
        true
    }
}

/// Databases that accept connections and are no templates, by a scan of the shared catalog: without a database there
/// is no SQL.
fn connectable_databases() -> Vec<u32> {
    let mut found = Vec::new();
    // SAFETY: a short transaction of this worker; pg_database is a shared catalog, readable without a database; the
    // tuples are valid until the scan ends, and its fixed part has the layout of FormData_pg_database.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            // -2 marks a database whose DROP was interrupted (DATCONNLIMIT_INVALID_DB).
            if (*row).datallowconn && !(*row).datistemplate && (*row).datconnlimit != -2 {
                found.push((*row).oid.to_u32());
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
    }
    found
}
