//! A runner process: claims windows one after the other and works on them.

use crate::backend::catalog;
use crate::backend::latch;
use crate::backend::session::Session;
use crate::error::catch;
use crate::guc;
use crate::jobs::{self, Worked};
use crate::scheduler::ledger::Place;
use crate::worker::process::{self, Role};
use crate::worker::shmem;
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// A runner without work ends after this; a live source brings a window every minute, so it stays.
const LINGER: Duration = Duration::from_secs(150);
/// After an error that is not a run's own (those are in the ledger) nothing is claimed for this long.
const ERROR_WAIT: Duration = Duration::from_secs(2);

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn observe_bridge_runner_main(argument: pg_sys::Datum) {
    let (database, slot) = process::unpack(argument);
    process::install_signals(Role::Runner);
    process::connect(Some(database));
    if !shmem::enroll(Role::Runner, slot) {
        process::leave();
    }
    process::report_name(Role::Runner.backend_type());
    let mut last_work = Instant::now();
    loop {
        process::reload_if_asked();
        if !guc::enabled() || catalog::restoring() {
            process::leave();
        }
        let place = Place {
            place: slot,
            places: guc::max_runners(),
        };
        match jobs::work_next(Session::Worker, Some(place), None) {
            Ok(Worked::On(_)) => {
                last_work = Instant::now();
                check_for_interrupts!();
                continue;
            }
            Ok(Worked::Nothing) if last_work.elapsed() < LINGER => {
                shmem::set_idle(slot, true);
                linger();
                shmem::set_idle(slot, false);
            }
            Ok(Worked::Nothing | Worked::Gone) => process::leave(),
            Err(e) => {
                shmem::set_error(&e.message());
                e.log("runner");
                latch::wait(ERROR_WAIT, -1);
                if jobs::sql::is_dirty() {
                    // It cannot be cleaned: a new process starts clean.
                    process::leave();
                }
            }
        }
    }
}

/// Waits for work. A cancel that comes too late for its run finds nothing to cancel.
fn linger() {
    let _ = catch(|| {
        latch::wait(LINGER, -1);
        Ok(())
    });
}
