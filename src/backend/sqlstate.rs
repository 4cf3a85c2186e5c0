//! SQLSTATEs of a user's own, such as `RAISE .. USING ERRCODE = 'ZX001'`. pgrx keeps only those it has a name for and
//! makes XX000 of the others; the server's error context callbacks see, and may set, the real one.

use crate::error::{Error, Result, catch};
use pgrx::PgMemoryContexts;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, Ordering};

unsafe extern "C-unwind" {
    /// Of elog.h, left out by pgrx: sets the SQLSTATE of the error that is being reported.
    safe fn errcode(sqlerrcode: i32) -> i32;
}

/// The SQLSTATE of the last error, as a number.
static LAST: AtomicI32 = AtomicI32::new(0);

/// Called while an error, or a notice, is reported.
unsafe extern "C-unwind" fn note(_: *mut c_void) {
    // SAFETY: both may be called in an error context callback, which this is.
    unsafe {
        if pg_sys::geterrlevel() >= PgLogLevel::ERROR as i32 {
            LAST.store(pg_sys::geterrcode(), Ordering::Relaxed);
        }
    }
}

/// Called while the error that [`raise_as`] announced is reported.
unsafe extern "C-unwind" fn set(code: *mut c_void) {
    errcode(code as usize as i32);
}

/// Runs `call` and gives an error of it the SQLSTATE it was raised with.
///
/// # Errors
/// Those of `call`.
pub fn keeping<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut callback = pg_sys::ErrorContextCallback {
        // SAFETY: a plain read.
        previous: unsafe { pg_sys::error_context_stack },
        callback: Some(note),
        arg: std::ptr::null_mut(),
    };
    // SAFETY: the callback outlives the call, after which it is taken off again: no error gets past `catch`.
    unsafe { pg_sys::error_context_stack = &raw mut callback };
    let result = catch(call);
    // SAFETY: as above.
    unsafe { pg_sys::error_context_stack = callback.previous };
    result.map_err(|e| match e {
        Error::Postgres {
            sqlstate: sqlstate @ PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            message,
            detail,
            hint,
            ..
        } => Error::Postgres {
            sqlstate,
            // An error that was caught and raised again is not reported twice: then the last one may be another.
            code: Some(LAST.load(Ordering::Relaxed)).filter(|c| PgSqlErrorCode::from(*c) == sqlstate),
            message,
            detail,
            hint,
        },
        e => e,
    })
}

/// Gives the error that is raised next, to the end of the transaction, this SQLSTATE.
pub fn raise_as(code: i32) {
    // SAFETY: the callback lives until the end of the transaction, which the error that follows ends; the server empties
    // the stack where it catches it.
    unsafe {
        pg_sys::error_context_stack =
            PgMemoryContexts::TopTransactionContext.leak_and_drop_on_delete(pg_sys::ErrorContextCallback {
                previous: pg_sys::error_context_stack,
                callback: Some(set),
                arg: code as u32 as usize as *mut c_void,
            });
    }
}
