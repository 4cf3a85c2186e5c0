//! The scheduler's clock and its wake-up, for the functions in sql/.

use crate::backend::clock;
use crate::error::or_raise;
use crate::worker::shmem;
use pgrx::prelude::*;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use std::cell::Cell;

/// The scheduler's now: the clock of the database, not the start of the transaction.
#[pg_extern(volatile, parallel_safe)]
fn etl_now() -> TimestampWithTimeZone {
    or_raise(clock::now().and_then(clock::to_timestamptz))
}

thread_local! {
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// Wakes this database's scheduler when the transaction commits, once however often it is called.
#[pg_extern(volatile)]
fn etl_wake() {
    if !shmem::preloaded() || REGISTERED.replace(true) {
        return;
    }
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        REGISTERED.set(false);
        shmem::wake_scheduler();
    });
    register_xact_callback(PgXactCallbackEvent::Abort, || REGISTERED.set(false));
}
