//! Parameters that hold for a piece of work, as the SET clause of a function has them.

use crate::error::{Error, Result};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// Runs `body` with these parameters; the former values are back when it has ended. (If it raises instead of returning,
/// the abort of the transaction puts them back.)
pub fn scoped<T>(parameters: &[(&CStr, &str)], body: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: opens a level of the GUC machinery, inside a transaction; closed below.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    let outcome = parameters
        .iter()
        .try_for_each(|(name, value)| save(name, value))
        .and_then(|()| body());
    // SAFETY: the level opened above. What was set with GUC_ACTION_SAVE is put back, commit or not.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    outcome
}

/// Sets a parameter until the current level ends.
fn save(name: &CStr, value: &str) -> Result<()> {
    let value = CString::new(value).map_err(|e| Error::Internal(e.to_string()))?;
    // SAFETY: NUL-terminated strings that outlive the call; elevel 0 means: raise on a bad value.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        )
    };
    Ok(())
}
