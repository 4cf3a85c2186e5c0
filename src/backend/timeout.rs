//! A limit on how long statements may take, beside `statement_timeout`, which belongs to the caller.

use crate::error::{Error, Result, catch};
use pgrx::pg_sys;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// PostgreSQL's timers (utils/timeout.h), which pgrx does not bind.
mod timers {
    unsafe extern "C-unwind" {
        pub fn RegisterTimeout(id: i32, handler: unsafe extern "C-unwind" fn()) -> i32;
        pub fn enable_timeout_every(id: i32, first: pgrx::pg_sys::TimestampTz, delay_ms: i32);
        pub fn disable_timeout(id: i32, keep_indicator: bool);
    }
}

/// Asks for a timer of our own: `USER_TIMEOUT` of PostgreSQL 17 and 18; any number from the server's own on will do.
const USER_TIMEOUT: i32 = 13;

/// Time between two cancels of what does not end.
const AGAIN_MS: i32 = 1_000;
/// So many cancels are let pass.
const PATIENCE: u32 = 10;

static FIRED: AtomicU32 = AtomicU32::new(0);
/// Whether the limit was what cancelled.
static EXCEEDED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static TIMER: Cell<Option<i32>> = const { Cell::new(None) };
}

/// Called in a signal handler, which wakes the process's latch by itself.
unsafe extern "C-unwind" fn on_timeout() {
    // A function may catch the first cancels; a worker that does nothing else is ended, and its run rescued.
    if FIRED.fetch_add(1, Ordering::Relaxed) >= PATIENCE {
        // SAFETY: flags that signal handlers set, in a worker's main thread.
        unsafe {
            if pg_sys::MyBackendType == pg_sys::BackendType::B_BG_WORKER {
                (&raw mut pg_sys::ProcDiePending).write_volatile(1);
            }
        }
    }
    EXCEEDED.store(true, Ordering::Relaxed);
    // SAFETY: flags that signal handlers set.
    unsafe { cancel(1) };
}

/// # Safety
/// On the main thread or in one of its signal handlers.
unsafe fn cancel(pending: i32) {
    // SAFETY: the caller's.
    unsafe {
        if pending != 0 {
            (&raw mut pg_sys::InterruptPending).write_volatile(pending);
        }
        (&raw mut pg_sys::QueryCancelPending).write_volatile(pending);
    }
}

/// Runs `call` for at most `limit`; what takes longer is cancelled like a statement.
///
/// # Errors
/// [`Error::TimedOut`], naming the job; those of `call`.
pub fn within<T>(job: &str, limit: Duration, call: impl FnOnce() -> Result<T>) -> Result<T> {
    let timer = TIMER.get().unwrap_or_else(|| {
        // SAFETY: once a process, on the main thread; the handler only sets flags. There are ten such timers.
        let timer = unsafe { timers::RegisterTimeout(USER_TIMEOUT, on_timeout) };
        TIMER.set(Some(timer));
        timer
    });
    EXCEEDED.store(false, Ordering::Relaxed);
    FIRED.store(0, Ordering::Relaxed);
    let ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: the timer is registered, and disabled below whatever happens.
    unsafe {
        let first = pg_sys::GetCurrentTimestamp() + i64::from(ms) * 1000;
        timers::enable_timeout_every(timer, first, AGAIN_MS);
    }
    let result = catch(call);
    // SAFETY: as above.
    unsafe { timers::disable_timeout(timer, false) };
    if !EXCEEDED.load(Ordering::Relaxed) {
        return result;
    }
    // Whoever was cancelled may have gone on, or have ended by itself just then.
    // SAFETY: on the main thread.
    unsafe { cancel(0) };
    match result {
        Err(e) if !e.is_cancel() => Err(e),
        _ => Err(Error::TimedOut {
            job: job.to_string(),
            seconds: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        }),
    }
}
