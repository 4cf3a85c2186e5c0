//! Parameters that hold for a piece of work: a function's, as its SET clause would have them, or a transaction.

use crate::error::{Error, Result};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// For statements on tables that grow and have partitions, whose plans are kept: a plan that was made when a table was empty
/// must do when it is large, and to plan anew for the parameters costs more than most of them.
pub const KEPT_PLANS: [(&CStr, &str); 3] = [
    (c"plan_cache_mode", "force_generic_plan"),
    (c"enable_seqscan", "off"),
    // What reads a whole table all the same looks very costly by that.
    (c"jit", "off"),
];

/// Runs `body` with these parameters; the former values are back when it has ended. (If it raises instead of returning,
/// the abort of the transaction puts them back.)
pub fn scoped<T>(parameters: &[(&CStr, &str)], body: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: opens a level of the GUC machinery, inside a transaction; closed below.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    let outcome = parameters
        .iter()
        .try_for_each(|(name, value)| set(name, value, pg_sys::GucAction::GUC_ACTION_SAVE))
        .and_then(|()| body());
    // SAFETY: the level opened above. What was set with GUC_ACTION_SAVE is put back, commit or not.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    outcome
}

/// Sets a parameter until the end of the transaction.
pub fn set_local(name: &CStr, value: &str) -> Result<()> {
    set(name, value, pg_sys::GucAction::GUC_ACTION_LOCAL)
}

/// Sets a parameter for as long as `action` says.
fn set(name: &CStr, value: &str, action: pg_sys::GucAction::Type) -> Result<()> {
    let value = CString::new(value).map_err(|e| Error::Internal(e.to_string()))?;
    // SAFETY: NUL-terminated strings that outlive the call; elevel 0 means: raise on a bad value.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        )
    };
    Ok(())
}
