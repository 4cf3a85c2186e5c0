//! Transactions: in a background worker, and inside `CALL etl_run()`, where a procedure commits by itself.

use crate::backend::{catalog, locks};
use crate::error::{Error, Result, catch};
use pgrx::pg_sys;
use std::ffi::CString;

/// Where the code runs, which decides how a transaction begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// A background worker: it starts and commits transactions itself.
    Worker,
    /// A procedure over non-atomic SPI, in whose session a transaction is always open.
    Procedure,
}

/// What a transaction was told to do at its end.
pub enum End<T> {
    Commit(T),
    Rollback(T),
}

impl Session {
    /// Runs `body` in a transaction of its own, as the extension's owner with a pinned search_path, and commits.
    ///
    /// An error rolls back; it is returned, not raised. `Ok(None)` when the extension is not there (dropped, being
    /// dropped, or of another version than this library): nothing was run then.
    pub fn transaction<T>(self, body: impl FnOnce() -> Result<End<T>>) -> Result<Option<T>> {
        // SAFETY: reads the current context, to which an error deep in the executor must lead back.
        let context = unsafe { pg_sys::CurrentMemoryContext };
        let outcome = catch(|| {
            self.begin();
            let Some(extension) = catalog::current()? else {
                return Ok(None);
            };
            if !locks::try_share_extension(extension.oid) {
                return Ok(None);
            }
            set_search_path(&extension.schema)?;
            let (mut user, mut security) = (pg_sys::InvalidOid, 0);
            // SAFETY: plain reads and writes of the backend's user id; put back below, or by the abort.
            unsafe {
                pg_sys::GetUserIdAndSecContext(&mut user, &mut security);
                pg_sys::SetUserIdAndSecContext(extension.owner, security | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
            }
            let end = body();
            // SAFETY: as above.
            unsafe { pg_sys::SetUserIdAndSecContext(user, security) };
            end.map(Some)
        });
        if outcome.is_err() {
            // SAFETY: the context lives longer than the transaction that is about to be rolled back.
            unsafe { pg_sys::CurrentMemoryContext = context };
        }
        match outcome {
            Ok(Some(End::Commit(value))) => match catch(|| {
                self.commit();
                Ok(())
            }) {
                Ok(()) => Ok(Some(value)),
                Err(e) => {
                    self.rollback();
                    Err(e)
                }
            },
            Ok(Some(End::Rollback(value))) => {
                self.rollback();
                Ok(Some(value))
            }
            Ok(None) => {
                self.rollback();
                Ok(None)
            }
            Err(e) => {
                self.rollback();
                Err(e)
            }
        }
    }

    /// A transaction that needs no extension and changes nothing: runs as the session's user and rolls back.
    pub fn bare_transaction<T>(self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let outcome = catch(|| {
            self.begin();
            body()
        });
        self.rollback();
        outcome
    }

    fn begin(self) {
        // SAFETY: a worker's main loop, outside any transaction; or a procedure whose transaction has just begun.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            if self == Session::Worker {
                pg_sys::StartTransactionCommand();
            }
            // Whatever default_transaction_isolation says: after waiting for a lock the next statement must see what
            // its former holder committed.
            pg_sys::XactIsoLevel = pg_sys::XACT_READ_COMMITTED as i32;
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
    }

    fn commit(self) {
        // SAFETY: pops the snapshot `begin` pushed. A procedure is connected to non-atomic SPI, and every nested SPI
        // connection is closed by now.
        unsafe {
            pg_sys::PopActiveSnapshot();
            match self {
                Session::Worker => {
                    pg_sys::CommitTransactionCommand();
                    pg_sys::pgstat_report_stat(true);
                }
                Session::Procedure => pg_sys::SPI_commit(),
            }
        }
    }

    fn rollback(self) {
        // SAFETY: both forms may be called after an error was caught. SPI_rollback insists that no snapshot but the
        // portal's is left on the stack; `in_procedure` has seen to it that all there are ours.
        unsafe {
            match self {
                Session::Worker => {
                    pg_sys::AbortCurrentTransaction();
                    pg_sys::pgstat_report_stat(true);
                }
                Session::Procedure => {
                    while pg_sys::ActiveSnapshotSet() {
                        pg_sys::PopActiveSnapshot();
                    }
                    pg_sys::SPI_rollback();
                }
            }
        }
    }
}

/// Connects to non-atomic SPI and ends the caller's transaction, so that [`Session::Procedure`] may be used.
/// `call` gets the session; the SPI connection is closed behind it.
pub fn in_procedure<T>(call: impl FnOnce(Session) -> T) -> T {
    // SAFETY: called from a procedure in a non-atomic context (checked by the caller). The first SPI_commit gives up
    // the snapshot of the CALL itself. An error inside `call` unwinds past SPI_finish, which the abort makes up for.
    unsafe {
        pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32);
        pg_sys::SPI_commit();
        let result = call(Session::Procedure);
        pg_sys::SPI_finish();
        result
    }
}

/// `SET LOCAL search_path`: the catalog first, the extension's schema, temporary objects last.
fn set_search_path(schema: &str) -> Result<()> {
    let path = format!("pg_catalog, {}, pg_temp", pgrx::spi::quote_identifier(schema));
    set_local(c"search_path", &path)?;
    set_local(c"max_parallel_workers_per_gather", "0")
}

/// Sets a parameter until the end of the transaction.
pub fn set_local(name: &std::ffi::CStr, value: &str) -> Result<()> {
    let value = CString::new(value).map_err(|e| Error::Internal(e.to_string()))?;
    // SAFETY: NUL-terminated strings that outlive the call; elevel 0 means: raise on a bad value.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        )
    };
    Ok(())
}
