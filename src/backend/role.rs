//! Running statements of a user in that user's name, so that nothing of it outlasts them.

use crate::backend::catalog;
use crate::backend::settings::set_local;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use pgrx::pg_sys;
use pgrx::prelude::PgSqlErrorCode;
use std::ffi::CString;

/// What the statements may do beside what the role may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Read and write.
    Write,
    /// Only read, and leave nothing behind that would run later: no cursors, temporary tables or deferred triggers.
    Read,
}

/// Runs `call` as a role, with its search_path and UTC as the time zone.
///
/// `path` is the text of a search_path; temporary tables come last, so that whoever runs a job of somebody else cannot
/// put a table in its way. What `call` sets is undone, also by a plain SET, and it can become no other role. After an
/// error the caller must roll back, which puts user and settings back.
///
/// # Errors
/// Those of `call`; a `path` that is none.
pub fn act_as<T>(role: pg_sys::Oid, rights: Rights, path: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = if path.is_empty() {
        "pg_temp".to_string()
    } else {
        format!("{path}, pg_temp")
    };
    let (mut user, mut security) = (pg_sys::InvalidOid, 0);
    // SAFETY: a level of settings that is ended below, or by the abort.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    set_local(c"search_path", &path)?;
    set_local(c"TimeZone", "UTC")?;
    let mut context = pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
    if rights == Rights::Read {
        set_local(c"transaction_read_only", "on")?;
        context |= pg_sys::SECURITY_RESTRICTED_OPERATION as i32;
    }
    // SAFETY: plain reads and writes of the backend's user id; put back below, or by the abort.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut security);
        pg_sys::SetUserIdAndSecContext(role, security | context);
    }
    let result = call()?;
    // SAFETY: as above; false: whatever was set is undone, as by an abort.
    unsafe {
        pg_sys::AtEOXact_GUC(false, level);
        pg_sys::SetUserIdAndSecContext(user, security);
    }
    Ok(result)
}

/// After statements of a user in the session of another: nothing may stay behind that this one could take for his own.
/// Prepared statements go; temporary objects are refused.
///
/// # Errors
/// The transaction touched temporary objects.
pub fn leave_as_found() -> Result<()> {
    // SAFETY: a flag of the transaction.
    if unsafe { pg_sys::MyXactFlags } & pg_sys::XACT_FLAGS_ACCESSEDTEMPNAMESPACE as i32 != 0 {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "the job used temporary objects in a session of another role",
            "Let the background workers run it, or call the procedure as the owner of the job.",
        ));
    }
    let names = sql::select(
        "SELECT p.name FROM pg_prepared_statements p WHERE p.from_sql AND p.prepare_time >= statement_timestamp()",
        &[],
        |rows| {
            rows.into_iter()
                .map(|row| required(row.get::<String>(1)?, "name"))
                .collect::<Result<Vec<_>>>()
        },
    )?;
    for name in names {
        let name = CString::new(name).map_err(|e| Error::Internal(e.to_string()))?;
        // SAFETY: a name that is there; no statement of it runs.
        unsafe { pg_sys::DropPreparedStatement(name.as_ptr(), false) };
    }
    Ok(())
}

/// Closes the cursors WITH HOLD that were opened since the statement began. Their queries would run at commit, and no
/// longer as the role that opened them.
pub fn close_held_cursors() -> Result<()> {
    let names = sql::select(
        "SELECT c.name FROM pg_cursors c WHERE c.is_holdable AND c.creation_time >= statement_timestamp()",
        &[],
        |rows| {
            rows.into_iter()
                .map(|row| required(row.get::<String>(1)?, "name"))
                .collect::<Result<Vec<_>>>()
        },
    )?;
    for name in names {
        let name = CString::new(name).map_err(|e| Error::Internal(e.to_string()))?;
        // SAFETY: the portal is looked up and closed at once; its query belongs to no statement that still runs.
        unsafe {
            let portal = pg_sys::SPI_cursor_find(name.as_ptr());
            if !portal.is_null() {
                pg_sys::SPI_cursor_close(portal);
            }
        }
    }
    Ok(())
}

/// Takes away what statements of a user left in this process for the next ones: temporary tables, session locks and
/// prepared statements. For background workers, in a transaction that commits.
pub fn forget() {
    let (mut namespace, mut toast) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: what DISCARD ALL does of it, in the main loop's transaction, while no statement of a user runs. Locks of our own
    // are held in transactions only at this point, and only session locks are released.
    unsafe {
        pg_sys::DropAllPreparedStatements();
        pg_sys::LockReleaseSession(pg_sys::USER_LOCKMETHOD as pg_sys::LOCKMETHODID);
        pg_sys::GetTempNamespaceState(&mut namespace, &mut toast);
        if namespace != pg_sys::InvalidOid {
            pg_sys::ResetTempTableNamespace();
        }
    }
}

/// Runs `call` as the extension's owner, for what only a superuser may look up on behalf of the caller. After an error
/// the caller must roll back, which puts the user back.
///
/// # Errors
/// Those of `call`; the extension is not installed here.
pub fn as_extension_owner<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    let extension = catalog::installed()?
        .ok_or_else(|| Error::Internal("the extension is not installed in this database".into()))?;
    let (mut user, mut security) = (pg_sys::InvalidOid, 0);
    // SAFETY: plain reads and writes of the backend's user id; put back below, or by the abort.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut security);
        pg_sys::SetUserIdAndSecContext(extension.owner, security | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
    }
    let result = call();
    // SAFETY: as above.
    unsafe { pg_sys::SetUserIdAndSecContext(user, security) };
    result
}
