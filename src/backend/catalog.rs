//! The extension in the catalog of the current database.

use crate::backend::sql::{self, required};
use crate::error::Result;
use pgrx::prelude::*;

/// Version of this library; the installed extension must be of the same.
pub const LIBRARY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The installed extension.
#[derive(Clone, Debug)]
pub struct Extension {
    pub oid: pg_sys::Oid,
    pub owner: pg_sys::Oid,
    pub schema: String,
    pub version: String,
}

/// The extension as it is installed here, whatever its version; `None` when it is not.
pub fn installed() -> Result<Option<Extension>> {
    sql::select(
        "SELECT e.oid, e.extowner, n.nspname::pg_catalog.text, e.extversion
           FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
          WHERE e.extname OPERATOR(pg_catalog.=) 'observe_bridge'",
        &[],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            Ok(Some(Extension {
                oid: required(row.get(1)?, "oid")?,
                owner: required(row.get(2)?, "extowner")?,
                schema: required(row.get(3)?, "nspname")?,
                version: required(row.get(4)?, "extversion")?,
            }))
        },
    )
}

/// The extension if it is installed here in the version of this library.
pub fn current() -> Result<Option<Extension>> {
    Ok(installed()?.filter(|e| e.version == LIBRARY_VERSION))
}

/// Whether a dump is being restored: then nothing is created and no job runs.
pub fn restoring() -> bool {
    if crate::guc::restoring() {
        return true;
    }
    // SAFETY: missing_ok; the text belongs to the GUC machinery and is read at once.
    unsafe {
        let value = pg_sys::GetConfigOption(c"timescaledb.restoring".as_ptr(), true, false);
        !value.is_null() && std::ffi::CStr::from_ptr(value).to_bytes() == b"on"
    }
}
