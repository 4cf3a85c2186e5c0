//! The scheduler process of one database: plans windows, rescues orphans, keeps runners, and does the housekeeping
//! that goes by the clock. It never touches the network.

use crate::backend::catalog;
use crate::backend::fault::{self, Point};
use crate::backend::latch;
use crate::backend::session::{End, Session};
use crate::error::Result;
use crate::guc::{self, MAX_RUNNERS};
use crate::scheduler::{housekeeping, ledger};
use crate::worker::process::{self, Role};
use crate::worker::shmem;
use pgrx::bgworkers::DynamicBackgroundWorker;
use pgrx::prelude::*;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Time between two looks while the extension is there in another version than this library.
const VERSION_WAIT: Duration = Duration::from_secs(10);
/// Runners end within milliseconds of being told.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Time a scheduler stays while a dump is being restored.
const RESTORE_WAIT: Duration = Duration::from_secs(4);
/// Housekeeping that goes by the clock runs this often.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// An error of the scheduler itself is not repeated faster than this.
const ERROR_WAIT: Duration = Duration::from_secs(5);

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn observe_bridge_scheduler_main(argument: pg_sys::Datum) {
    let (database, _) = process::unpack(argument);
    process::install_signals(Role::Scheduler);
    process::connect(Some(database));
    if !shmem::enroll(Role::Scheduler, 0) {
        process::leave();
    }
    process::report_name(Role::Scheduler.backend_type());
    let mut housekept: Option<Instant> = None;
    let mut runners = Runners::default();
    loop {
        process::reload_if_asked();
        latch::report_activity(Some("observe_bridge: planning"));
        let pause = match turn(&mut housekept) {
            Ok(Turn::Planned { claimable }) => {
                runners.keep(database, claimable);
                guc::poll_interval()
            }
            Ok(Turn::Idle) => guc::poll_interval(),
            Ok(Turn::OtherVersion) => {
                dismiss_idle(database);
                VERSION_WAIT
            }
            Ok(Turn::Restoring) => {
                latch::report_activity(None);
                latch::wait(RESTORE_WAIT, -1);
                // The setting may be one of the database, which a process reads only when it starts: the launcher
                // starts another scheduler, which sees whether it is still there.
                process::leave();
            }
            Ok(Turn::Gone) => {
                // A runner in the middle of a fetch would find out only at its end.
                process::end_workers(database, END_PATIENCE);
                shmem::free(database);
                // CREATE EXTENSION may have come in between, and woken nobody but this process.
                if !matches!(absent(), Ok(Turn::Gone)) {
                    shmem::want(database);
                }
                process::leave();
            }
            Err(e) => {
                shmem::set_error(&e.message());
                e.log("scheduler");
                ERROR_WAIT
            }
        };
        latch::report_activity(None);
        latch::wait(pause, -1);
    }
}

/// What one turn found.
enum Turn {
    /// Windows are planned; so many jobs of tenants have one that can be claimed now.
    Planned { claimable: usize },
    /// Switched off, or somebody is changing the extension: nothing to do.
    Idle,
    /// A dump is being restored.
    Restoring,
    /// The extension is of another version than this library.
    OtherVersion,
    /// The extension is not installed here.
    Gone,
}

fn turn(housekept: &mut Option<Instant>) -> Result<Turn> {
    if catalog::restoring() {
        return Ok(Turn::Restoring);
    }
    if !guc::enabled() {
        // Switched off or not, nobody stays where the extension is not.
        return absent();
    }
    let planned = Session::Worker.transaction(|| {
        if ledger::tick()? > 0 {
            fault::point(Point::TickBeforeCommit)?;
        }
        Ok(End::Commit(ledger::look()?))
    })?;
    let Some(queue) = planned else { return absent() };
    let rescued = ledger::rescue_orphans(Session::Worker, &queue.running)?;
    if housekept.is_none_or(|t| t.elapsed() >= HOUSEKEEPING) {
        *housekept = Some(Instant::now());
        Session::Worker.transaction(|| {
            housekeeping::run()?;
            Ok(End::Commit(()))
        })?;
    }
    Ok(Turn::Planned {
        claimable: queue.claimable + rescued,
    })
}

/// Has the runners that wait for work look once more: they find none of our version, and leave.
fn dismiss_idle(database: pg_sys::Oid) {
    let runners = shmem::with(|r| r.slot(database).map(|s| s.runners)).flatten();
    runners.into_iter().flatten().for_each(shmem::wake);
}

/// Why a transaction found no extension of our version.
fn absent() -> Result<Turn> {
    let installed = Session::Worker.bare_transaction(catalog::installed)?;
    Ok(match installed {
        None => Turn::Gone,
        Some(e) if e.version == catalog::LIBRARY_VERSION => Turn::Idle,
        Some(e) => {
            shmem::set_error(&format!(
                "the library is version {}, the extension {}: run ALTER EXTENSION observe_bridge UPDATE, or restart the server",
                catalog::LIBRARY_VERSION,
                e.version
            ));
            Turn::OtherVersion
        }
    })
}

/// The runners of this database.
#[derive(Default)]
struct Runners {
    /// Those this scheduler started, by place. A new one enters its pid in shared memory only after it has connected;
    /// until then this is how we know that its place is taken.
    started: HashMap<usize, DynamicBackgroundWorker>,
    /// Whether the lack of worker slots has been said since the last start that worked.
    starvation_said: bool,
}

impl Runners {
    /// Wakes as many idle runners as there is work for, and starts more where they are too few. One that is busy looks
    /// for work by itself when it is done.
    fn keep(&mut self, database: pg_sys::Oid, claimable: usize) {
        if claimable == 0 {
            return;
        }
        let Some((places, idle)) = shmem::with(|r| r.slot(database).map(|s| (s.runners, s.idle))).flatten() else {
            return;
        };
        let waiting = (0..MAX_RUNNERS).filter(|i| idle & (1 << i) != 0 && places[*i] != 0);
        let woken = waiting.take(claimable).map(|i| shmem::wake(places[i])).count();
        self.started.retain(|_, worker| !process::stopped(worker));
        // Those that are just starting will look for work, too.
        let starting = self.started.keys().filter(|i| places[**i] == 0).count();
        let free: Vec<usize> = (0..guc::max_runners().min(MAX_RUNNERS))
            .filter(|i| places[*i] == 0 && !self.started.contains_key(i))
            .take(claimable.saturating_sub(woken + starting))
            .collect();
        for place in free {
            let worker = process::start(Role::Runner, database, place);
            shmem::count_start(database, worker.is_some());
            match worker {
                Some(worker) => {
                    self.starvation_said = false;
                    self.started.insert(place, worker);
                }
                None if self.starvation_said => return,
                None => {
                    self.starvation_said = true;
                    ereport!(
                        PgLogLevel::WARNING,
                        PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                        "observe_bridge: no free background worker slot for a runner",
                        "Raise max_worker_processes and restart, or lower observe_bridge.max_runners."
                    );
                    return;
                }
            }
        }
    }
}
