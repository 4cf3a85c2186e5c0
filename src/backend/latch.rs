//! Waiting without going deaf: every wait serves interrupts, so that a shutdown, a cancel or another database's DROP
//! is never held up.

use pgrx::prelude::*;
use std::ffi::{CStr, CString};
use std::time::Duration;

/// Waits for the latch, the descriptor (-1: none) or the time, then serves interrupts.
///
/// Ends the process if it was told to die or if the postmaster is gone; a pending cancel raises.
pub fn wait(timeout: Duration, descriptor: i32) {
    let mut events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    if descriptor >= 0 {
        events |= pg_sys::WL_SOCKET_READABLE;
    }
    let ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    // SAFETY: MyLatch is this process's own latch; `descriptor` is open while the caller waits.
    unsafe {
        pg_sys::WaitLatchOrSocket(
            pg_sys::MyLatch,
            events as i32,
            descriptor,
            ms,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    check_for_interrupts!();
}

/// Shows in pg_stat_activity what the process is doing; `None`: it is idle.
pub fn report_activity(what: Option<&str>) {
    let text = what.and_then(|w| CString::new(w).ok());
    let pointer = text.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
    let state = match what {
        Some(_) => pg_sys::BackendState::STATE_RUNNING,
        None => pg_sys::BackendState::STATE_IDLE,
    };
    // SAFETY: the text is copied.
    unsafe { pg_sys::pgstat_report_activity(state, pointer) };
}
